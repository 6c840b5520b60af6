"""The policies joined up: a job's history, the catalogue and the user's wishes in, a plan out."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from flyball.model.history import AttemptRow
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.plan import Choice, Plan
from flyball.model.receipt import Receipt
from flyball.model.resource import Arch, Market, Size
from flyball.model.units import GIB, MIB
from flyball.policy.retry import Grown
from flyball.ports.store import Store

if TYPE_CHECKING:
    from flyball.policy.sizing import Appetite
    from flyball.ports.catalog import Catalog

FLOOR = Size(cpu_cores=0.25, memory_bytes=128 * MIB)  # the smallest that any platform sells or schedules
CEILING = Size(cpu_cores=448, memory_bytes=24_576 * GIB)  # the largest machine for rent (u7in-24tb)
NEWEST_ATTEMPTS = 4000  # of one job: an hourly job's last half year; older ones say nothing that these do not
# A run shorter than this is not made to wait for a new plan when the one at hand still holds.
SHORT_RUN_SECONDS = 1.0
REUSES_MAX = 20
PLAN_AGE_SECONDS_MAX = 6 * 3600.0
_BLAS_THREADS = "OPENBLAS_NUM_THREADS"


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wishes of plans."""

    hit_limit_share_max: float | None = (
        None  # None: priced, the cost of a failed attempt against over-provision
    )
    clouds: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    archs: tuple[Arch, ...] = ()
    markets: tuple[Market, ...] = ()
    price_usd_per_hour_max: float | None = None
    alternatives: int = 10


class KeptPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The last plan of a job, so that a run of milliseconds need not pay for a new one."""

    plan: Plan
    features: Features
    made_at_seconds: float
    reuses: int = 0

    def holds_after(self, run: RunSpec, last: Receipt) -> bool:
        """Whether it says what a new one would: a like run, that stayed well inside it, not long ago."""
        features, peak = run.features, last.memory_bytes_max
        return (
            last.outcome is Outcome.SUCCEEDED
            and last.wall_seconds < SHORT_RUN_SECONDS
            and (peak is None or peak <= 0.9 * self.plan.size.memory_bytes)
            and features.input_bytes == self.features.input_bytes
            and features.numbers == self.features.numbers
            and features.words == self.features.words
            and self.reuses < REUSES_MAX
            and 0 <= last.ended_at_seconds - self.made_at_seconds < PLAN_AGE_SECONDS_MAX
        )


class HistoryPlanner:
    """Plans from the store's history. numpy is imported with the first plan, after the command has ended."""

    def __init__(
        self,
        *,
        store: Callable[[], Store],
        catalog: Callable[[], Catalog],
        preferences: Preferences,
        cache_folder: Path,
        now_seconds: Callable[[], float],
    ) -> None:
        self._store, self._catalog, self._preferences = store, catalog, preferences
        self._cache_folder, self._now_seconds = cache_folder, now_seconds

    def kept_plan(self, job: str) -> Plan | None:
        """The plan made after the last run, or one like it; None when there is none at hand."""
        kept = self._kept(job)
        return kept.plan if kept else None

    def plan_now(self, run: RunSpec) -> Plan:
        return self.plan_with_alternatives(run.job, run.features)[0]

    def plan_with_alternatives(self, job: str, features: Features) -> tuple[Plan, Sequence[Choice]]:
        return self._plan(job, self._rows(job), features)

    def grow(self, run: RunSpec, limit_bytes: int, failed: int) -> Grown | None:
        self.load_numpy()
        from flyball.policy.evidence import Evidence
        from flyball.policy.sizing import size_after_out_of_memory

        decision = size_after_out_of_memory(
            Evidence.from_rows(self._rows(run.job)),
            run.features,
            failed_limit_bytes=limit_bytes,
            failed_attempts=failed,
            appetite=self._appetite(),
            floor=FLOOR,
            ceiling=CEILING,
        )
        if decision is None:
            return None
        return Grown(
            memory_limit_bytes=decision.size.memory_bytes, reason=decision.reasons[0]
        )  # of memory; cores stay

    def plans_after(self, run: RunSpec, last: Receipt) -> tuple[Plan, Plan]:
        kept = self._kept(run.job)
        if kept is not None and kept.holds_after(run, last):
            self._keep(replace(kept, reuses=kept.reuses + 1))
            return kept.plan, kept.plan
        rows = self._rows(run.job)
        before = [
            row
            for row in rows
            if row.run_id != run.run_id and row.started_at_seconds <= last.started_at_seconds
        ]
        features_next = replace(run.features, started_at_seconds=self._now_seconds())
        plan, _ = self._plan(run.job, before, run.features)
        plan_next, _ = self._plan(run.job, rows, features_next)
        self._keep(KeptPlan(plan=plan_next, features=features_next, made_at_seconds=last.ended_at_seconds))
        return plan, plan_next

    @staticmethod
    def load_numpy() -> None:
        """With one thread for its linear algebra: ours is small, and starting more costs milliseconds and memory.

        The variable is taken back at once; it is none of the command's business.
        """
        if "numpy" in sys.modules or _BLAS_THREADS in os.environ:
            return
        os.environ[_BLAS_THREADS] = "1"
        try:
            import numpy  # noqa: F401, ICN001
        finally:
            del os.environ[_BLAS_THREADS]

    def _plan(
        self, job: str, rows: Sequence[AttemptRow], features: Features
    ) -> tuple[Plan, Sequence[Choice]]:
        self.load_numpy()
        from flyball.policy.evidence import Evidence
        from flyball.policy.forecast import forecast
        from flyball.policy.sizing import size_next

        evidence = Evidence.from_rows(rows)
        expected = forecast(evidence, features)
        decision = size_next(evidence, features, appetite=self._appetite(), floor=FLOOR, ceiling=CEILING)
        plan = Plan(
            job=job,
            size=decision.size,
            forecast=expected,
            reasons=decision.reasons,
            hit_limit_probability=decision.hit_limit_probability,
        )
        choices = self._choices(plan, rows)
        if not choices:
            return plan, ()
        return replace(plan, choice=choices[0], catalog_as_of=str(choices[0].offer.as_of)), choices

    def _choices(self, plan: Plan, rows: Sequence[AttemptRow]) -> Sequence[Choice]:
        """The cheapest offers for the planned size, cheapest first; none while no run has told what it does."""
        from flyball.policy.placement import Wanted, rank
        from flyball.policy.speed import learn_speeds, work_of_job

        work = work_of_job(plan.forecast, rows)
        if work is None:
            return ()
        speeds, wishes = learn_speeds(rows), self._preferences
        ranking = rank(
            self._catalog().offers(),
            need=Size(cpu_cores=plan.size.cpu_cores, memory_bytes=0, gpus=plan.size.gpus),
            work=replace(work, memory_bytes=plan.size.memory_bytes),
            wanted=Wanted(
                clouds=wishes.clouds,
                regions=wishes.regions,
                arch=self._arch(work.arch),
                market=wishes.markets[0] if len(wishes.markets) == 1 else None,
                max_price_usd_per_hour=wishes.price_usd_per_hour_max,
            ),
            speed_corrections=speeds.corrections,
        )
        return ranking[: wishes.alternatives]

    def _arch(self, seen: Arch | None) -> Arch | None:
        """The only one that will do: the one it has run on, unless the user allows others. None: any."""
        allowed = self._preferences.archs
        return seen if not allowed else allowed[0] if len(set(allowed)) == 1 else None

    def _appetite(self) -> Appetite:
        from flyball.policy.sizing import Appetite

        return Appetite(hit_limit_share_max=self._preferences.hit_limit_share_max)

    def _rows(self, job: str) -> Sequence[AttemptRow]:
        return self._store().rows(job, newest=NEWEST_ATTEMPTS)

    def _kept_file(self, job: str) -> Path:
        return (
            self._cache_folder / f"{zlib.crc32(job.encode()):08x}.json"
        )  # two jobs may share one: see _kept

    def _kept(self, job: str) -> KeptPlan | None:
        try:
            kept = msgspec.json.decode(self._kept_file(job).read_bytes(), type=KeptPlan)
        except (OSError, msgspec.DecodeError):
            return None  # a cache: whatever is wrong with it, a new plan is made
        return kept if kept.plan.job == job else None

    def _keep(self, kept: KeptPlan) -> None:
        file = self._kept_file(kept.plan.job)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(f".{os.getpid()}")
            partial.write_bytes(msgspec.json.encode(kept))
            partial.replace(file)
        except OSError:
            return  # the next run makes a new plan
