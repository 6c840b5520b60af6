"""Which live attempts are to be ended: cancelled, replaced, too long, past their notice; and which end by being given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flyball.model.facts import AttemptEnded, AttemptStopping
from flyball.model.outcome import Outcome
from flyball.model.snapshot import LiveAttempt, LiveRun, Snapshot
from flyball.model.spec import JobSpec
from flyball.model.units import show_seconds
from flyball.policy.observing import receipt_without_wrapper

if TYPE_CHECKING:
    from flyball.policy.known import Known, Usual

RUNS_FOR_A_LIMIT = 5  # fewer say little about how long is too long
LEARNT_LIMIT_SECONDS_MIN = (
    60.0  # three times a tenth of a second is not a limit but an accident on a busy machine
)
# The wrapper keeps the limit itself. It is overruled when it has had its grace, and a minute for starting and uploading.
BACKSTOP_SECONDS = 60.0
GONE_AFTER_NOTICE_SECONDS = (
    120.0  # still listed so long after it was to be taken away: what runs there is not to be had
)
GIVEN_UP_SECONDS = (
    300.0  # asked to stop and still there: its wrapper does not answer, and the machine is given back
)
DEFAULT_GRACE_SECONDS = 10.0


def run_limit_seconds(spec: JobSpec, usual: Usual) -> float | None:
    """How long an attempt may run: the fixed limit, or so many times the job's usual p95, whichever is less."""
    patience = spec.patience
    fixed, p95 = patience.run_seconds, usual.wall_seconds_p95
    if patience.run_times_usual is None or p95 is None or usual.runs < RUNS_FOR_A_LIMIT:
        return fixed
    learnt = max(LEARNT_LIMIT_SECONDS_MIN, patience.run_times_usual * p95)
    return learnt if fixed is None else min(fixed, learnt)


def to_stop(
    snapshot: Snapshot, known: Known, now_seconds: float
) -> tuple[AttemptStopping | AttemptEnded, ...]:
    """Each with how it will count."""
    return tuple(_to_stop(snapshot, known, now_seconds))


def _to_stop(
    snapshot: Snapshot, known: Known, now_seconds: float
) -> Iterator[AttemptStopping | AttemptEnded]:
    for run in snapshot.runs.values():
        live = run.live
        if live is None:
            continue
        if live.stopping is not None:
            if now_seconds - live.stopping.at_seconds > _grace(live) + GIVEN_UP_SECONDS:
                yield _given_up(run, live, live.stopping, now_seconds)
            continue
        why = _why_stop(run, live, known, now_seconds)
        if why is not None:
            outcome, reason = why
            yield AttemptStopping(
                at_seconds=now_seconds,
                run_id=run.run_id,
                attempt_id=live.attempt_id,
                outcome=outcome,
                reason=reason,
            )


def _why_stop(
    run: LiveRun, live: LiveAttempt, known: Known, now_seconds: float
) -> tuple[Outcome, str] | None:
    if run.cancel_reason is not None:
        return Outcome.CANCELLED, run.cancel_reason
    notice = live.notice_ends_at_seconds
    if notice is not None and now_seconds - notice > GONE_AFTER_NOTICE_SECONDS + _lag(live, known):
        return Outcome.INTERRUPTED, "its provider was to take the machine away, and still lists it"
    started = live.started_at_seconds
    if started is None:
        return None
    limit = live.planned.limits.timeout_seconds or run.spec.patience.run_seconds
    if limit is not None and now_seconds - started > limit + _grace(live) + BACKSTOP_SECONDS:
        words = f"longer than {show_seconds(limit)}, and its wrapper did not end it"
        return Outcome.TIMED_OUT, words
    return None


def _grace(live: LiveAttempt) -> float:
    grace = live.planned.limits.grace_seconds
    return DEFAULT_GRACE_SECONDS if grace is None else grace


def _lag(live: LiveAttempt, known: Known) -> float:
    supply = known.supplies.get(live.planned.provider)
    return 0.0 if supply is None else supply.capabilities.listing_lag_seconds


def _given_up(run: LiveRun, live: LiveAttempt, stopping: AttemptStopping, now_seconds: float) -> AttemptEnded:
    """Its machine is given back, which ends whatever runs there."""
    words = f"{stopping.reason}; it did not stop when it was asked to"
    return AttemptEnded(
        at_seconds=now_seconds,
        run_id=run.run_id,
        attempt_id=live.attempt_id,
        receipt=receipt_without_wrapper(live, stopping.outcome, words, now_seconds),
    )
