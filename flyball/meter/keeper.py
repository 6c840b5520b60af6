"""What an attempt's machine folder asks of its wrapper: to end it, and whether what it made is what was wanted.

A machine on this computer is a folder: `machine.json` is touched while the governor lives, `stop` and `release` are
made to end the command. Whoever makes one of them sends the wrapper SIGCHLD, which wakes it and reaches nobody else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

MACHINE, LOCK, STOP, RELEASE = "machine.json", "lock", "stop", "release"
ENDED, NOTES, PROGRESS = "ended.json", "notes.json", "progress"

Judge = Callable[[dict[str, Any], "Keeper"], dict[str, Any]]


class Keeper:
    """Looked at by the wrapper at least once a second."""

    def __init__(self, machine: str, *, lease_seconds: float, grace_seconds: float, judge: Judge) -> None:
        self._machine, self._judge = machine, judge
        self._lease_seconds, self._grace_seconds = lease_seconds, grace_seconds
        self._renewed: int | None = None
        self._renewed_at = time.monotonic()
        self._told: set[str] = set()

    def asked(self) -> tuple[str, float] | None:
        """(reason, seconds of grace), once for each reason."""
        reason = self.reason()
        if reason is None or reason in self._told:
            return None
        self._told.add(reason)
        return reason, 0.0 if reason == "released" else self._grace_seconds

    def reason(self) -> str | None:
        """Why the command should end now: "released", "stopped", "unheard" (see ending.ASKED), or None."""
        if self._has(RELEASE):
            return "released"
        if self._has(STOP):
            return "stopped"
        return "unheard" if self._is_unheard() else None

    def judged(self, receipt: dict[str, Any]) -> dict[str, Any]:
        """The receipt with the last word on whether it succeeded."""
        return self._judge(receipt, self)

    def _has(self, name: str) -> bool:
        return os.access(os.path.join(self._machine, name), os.F_OK)

    def _is_unheard(self) -> bool:
        """A change of the file counts, not its time: clocks jump. A folder that is gone is never renewed."""
        now = time.monotonic()
        try:
            renewed: int | None = os.stat(os.path.join(self._machine, MACHINE)).st_mtime_ns
        except OSError:
            renewed = self._renewed
        if renewed != self._renewed:
            self._renewed, self._renewed_at = renewed, now
        return now - self._renewed_at > self._lease_seconds
