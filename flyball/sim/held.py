"""One machine of the simulated cloud: when it changes, and what a listing shows of it at any time."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

from flyball.model.machine import Launch, Machine, Stage
from flyball.model.outcome import Outcome
from flyball.sim.course import Course, receipt_of
from flyball.sim.weather import NEVER

if TYPE_CHECKING:
    from flyball.model.receipt import Receipt


class Held:
    """Times are seconds since the epoch, NEVER for what does not happen. `course` is None for a warm machine."""

    __slots__ = (
        "_seen", "_seen_from", "_seen_until", "counted", "course", "guests", "host", "launched_at", "lease_ends_at",
        "loses_receipt", "notice_at", "notice_doubled", "order", "price_usd_per_hour", "ready_at", "released_at", "stopped_at", "taken_at",
        "vanished_at",
    )  # fmt: skip

    def __init__(
        self,
        *,
        order: Launch,
        launched_at: float,
        ready_at: float,
        lease_ends_at: float,
        taken_at: float = NEVER,
        notice_at: float = NEVER,
        notice_doubled: bool = False,
        vanished_at: float = NEVER,
        loses_receipt: bool = False,
        price_usd_per_hour: str | None = None,
        host: Held | None = None,
    ) -> None:
        self.order, self.launched_at, self.ready_at = order, launched_at, ready_at
        self.lease_ends_at, self.taken_at, self.notice_at = lease_ends_at, taken_at, notice_at
        self.notice_doubled, self.vanished_at, self.loses_receipt = notice_doubled, vanished_at, loses_receipt
        self.price_usd_per_hour = price_usd_per_hour
        self.host, self.guests = host, list[Held]()
        self.course: Course | None = None
        self.stopped_at = self.released_at = NEVER
        self.counted = False
        self._seen: Machine | None = None
        self._seen_from, self._seen_until = NEVER, NEVER

    @property
    def gone_at(self) -> float:
        """From when on it costs nothing, as far as is known now."""
        gone = min(self.released_at, self.taken_at, self.vanished_at, self.lease_ends_at)
        return gone if self.host is None else min(gone, self.host.gone_at)

    @property
    def started_at(self) -> float:
        return self.ready_at if self.course is None else self.course.started_at_seconds

    @property
    def command_ended_at(self) -> float:
        """Of the command, or of the machine under it."""
        own = NEVER if self.course is None else self.course.ended_at_seconds
        return min(own, self.stopped_at, self.gone_at)

    def stop(self, now: float) -> None:
        """SIGTERM; what hangs needs SIGKILL after its grace."""
        if self.command_ended_at <= now:
            return
        hangs = self.course is not None and self.course.hangs and now >= self.started_at
        grace = (self.order.limits.grace_seconds or 0.0) if hangs else 0.0
        self.stopped_at = min(self.stopped_at, now + grace)
        self._seen_until = -NEVER

    def release(self, now: float) -> None:
        self.released_at = now
        self._seen_until = -NEVER
        for guest in self.guests:
            guest._seen_until = -NEVER  # noqa: SLF001 - of this class

    def memory_left(self, now: float) -> int:
        self.guests = [guest for guest in self.guests if guest.command_ended_at > now]
        return self.order.size.memory_bytes - sum(guest.order.size.memory_bytes for guest in self.guests)

    def changes(self) -> Iterator[float]:
        times = (self.started_at, self.command_ended_at, self.notice_at, self.taken_at, self.vanished_at)
        yield from (at for at in times if at != NEVER)

    def seen(self, as_of: float, rng: Random | None) -> Machine | None:
        """As a listing shows it; None: not there (yet, or any more)."""
        if self._seen_from <= as_of < self._seen_until:
            return self._seen
        gone_without_trace = min(self.released_at, self.vanished_at)
        if self.host is not None:
            gone_without_trace = min(gone_without_trace, self.host.released_at)
        if as_of < self.launched_at or as_of >= gone_without_trace:
            self._seen, self._seen_from, self._seen_until = None, as_of, as_of
            return None
        self._seen = self._shown(as_of, rng)
        ahead = (self.started_at, self.command_ended_at, self.notice_at, self.gone_at, gone_without_trace)
        until = min(at for at in (*ahead, NEVER) if at > as_of)
        if self._seen.progress is not None and self._seen.stage is Stage.RUNNING:
            assert self.course is not None
            until = min(until, as_of + (self.course.truth.progress_every_seconds or NEVER))
        if self.notice_doubled and rng is not None and as_of >= self.notice_at:
            until = as_of
        self._seen_from, self._seen_until = as_of, until
        return self._seen

    def _shown(self, as_of: float, rng: Random | None) -> Machine:
        order, ended_at, gone_at = self.order, self.command_ended_at, self.gone_at
        started = self.started_at <= min(as_of, ended_at) and self.started_at != NEVER
        ended = as_of >= ended_at
        notice = self.taken_at if self.notice_at <= as_of else None
        if notice is not None and self.notice_doubled and rng is not None:
            notice = rng.choice((None, notice, notice + 30.0, notice + 5.0))
        outcome, receipt = self._end(ended_at, started=started) if ended else (None, None)
        return Machine(
            attempt_id=order.attempt_id,
            stage=Stage.ENDED if ended else Stage.RUNNING if started else Stage.STARTING,
            offer_id=order.offer.offer_id,
            is_host=order.is_host,
            host_id=order.host_id,
            run_id=order.run_id,
            job=order.job,
            price_usd_per_hour=self.price_usd_per_hour,
            launched_at_seconds=self.launched_at,
            started_at_seconds=self.started_at if started else None,
            ended_at_seconds=ended_at if ended else None,
            gone_at_seconds=gone_at if gone_at <= as_of else None,
            outcome=outcome,
            receipt=receipt,
            notice_ends_at_seconds=notice,
            progress=self._progress(min(as_of, ended_at)) if started else None,
        )

    def _progress(self, as_of: float) -> float | None:
        """As last reported."""
        course = self.course
        every = course.truth.progress_every_seconds if course is not None else None
        if course is None or every is None:
            return None
        reported = course.started_at_seconds + int((as_of - course.started_at_seconds) / every) * every
        return course.share_at(reported)

    def _end(self, ended_at: float, *, started: bool) -> tuple[Outcome, Receipt | None]:
        course = self.course
        outcome, cause = self._how(ended_at)
        if course is None or not started or self.loses_receipt:
            return outcome, None
        if outcome is Outcome.INTERRUPTED and self.notice_at == NEVER:
            return outcome, None  # nobody was left to write it
        return outcome, receipt_of(course, self.order, outcome, cause, ended_at)

    def _how(self, ended_at: float) -> tuple[Outcome, str]:
        course = self.course
        if course is not None and course.ended_at_seconds <= ended_at:
            return course.outcome, course.cause
        if self.stopped_at <= ended_at:
            return Outcome.CANCELLED, "stopped"
        if self.taken_at <= ended_at:
            return Outcome.INTERRUPTED, "taken away by its provider"
        return Outcome.LOST, "its governor was not heard of"


def view(held: Held, as_of: float, rng: Random | None) -> Machine | None:
    return held.seen(as_of, rng)


class Past:
    """What attempts leave behind for the next of their run: checkpoints, and how often it was tried."""

    def __init__(self) -> None:
        self.last: dict[str, Held] = {}
        self._starts: dict[str, int] = {}
        self._shares: dict[str, float] = {}

    def start(self, run_id: str, now: float) -> int:
        """How often its command was started before this launch."""
        before = self.last.get(run_id)
        if before is not None:
            self._note(before, now)
            if before.ready_at <= min(now, before.command_ended_at) and before.ready_at != NEVER:
                self._starts[run_id] = self._starts.get(run_id, 0) + 1
        return self._starts.get(run_id, 0)

    def share(self, run_id: str) -> float:
        return self._shares.get(run_id, 0.0)

    def leave(self, held: Held) -> None:
        self._note(held, held.released_at)

    def _note(self, held: Held, now: float) -> None:
        if held.course is not None:
            kept = held.course.kept_at(min(now, held.command_ended_at))
            run_id = held.order.run_id
            self._shares[run_id] = max(self._shares.get(run_id, 0.0), kept)
