"""The process tree through psutil, where there is no /proc (macOS). Fewer figures; the rest stays unknown."""

from __future__ import annotations

from typing import Any

from flyball.meter.counters import Reading, known


class PsutilTree:
    """The command and its descendants. Memory is their resident size less what is shared, as far as told."""

    source = "psutil"

    def __init__(self, root_pid: int, psutil: Any) -> None:
        self.root_pid, self._psutil = root_pid, psutil
        self._known: dict[int, Any] = {}
        self._ended_cpu_seconds = 0.0
        self._cpu_seconds: dict[int, float] = {}

    def look_again(self, *, others_may_start: bool) -> None:  # noqa: ARG002 - orphans are not ours here
        """Finds the processes that are there now; those that went to another parent stay known."""
        if self._psutil is None:
            return  # not installed: everything stays unknown until rusage tells at the end
        try:
            root = self._psutil.Process(self.root_pid)
            found = [root, *root.children(recursive=True)]
        except self._psutil.Error:
            found = []
        for process in found:
            self._known.setdefault(process.pid, process)
        for pid in [pid for pid, process in self._known.items() if not self._lives(process)]:
            self._ended_cpu_seconds += self._cpu_seconds.pop(pid, 0.0)
            del self._known[pid]

    def pids(self) -> list[int]:
        return [pid for pid, process in self._known.items() if self._lives(process)]

    def zombies(self) -> list[int]:
        """None are ours to reap."""
        return []

    def memory(self) -> Reading:
        sizes = [size for process in self._known.values() if (size := self._size(process)) is not None]
        return {"memory_bytes": float(sum(sizes))} if sizes else {}

    def cpu_seconds(self) -> float | None:
        """CPU of those seen alive; None before any was seen."""
        for pid, process in self._known.items():
            try:
                times = process.cpu_times()
            except self._psutil.Error:
                continue
            self._cpu_seconds[pid] = times.user + times.system
        seen = self._ended_cpu_seconds + sum(self._cpu_seconds.values())
        return seen if seen or self._cpu_seconds else None

    def read(self, reading: Reading, sources: dict[str, str]) -> None:
        """Adds the figures that are not there yet."""
        threads = [count for process in self._known.values() if (count := self._threads(process))]
        figures = known(
            cpu_seconds=self.cpu_seconds(),
            processes=len(self._known) or None,
            threads=sum(threads) or None,
        )
        for name, value in figures.items():
            if name not in reading:
                reading[name] = value
                sources[name] = self.source

    def close(self) -> None:
        self._known.clear()

    def _lives(self, process: Any) -> bool:
        try:
            return bool(process.is_running() and process.status() != self._psutil.STATUS_ZOMBIE)
        except self._psutil.Error:
            return False

    def _size(self, process: Any) -> int | None:
        try:
            info = process.memory_info()
        except self._psutil.Error:
            return None
        return int(info.rss - getattr(info, "shared", 0))

    def _threads(self, process: Any) -> int | None:
        try:
            return int(process.num_threads())
        except self._psutil.Error:
            return None
