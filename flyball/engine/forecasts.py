"""What decisions know beside the snapshot: what jobs need and usually do, what is for sale. Kept between ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from flyball.engine.goods import Goods
from flyball.engine.planning import CEILING, FLOOR, HistoryPlanner, Preferences
from flyball.model.ceilings import Ceilings
from flyball.model.facts import AnyFact, JobRenamed, RunEnded
from flyball.model.history import AttemptRow
from flyball.model.job import Features, RunSpec
from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.plan import Plan
from flyball.model.snapshot import Ended, LiveRun, Snapshot
from flyball.policy.known import Doing, Known, Usual
from flyball.policy.retry import Grown
from flyball.policy.usual import usual_of
from flyball.ports.provider import Provider
from flyball.ports.store import Store

if TYPE_CHECKING:
    from flyball.policy.evidence import Evidence
    from flyball.policy.sizing import Appetite
    from flyball.ports.catalog import Catalog

# Of one job. A forecast from 256 runs takes a few milliseconds, from 4,000 a tenth of a second, and says nearly the same.
NEWEST_ATTEMPTS = 256
NEW_SHARE = (
    0.05  # so many more attempts, with something among them that was not expected: plans are made anew
)
NEW_SHARE_AT_MOST = 0.25  # so many more attempts: in any case
READ_AGAIN_SECONDS = 3600.0  # for what others wrote into the store
INPUT_STEPS = 8  # of input size to a doubling: nearer ones share a plan
PLANS_KEPT = 256  # of one job
CALENDAR_DAYS = 3  # a shorter past shows no pattern of days or hours
CALENDAR_SLOT_SECONDS = 6 * 3600.0
DAY_SECONDS = 86_400.0


class Forecasts:
    """Gives Known to the loop. In memory only: whoever starts makes it again from the store."""

    def __init__(
        self,
        *,
        store: Store,
        providers: Mapping[str, Provider],
        catalog: Callable[[], Catalog] | None = None,
        own_offers: Mapping[str, OfferTable] | None = None,
        preferences: Preferences | None = None,
        ceilings: Ceilings | None = None,
        now_seconds: Callable[[], float],
    ) -> None:
        """A provider with `own_offers` sells those; others what the catalogue has of the cloud they are named for."""
        self._store, self._now_seconds = store, now_seconds
        self._preferences, self._ceilings = preferences or Preferences(), ceilings or Ceilings()
        self._goods = Goods(
            providers=providers,
            catalog=catalog,
            own_offers=own_offers or {},
            preferences=self._preferences,
        )
        self._pasts: dict[str, _Past] = {}
        self._seen: Mapping[str, Ended] = {}  # ended runs at the last look...
        self._newest: str | None = None  # ...and the newest of them
        self._names: Mapping[str, str] = {}

    def known(self, snapshot: Snapshot) -> Known:
        """As of now; the same plans and tables as in the last tick where nothing new came in. Raises: StoreError."""
        self._look(snapshot)
        goods = self._goods.as_of(self._now_seconds())
        return Known(
            supplies=goods.supplies,
            plan=lambda run: self._planned(run)[0],
            usual=lambda job: self._past(job).usual(),
            grow=self._grow,
            doing=lambda run: self._planned(run)[1],
            ceilings=self._ceilings,
            catalog_age_seconds=goods.catalog_age_seconds,
        )

    def note(self, facts: Iterable[AnyFact]) -> None:
        """News from whoever records them, a tick before `known` would find them in the snapshot. Raises: StoreError."""
        for fact in facts:
            if isinstance(fact, RunEnded):
                self._heard(fact.job, fact.run_id)
            elif isinstance(fact, JobRenamed):
                self._pasts.clear()

    def _look(self, snapshot: Snapshot) -> None:
        """Runs that ended since the last look."""
        if snapshot.names is not self._names:
            if dict(snapshot.names) != dict(self._names):
                self._pasts.clear()
            self._names = snapshot.names
        if snapshot.ended is self._seen:
            return
        newest = None
        for run_id in reversed(list(snapshot.ended)):
            if run_id == self._newest:
                break
            newest = newest or run_id
            self._heard(snapshot.ended[run_id].job, run_id)
        self._seen, self._newest = snapshot.ended, newest or self._newest

    def _heard(self, job: str, run_id: str) -> None:
        past = self._pasts.get(job)  # a job that was never asked for is read when it is
        if past is None or run_id in past.run_ids:
            return
        state = self._store.run(run_id)
        if state is not None:
            past.add(run_id, state.rows())

    def _past(self, job: str) -> _Past:
        past, now_seconds = self._pasts.get(job), self._now_seconds()
        if past is None or now_seconds - past.read_at_seconds > READ_AGAIN_SECONDS:
            rows = self._store.rows(job, newest=NEWEST_ATTEMPTS)
            if past is None or not past.is_known(rows):
                past = self._pasts[job] = _Past(rows)
            past.read_at_seconds = now_seconds
        return past

    def _planned(self, run: RunSpec) -> tuple[Plan, Doing]:
        past = self._past(run.job)
        past.renew()
        key = past.key(run.features)
        found = past.plans.get(key)
        if found is None:
            if len(past.plans) >= PLANS_KEPT:
                past.plans.clear()
            found = past.plans[key] = self._plan(run, past)
        return found

    def _plan(self, run: RunSpec, past: _Past) -> tuple[Plan, Doing]:
        HistoryPlanner.load_numpy()
        from flyball.policy.forecast import forecast
        from flyball.policy.sizing import size_next
        from flyball.policy.speed import learn_speeds, work_of_job

        evidence = past.evidence()
        expected = forecast(evidence, run.features)
        decision = size_next(evidence, run.features, appetite=self._appetite(), floor=FLOOR, ceiling=CEILING)
        if past.speeds is None:
            past.speeds = learn_speeds(past.rows).corrections
        plan = Plan(
            job=run.job,
            size=decision.size,
            forecast=expected,
            reasons=decision.reasons,
            hit_limit_probability=decision.hit_limit_probability,
        )
        return plan, Doing(work=work_of_job(expected, past.rows), speeds=past.speeds)

    def _grow(self, run: LiveRun, limit_bytes: int, failed: int) -> Grown | None:
        HistoryPlanner.load_numpy()
        from flyball.policy.sizing import size_after_out_of_memory

        decision = size_after_out_of_memory(
            self._past(run.run.job).evidence(),
            run.run.features,
            failed_limit_bytes=limit_bytes,
            failed_attempts=failed,
            appetite=self._appetite(),
            floor=FLOOR,
            ceiling=CEILING,
        )
        if decision is None:
            return None
        return Grown(memory_limit_bytes=decision.size.memory_bytes, reason=decision.reasons[0])

    def _appetite(self) -> Appetite:
        from flyball.policy.sizing import Appetite

        return Appetite(hit_limit_share_max=self._preferences.hit_limit_share_max)


class _Past:
    """One job's attempts, oldest first, and what was made of them."""

    def __init__(self, rows: Sequence[AttemptRow]) -> None:
        self.rows = list(rows)
        self.run_ids = {row.run_id for row in rows}
        self.read_at_seconds = 0.0
        self.plans: dict[object, tuple[Plan, Doing]] = {}
        self.speeds: Mapping[str, float] | None = None
        self._evidence: Evidence | None = None
        self._usual: Usual | None = None
        self._planned_rows = len(self.rows)  # that plans were made from
        self._new = 0
        self._surprised = self._out_of_memory = False

    def is_known(self, rows: Sequence[AttemptRow]) -> bool:
        return all(row.run_id in self.run_ids for row in rows)

    def add(self, run_id: str, rows: Sequence[AttemptRow]) -> None:
        self.run_ids.add(run_id)
        for row in rows:
            self.rows.append(row)
            self._new += 1
            self._out_of_memory |= row.outcome is Outcome.OUT_OF_MEMORY
            self._surprised = self._surprised or self._surprises(row)
        self._usual = None
        if len(self.rows) > 2 * NEWEST_ATTEMPTS:
            del self.rows[:-NEWEST_ATTEMPTS]
            self.run_ids = {row.run_id for row in self.rows}

    def renew(self) -> None:
        """Forget the plans when what came since could change them."""
        share = self._new / max(1, self._planned_rows)
        if not self._new or not (
            self._out_of_memory or share >= NEW_SHARE_AT_MOST or (self._surprised and share >= NEW_SHARE)
        ):
            return
        self.rows.sort(key=lambda row: (row.started_at_seconds, row.attempt_id))
        self.plans.clear()
        self._evidence = self.speeds = None
        self._planned_rows, self._new = min(len(self.rows), NEWEST_ATTEMPTS), 0
        self._surprised = self._out_of_memory = False

    def _surprises(self, row: AttemptRow) -> bool:
        """Whether a run did what the plan for such runs did not expect."""
        features = Features(
            started_at_seconds=row.started_at_seconds,
            utc_offset_seconds=row.utc_offset_seconds,
            input_bytes=row.input_bytes,
            numbers=row.numbers,
        )
        found = self.plans.get(self.key(features))
        if found is None or row.outcome is not Outcome.SUCCEEDED:
            return row.outcome is not Outcome.SUCCEEDED
        told = found[0].forecast
        return any(
            value is not None and (expected is None or not expected.p50 / 2 <= value <= expected.p99)
            for value, expected in (
                (row.memory_bytes_max, told.memory_bytes),
                (row.wall_seconds, told.wall_seconds),
            )
        )

    def key(self, features: Features) -> object:
        """Runs with the same key get the same plan."""
        size = features.input_bytes
        step = size if not size else round(INPUT_STEPS * math.log2(size))
        slot = None
        if (
            self.rows
            and features.started_at_seconds - self.rows[0].started_at_seconds > CALENDAR_DAYS * DAY_SECONDS
        ):
            slot = (features.started_at_seconds + features.utc_offset_seconds) // CALENDAR_SLOT_SECONDS
        numbers = tuple(sorted(features.numbers.items())) if features.numbers else ()
        return step, slot, numbers

    def evidence(self) -> Evidence:
        if self._evidence is None:
            from flyball.policy.evidence import Evidence

            self._evidence = Evidence.from_rows(self.rows[-NEWEST_ATTEMPTS:])
        return self._evidence

    def usual(self) -> Usual:
        if self._usual is None:
            self._usual = usual_of(self.rows)
        return self._usual
