"""What somebody should be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.model.facts import AlertRaised
from flyball.model.snapshot import Snapshot

if TYPE_CHECKING:
    from flyball.policy.known import Known


def alerts(snapshot: Snapshot, known: Known, now_seconds: float) -> tuple[AlertRaised, ...]:
    """Only what has not been raised under the same key."""
    return ()
