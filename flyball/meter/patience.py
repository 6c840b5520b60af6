"""When a command has had enough time: its time-out, its silence, and the grace between asking and killing."""

from __future__ import annotations

from flyball.meter.order import Order

STILL = 1e-3  # less CPU than that between two looks is no work: timers, our own reading
KILL_AGAIN_SECONDS = 1.0  # should anything have got away
LOOK_UP_SECONDS = 1.0
TERMINATE, KILL = "terminate", "kill"


class Patience:
    """Says what is due. Times are monotonic seconds; nothing is done here."""

    def __init__(self, order: Order, started_at: float) -> None:
        self._order, self._started_at = order, started_at
        self._active: tuple[float, ...] = ()
        self._active_at = started_at
        self._kill_at: float | None = None
        self._asked: str | None = None
        self._grace_seconds = order.grace_seconds
        self.stopped_for: str | None = None  # "timeout", "stall", or the reason it was asked to end for

    @property
    def stop_seconds(self) -> float | None:
        """The limit that was reached."""
        limits = {"timeout": self._order.timeout_seconds, "stall": self._order.stalled_after_seconds}
        return limits.get(self.stopped_for or "")

    def note_activity(self, now: float, active: tuple[float, ...], last_output_at: float) -> None:
        """`active`: figures that grow while the command does anything."""
        grown = zip(active, self._active or active)  # noqa: B905 - strict= came with 3.10
        if not self._active or any(new > old + STILL for new, old in grown):
            self._active, self._active_at = active, now
        self._active_at = max(self._active_at, last_output_at)

    def ask(self, now: float, reason: str, grace_seconds: float) -> None:
        """Somebody outside wants it ended; asked again, the shorter grace counts."""
        if self._kill_at is None:
            self._asked, self._grace_seconds = reason, grace_seconds
        else:
            self._kill_at = min(self._kill_at, now + grace_seconds)

    def forgive(self, now: float) -> None:
        """Time in which we ourselves were stopped is nobody's silence."""
        self._active_at = now

    def next_at(self, now: float) -> float:
        """When to ask again."""
        if self._kill_at is not None:
            return max(self._kill_at, now)
        times = [now + LOOK_UP_SECONDS]
        if self._order.timeout_seconds is not None:
            times.append(self._started_at + self._order.timeout_seconds)
        if self._order.stalled_after_seconds is not None:
            times.append(self._active_at + self._order.stalled_after_seconds)
        return min(times)

    def due(self, now: float) -> str | None:
        """TERMINATE once, KILL after the grace period and again each second, else None."""
        if self._kill_at is not None:
            if now < self._kill_at:
                return None
            self._kill_at = now + KILL_AGAIN_SECONDS
            return KILL
        self.stopped_for = self._asked or self._reason(now)
        if self.stopped_for is None:
            return None
        self._kill_at = now + self._grace_seconds
        return TERMINATE

    def _reason(self, now: float) -> str | None:
        timeout, stall = self._order.timeout_seconds, self._order.stalled_after_seconds
        if timeout is not None and now >= self._started_at + timeout:
            return "timeout"
        if stall is not None and now >= self._active_at + stall:
            return "stall"
        return None
