"""A control group of our own in the v1 hierarchies, one folder per controller."""

from __future__ import annotations

import os

from flyball.meter.counters import CounterFile, Reading, known, open_counter
from flyball.meter.group_folder import kill_all, make, pids_in, remove, write_value

CONTROLLERS = ("memory", "cpuacct", "cpu", "blkio", "pids", "freezer")
PERIOD_MICROSECONDS = 100_000  # the kernel's default CFS period


class GroupV1:
    """Reads, limits and ends what runs inside. `folders`: controller -> folder."""

    source = "cgroup v1"

    def __init__(self, folders: dict[str, str]) -> None:
        """For groups that are there already. Raises OSError when none of them is."""
        self.folders = {name: folder for name, folder in folders.items() if os.path.isdir(folder)}
        if not self.folders:
            raise FileNotFoundError("no such control group")
        self._memory_stat = self._file("memory", "memory.stat")
        self._kernel = self._file("memory", "memory.kmem.usage_in_bytes")
        self._peak = self._file("memory", "memory.max_usage_in_bytes", writable=True)
        self._oom = self._file("memory", "memory.oom_control")
        self._cpu = self._file("cpuacct", "cpuacct.usage")
        self._cpu_split = self._file("cpuacct", "cpuacct.stat")
        self._throttle = self._file("cpu", "cpu.stat")
        self._bytes = self._file("blkio", "blkio.throttle.io_service_bytes_recursive")
        self._operations = self._file("blkio", "blkio.throttle.io_serviced_recursive")
        self._tasks = self._file("pids", "pids.current")
        self._tasks_peak = self._file("pids", "pids.peak")
        self._procs = self._file(next(iter(self.folders)), "cgroup.procs")

    @classmethod
    def create(cls, parents: dict[str, str], name: str) -> GroupV1:
        """A new group under those. Raises OSError when not one could be made."""
        made = {
            controller: folder
            for controller in CONTROLLERS
            if controller in parents and (folder := make(os.path.join(parents[controller], name)))
        }
        return cls(made)

    @property
    def has_memory(self) -> bool:
        return self._memory_stat is not None

    @property
    def paths(self) -> list[str]:
        return list(self.folders.values())

    def doors(self) -> list[int]:
        """Open cgroup.procs files: whoever writes 0 there is inside."""
        return [
            os.open(folder + "/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for folder in self.folders.values()
        ]

    def limit_memory(self, limit_bytes: int) -> bool:
        """Whether it holds now; swap counts as memory where the kernel can tell."""
        if not write_value(self.folders.get("memory"), "memory.limit_in_bytes", str(limit_bytes)):
            return False
        write_value(self.folders.get("memory"), "memory.memsw.limit_in_bytes", str(limit_bytes))
        return True

    def limit_cpu(self, cores: float) -> bool:
        """Whether it holds now."""
        quota = max(1000, round(cores * PERIOD_MICROSECONDS))  # the kernel refuses less than 1 ms
        return write_value(
            self.folders.get("cpu"), "cpu.cfs_period_us", str(PERIOD_MICROSECONDS)
        ) and write_value(self.folders.get("cpu"), "cpu.cfs_quota_us", str(quota))

    def take_peak_bytes(self) -> int | None:
        """The kernel's high-water mark since the last call."""
        if not self._peak:
            return None
        peak = self._peak.number()
        self._peak.write(b"0")
        return peak

    def memory(self) -> Reading:
        """What counts (anonymous + shared), what is beside it (page cache, the kernel's own), swap, major faults."""
        table = self._memory_stat.table() if self._memory_stat else {}
        if b"total_rss" not in table:
            return {}
        shared = table.get(b"total_shmem", 0)
        return known(
            memory_bytes=table[b"total_rss"] + shared,
            cache_bytes=table[b"total_cache"] - shared,
            kernel_bytes=self._kernel.number() if self._kernel else None,
            swap_bytes=table.get(b"total_swap"),
            major_faults=table.get(b"total_pgmajfault"),
        )

    def cpu_seconds(self) -> float | None:
        used = self._cpu.number() if self._cpu else None
        return None if used is None else used / 1e9

    def read(self) -> Reading:
        """Everything but memory."""
        return {**self._cpu_figures(), **self._disk_figures(), **self._task_figures()}

    def _cpu_figures(self) -> Reading:
        split = self._cpu_split.table() if self._cpu_split else {}
        throttle = self._throttle.table() if self._throttle else {}
        oom = self._oom.table() if self._oom else {}
        return known(
            cpu_seconds=self.cpu_seconds(),
            cpu_user_seconds=_times(split.get(b"user"), 1 / TICKS),
            cpu_system_seconds=_times(split.get(b"system"), 1 / TICKS),
            throttled_seconds=_times(throttle.get(b"throttled_time"), 1e-9),
            oom_kills=oom.get(b"oom_kill"),
        )

    def _disk_figures(self) -> Reading:
        read, written = _by_direction(self._bytes)
        reads, writes = _by_direction(self._operations)
        return known(
            disk_read_bytes=read,
            disk_write_bytes=written,
            disk_read_operations=reads,
            disk_write_operations=writes,
        )

    def _task_figures(self) -> Reading:
        return known(
            processes=float(len(self._procs.text(65536).split())) if self._procs else None,
            threads=self._tasks.number() if self._tasks else None,
            threads_peak=self._tasks_peak.number() if self._tasks_peak else None,
        )

    def own_pids(self) -> list[int]:
        """Processes in the group itself; cheap, for often looks."""
        words = self._procs.text(65536).split() if self._procs else []
        return [int(word) for word in words]

    def pids(self) -> list[int]:
        """Processes inside, groups below included."""
        return pids_in(next(iter(self.folders.values())))

    def kill(self) -> None:
        """SIGKILL to all of them, frozen first so that none forks away."""
        freezer = self.folders.get("freezer")
        write_value(freezer, "freezer.state", "FROZEN")
        kill_all(self.pids)
        write_value(freezer, "freezer.state", "THAWED")

    def remove(self) -> bool:
        """Whether all its folders are gone."""
        removed = [remove(folder) for folder in self.folders.values()]
        return all(removed)

    def close(self) -> None:
        for value in vars(self).values():
            if isinstance(value, CounterFile):
                value.close()

    def _file(self, controller: str, name: str, *, writable: bool = False) -> CounterFile | None:
        folder = self.folders.get(controller)
        return open_counter(os.path.join(folder, name), writable=writable) if folder else None


TICKS = os.sysconf("SC_CLK_TCK")


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _by_direction(file: CounterFile | None) -> tuple[int | None, int | None]:
    """Sums over devices of lines like "254:0 Read 4096"; stacked devices (partitions, dm) count once each."""
    if file is None:
        return None, None
    read = written = 0
    for line in file.text(65536).splitlines():
        words = line.split()
        if len(words) == 3 and words[1] == b"Read":
            read += int(words[2])
        elif len(words) == 3 and words[1] == b"Write":
            written += int(words[2])
    return read, written
