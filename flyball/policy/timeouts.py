"""Which live attempts are to be ended: cancelled, too long, or better off elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.model.facts import AttemptStopping
from flyball.model.outcome import Outcome
from flyball.model.snapshot import Snapshot

if TYPE_CHECKING:
    from flyball.policy.known import Known


def to_stop(snapshot: Snapshot, known: Known, now_seconds: float) -> tuple[AttemptStopping, ...]:
    """Each with how it will count."""
    return tuple(
        AttemptStopping(
            at_seconds=now_seconds,
            run_id=run.run_id,
            attempt_id=run.live.attempt_id,
            outcome=Outcome.CANCELLED,
            reason=run.cancel_reason,
        )
        for run in snapshot.runs.values()
        if run.live is not None and run.live.stopping is None and run.cancel_reason is not None
    )
