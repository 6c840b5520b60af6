"""The loop around the loop: tick after tick, with the pauses, the kept snapshot and the troubles of a long-lived process."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from flyball.engine.governor import Governor, Ticked
from flyball.errors import StoreError
from flyball.model.snapshot import Snapshot
from flyball.ports.clock import Clock

BUSY_SECONDS = 0.03  # something happened: what follows it is gathered for one tick, and one wait for the disk
TROUBLE_SECONDS_MAX = 60.0


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often to look: `live_seconds` while attempts are alive here, `idle_seconds` otherwise."""

    live_seconds: float = 0.25
    idle_seconds: float = 2.0
    keep_every_seconds: float = 30.0  # a snapshot is kept so often, so that the next start is quick


class Troubles(msgspec.Struct, frozen=True, kw_only=True):
    """The store cannot be used now; nothing is done until it can."""

    error: StoreError
    retry_seconds: float


def govern(
    governor: Governor,
    *,
    clock: Clock,
    pace: Pace,
    keep: Callable[[Snapshot], None],
    go_on: Callable[[Snapshot], bool],
    tell: Callable[[Ticked | Troubles], None],
    pause: Callable[[float], object],
) -> None:
    """Ticks until `go_on` says no. A store that fails is waited for: what runs goes on, and nothing new is started.

    `pause` waits so many seconds at most; it may come back early when there is news.
    """
    failures, kept_at, kept_position = (
        0,
        -1.0,
        -1,
    )  # the first is kept at once: it may have taken long to fold
    while go_on(governor.snapshot):
        try:
            ticked = governor.tick()
        except StoreError as error:
            failures += 1
            wait = min(TROUBLE_SECONDS_MAX, 2.0 ** min(failures, 10))
            tell(Troubles(error=error, retry_seconds=wait))
            clock.sleep(wait)
            continue
        failures = 0
        tell(ticked)
        snapshot, now_seconds = governor.snapshot, clock.now_seconds()
        if now_seconds - kept_at >= pace.keep_every_seconds and snapshot.position != kept_position:
            keep(snapshot)
            kept_at, kept_position = now_seconds, snapshot.position
        if not go_on(snapshot):
            break
        if ticked.facts or ticked.conflict:
            clock.sleep(BUSY_SECONDS)
        else:
            pause(_pause(snapshot, pace))
    keep(governor.snapshot)


def _pause(snapshot: Snapshot, pace: Pace) -> float:
    live = any(run.live for run in snapshot.runs.values()) or bool(snapshot.unreleased)
    return min(pace.live_seconds, pace.idle_seconds) if live else pace.idle_seconds
