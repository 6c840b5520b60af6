"""Which runs are due because other jobs have ended or objects have arrived."""

from __future__ import annotations

from flyball.model.facts import AnyFact
from flyball.model.snapshot import Snapshot


def triggered_runs(snapshot: Snapshot, now_seconds: float) -> tuple[AnyFact, ...]:
    """RunSubmitted for jobs whose conditions are met."""
    return ()
