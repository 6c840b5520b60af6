"""One attempt's figures while it runs: looks at the counters when it is time, keeps sums, writes rows."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from flyball.meter.counters import Reading
from flyball.meter.group import Group
from flyball.meter.proctree import open_tree
from flyball.meter.spool import COLUMNS, Spool
from flyball.meter.surroundings import RunQueue, Surroundings
from flyball.meter.tally import CoreUse, MemoryUse, beside_bytes, cores_wanted

FIRST_GAP_SECONDS = 0.005  # a job of 50 ms gets about six looks
GAP_GROWTH = 0.2  # each gap is a fifth of the time run so far, until it reaches the period
QUEUE_SECONDS_A_TASK = 0.0125  # a look at one costs 10 us: 0.08 % of a core, however many there are
LOOK_SECONDS = 0.05  # memory at 20 Hz while it moves
QUIET_SECONDS = 0.2  # and at 5 Hz while it does not: the kernel's own mark sees what falls between
SETTLE_SECONDS = 0.002
QUIET_TREE_SECONDS = 0.1  # without a control group there is no such mark
STEADY_SHARE = 0.01
CORE_WINDOW_SECONDS = 0.1  # shorter windows see the scheduler's slices, not the job
TREE_CORE_WINDOW_SECONDS = 0.5  # /proc/<pid>/stat counts in ticks of 10 ms, for each process
TREE_SECONDS = 0.2  # how often the process tree is walked where there is no control group
RUSAGE_BLOCK_BYTES = 512  # getrusage(2): ru_inblock, ru_oublock


class Measurement:
    """Owns every counter of one attempt. Times are monotonic seconds."""

    def __init__(
        self,
        started_at: float,
        pid: int,
        group: Group | None,
        surroundings: Surroundings,
        spool: Spool | None,
    ) -> None:
        self.started_at, self.next_at, self.pid = started_at, started_at + FIRST_GAP_SECONDS, pid
        self._group, self._surroundings, self.spool = group, surroundings, spool
        self.tree = None if group and group.counts_memory else open_tree(pid)
        self.gpu: Any = None
        self.others_may_start: Callable[[], bool] = lambda: False
        self.on_full: Callable[[OSError], None] = lambda _: None
        self.memory, self.cores = MemoryUse(), CoreUse()
        self._queue, self._queue_at, self._queue_delay_seconds = RunQueue(), started_at, 0.0
        self._waited_seconds = self._pressure_seconds = 0.0
        self._kernel_peak_bytes: int | None = None
        self._look_gap_seconds = LOOK_SECONDS
        self._reading: Reading = {}
        self._sources: dict[str, str] = {}
        self._most: Reading = {}
        self._rows = 0
        self._row_at = self.next_at
        self._tree_at = 0.0
        self._window = (started_at, 0.0)

    @property
    def active(self) -> tuple[float, ...]:
        """Figures that move while the job does anything at all."""
        names = ("cpu_seconds", "disk_read_bytes", "disk_write_bytes")
        return tuple(self._reading.get(name, 0.0) for name in names)

    @property
    def kernel_peak_bytes(self) -> int | None:
        return self._kernel_peak_bytes

    def look(self, now: float) -> None:
        """Reads what is due now and says in `next_at` when to come back."""
        elapsed = now - self.started_at
        before = self.memory.bytes_now or 0
        self._look_at_memory(now)
        moved = abs((self.memory.bytes_now or 0) - before) > STEADY_SHARE * before
        quiet = QUIET_SECONDS if self._group else QUIET_TREE_SECONDS
        self._look_gap_seconds = LOOK_SECONDS if moved else min(quiet, self._look_gap_seconds * 1.2)
        self._look_at_cores(now)
        period = self.spool.period_seconds if self.spool else 1.0
        gap = min(period, max(FIRST_GAP_SECONDS, elapsed * GAP_GROWTH))
        if now >= self._queue_at:
            self._look_at_queue(now)
        if now >= self._row_at:
            self._write_row(now)
            self._row_at = now + gap
        self.next_at = min(self._row_at, now + self._look_gap_seconds)

    def finish(self, now: float) -> None:
        """The last look, when the command is over and before its groups go."""
        self._look_at_memory(now)
        self._look_at_cores(now, last=True)
        self.memory.settle(self._kernel_peak_bytes, self._reading.get("cache_bytes", 0.0))
        self._write_row(now)

    def pids(self) -> list[int]:
        """The attempt's living processes."""
        if self._group:
            return self._group.pids()
        assert self.tree is not None
        self.tree.look_again(others_may_start=self.others_may_start())
        return self.tree.pids()

    def _look_at_memory(self, now: float) -> None:
        source = self.tree or self._group
        assert source is not None
        if self.tree and now >= self._tree_at:
            self.tree.look_again(others_may_start=self.others_may_start())
            self._tree_at = now + min(TREE_SECONDS, max(FIRST_GAP_SECONDS, (now - self.started_at) * 0.2))
        peak = self._group.take_peak_bytes() if self._group else None
        reading = source.memory()
        if "memory_bytes" in reading:
            self.memory.add(now, int(reading["memory_bytes"]))
            self.memory.add_kernel_peak(peak, self._beside_bytes(reading, peak))
            self._sources["memory_bytes"] = (
                source.memory_source or "" if isinstance(source, Group) else source.source
            )
        self._keep("swap_bytes", reading)
        self._reading.update({k: v for k, v in reading.items() if k != "memory_bytes"})
        if peak is not None:
            self._kernel_peak_bytes = max(peak, self._kernel_peak_bytes or 0)

    def _beside_bytes(self, reading: Reading, peak: int | None) -> int | None:
        """What was charged beside; read twice where it decides whether there was a spike.

        While somebody else brings the statistics up to date the kernel gives the old ones, tens of MB behind a
        command that reads 5 GB/s (seen in 1 run of 25).
        """
        beside = beside_bytes(reading)
        if beside is None or peak is None or self._group is None or not self.memory.is_spike(peak, beside):
            return beside
        if (
            peak - beside < self.memory.NOISE_BYTES
        ):  # too little to be worth the wait: it is a job of milliseconds
            return beside
        time.sleep(SETTLE_SECONDS)
        return max(beside, beside_bytes(self._group.memory()) or 0)

    def _look_at_cores(self, now: float, *, last: bool = False) -> None:
        since, used_before = self._window
        least = CORE_WINDOW_SECONDS if self._group else TREE_CORE_WINDOW_SECONDS
        if now - since < least and not (last and self.cores.cores_max is None):
            return
        used = self._group.cpu_seconds() if self._group else None
        if used is None and self.tree:
            used = self.tree.cpu_seconds()
        if used is not None:
            self.cores.add(now - since, used - used_before)
            self._window = (now, used)

    def _write_row(self, now: float) -> None:
        reading: Reading = {k: v for k, v in self._reading.items() if k in FROM_MEMORY}
        if self._group:
            self._group.read(reading, self._sources)
        if self.tree:
            self.tree.read(reading, self._sources)
        own_pressure = reading.get("pressure_cpu_seconds", 0.0)
        self._surroundings.read(reading, self._sources)
        self._close_waiting_window(now, own_pressure)
        for name in ("processes", "threads", "threads_peak", "swap_bytes"):
            self._keep(name, reading)
        self._look_at_gpu(reading)
        self._reading.update(reading)
        row = {
            **self._reading,
            "seconds": now - self.started_at,
            "memory_bytes": self.memory.bytes_now,
            "memory_bytes_max": self.memory.take_since_row(),
        }
        self._append(tuple(row.get(name) for name in COLUMNS))

    def _append(self, row: tuple[float | None, ...]) -> None:
        self._rows += 1
        if self.spool is None:
            return
        try:
            self.spool.append(row)
        except OSError as error:
            self.on_full(error)
            self.spool.close()
            self.spool = None

    def _look_at_queue(self, now: float) -> None:
        """More often while there are few tasks: what a task waited since the last look is lost when it ends."""
        pids = self._group.own_pids() if self._group else self.tree.pids() if self.tree else []
        self._queue_delay_seconds += self._queue.grown_seconds(pids)
        self._queue_at = now + QUEUE_SECONDS_A_TASK * max(8, self._queue.tasks)

    def _close_waiting_window(self, now: float, own_pressure_seconds: float) -> None:
        self._look_at_queue(now)
        grown = own_pressure_seconds - self._pressure_seconds
        self._waited_seconds += max(self._queue_delay_seconds, grown)
        self._pressure_seconds, self._queue_delay_seconds = own_pressure_seconds, 0.0

    def _look_at_gpu(self, reading: Reading) -> None:
        if self.gpu is None:
            return
        sample = self.gpu.sample(self._group.pids() if self._group else self.tree.pids() if self.tree else [])
        for name, value in (
            ("gpu_memory_bytes", sample.memory_bytes),
            ("gpu_utilization", sample.utilization),
        ):
            if value is not None:
                reading[name] = value

    def _keep(self, name: str, reading: Reading) -> None:
        if name in reading:
            self._most[name] = max(reading[name], self._most.get(name, 0.0))

    def figures(self, *, wall_seconds: float, usage: resource.struct_rusage | None) -> dict[str, Any]:
        """The receipt's measured fields and their sources; `usage` is the command's own rusage."""
        reading, sources = dict(self._reading), dict(self._sources)
        if usage is not None:
            _fill_from_rusage(reading, sources, usage)
        cpu = reading.get("cpu_seconds")
        threads = self._most.get("threads_peak", self._most.get("threads"))
        waited = self._waited_seconds if self._rows else None
        memory = self.memory
        if memory.bytes_max is None and usage is not None:
            memory.bytes_max = usage.ru_maxrss * RUSAGE_MAXRSS_BYTES
            sources["memory_bytes"] = "rusage"
        return {
            "cpu_user_seconds": reading.get("cpu_user_seconds"),
            "cpu_system_seconds": reading.get("cpu_system_seconds"),
            "cpu_seconds": cpu,
            "cpu_cores_mean": cpu / wall_seconds if cpu is not None and wall_seconds > 0 else None,
            "cpu_cores_p95": self.cores.p95(),
            "cpu_cores_max": self.cores.cores_max,
            "cpu_parallel_share": self.cores.parallel_share(),
            "memory_bytes_max": memory.bytes_max,
            "memory_bytes_kernel_peak": self._kernel_peak_bytes,
            "memory_bytes_mean": memory.mean(),
            "swap_bytes_max": _whole(self._most.get("swap_bytes")),
            **{name: _whole(reading.get(name)) for name in WHOLE},
            "network_scope": self._surroundings.network_scope,
            "processes_max": max(1, int(self._most.get("processes", 1))),
            "threads_max": _whole(threads),
            **{name: reading.get(name) for name in SECONDS},
            "cpu_cores_wanted": cores_wanted(
                wall_seconds=wall_seconds, cpu_seconds=cpu, waited_seconds=waited, threads_max=threads
            ),
            "gpus": self.gpu.summary() if self.gpu is not None else None,
            "samples": self._rows,
            "sources": _named(sources, self._group, gpus=self.gpu is not None),
        }

    def close(self) -> None:
        for owned in (self.spool, self.tree, self._surroundings, self._group, self.gpu):
            if owned is not None:
                owned.close()


