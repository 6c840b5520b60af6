"""Sends what was raised over every channel that has not got it, and says so in facts.

An alert is recorded before it is sent, and that it was sent only afterwards: a crash in between sends it twice, none
ever loses it. Sending happens in a thread of each channel's own, so that no slow server holds up the governor.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from flyball.errors import Unavailable
from flyball.model.facts import AlertRaised, AlertSent
from flyball.model.snapshot import Alert, Snapshot
from flyball.model.units import show_seconds
from flyball.ports.channel import Channel

GIVEN_UP_SECONDS = 3 * 86_400.0  # older alerts are not sent any more: nobody can act on them
RETRY_SECONDS, RETRY_SECONDS_MAX = 5.0, 600.0
FAILURES_BEFORE_TOLD = 3
TOLD_AGAIN_SECONDS = 3600.0
STUCK_SECONDS = 300.0  # every channel ends by itself long before


def _to_stderr(words: str) -> None:
    sys.stderr.write(f"flyball: {words}\n")
    sys.stderr.flush()


class Alerting:
    """`facts` is called once a tick and never waits."""

    def __init__(self, channels: Sequence[Channel], *, tell: Callable[[str], None] = _to_stderr) -> None:
        """`tell` says what the user should know about the channels themselves."""
        self._lines = [_Line(channel, tell) for channel in channels]

    def facts(self, snapshot: Snapshot, now_seconds: float) -> Sequence[AlertSent]:
        """What was sent and is not yet recorded. It is given again until the snapshot has it, so that a tick that
        another governor overtook loses nothing."""
        found: list[AlertSent] = []
        for line in self._lines:
            line.hear(now_seconds)
            found.extend(line.unrecorded(snapshot.alerts, now_seconds))
            line.give(snapshot.alerts, now_seconds)
        return found

    def close(
        self, snapshot: Snapshot, now_seconds: float, *, wait_seconds: float = 5.0
    ) -> Sequence[AlertSent]:
        """Sends what is due, waits so long at most, and gives what is to be recorded."""
        self.facts(snapshot, now_seconds)
        until = time.monotonic() + wait_seconds
        found: list[AlertSent] = []
        for line in self._lines:
            line.settle(max(0.0, until - time.monotonic()))
            line.hear(now_seconds)
            found.extend(line.unrecorded(snapshot.alerts, now_seconds))
        return found


class _Line:
    """One channel: what it has got, what it refused, and whether it works at all."""

    def __init__(self, channel: Channel, tell: Callable[[str], None]) -> None:
        self._channel = channel
        self._health = _Health(channel.name, tell)
        self._delivered: set[str] = set()  # keys that the snapshot does not know as sent
        self._refused: dict[str, _Wait] = {}
        self._results: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def hear(self, now_seconds: float) -> None:
        """What became of the alerts that were given."""
        while True:
            try:
                key, error = self._results.get_nowait()
            except queue.Empty:
                break
            if error is None:
                self._delivered.add(key)
                self._refused.pop(key, None)
                self._health.worked()
            else:
                self._refused.setdefault(key, _Wait()).longer(now_seconds)
                self._health.failed(error, now_seconds)
        if self._is_sending():
            self._health.check_stuck(now_seconds)

    def unrecorded(self, alerts: Mapping[str, Alert], now_seconds: float) -> list[AlertSent]:
        name = self._channel.name
        self._delivered = {k for k in self._delivered if k in alerts and name not in alerts[k].sent}
        return [AlertSent(at_seconds=now_seconds, key=key, channel=name) for key in sorted(self._delivered)]

    def give(self, alerts: Mapping[str, Alert], now_seconds: float) -> None:
        """Start sending what is due, if nothing is being sent and the channel is not resting."""
        if self._is_sending() or not self._health.rested(now_seconds):
            return
        due = self._due(alerts, now_seconds)
        if due:
            self._health.begun_at_seconds = now_seconds
            # A daemon: a server that never answers does not keep the governor from ending.
            self._thread = threading.Thread(
                target=self._send, args=(due,), name="flyball-alerts", daemon=True
            )
            self._thread.start()

    def settle(self, wait_seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(wait_seconds)

    def _is_sending(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _due(self, alerts: Mapping[str, Alert], now_seconds: float) -> list[AlertRaised]:
        """Those least often refused first, then the oldest: one that is refused always holds up no other."""
        name, due = self._channel.name, []
        for key, alert in alerts.items():
            if name in alert.sent or key in self._delivered or not self._channel.wants(alert.raised):
                continue
            if now_seconds - alert.raised.at_seconds > GIVEN_UP_SECONDS:
                if self._refused.pop(key, None) is not None:
                    self._health.gave_up(alert.raised)
                continue
            if key not in self._refused or self._refused[key].over(now_seconds):
                due.append(alert.raised)
        for key in [key for key in self._refused if key not in alerts]:
            self._refused.pop(key)
        return sorted(due, key=lambda alert: self._refused.get(alert.key, _NEVER).times)

    def _send(self, due: Sequence[AlertRaised]) -> None:
        """In the thread. Ends at the first refusal: what comes after would likely be refused too."""
        for alert in due:
            try:
                self._channel.send(alert)
            except Unavailable as error:
                self._results.put((alert.key, str(error)))
                return
            except BaseException as error:
                self._results.put((alert.key, f"a bug: {type(error).__name__}"))
                raise  # shown with its traceback, as any bug; the next batch has a thread of its own
            self._results.put((alert.key, None))


class _Wait:
    """5 s, 10 s, ... 10 min between tries."""

    def __init__(self) -> None:
        self.times, self._until_seconds = 0, 0.0

    def longer(self, now_seconds: float) -> None:
        self.times += 1
        self._until_seconds = now_seconds + min(RETRY_SECONDS_MAX, RETRY_SECONDS * 2.0 ** (self.times - 1))

    def over(self, now_seconds: float) -> bool:
        """Also when the clock was set back: no wait is longer than the longest."""
        return not 0 < self._until_seconds - now_seconds <= RETRY_SECONDS_MAX


_NEVER = _Wait()


class _Health:
    """Of a channel, as its owner should hear of it."""

    def __init__(self, name: str, tell: Callable[[str], None]) -> None:
        self._name, self._tell = name, tell
        self._wait = _Wait()
        self._failing_since: float | None = None
        self._told_at: float | None = None
        self.begun_at_seconds = 0.0

    def rested(self, now_seconds: float) -> bool:
        return self._wait.over(now_seconds)

    def worked(self) -> None:
        if self._told_at is not None:
            self._tell(f"alerts get through over {self._name} again")
        self._wait, self._failing_since, self._told_at = _Wait(), None, None

    def failed(self, error: str, now_seconds: float) -> None:
        self._wait.longer(now_seconds)
        if self._failing_since is None:
            self._failing_since = now_seconds
        if self._wait.times >= FAILURES_BEFORE_TOLD:
            for_seconds = show_seconds(max(0.0, now_seconds - self._failing_since))
            self._say(
                f"alerts have not got through over {self._name} for {for_seconds}: {error}\n"
                "  they are kept, and tried again",
                now_seconds,
            )

    def check_stuck(self, now_seconds: float) -> None:
        for_seconds = now_seconds - self.begun_at_seconds
        if for_seconds > STUCK_SECONDS:
            self._say(f"{self._name} has been sending alerts for {show_seconds(for_seconds)}", now_seconds)

    def gave_up(self, alert: AlertRaised) -> None:
        self._tell(f"given up after {show_seconds(GIVEN_UP_SECONDS)} over {self._name}: {alert.words}")

    def _say(self, words: str, now_seconds: float) -> None:
        if self._told_at is None or not 0 <= now_seconds - self._told_at < TOLD_AGAIN_SECONDS:
            self._told_at = now_seconds
            self._tell(words)
