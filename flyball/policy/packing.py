"""Warm machines for small jobs: when starting a machine costs more than the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.model.facts import AnyFact, HostEnding
from flyball.model.snapshot import Snapshot

if TYPE_CHECKING:
    from flyball.policy.failover_choice import Picked
    from flyball.policy.failover_errand import Errand, Stall
    from flyball.policy.holds import Room
    from flyball.policy.known import Known


def onto_host(errand: Errand, stall: Stall, room: Room, picked: Picked | None) -> tuple[AnyFact, ...] | None:
    return None


def hosts_to_end(snapshot: Snapshot, known: Known, now_seconds: float) -> tuple[HostEnding, ...]:
    """Warm machines that are not worth keeping."""
    return ()
