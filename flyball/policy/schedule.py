"""Which runs are due by the clock."""

from __future__ import annotations

from flyball.model.facts import AnyFact
from flyball.model.snapshot import Snapshot


def due_runs(snapshot: Snapshot, now_seconds: float) -> tuple[AnyFact, ...]:
    """RunSubmitted and SlotSkipped for every slot since the last one known."""
    return ()
