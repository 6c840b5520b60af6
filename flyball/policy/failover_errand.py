"""What one run needs of a machine, worked out once; and what is found out within a tick, kept for the runs that follow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Plan
from flyball.model.receipt import Limits
from flyball.model.resource import Size
from flyball.model.snapshot import LiveAttempt, LiveRun, Snapshot, Unreleased
from flyball.policy.failover_ranked import Candidate, Ladder, Search, coarse, ladder_of
from flyball.policy.failover_refusals import Refusals
from flyball.policy.holds import forced_provider
from flyball.policy.next_step import Launchable, Waiting
from flyball.policy.placement import Wanted, Work
from flyball.policy.size_ask import Sized, size_for
from flyball.policy.timeouts import run_limit_seconds

if TYPE_CHECKING:
    from flyball.policy.known import Known, Supply

# A run that resumes does again what it did since its last checkpoint: half of ten minutes, as long as nobody knows better.
REDONE_SECONDS = 300.0
AVOIDED_SECONDS = 1800.0  # an offer on which this run's launch timed out
MEASURED_LEAST = 5  # launches of a provider before their times count more than what it says of itself
MEASURED_SHARE = 0.9
UNMEASURED_FACTOR = 1.5  # boots have tails
WAITS_KEPT = 20_000
LEFT_STEP_SECONDS = 30.0
FORECAST_STEP = 1.03  # figures of work are taken in steps of 5 %


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """One run on its way to a machine."""

    run: LiveRun
    step: Launchable
    plan: Plan
    sized: Mapping[str, Sized]
    searches: Mapping[str, Search]
    timeout_seconds: float | None
    avoided: frozenset[str]  # "provider offer_id" that this run had no luck with
    slow: (
        float | None
    )  # times the expected seconds: 9 of 10 runs need less; None: nothing is known of its time

    @property
    def deadline_seconds(self) -> float | None:
        return self.run.deadline_seconds

    @property
    def resumes(self) -> bool:
        return self.run.spec.spot.checkpoint is not None

    def seconds(self, candidate: Candidate) -> float:
        """That 9 of 10 such runs need there, without its boot."""
        return candidate.choice.expected_seconds * (self.slow or 1.0)

    def limits(self, provider: str, *, machine_bytes: int | None) -> Limits:
        """`machine_bytes`: the machine is all its own, so that it may have what is left of it at no cost."""
        sized, patience = self.sized[provider], self.run.spec.patience
        memory_bytes = sized.memory_limit_bytes
        if machine_bytes is not None:
            most = sized.memory_limit_bytes_max
            roomy = machine_bytes if most is None else min(machine_bytes, most)
            memory_bytes = max(memory_bytes, roomy)
        return Limits(
            memory_bytes=memory_bytes,
            cpu_cores=sized.cpu_limit,
            timeout_seconds=self.timeout_seconds,
            stalled_after_seconds=patience.stalled_seconds,
            grace_seconds=patience.grace_seconds,
        )


class Stall:
    """What decisions about machines look at within one tick. Made once, used for every run that waits."""

    def __init__(self, snapshot: Snapshot, known: Known, now_seconds: float) -> None:
        self.snapshot, self.known, self.now_seconds = snapshot, known, now_seconds
        self.turned_away: dict[tuple[object, ...] | None, Waiting] = {}
        self._plans: dict[int, Plan] = {}
        self.refusals = _refusals(snapshot, now_seconds)
        self.memo: dict[str, Any] = {}  # of the files that decide: each has a key of its own
        self._changeovers: dict[str, float] | None = None

    def kind(self, run: LiveRun, step: Launchable) -> tuple[object, ...] | None:
        """Runs of one kind get the same answer; None: it is on its own."""
        spec = run.spec
        if spec.goal.usd_per_run is not None:
            return None
        deadline = run.deadline_seconds
        time = self.left_seconds(deadline) if deadline is not None else -self._idle_minutes(run)
        plan = self.known.plan(run.run)
        self._plans[id(plan)] = plan  # kept, so that no other gets its id
        avoided = _avoided(run, self.now_seconds) if run.tried else frozenset()
        tags = tuple(sorted(run.run.tags.items()))
        progress = round(run.progress, 1)
        return (
            run.job, id(plan), spec.size, spec.spot, self.providers(run), spec.patience.run_seconds, step.memory_limit_bytes,
            avoided, tags, progress, deadline is None, time,
        )  # fmt: skip

    def _idle_minutes(self, run: LiveRun) -> float:
        return (self.now_seconds - idle_since(run)) // 60.0

    def left_seconds(self, deadline_seconds: float) -> float:
        """To the deadline, in whole steps: never more than there is, and the same for runs that are near each other."""
        return math.floor((deadline_seconds - self.now_seconds) / LEFT_STEP_SECONDS) * LEFT_STEP_SECONDS

    def waits_as_before(self, kind: tuple[object, ...] | None) -> Waiting | None:
        """What such a run was told when it last asked, while nothing that it depends on has changed."""
        found = self.refusals.waits.get(kind)
        if found is None or kind is None or found[0] != self._basis():
            return None
        waiting: Waiting = found[1]
        return waiting

    def keep_waiting(self, kind: tuple[object, ...], waiting: Waiting, plan: Plan) -> None:
        """For the next ticks. Only what does not depend on who else has a machine may be kept."""
        self.refusals.waits[kind] = (
            self._basis(),
            waiting,
            plan,
        )  # the plan's id is in the kind: no other may get it

    def _basis(self) -> list[OfferTable]:
        """What is for sale, compared by identity."""
        return [supply.offers for supply in self.known.supplies.values()]

    def errand(self, run: LiveRun, step: Launchable) -> Errand:
        spec, plan = run.spec, self.known.plan(run.run)
        providers = self.providers(run)
        cautious = run.deadline_seconds is not None and not spec.goal.late_tolerated
        sized = {
            name: size_for(spec.size, plan, step, self.known.supplies[name].capabilities, cautious=cautious)
            for name in providers
        }
        work, speeds, slow = self._work(run, plan)
        searches = {
            name: _search(self.known.supplies[name], sized[name].size, run, work, speeds)
            for name in providers
        }
        return Errand(
            run=run,
            step=step,
            plan=plan,
            sized=sized,
            searches=searches,
            avoided=_avoided(run, self.now_seconds) if run.tried else frozenset(),
            timeout_seconds=run_limit_seconds(spec, self.known.usual(run.job)),
            slow=slow,
        )

    def ladders(self, errand: Errand) -> list[Ladder]:
        return [self._ladder(name, search) for name, search in errand.searches.items()]

    def _ladder(self, provider: str, search: Search) -> Ladder:
        table = self.known.supplies[provider].offers
        return ladder_of(self.refusals, provider, table, search)

    def changeover_seconds(self, errand: Errand, provider: str) -> float:
        """From the launch call to the command: as the user says, as measured (9 of 10 launches), else as the provider
        says of itself and half as much again."""
        said = errand.run.spec.spot.changeover_seconds
        if said is not None:
            return said
        if self._changeovers is None:
            self._changeovers = _measured_starts(self.snapshot)
        boot_seconds = self.known.supplies[provider].capabilities.boot_seconds
        return self._changeovers.get(provider, UNMEASURED_FACTOR * boot_seconds)

    def late_seconds(self, provider: str) -> float:
        """After a machine was lost it may be so long until we know."""
        lag = self.known.supplies[provider].capabilities.listing_lag_seconds
        return max(lag, self.known.ceilings.lost_after_seconds) + lag

    @property
    def has_hosts(self) -> bool:
        """Whether any provider keeps machines warm."""
        if "has_hosts" not in self.memo:
            self.memo["has_hosts"] = any(s.capabilities.hosts for s in self.known.supplies.values())
        return bool(self.memo["has_hosts"])

    def providers(self, run: LiveRun) -> tuple[str, ...]:
        """Of those that are here, the ones it may go to."""
        forced = forced_provider(run, self.now_seconds)
        names = run.spec.providers if forced is None else (forced,)
        return tuple(name for name in names if name in self.known.supplies)

    def _work(
        self, run: LiveRun, plan: Plan
    ) -> tuple[Work | None, tuple[tuple[str, float], ...], float | None]:
        """What is left of it to do, the job's own speeds, and how much slower 9 of 10 runs stay below."""
        doing = self.known.doing(run.run)
        work = doing.work or work_of_forecast(plan.forecast)
        limit_seconds = run.spec.patience.run_seconds
        if work is None:
            if limit_seconds is None:
                return None, (), None
            work = Work(wall_seconds=limit_seconds, core_seconds=0.0)
            return coarse(_left(work, run)), (), FORECAST_STEP
        wall = plan.forecast.wall_seconds
        spread = max(1.0, wall.p90 / wall.p50) if wall is not None and wall.p50 > 0 else 1.5
        return coarse(_left(work, run)), tuple(sorted(doing.speeds.items())), spread * FORECAST_STEP


