"""What state a run is in, and why."""

from __future__ import annotations

from flyball.model.facts import (
    AttemptPlanned,
    LaunchRefused,
    MachineReleased,
    RunEnded,
)
from flyball.model.history import RunState
from flyball.model.snapshot import LiveRun
from flyball.model.status import RunStatus


def status_of_live(run: LiveRun) -> RunStatus:
    """Of a run that has not ended."""
    live, last = run.live, run.tried[-1] if run.tried else None
    state, since, reason = "pending", run.submitted.at_seconds, "not placed yet"
    if live is not None and live.started_at_seconds is not None:
        state, since, reason = "running", live.started_at_seconds, live.planned.reason
    elif live is not None:
        state, since, reason = "provisioning", live.planned.at_seconds, live.planned.reason
    elif run.held is not None:
        state, since, reason = "held", run.held.at_seconds, run.held.reason
    elif last is not None:
        since, reason = last.ended_at_seconds, f"after: {last.reason or last.outcome.value}"
    if live is not None and live.stopping is not None:
        reason = f"being ended: {live.stopping.reason}"
    offer = live.planned.offer if live else None
    return RunStatus(
        run_id=run.run_id,
        job=run.job,
        state=state,
        since_seconds=since,
        reason=reason,
        cause=run.submitted.cause,
        submitted_seconds=run.submitted.at_seconds,
        deadline_seconds=run.deadline_seconds,
        attempt_id=live.attempt_id if live else last.attempt_id if last else None,
        attempts=sum(t.launched_at_seconds is not None for t in run.tried)
        + bool(live and live.launched_at_seconds),
        provider=live.planned.provider if live else last.provider if last else None,
        instance_type=offer.instance_type if offer else None,
        market=offer.market.value if offer else None,
        progress=live.progress if live else None,
        cost_usd=run.spent_nano_usd / 1e9,
    )


def status_of_ended(state: RunState) -> RunStatus | None:
    """Of a run that the governor has ended; None for one that it has not, or never had."""
    ended = next((fact for fact in state.story if isinstance(fact, RunEnded)), None)
    if ended is None:
        return None
    planned = [fact for fact in state.story if isinstance(fact, AttemptPlanned)]
    refused = {fact.attempt_id for fact in state.story if isinstance(fact, LaunchRefused)}
    taken = [fact for fact in planned if fact.attempt_id not in refused]
    last = taken[-1] if taken else None
    charges = [fact.charge.usd for fact in state.story if isinstance(fact, MachineReleased)]
    submitted = state.submitted
    return RunStatus(
        run_id=state.run.run_id,
        job=state.job,
        state=ended.result.value,
        since_seconds=ended.at_seconds,
        reason=ended.reason,
        cause=submitted.cause,
        submitted_seconds=submitted.at_seconds,
        deadline_seconds=submitted.deadline_seconds,
        attempt_id=last.attempt_id if last else None,
        attempts=len(taken),
        provider=last.provider if last else None,
        instance_type=last.offer.instance_type if last else None,
        market=last.offer.market.value if last else None,
        cost_usd=float(sum(charges)),
    )
