"""The process tree by /proc, for machines that give us no control group."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flyball.meter.counters import CounterFile, Reading, known, open_counter

if TYPE_CHECKING:
    from flyball.meter.psutil_tree import PsutilTree

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SET_CHILD_SUBREAPER = 36  # prctl(2)


class ProcessTree:
    """The command and all its descendants; orphans come back to us because we are their sub-reaper.

    Memory is the sum of the processes' own anonymous pages plus the largest shared mapping. Pages that forks
    still share are counted once for each: an upper bound. Files in /dev/shm that nobody maps are not seen.
    """

    source = "proc"

    def __init__(self, root_pid: int) -> None:
        self.root_pid = root_pid
        self._known: dict[int, _Process] = {}
        self._foreign: set[int] = set()  # our own other children, started by whoever called us
        self._disk = [0, 0]
        self._major_faults = 0

    def look_again(self, *, others_may_start: bool) -> None:
        """Finds the processes that are there now. `others_may_start`: not all our children are the command's."""
        ours = children_of(os.getpid())
        self._foreign &= set(ours if others_may_start else ())
        if others_may_start:
            self._foreign |= {pid for pid in ours if pid != self.root_pid and pid not in self._known}
        found: set[int] = set()
        queue = [self.root_pid, *(pid for pid in ours if pid not in self._foreign)]
        while queue:
            pid = queue.pop()
            if pid not in found:
                found.add(pid)
                queue += children_of(pid)
        for pid in found - self._known.keys():
            process = _Process.open(pid)
            if process:
                self._known[pid] = process
        for pid in self._known.keys() - found:
            self._known.pop(pid).close()

    def pids(self) -> list[int]:
        """Those found last that are no zombies."""
        return [pid for pid, process in self._known.items() if process.lives()]

    def zombies(self) -> list[int]:
        """Orphans that ended and wait for us to reap them."""
        return [pid for pid, p in self._known.items() if pid != self.root_pid and not p.lives()]

    def memory(self) -> Reading:
        """What counts, by statm (some microseconds a process)."""
        pages = [process.anonymous_pages() for process in self._known.values()]
        shared = max((process.shared_bytes for process in self._known.values()), default=0)
        return {"memory_bytes": float(sum(pages) * PAGE + shared)} if pages else {}

    def cpu_seconds(self) -> float | None:
        """CPU of the living, and of the dead their parents have waited for."""
        return sum((process.cpu_seconds() for process in self._known.values()), 0.0)

    def read(self, reading: Reading, sources: dict[str, str]) -> None:
        """Adds the figures that are not there yet."""
        totals = [process.detail() for process in self._known.values()]
        for index, name in enumerate(("disk_read_bytes", "disk_write_bytes")):
            self._disk[index] = max(self._disk[index], sum(int(t.get(name, 0)) for t in totals))
        self._major_faults = max(self._major_faults, int(sum(t.get("major_faults", 0) for t in totals)))
        figures = known(
            cpu_seconds=self.cpu_seconds(),
            swap_bytes=sum(t.get("swap_bytes", 0) for t in totals),
            major_faults=self._major_faults,
            disk_read_bytes=self._disk[0],
            disk_write_bytes=self._disk[1],
            processes=float(len(totals)),
            threads=sum(t.get("threads", 0) for t in totals),
        )
        for name, value in figures.items():
            if name not in reading:
                reading[name] = value
                sources[name] = self.source

    def close(self) -> None:
        for process in self._known.values():
            process.close()
        self._known.clear()


def open_tree(root_pid: int) -> ProcessTree | PsutilTree:
    """By /proc, else by psutil where it is installed, else a tree that knows nothing and says so."""
    if os.path.exists("/proc/self/statm"):
        return ProcessTree(root_pid)
    from flyball.meter.psutil_tree import PsutilTree

    try:
        import psutil
    except ImportError:
        return PsutilTree(root_pid, None)
    return PsutilTree(root_pid, psutil)


class _Process:
    """One process, with its files kept open: they keep meaning it even when its number comes round again."""

    def __init__(self, pid: int, stat: CounterFile, statm: CounterFile, status: CounterFile) -> None:
        self.pid = pid
        self._stat, self._statm, self._status = stat, statm, status
        self._io = open_counter(f"/proc/{pid}/io")
        self.shared_bytes = 0

    @classmethod
    def open(cls, pid: int) -> _Process | None:
        files = [open_counter(f"/proc/{pid}/{name}") for name in ("stat", "statm", "status")]
        if any(file is None for file in files):
            for file in files:
                if file:
                    file.close()
            return None
        return cls(pid, *files)  # type: ignore[arg-type]

    def _fields(self) -> list[bytes]:
        text = self._stat.text(1024)
        return text[text.rfind(b")") + 2 :].split()

    def lives(self) -> bool:
        fields = self._fields()
        return bool(fields) and fields[0] not in (b"Z", b"X")

    def anonymous_pages(self) -> int:
        """Resident less file and shared pages, as statm has them."""
        words = self._statm.text(128).split()
        return int(words[1]) - int(words[2]) if len(words) > 2 else 0

    def cpu_seconds(self) -> float:
        """Its own, and that of children it has waited for: utime, stime, cutime, cstime."""
        fields = self._fields()
        return sum(int(word) for word in fields[11:15]) / TICKS if fields else 0.0

    def detail(self) -> Reading:
        """What costs a little more to read."""
        status = _status(self._status.text())
        self.shared_bytes = status.get(b"RssShmem", 0) * 1024
        fields = self._fields()
        io = _status(self._io.text(512)) if self._io else {}
        return known(
            swap_bytes=status.get(b"VmSwap", 0) * 1024,
            threads=status.get(b"Threads", 0),
            major_faults=int(fields[9]) + int(fields[10]) if fields else 0,
            disk_read_bytes=io.get(b"read_bytes", 0),
            disk_write_bytes=io.get(b"write_bytes", 0),
        )

    def close(self) -> None:
        for file in (self._stat, self._statm, self._status, self._io):
            if file:
                file.close()


def children_of(pid: int) -> list[int]:
    """Processes that any of its threads started and that still exist."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return found


def adopt_orphans(wanted: bool) -> None:
    """Makes us the parent of descendants whose own parent ends, or no longer."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass  # then orphans go to pid 1 and only those seen before are known


def _status(text: bytes) -> dict[bytes, int]:
    """The numbers of "Key:\tvalue unit" lines."""
    found: dict[bytes, int] = {}
    for line in text.splitlines():
        key, _, rest = line.partition(b":")
        words = rest.split()
        if words and words[0].isdigit():
            found[key] = int(words[0])
    return found
