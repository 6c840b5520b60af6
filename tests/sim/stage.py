"""Between a governor and its ports: crashes before and after every call, the other governor in between, slow calls."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from flyball.model.facts import AttemptPlanned
from flyball.ports.clock import FakeClock

PORT_CALLS = {"append", "read", "launch", "machines", "stop", "release", "renew", "get"}


class Crash(BaseException):
    """The governor's process is gone; nothing may catch it."""


class Port:
    """A store, provider or paper folder as one governor sees it; `around` is called before and after each call."""

    def __init__(self, inner: object, around: Callable[[str, str], None]) -> None:
        self._inner, self._around = inner, around

    def __getattr__(self, name: str):
        inner = getattr(self._inner, name)
        if name not in PORT_CALLS:
            return inner

        def call(*args, **kwargs):
            self._around("before", name)
            answer = inner(*args, **kwargs)
            self._around("after", name)
            return answer

        return call


class WatchedProvider:
    """Checks at every launch that it was recorded before; notes every launch that the provider took."""

    def __init__(self, inner, store, broken: list[str]) -> None:
        self._inner, self._store, self._broken = inner, store, broken
        self.calls = 0

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    def launch(self, order) -> None:
        self.calls += 1
        if not order.is_host and not self._is_recorded(order.attempt_id):
            self._broken.append(f"{order.attempt_id} was launched before it was recorded")
        self._inner.launch(order)

    def _is_recorded(self, attempt_id: str) -> bool:
        run = self._store.run(attempt_id.rpartition(".")[0])
        story = run.story if run is not None else ()
        return any(isinstance(fact, AttemptPlanned) and fact.attempt_id == attempt_id for fact in story)


class JumpyClock:
    """One governor's idea of the time."""

    def __init__(self, true: FakeClock) -> None:
        self._true, self.offset_seconds = true, 0.0

    def now_seconds(self) -> float:
        return self._true.now_seconds() + self.offset_seconds

    def sleep(self, seconds: float) -> None:
        self._true.sleep(seconds)


def crash_at_call(number: int) -> Callable[[str, str], None]:
    """An `around` that crashes once, at that one of all moments before and after calls."""
    seen = 0

    def around(_: str, __: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise Crash

    return around


def crash_sometimes(rng: Random, rate: float) -> Callable[[str, str], None]:
    def around(_: str, __: str) -> None:
        if rng.random() < rate:
            raise Crash

    return around
