"""What time it is, and waiting."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    def now_seconds(self) -> float:
        """Seconds since the epoch, UTC. It may jump, as machines' clocks do."""
        ...

    def sleep(self, seconds: float) -> None:
        """Gives up the processor for about so long; may come back early."""
        ...


class FakeClock:
    """Time that passes only when it is told to."""

    def __init__(self, start_seconds: float = 1_780_000_000.0) -> None:
        self._now_seconds = start_seconds

    def now_seconds(self) -> float:
        return self._now_seconds

    def sleep(self, seconds: float) -> None:
        self._now_seconds += seconds
