"""Which runs are due by the clock."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence

from flyball.errors import InputError
from flyball.model.facts import AnyFact, CancelAsked, SlotSkipped
from flyball.model.snapshot import JobState, LiveRun, Snapshot
from flyball.model.spec import CatchUp, Overlap, Schedule
from flyball.policy.cron import newest_until, next_after
from flyball.policy.schedule_run import scheduled_run_id, show_slot, submission, time_fills

ON_TIME_SECONDS = 120.0  # a slot that is taken this late is not one that was missed
SLOTS_PER_TICK_MAX = 100  # of one job
SLOTS_BACK_MAX = 1000  # of one job, with catch_up = "all"; older ones are skipped in one go
FACTS_PER_TICK_MAX = 5000  # what is left is still due in the next tick
CLOCK_OFF_SECONDS = 86_400.0  # a slot known from further ahead than this is from a clock that was wrong


def due_runs(snapshot: Snapshot, now_seconds: float) -> tuple[AnyFact, ...]:
    """RunSubmitted and SlotSkipped for every slot since the last one known."""
    facts: list[AnyFact] = []
    live: dict[str, list[LiveRun]] | None = None
    for state in snapshot.jobs.values():
        schedule = state.spec.schedule
        if schedule is None or state.paused or state.removed:
            continue
        since = _since(state, now_seconds)
        if next_slot(schedule.cron, schedule.every_seconds, schedule.timezone, since) > now_seconds:
            continue
        if live is None:
            live = live_by_job(snapshot)
        facts += _of_job(state, since, live.get(state.spec.name, []), snapshot, now_seconds)
        if len(facts) >= FACTS_PER_TICK_MAX:
            break
    return tuple(facts)


def live_by_job(snapshot: Snapshot) -> dict[str, list[LiveRun]]:
    """Runs that have not ended; those of backfills do not keep others from starting."""
    found: dict[str, list[LiveRun]] = {}
    for run in snapshot.runs.values():
        if run.submitted.backfill is None:
            found.setdefault(run.spec.name, []).append(run)
    return found


def next_due_seconds(state: JobState, now_seconds: float) -> float | None:
    """When the schedule starts it next; None: it has none, or is paused or removed."""
    schedule = state.spec.schedule
    if schedule is None or state.paused or state.removed:
        return None
    since = max(_since(state, now_seconds), now_seconds) if schedule.cron else _since(state, now_seconds)
    at_seconds = next_slot(schedule.cron, schedule.every_seconds, schedule.timezone, since)
    return None if math.isinf(at_seconds) else max(at_seconds, now_seconds)


@functools.lru_cache(maxsize=50_000)
def next_slot(cron: str | None, every_seconds: float | None, timezone: str, since_seconds: float) -> float:
    """The first slot after that one; infinite for a schedule that this machine cannot read (a zone it lacks)."""
    if every_seconds is not None:
        return since_seconds + every_seconds
    try:
        return next_after(cron or "", timezone, since_seconds)
    except InputError:
        return math.inf


def _since(state: JobState, now_seconds: float) -> float:
    """Slots up to here are dealt with. A clock that was far ahead for a while must not silence the job until then."""
    last = state.applied_at_seconds if state.last_slot_seconds is None else state.last_slot_seconds
    if last <= now_seconds + CLOCK_OFF_SECONDS:
        return last
    past = [at for at in (*state.slots, state.applied_at_seconds) if at <= now_seconds]
    return max(past, default=now_seconds - ON_TIME_SECONDS)


def _of_job(
    state: JobState, since: float, live: Sequence[LiveRun], snapshot: Snapshot, now_seconds: float
) -> Iterator[AnyFact]:
    spec, schedule = state.spec, state.spec.schedule
    if schedule is None:
        return
    everything = schedule.catch_up is CatchUp.ALL
    slots = _newest_slots(schedule, since, now_seconds, limit=SLOTS_BACK_MAX + 1 if everything else 2)
    if len(slots) > (SLOTS_BACK_MAX if everything else 1):
        missed = slots.pop(0)
        reason = f"missed, like every one since {show_slot(spec, since)}; a later one is due"
        yield SlotSkipped(at_seconds=now_seconds, job=spec.name, slot_seconds=missed, reason=reason)
    if schedule.catch_up is CatchUp.SKIP and slots and now_seconds - slots[-1] > ON_TIME_SECONDS:
        reason = 'missed by more than two minutes, and catch_up is "skip"'
        yield SlotSkipped(at_seconds=now_seconds, job=spec.name, slot_seconds=slots[-1], reason=reason)
        return
    running = next((run.run_id for run in live), None)
    slots = slots[:SLOTS_PER_TICK_MAX]
    for slot in slots:
        run_id = scheduled_run_id(spec.name, slot)
        if slot in state.slots or run_id in snapshot.runs or run_id in snapshot.ended:
            continue
        if spec.overlap is Overlap.SKIP and running is not None:
            reason = f"run {running} has not ended"
            yield SlotSkipped(at_seconds=now_seconds, job=spec.name, slot_seconds=slot, reason=reason)
            continue
        if spec.overlap is Overlap.REPLACE:
            if slot != slots[-1]:
                reason = "a later one is due"
                yield SlotSkipped(at_seconds=now_seconds, job=spec.name, slot_seconds=slot, reason=reason)
                continue
            yield from cancelled(live, f"replaced by run {run_id}", now_seconds)
        yield submission(
            spec,
            run_id=run_id,
            cause=f"schedule {show_slot(spec, slot)}",
            now_seconds=now_seconds,
            due_seconds=slot,
            fills=time_fills(spec, slot),
            slot_seconds=slot,
        )
        running = run_id


def cancelled(live: Sequence[LiveRun], reason: str, now_seconds: float) -> Iterator[CancelAsked]:
    for run in live:
        if run.cancel_reason is None:
            yield CancelAsked(at_seconds=now_seconds, run_id=run.run_id, reason=reason)


def _newest_slots(schedule: Schedule, since: float, now_seconds: float, *, limit: int) -> list[float]:
    """The last slots in (since, now], at most `limit`, oldest first."""
    every = schedule.every_seconds
    if every is not None:
        count = int((now_seconds - since) // every)
        return [since + n * every for n in range(max(1, count - limit + 1), count + 1)]
    found: list[float] = []
    until = now_seconds
    while len(found) < limit:
        slot = newest_until(schedule.cron or "", schedule.timezone, until, since)
        if slot is None:
            break
        found.append(slot)
        until = slot - 1.0
    return found[::-1]


class Turns:
    """Runs of one job that go one at a time (overlap "queue" and "replace"), in the order in which they were due."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._before: dict[str, str] = {}
        for runs in live_by_job(snapshot).values():
            if len(runs) < 2:
                continue
            in_order = sorted(runs, key=_order)
            for before, run in itertools.pairwise(in_order):
                if run.spec.overlap in {Overlap.QUEUE, Overlap.REPLACE}:
                    self._before[run.run_id] = before.run_id

    def waits_for(self, run: LiveRun) -> str | None:
        """Why it is not its turn; None: it is. The words name the run just before it, so they stay the same."""
        before = self._before.get(run.run_id)
        return None if before is None else f"run {before} of {run.spec.name} comes first"


def waits_for_turn(run: LiveRun, snapshot: Snapshot) -> str | None:
    """For one run; whoever asks for many keeps a Turns."""
    return Turns(snapshot).waits_for(run)


def _order(run: LiveRun) -> tuple[bool, float, float, str]:
    due = run.submitted.due_seconds
    submitted = run.submitted.at_seconds
    return run.live is None, submitted if due is None else due, submitted, run.run_id
