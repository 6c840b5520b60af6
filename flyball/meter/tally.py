"""Sums over a run that need no list of samples: cores over time, memory over time, waiting for a core."""

from __future__ import annotations

from flyball.meter.counters import Reading

BIN_CORES = 0.01
BUSY_CORES = 1.05  # above it more than one core was at work in that window; below it is clock noise


class CoreUse:
    """Cores in use, by windows; a histogram of a hundredth of a core, so its size does not grow with time."""

    def __init__(self) -> None:
        self._seconds_by_bin: dict[int, float] = {}
        self._wall_seconds = 0.0
        self._cpu_seconds = 0.0
        self._parallel_cpu_seconds = 0.0
        self.cores_max: float | None = None

    def add(self, wall_seconds: float, cpu_seconds: float) -> None:
        """One window."""
        if wall_seconds <= 0 or cpu_seconds < 0:
            return
        cores = cpu_seconds / wall_seconds
        index = round(cores / BIN_CORES)
        self._seconds_by_bin[index] = self._seconds_by_bin.get(index, 0.0) + wall_seconds
        self._wall_seconds += wall_seconds
        self._cpu_seconds += cpu_seconds
        self._parallel_cpu_seconds += cpu_seconds if cores > BUSY_CORES else 0.0
        self.cores_max = max(cores, self.cores_max or 0.0)

    def p95(self) -> float | None:
        """Cores not exceeded during 95 % of the time."""
        left = 0.95 * self._wall_seconds
        for index in sorted(self._seconds_by_bin):
            left -= self._seconds_by_bin[index]
            if left <= 1e-9:
                return min(index * BIN_CORES, self.cores_max or 0.0)
        return self.cores_max

    def parallel_share(self) -> float | None:
        """Share of the CPU time that fell into windows with more than one busy core."""
        return self._parallel_cpu_seconds / self._cpu_seconds if self._cpu_seconds > 0 else None


class MemoryUse:
    """The peak and the mean of the memory that counts."""

    NOISE_BYTES = 2 << 20  # charges are taken in batches of 64 pages per CPU, statistics lag by as much

    def __init__(self) -> None:
        self.bytes_max: int | None = None
        self.bytes_since_row: int | None = None
        self.swap_bytes_max: int | None = None
        self.bytes_now: int | None = None
        self._other_bytes: int | None = None
        self._byte_seconds = 0.0
        self._seconds = 0.0
        self._last_at: float | None = None

    def add(self, at: float, counted_bytes: int) -> None:
        """One look."""
        if self._last_at is not None and self.bytes_now is not None:
            gap = at - self._last_at
            self._byte_seconds += gap * (self.bytes_now + counted_bytes) / 2
            self._seconds += gap
        self._last_at, self.bytes_now = at, counted_bytes
        self._raise(counted_bytes)

    def add_kernel_peak(self, peak_bytes: int | None, other_bytes: int | None) -> None:
        """What the kernel's mark since the last look says about a spike that no look fell into.

        The mark counts page cache and kernel memory too. Whatever of those was there at the last look or is
        there now was taken to be there at the peak, the larger of both: what is left is anonymous or shared.
        Call it after `add`, with what was there beside then; it is counted by itself, for usage less what counts
        is wrong by tens of MB while a command exits: its pages are taken from the statistics first.
        """
        if other_bytes is None:
            return
        if peak_bytes is not None and self.is_spike(peak_bytes, other_bytes):
            self._raise(peak_bytes - max(self._other_bytes or 0, other_bytes))
        self._other_bytes = other_bytes

    def is_spike(self, peak_bytes: int, other_bytes: int) -> bool:
        """Whether the mark, less what else there was, is above all that was seen."""
        seen = self.bytes_since_row or 0
        spike = peak_bytes - max(self._other_bytes or 0, other_bytes)
        return spike > seen + (self.NOISE_BYTES if seen else 0)

    def expect_other(self, other_bytes: int) -> None:
        """What was charged beside at the last look, for a reader who knows it from elsewhere."""
        self._other_bytes = other_bytes

    def settle(self, kernel_peak_bytes: int | None, cache_bytes: float) -> None:
        """For a job too short to be looked at: the kernel's mark less the page cache, kernel memory included."""
        if kernel_peak_bytes is not None and (self.bytes_max or 0) < self.NOISE_BYTES:
            self._raise(min(self.NOISE_BYTES, max(0, kernel_peak_bytes - int(cache_bytes))))

    def take_since_row(self) -> int | None:
        """The largest since the last call."""
        largest, self.bytes_since_row = self.bytes_since_row, self.bytes_now
        return largest

    def mean(self) -> float | None:
        """Over time, from the first look to the last."""
        return self._byte_seconds / self._seconds if self._seconds > 0 else self.bytes_now

    def _raise(self, counted_bytes: int) -> None:
        self.bytes_max = max(counted_bytes, self.bytes_max or 0)
        self.bytes_since_row = max(counted_bytes, self.bytes_since_row or 0)


def beside_bytes(reading: Reading) -> int | None:
    """Page cache and the kernel's own memory; None where the page cache is not known."""
    cache = reading.get("cache_bytes")
    return None if cache is None else int(cache + reading.get("kernel_bytes", 0))


def cores_wanted(
    *, wall_seconds: float, cpu_seconds: float | None, waited_seconds: float | None, threads_max: float | None
) -> float | None:
    """Mean cores it would have used with no one in its way: (CPU time + time spent waiting for a core) / wall.

    Waiting is the larger, window by window, of two figures that each miss something: the tasks' own
    run-queue delay (/proc/<pid>/task/*/schedstat, which a task takes with it when it ends) and the group's
    PSI "some" total for CPU (which counts a second once however many tasks waited in it). Time held back
    by its own CPU limit is in both. Never more than its threads. The run would also have been shorter,
    so for a job of fixed work this is a rate, not a total.
    """
    if cpu_seconds is None or waited_seconds is None or wall_seconds <= 0:
        return None
    wanted = (cpu_seconds + waited_seconds) / wall_seconds
    most = max(threads_max, cpu_seconds / wall_seconds) if threads_max is not None else wanted
    return min(wanted, most)
