"""fold: (snapshot, facts) -> snapshot. Late or repeated facts change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.draft import Draft
from flyball.model.folding_attempts import ATTEMPT_FACTS, leave
from flyball.model.outcome import Outcome
from flyball.model.snapshot import (
    ENDED_KEPT,
    GROUPED_KEPT,
    SLOTS_KEPT,
    Alert,
    Ended,
    JobState,
    LiveRun,
    Snapshot,
    UpstreamEnd,
)

BATCHES_KEPT = 1000
ALERTS_KEPT = 2000


def fold(snapshot: Snapshot, facts: Iterable[f.AnyFact]) -> Snapshot:
    """Apply facts in the order recorded."""
    draft = Draft(snapshot)
    count = 0
    for fact in facts:
        count += 1
        apply = _APPLY.get(type(fact))
        if apply is not None:
            apply(draft, fact)
    if not count:
        return snapshot
    return draft.done(snapshot.position + count)


# jobs


def _job_applied(draft: Draft, fact: f.JobApplied) -> None:
    jobs = draft.writable("jobs")
    known: JobState | None = jobs.get(fact.spec.name)
    if known is None:
        jobs[fact.spec.name] = JobState(spec=fact.spec, applied_at_seconds=fact.at_seconds)
        return
    scheduled_anew = known.removed or known.spec.schedule != fact.spec.schedule
    jobs[fact.spec.name] = replace(
        known,
        spec=fact.spec,
        removed=False,
        applied_at_seconds=fact.at_seconds if scheduled_anew else known.applied_at_seconds,
        last_slot_seconds=None if scheduled_anew else known.last_slot_seconds,
    )


def _on_job(change: Callable[[JobState, Any], JobState]) -> Callable[[Draft, Any], None]:
    def apply(draft: Draft, fact: Any) -> None:
        state = draft.table("jobs").get(fact.job)
        if state is not None:
            draft.writable("jobs")[fact.job] = change(state, fact)

    return apply


def _slot_skipped(state: JobState, fact: f.SlotSkipped) -> JobState:
    return _with_slot(state, fact.slot_seconds)


def _with_slot(state: JobState, slot_seconds: float) -> JobState:
    newest = max(slot_seconds, state.last_slot_seconds or slot_seconds)
    slots = state.slots if slot_seconds in state.slots else (*state.slots, slot_seconds)[-SLOTS_KEPT:]
    return replace(state, last_slot_seconds=newest, slots=slots)


def _objects_arrived(state: JobState, fact: f.ObjectsArrived) -> JobState:
    known = fact.batch in state.batches or any(a.batch == fact.batch for a in state.arrived)
    return state if known else replace(state, arrived=(*state.arrived, fact))


def _job_renamed(draft: Draft, fact: f.JobRenamed) -> None:
    if fact.only_run_id is not None:
        return
    names = draft.writable("names")
    names.update({old: fact.new for old, now in names.items() if now == fact.old})
    names[fact.old] = fact.new
    names.pop(fact.new, None)


# runs


def _run_submitted(draft: Draft, fact: f.RunSubmitted) -> None:
    run_id = fact.run.run_id
    if fact.spec is None or draft.run(run_id) is not None or run_id in draft.table("ended"):
        return
    draft.writable("runs")[run_id] = LiveRun(submitted=fact, spec=fact.spec)
    state: JobState | None = draft.table("jobs").get(fact.spec.name)
    if state is None:
        return
    if fact.slot_seconds is not None:
        state = _with_slot(state, fact.slot_seconds)
    if fact.after_runs:
        fresh = {job: end for job, end in state.fresh.items() if end not in fact.after_runs}
        fills = {job: state.fresh_fills[job] for job in fresh if job in state.fresh_fills}
        grouped = tuple(end for end in state.grouped if end.run_id not in fact.after_runs)
        state = replace(
            state, fresh=MappingProxyType(fresh), fresh_fills=MappingProxyType(fills), grouped=grouped
        )
    if fact.batch is not None:
        given = fact.batch.split("+")  # several batches may go to one run
        state = replace(
            state,
            arrived=tuple(a for a in state.arrived if a.batch not in given),
            batches=(*state.batches, *given)[-BATCHES_KEPT:],
        )
    draft.writable("jobs")[fact.spec.name] = state


def _run_held(draft: Draft, fact: f.RunHeld) -> None:
    run = draft.run(fact.run_id)
    if run is None or run.live is not None:
        return
    since = run.held.at_seconds if run.held and run.held.kind == fact.kind else fact.at_seconds
    draft.writable("runs")[fact.run_id] = replace(run, held=replace(fact, at_seconds=since))


def _cancel_asked(draft: Draft, fact: f.CancelAsked) -> None:
    run = draft.run(fact.run_id)
    if run is not None and run.cancel_reason is None:
        reason = fact.reason or "cancelled"
        draft.writable("runs")[fact.run_id] = replace(run, cancel_reason=reason)


def _run_ended(draft: Draft, fact: f.RunEnded) -> None:
    run = draft.run(fact.run_id)
    if run is None:
        return
    if run.live is not None:  # cannot be while the governor is right; the machine is given back all the same
        leave(draft, run, run.live, Outcome.CANCELLED, at_seconds=fact.at_seconds, reason=fact.reason)
    draft.writable("runs").pop(fact.run_id)
    ended = draft.writable("ended")
    ended[fact.run_id] = Ended(
        result=fact.result, at_seconds=fact.at_seconds, job=fact.job, reason=fact.reason
    )
    while len(ended) > ENDED_KEPT:
        ended.pop(next(iter(ended)))
    jobs = draft.writable("jobs")
    state: JobState | None = jobs.get(fact.job)
    if state is not None:
        jobs[fact.job] = replace(state, last_result=fact.result, last_ended_at_seconds=fact.at_seconds)
    for name, other in jobs.items():
        after = other.spec.after
        if after is None or fact.job not in after.jobs or other.removed:
            continue
        if fact.result is f.RunResult.SUCCEEDED or after.even_failed:
            jobs[name] = _with_upstream_end(other, fact, run.submitted)


def _with_upstream_end(state: JobState, fact: f.RunEnded, submitted: f.RunSubmitted) -> JobState:
    group = submitted.group
    if group is None:
        return replace(
            state,
            fresh=MappingProxyType({**state.fresh, fact.job: fact.run_id}),
            fresh_fills=MappingProxyType({**state.fresh_fills, fact.job: submitted.fills}),
        )
    end = UpstreamEnd(
        job=fact.job,
        run_id=fact.run_id,
        group=group,
        fills=submitted.fills,
        backfill=submitted.backfill,
        backfill_at_once=submitted.backfill_at_once,
    )
    others = tuple(e for e in state.grouped if (e.job, e.group) != (fact.job, group))
    return replace(state, grouped=(*others, end)[-GROUPED_KEPT:])


# the world


def _zombie_found(draft: Draft, fact: f.ZombieFound) -> None:
    draft.writable("zombies").setdefault(fact.attempt_id, fact.at_seconds)


def _alert_raised(draft: Draft, fact: f.AlertRaised) -> None:
    alerts = draft.writable("alerts")
    alerts.setdefault(fact.key, Alert(raised=fact))
    while len(alerts) > ALERTS_KEPT:
        alerts.pop(next(iter(alerts)))


def _alert_sent(draft: Draft, fact: f.AlertSent) -> None:
    alert: Alert | None = draft.table("alerts").get(fact.key)
    if alert is not None and fact.channel not in alert.sent:
        draft.writable("alerts")[fact.key] = replace(alert, sent=(*alert.sent, fact.channel))


_APPLY: dict[type, Callable[[Draft, Any], None]] = {
    **ATTEMPT_FACTS,
    f.JobApplied: _job_applied,
    f.JobRemoved: _on_job(lambda state, _: replace(state, removed=True)),
    f.JobPaused: _on_job(lambda state, _: replace(state, paused=True)),
    f.JobResumed: _on_job(lambda state, _: replace(state, paused=False)),
    f.JobRenamed: _job_renamed,
    f.SlotSkipped: _on_job(_slot_skipped),
    f.ObjectsArrived: _on_job(_objects_arrived),
    f.RunSubmitted: _run_submitted,
    f.RunHeld: _run_held,
    f.CancelAsked: _cancel_asked,
    f.RunEnded: _run_ended,
    f.ZombieFound: _zombie_found,
    f.AlertRaised: _alert_raised,
    f.AlertSent: _alert_sent,
}