def idle_since(run: LiveRun) -> float:
    """When it was submitted, or its last attempt ended."""
    return run.tried[-1].ended_at_seconds if run.tried else run.submitted.at_seconds


def work_of_forecast(forecast: Forecast) -> Work | None:
    """As if it had been seen on an m6i; None until wall and CPU time are forecast."""
    wall, cpu = forecast.wall_seconds, forecast.cpu_core_seconds
    if wall is None:
        return None
    cores = max(1.0, forecast.cpu_cores.p90) if forecast.cpu_cores else 1.0
    return Work(wall_seconds=wall.p50, core_seconds=cpu.p50 if cpu else wall.p50, cores=cores)


def _left(work: Work, run: LiveRun) -> Work:
    share = 1.0 - min(run.progress, 0.999)
    if share >= 1.0:
        return work
    return replace(work, wall_seconds=work.wall_seconds * share, core_seconds=work.core_seconds * share)


def _search(
    supply: Supply, size: Size, run: LiveRun, work: Work | None, speeds: tuple[tuple[str, float], ...]
) -> Search:
    capabilities, ask = supply.capabilities, run.spec.size
    shared = capabilities.shared_machine is not None
    work = work or Work.hour_of(size)
    arch = work.arch if not ask.archs else ask.archs[0] if len(set(ask.archs)) == 1 else None
    return Search(
        need=size if shared else replace(size, memory_bytes=0),
        work=replace(work, memory_bytes=None if shared else size.memory_bytes),
        wanted=Wanted(
            arch=arch,
            gpu_models=ask.gpu_models,
            families=ask.families,
            instance_types=ask.instance_types,
        ),
        speeds=speeds,
        boot_seconds=capabilities.boot_seconds,
        redo_seconds=capabilities.boot_seconds + REDONE_SECONDS if run.spec.spot.checkpoint else None,
    )


