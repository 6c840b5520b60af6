"""What is to be done now so that what runs agrees with what is recorded."""

from __future__ import annotations

import msgspec

from flyball.model.facts import AttemptPlanned, HostPlanned
from flyball.model.machine import Machine
from flyball.model.snapshot import Host, LiveRun, Unreleased


class StartAttempt(msgspec.Struct, frozen=True, kw_only=True):
    planned: AttemptPlanned
    run: LiveRun


class StartHost(msgspec.Struct, frozen=True, kw_only=True):
    planned: HostPlanned


class StopAttempts(msgspec.Struct, frozen=True, kw_only=True):
    provider: str
    attempt_ids: tuple[str, ...]


class GiveBack(msgspec.Struct, frozen=True, kw_only=True):
    """Release a machine; what it was for tells its charge."""

    provider: str
    attempt_id: str
    left: Unreleased | None = None  # an ended attempt
    host: Host | None = None  # it is one; or, with `left`, that attempt was on it
    leaving_together: int = 1  # attempts that leave that host now
    zombie_since_seconds: float | None = None
    machine: Machine | None = None  # as it is listed, if it is


Command = StartAttempt | StartHost | StopAttempts | GiveBack
