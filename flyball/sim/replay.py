"""The governor as it is, over many runs in virtual time: nothing waits, and stretches in which nothing happens are skipped."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from flyball.engine.governor import Governor, Ticked
from flyball.model.facts import (
    AnyFact,
    AttemptEnded,
    AttemptLaunched,
    AttemptStarted,
    HostLaunched,
    LaunchRefused,
    RunEnded,
    RunResult,
    RunSubmitted,
)
from flyball.ports.clock import FakeClock
from flyball.ports.store import Store
from flyball.sim.cloud import SimCloud

TICK_SECONDS = 5.0  # the governor looks no more often than that
# ... and, while runs are waiting or machines are up, no less often than that: backoffs end and spot is asked for again
# without anything happening in the cloud, and machines end themselves when they are not renewed.
LOOKS_EVERY_SECONDS = 60.0


class Went(msgspec.Struct, frozen=True, kw_only=True):
    """How one run went. `ended_at_seconds` is when its last attempt ended, not when that was noticed."""

    run_id: str
    result: RunResult | None  # None: it has not ended
    reason: str = ""
    ended_at_seconds: float | None = None
    attempts: int = 0
    outcomes: tuple[str, ...] = ()


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    runs: dict[str, Went]
    nano_usd: dict[str, int]  # by run id, "" for warm machines; as the cloud bills it
    machine_seconds: float  # billed
    command_seconds: float  # of them, with a command running (of warm machines: at least one)
    machines: int
    refusals: int
    outcomes: dict[str, int]  # of attempts
    ticks: int
    governor_cpu_seconds: float
    ended_at_seconds: float
    warnings: tuple[str, ...] = ()


class Replay:
    """Feeds runs to a governor when they are due and lets time pass until all have ended."""

    def __init__(
        self,
        *,
        governor: Governor,
        store: Store,
        cloud: SimCloud,
        clock: FakeClock,
        arrivals: Iterable[tuple[float, Sequence[AnyFact]]],
        tick_seconds: float = TICK_SECONDS,
        progress: Callable[[int, float], None] = lambda _, __: None,
    ) -> None:
        """`arrivals` are recorded when their time has come: runs for the governor (RunSubmitted with a spec), or what
        others ran meanwhile. `progress` hears (runs ended, now) every hour of virtual time."""
        self._governor, self._store, self._cloud, self._clock = governor, store, cloud, clock
        self._todo = sorted(arrivals, key=lambda arrival: arrival[0])
        facts = (fact for _, some in self._todo for fact in some)
        self._run_ids = [f.run.run_id for f in facts if isinstance(f, RunSubmitted) and f.spec is not None]
        self._tick_seconds, self._progress = tick_seconds, progress
        self._next = 0
        self._ended: dict[str, RunEnded] = {}
        self._attempts: dict[str, list[AttemptEnded]] = defaultdict(list)
        self._refusals = self._ticks = 0
        self._cpu_seconds = 0.0
        self._warnings: Counter[str] = Counter()
        self._told_at = -math.inf

    def run(self, *, until_seconds: float = math.inf) -> Replayed:
        """Until everything has ended, or that time."""
        while True:
            now = self._clock.now_seconds()
            if now >= until_seconds:
                break
            due = self._due(now)
            if due:
                self._store.append(due)
            ticked = self._tick()
            if self._next >= len(self._todo) and not self._governor.snapshot.busy:
                break
            self._clock.sleep(self._wait_seconds(now, ticked))
        return self._result()

    def _due(self, now: float) -> Sequence[AnyFact]:
        due: list[AnyFact] = []
        while self._next < len(self._todo) and self._todo[self._next][0] <= now:
            due += self._todo[self._next][1]
            self._next += 1
        return due

    def _tick(self) -> Ticked:
        started = time.process_time()
        ticked = self._governor.tick()
        self._cpu_seconds += time.process_time() - started
        self._ticks += 1
        for fact in ticked.facts:
            match fact:
                case RunEnded():
                    self._ended[fact.run_id] = fact
                case AttemptEnded():
                    self._attempts[fact.run_id].append(fact)
                case LaunchRefused():
                    self._refusals += 1
                case _:
                    pass
        self._warnings.update(ticked.warnings)
        now = self._clock.now_seconds()
        if now - self._told_at >= 3600:
            self._told_at = now
            self._progress(len(self._ended), now)
        return ticked

    def _wait_seconds(self, now: float, ticked: Ticked) -> float:
        """Until the next moment, on the grid of its ticks, at which something can have changed."""
        due = self._todo[self._next][0] if self._next < len(self._todo) else math.inf
        if not self._governor.snapshot.busy:
            return due - now
        ahead = min(due, self._cloud.next_change_seconds(), now + LOOKS_EVERY_SECONDS)
        if any(
            not isinstance(fact, AttemptStarted | AttemptLaunched | HostLaunched) for fact in ticked.facts
        ):
            ahead = now  # one thing leads to another
        ticks = max(1.0, math.ceil((ahead - now) / self._tick_seconds - 1e-9))
        return ticks * self._tick_seconds

    def _result(self) -> Replayed:
        bills, held = self._cloud.bills(), self._cloud.launched()
        nano: dict[str, int] = defaultdict(int)
        for attempt_id, bill in bills.items():
            nano[held[attempt_id].order.run_id] += bill.nano_usd
        outcomes = Counter(end.receipt.outcome.value for ends in self._attempts.values() for end in ends)
        return Replayed(
            runs={run_id: self._went(run_id) for run_id in self._run_ids},
            nano_usd=dict(nano),
            machine_seconds=float(sum(bill.billed_seconds for bill in bills.values())),
            command_seconds=self._command_seconds(),
            machines=len(bills),
            refusals=self._refusals,
            outcomes=dict(outcomes),
            ticks=self._ticks,
            governor_cpu_seconds=self._cpu_seconds,
            ended_at_seconds=self._clock.now_seconds(),
            warnings=tuple(f"{words} ({count})" for words, count in self._warnings.most_common(10)),
        )

    def _went(self, run_id: str) -> Went:
        ends, ended = self._attempts.get(run_id, []), self._ended.get(run_id)
        return Went(
            run_id=run_id,
            result=ended.result if ended else None,
            reason=ended.reason if ended else "it has not ended",
            ended_at_seconds=ends[-1].receipt.ended_at_seconds if ended and ends else None,
            attempts=len(ends),
            outcomes=tuple(end.receipt.outcome.value for end in ends),
        )

    def _command_seconds(self) -> float:
        total, on_hosts = 0.0, defaultdict(list)
        for held in self._cloud.launched().values():
            if held.order.is_host:
                continue
            start, end = held.started_at, min(held.command_ended_at, self._clock.now_seconds())
            if end <= start:
                continue
            if held.order.host_id is None:
                total += end - start
            else:
                on_hosts[held.order.host_id].append((start, end))
        return total + sum(_covered(spans) for spans in on_hosts.values())


def _covered(spans: list[tuple[float, float]]) -> float:
    """Seconds in at least one of them."""
    total, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
