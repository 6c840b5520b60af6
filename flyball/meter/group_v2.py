"""A control group of our own in the v2 tree."""

from __future__ import annotations

import os

from flyball.meter.counters import CounterFile, Reading, known, open_counter, stall_seconds
from flyball.meter.group_folder import kill_all, make, pids_in, remove, write_value
from flyball.meter.group_v1 import PERIOD_MICROSECONDS

KERNEL_PARTS = (
    b"slab",
    b"kernel_stack",
    b"pagetables",
    b"percpu",
    b"sock",
)  # before Linux 5.18 said "kernel"


class GroupV2:
    """Reads, limits and ends what runs inside; which figures it has depends on the enabled controllers."""

    source = "cgroup v2"

    def __init__(self, folder: str) -> None:
        """For a group that is there already. Raises OSError when it is not."""
        if not os.path.isdir(folder):
            raise FileNotFoundError(folder)
        self.folder = folder
        self._memory_stat = self._file("memory.stat") if self._has("memory.current") else None
        self._peak = self._file("memory.peak", writable=True) or self._file("memory.peak")
        self._last_peak_bytes = 0
        self._swap = self._file("memory.swap.current")
        self._events = self._file("memory.events")
        self._cpu = self._file("cpu.stat")
        self._io = self._file("io.stat")
        self._tasks = self._file("pids.current")
        self._tasks_peak = self._file("pids.peak")
        self._procs = self._file("cgroup.procs")
        self._threads = self._file("cgroup.threads")
        self._pressure = {name: self._file(f"{name}.pressure") for name in ("cpu", "memory", "io")}

    @classmethod
    def create(cls, parent: str, name: str) -> GroupV2:
        """A new group there. Raises OSError when it cannot be made."""
        folder = make(os.path.join(parent, name))
        if folder is None:
            raise PermissionError(parent)
        return cls(folder)

    @property
    def has_memory(self) -> bool:
        return self._memory_stat is not None

    @property
    def paths(self) -> list[str]:
        return [self.folder]

    def doors(self) -> list[int]:
        """Open cgroup.procs files: whoever writes 0 there is inside."""
        return [os.open(self.folder + "/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)]

    def limit_memory(self, limit_bytes: int) -> bool:
        """Whether it holds now; no swap beyond it, as a smaller machine would have none."""
        if not write_value(self.folder, "memory.max", str(limit_bytes)):
            return False
        write_value(self.folder, "memory.swap.max", "0")
        return True

    def limit_cpu(self, cores: float) -> bool:
        """Whether it holds now."""
        quota = max(1000, round(cores * PERIOD_MICROSECONDS))
        return write_value(self.folder, "cpu.max", f"{quota} {PERIOD_MICROSECONDS}")

    def take_peak_bytes(self) -> int | None:
        """The kernel's high-water mark since the last call; None when it did not rise since then.

        Linux 6.12 and later start it anew for each open file at a write; before, it only ever grows.
        """
        peak = self._peak.number() if self._peak else None
        if self._peak is None or peak is None:
            return None
        if self._peak.write(b"0"):
            return peak
        rose = peak > self._last_peak_bytes
        self._last_peak_bytes = max(peak, self._last_peak_bytes)
        return peak if rose else None

    def memory(self) -> Reading:
        """What counts (anonymous + shared), what is beside it (page cache, the kernel's own), swap, major faults."""
        table = self._memory_stat.table() if self._memory_stat else {}
        if b"anon" not in table:
            return {}
        shared = table.get(b"shmem", 0)
        return known(
            memory_bytes=table[b"anon"] + shared,
            cache_bytes=table[b"file"] - shared,
            kernel_bytes=table.get(b"kernel", sum(table.get(part, 0) for part in KERNEL_PARTS)),
            swap_bytes=self._swap.number() if self._swap else None,
            major_faults=table.get(b"pgmajfault"),
        )

    def cpu_seconds(self) -> float | None:
        used = self._cpu.table().get(b"usage_usec") if self._cpu else None
        return None if used is None else used / 1e6

    def read(self) -> Reading:
        """Everything but memory."""
        return {**self._cpu_figures(), **self._disk_figures(), **self._task_figures()}

    def _cpu_figures(self) -> Reading:
        cpu = self._cpu.table() if self._cpu else {}
        events = self._events.table() if self._events else {}
        return known(
            cpu_seconds=_seconds(cpu.get(b"usage_usec")),
            cpu_user_seconds=_seconds(cpu.get(b"user_usec")),
            cpu_system_seconds=_seconds(cpu.get(b"system_usec")),
            throttled_seconds=_seconds(cpu.get(b"throttled_usec")),
            oom_kills=events.get(b"oom_kill"),
            pressure_cpu_seconds=stall_seconds(self._pressure["cpu"]),
            pressure_memory_seconds=stall_seconds(self._pressure["memory"]),
            pressure_io_seconds=stall_seconds(self._pressure["io"]),
        )

    def _disk_figures(self) -> Reading:
        if self._io is None:
            return {}
        totals: dict[bytes, int] = {}
        for word in self._io.text(65536).split():
            key, _, value = word.partition(b"=")
            if value.isdigit():
                totals[key] = totals.get(key, 0) + int(value)
        return known(
            disk_read_bytes=totals.get(b"rbytes", 0),
            disk_write_bytes=totals.get(b"wbytes", 0),
            disk_read_operations=totals.get(b"rios", 0),
            disk_write_operations=totals.get(b"wios", 0),
        )

    def _task_figures(self) -> Reading:
        threads = self._tasks.number() if self._tasks else None
        if threads is None and self._threads:
            threads = len(self._threads.text(262144).split())
        return known(
            processes=float(len(self._procs.text(65536).split())) if self._procs else None,
            threads=threads,
            threads_peak=self._tasks_peak.number() if self._tasks_peak else None,
        )

    def own_pids(self) -> list[int]:
        """Processes in the group itself; cheap, for often looks."""
        words = self._procs.text(65536).split() if self._procs else []
        return [int(word) for word in words]

    def pids(self) -> list[int]:
        """Processes inside, groups below included."""
        return pids_in(self.folder)

    def kill(self) -> None:
        """SIGKILL to all of them at once, or frozen first where the kernel is older than 5.14."""
        if write_value(self.folder, "cgroup.kill", "1"):
            return
        write_value(self.folder, "cgroup.freeze", "1")
        kill_all(self.pids)
        write_value(self.folder, "cgroup.freeze", "0")

    def remove(self) -> bool:
        """Whether its folder is gone."""
        return remove(self.folder)

    def close(self) -> None:
        for value in [*vars(self).values(), *self._pressure.values()]:
            if isinstance(value, CounterFile):
                value.close()

    def _has(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.folder, name))

    def _file(self, name: str, *, writable: bool = False) -> CounterFile | None:
        return open_counter(os.path.join(self.folder, name), writable=writable)


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6
