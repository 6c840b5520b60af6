"""Warm machines for small jobs: when starting a machine costs more than the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.model.facts import HostEnding
from flyball.model.snapshot import Snapshot

if TYPE_CHECKING:
    from flyball.policy.known import Known


def hosts_to_end(snapshot: Snapshot, known: Known, now_seconds: float) -> tuple[HostEnding, ...]:
    """Warm machines that are not worth keeping."""
    return ()