def _avoided(run: LiveRun, now_seconds: float) -> frozenset[str]:
    return frozenset(
        f"{tried.provider} {tried.offer_id}"
        for tried in run.tried
        if tried.outcome is Outcome.LAUNCH_TIMED_OUT
        and now_seconds - tried.ended_at_seconds < AVOIDED_SECONDS
    )


def _measured_starts(snapshot: Snapshot) -> dict[str, float]:
    """Seconds from launch to command by provider, that 9 of 10 stayed below; on machines of their own."""
    lives = (run.live for run in snapshot.runs.values() if run.live is not None)
    seen: dict[str, list[float]] = {}
    attempts: Iterable[LiveAttempt | Unreleased] = chain(lives, snapshot.unreleased.values())
    for attempt in attempts:
        launched, started = attempt.launched_at_seconds, attempt.started_at_seconds
        if launched is not None and started is not None and attempt.planned.host_id is None:
            seen.setdefault(attempt.planned.provider, []).append(started - launched)
    return {
        name: sorted(times)[int(MEASURED_SHARE * (len(times) - 1))]
        for name, times in seen.items()
        if len(times) >= MEASURED_LEAST
    }


_REFUSALS: list[Refusals] = []  # the newest ones: they hold over ticks in which nothing was refused


def _refusals(snapshot: Snapshot, now_seconds: float) -> Refusals:
    for refusals in _REFUSALS:
        if refusals.holds(snapshot, now_seconds):
            return refusals
    made = Refusals(snapshot, now_seconds)
    _REFUSALS.insert(0, made)
    del _REFUSALS[4:]
    return made
