"""What is done beside the command while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple


class Known(NamedTuple):
    """What a process that starts many wrappers has looked up for all of them."""

    host: dict[str, Any]
    gpus: bool  # whether there is a driver to ask


KNOWN: list[Known] = []  # at most one; children forked later have it too


class Background:
    """What is done beside the command: slow looks at the machine, and the caller's own work."""

    def __init__(self, pid: int, work: Callable[[], None] | None) -> None:
        self.pid, self.work = pid, work
        self.host: dict[str, Any] = {}
        self.error: str | None = None
        self.gpu: Any = None
        self._over = False
        self._cloud: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, name="flyball-background", daemon=True)

    def start(self) -> None:
        if KNOWN:
            self.host = dict(KNOWN[0].host)
        if not KNOWN or KNOWN[0].gpus or self.work is not None:
            self._thread.start()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def finish(self) -> None:
        """Waits for the caller's work, but for no network."""
        self._over = True
        if self._thread.ident is not None:
            self._thread.join()
        self.host.update({name: value for name, value in self._cloud.items() if value is not None})

    def _run(self) -> None:
        if not KNOWN:
            self._look_at_machine()
        if self.work is not None:
            try:
                self.work()
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
        if not self._over and (
            not KNOWN or KNOWN[0].gpus
        ):  # a command that is over by now has used no GPU that anyone could have seen
            self._open_gpu()

    def _look_at_machine(self) -> None:
        try:
            from flyball.meter.host import cloud_facts, host_facts

            self.host = dict(host_facts())
            threading.Thread(target=lambda: self._cloud.update(cloud_facts(2.0)), daemon=True).start()
        except Exception:
            self.host = self.host or {}  # a fact that cannot be had is unknown

    def _open_gpu(self) -> None:
        try:
            from flyball.meter.gpu import GpuMeter

            self.gpu = GpuMeter.open()
        except Exception:
            self.gpu = None  # no driver, no library: unknown