FROM_MEMORY = ("cache_bytes", "swap_bytes", "major_faults")
WHOLE = (
    "major_faults", "disk_read_bytes", "disk_write_bytes", "disk_read_operations", "disk_write_operations",
    "network_receive_bytes", "network_send_bytes", "oom_kills",
)  # fmt: skip
SECONDS = (
    "pressure_cpu_seconds", "pressure_memory_seconds", "pressure_io_seconds", "throttled_seconds",
    "steal_seconds",
)  # fmt: skip
RUSAGE_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024  # Linux counts KiB, macOS bytes
RENAMED = {"memory_bytes": "memory_bytes_max", "swap_bytes": "swap_bytes_max", "processes": "processes_max"}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _fill_from_rusage(reading: Reading, sources: dict[str, str], usage: resource.struct_rusage) -> None:
    """Takes rusage where nothing better is known, and where it saw more.

    Disk: rusage counts a page when it is made dirty, the groups when it is written back, if ever and (v1)
    if not by a kernel thread; neither sees what the other misses, so the larger stands.
    """
    figures = {
        "cpu_user_seconds": usage.ru_utime,
        "cpu_system_seconds": usage.ru_stime,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "major_faults": usage.ru_majflt,
    }
    for name, value in figures.items():
        weak = sources.get(name) == "proc" and value > reading.get(name, 0)
        if name not in reading or weak:
            reading[name], sources[name] = value, "rusage"
    for name, blocks in (("disk_read_bytes", usage.ru_inblock), ("disk_write_bytes", usage.ru_oublock)):
        if blocks * RUSAGE_BLOCK_BYTES > reading.get(name, -1):
            reading[name], sources[name] = blocks * RUSAGE_BLOCK_BYTES, "rusage"


def _named(sources: dict[str, str], group: Group | None, *, gpus: bool) -> dict[str, str]:
    """Sources by the receipt's own field names."""
    named = {RENAMED.get(name, name): source for name, source in sources.items()}
    peak = named.pop("threads_peak", None) or named.pop("threads", None)
    named.pop("threads", None)
    if gpus:
        named["gpus"] = "nvml"
    if peak:
        named["threads_max"] = peak
    if group and group.memory_source:
        named["memory_bytes_kernel_peak"] = named["major_faults"] = group.memory_source
        named["swap_bytes_max"] = group.memory_source
    cpu = named.get("cpu_seconds")
    if cpu:
        named.update(dict.fromkeys(("cpu_cores_mean", "cpu_cores_p95", "cpu_cores_max"), cpu))
        named["cpu_parallel_share"] = cpu
        named["cpu_cores_wanted"] = "proc"
    return named
