"""GPU memory and utilization of chosen processes, asked of the driver in-process (NVML), never through nvidia-smi.

It talks to libnvidia-ml.so.1 through ctypes alone: the ten calls needed cost 0.5 MiB and 2 ms, importing pynvml
cost 5 MiB and 19 ms (measured), in a wrapper that may take 25 MiB. The tests load the same library through the
real pynvml (nvidia-ml-py) to show that both read the same figures.

Not tried on a real GPU: written from NVIDIA's NVML reference and pynvml's structures, and tested against a
stand-in library that speaks the same C interface (tests/e2e/nvml_stand_in.c).
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

LIBRARY = "libnvidia-ml.so.1"
SUCCESS, NOT_SUPPORTED, NOT_FOUND, INSUFFICIENT_SIZE, FUNCTION_NOT_FOUND = 0, 3, 6, 7, 13
# After these the device never answers again: uninitialized, driver not loaded, GPU is lost, reset required.
GONE = frozenset({1, 9, 15, 16})
MEMORY_NOT_AVAILABLE = 2**64 - 1
INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of the kernel; a constant since Linux 3.8
ROOM_FOR_NEW_PROCESSES = 16  # between asking how many there are and asking for them


class GpuSample(NamedTuple):
    """What the given processes hold now; None is unknown."""

    memory_bytes: int | None  # summed over GPUs
    utilization: float | None  # 0..1, mean over the GPUs that they use; 0 when they use none


class _ProcessInfo(ctypes.Structure):  # nvmlProcessInfo_v2_t, the same for the _v3 calls
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used_bytes", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class _ProcessUtilization(ctypes.Structure):  # nvmlProcessUtilizationSample_t
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("timestamp", ctypes.c_ulonglong),
        ("sm_percent", ctypes.c_uint),
        ("memory_percent", ctypes.c_uint),
        ("encoder_percent", ctypes.c_uint),
        ("decoder_percent", ctypes.c_uint),
    )


class _Memory(ctypes.Structure):  # nvmlMemory_t
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class _Rates(ctypes.Structure):  # nvmlUtilization_t
    _fields_ = (("gpu_percent", ctypes.c_uint), ("memory_percent", ctypes.c_uint))


class _Library:
    """The C library; a call it does not have answers FUNCTION_NOT_FOUND like any other error."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)

    def call(self, name: str, *arguments: Any) -> int:
        function = getattr(self._library, name, None)
        return FUNCTION_NOT_FOUND if function is None else int(function(*arguments))

    def first_known(self, names: Iterable[str]) -> str | None:
        return next((name for name in names if hasattr(self._library, name)), None)


class _Device:
    """One GPU: what chosen processes hold on it, and what they held at most."""

    def __init__(self, library: _Library, index: int, handle: ctypes.c_void_p) -> None:
        self._library, self.index, self._handle = library, index, handle
        self._lost = False
        self.name = self._read_name()
        self.memory_bytes_total = self._read_total()
        self.memory_bytes_max: int | None = None
        self._seen_until = 0  # driver's microseconds of the newest utilization sample read
        self._busy_seconds, self._known_seconds = 0.0, 0.0
        self._utilization_max: float | None = None

    def _call(self, name: str, *arguments: Any) -> int:
        if self._lost:
            return FUNCTION_NOT_FOUND
        code = self._library.call(name, self._handle, *arguments)
        self._lost = code in GONE
        return code

    def _read_name(self) -> str:
        text = ctypes.create_string_buffer(96)  # NVML_DEVICE_NAME_V2_BUFFER_SIZE
        code = self._call("nvmlDeviceGetName", text, ctypes.c_uint(len(text)))
        return text.value.decode(errors="replace") if code == SUCCESS else "unknown GPU"

    def _read_total(self) -> int | None:
        memory = _Memory()
        code = self._call("nvmlDeviceGetMemoryInfo", ctypes.byref(memory))
        return int(memory.total) if code == SUCCESS else None

    def memory_by_pid(self) -> dict[int, int | None] | None:
        """Bytes of each process on this GPU, of any kind; None when the driver does not say.

        A process that computes and draws is in both lists with one and the same figure, so the larger counts.
        """
        compute = self._processes("Compute")
        if compute is None:
            return None
        by_pid: dict[int, int | None] = {}
        for pid, used_bytes in (
            *compute,
            *(self._processes("Graphics") or ()),
            *(self._processes("MPSCompute") or ()),
        ):
            known = by_pid.get(pid)
            by_pid[pid] = used_bytes if known is None else max(known, used_bytes or 0)
        return by_pid

    def _processes(self, kind: str) -> list[tuple[int, int | None]] | None:
        # _v3: drivers since 510; _v2: since 450, with the same structure.
        name = self._library.first_known(f"nvmlDeviceGet{kind}RunningProcesses_v{v}" for v in (3, 2))
        rows = (
            None if name is None else self._rows(_ProcessInfo, lambda buffer, n: self._call(name, n, buffer))
        )
        if rows is None:
            return None
        return [
            (row.pid, None if row.used_bytes == MEMORY_NOT_AVAILABLE else int(row.used_bytes)) for row in rows
        ]

    def _rows(self, row_type: type[ctypes.Structure], ask: Callable[[Any, Any], int]) -> list[Any] | None:
        """The driver's list, by its convention of asking first for the count; None when it refuses."""
        count = ctypes.c_uint(0)
        code = ask(None, ctypes.byref(count))
        if code in {SUCCESS, NOT_FOUND}:
            return []
        if code != INSUFFICIENT_SIZE:
            return None
        rows = (row_type * (count.value + ROOM_FOR_NEW_PROCESSES))()
        count.value = len(rows)
        code = ask(rows, ctypes.byref(count))
        if code == NOT_FOUND:
            return []
        return list(rows[: count.value]) if code == SUCCESS else None

    def utilization_of(self, pids: Collection[int], all_pids: Collection[int]) -> float | None:
        """Share of time these processes kept this GPU busy since the last call; None when not to be told apart."""
        rows = self._rows(
            _ProcessUtilization,
            lambda buffer, n: self._call(
                "nvmlDeviceGetProcessUtilization", buffer, n, ctypes.c_ulonglong(self._seen_until)
            ),
        )
        if rows is None:
            return self._device_utilization() if set(all_pids) <= set(pids) else None
        self._seen_until = max([self._seen_until, *(int(row.timestamp) for row in rows)])
        percents: dict[int, list[int]] = {}
        for row in rows:
            if row.pid in pids and row.sm_percent <= 100:  # drivers are known to hand out garbage above 100
                percents.setdefault(row.pid, []).append(row.sm_percent)
        return min(1.0, sum(sum(each) / len(each) for each in percents.values()) / 100)

    def _device_utilization(self) -> float | None:
        rates = _Rates()
        code = self._call("nvmlDeviceGetUtilizationRates", ctypes.byref(rates))
        return min(1.0, rates.gpu_percent / 100) if code == SUCCESS else None

    def remember(self, memory_bytes: int | None, utilization: float | None, seconds: float) -> None:
        if memory_bytes is not None:
            self.memory_bytes_max = max(memory_bytes, self.memory_bytes_max or 0)
        if utilization is not None:
            self._utilization_max = max(utilization, self._utilization_max or 0.0)
            self._busy_seconds += utilization * seconds
            self._known_seconds += seconds

    def summary(self) -> dict[str, Any]:
        """Its fields as in model/receipt.py Gpu."""
        return {
            "index": self.index,
            "name": self.name,
            "memory_bytes_total": self.memory_bytes_total,
            "memory_bytes_max": self.memory_bytes_max,
            "utilization_mean": self._busy_seconds / self._known_seconds if self._known_seconds else None,
            "utilization_max": self._utilization_max,
        }


class GpuMeter:
    """The GPUs of this machine, read for the processes of one attempt."""

    def __init__(self, library: _Library, devices: list[_Device]) -> None:
        self._library, self._devices = library, devices
        # Drivers may report the host's pids to a container: a pid of ours that is missing then says nothing.
        self._pids_comparable = _namespace_of_pids() == INITIAL_PID_NAMESPACE
        self._sampled_at = time.monotonic()

    @classmethod
    def open(cls, library: str = LIBRARY) -> GpuMeter | None:
        """None when there is no driver, no library or no GPU. Can take a second: call it after the job started."""
        if not sys.platform.startswith("linux"):
            return None
        try:
            nvml = _Library(library)
        except OSError:
            return None
        if nvml.call("nvmlInit_v2") != SUCCESS:
            return None
        devices = _devices(nvml)
        if not devices:
            nvml.call("nvmlShutdown")
            return None
        return cls(nvml, devices)

    def sample(self, pids: Collection[int]) -> GpuSample:
        """What these processes hold now. Unknown, not 0, where the driver does not say or may mean other pids."""
        now = time.monotonic()
        seconds, self._sampled_at = now - self._sampled_at, now
        lists = [(device, device.memory_by_pid()) for device in self._devices]
        if any(not by_pid.keys().isdisjoint(pids) for _, by_pid in lists if by_pid):
            self._pids_comparable = True
        readings = [self._read(device, by_pid, pids, seconds) for device, by_pid in lists]
        return GpuSample(_sum(memory for memory, _, _ in readings), _mean_of_used(readings))

    def _read(
        self, device: _Device, by_pid: dict[int, int | None] | None, pids: Collection[int], seconds: float
    ) -> tuple[int | None, float | None, bool]:
        """Memory, utilization, and whether these processes use this GPU at all."""
        if by_pid is None or not self._pids_comparable:
            return None, None, True
        ours = [by_pid[pid] for pid in by_pid if pid in pids]
        memory_bytes = _sum(ours)
        utilization = device.utilization_of(pids, by_pid) if ours else 0.0
        device.remember(memory_bytes, utilization, seconds)
        return memory_bytes, utilization, bool(ours)

    def summary(self) -> list[dict[str, Any]]:
        """Every GPU with the most these processes held on it, also the idle ones: they are paid for too."""
        return [device.summary() for device in self._devices]

    def close(self) -> None:
        self._library.call("nvmlShutdown")


def _devices(library: _Library) -> list[_Device]:
    count = ctypes.c_uint(0)
    if library.call("nvmlDeviceGetCount_v2", ctypes.byref(count)) != SUCCESS:
        return []
    found = []
    for index in range(count.value):
        handle = ctypes.c_void_p()
        code = library.call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
        if code == SUCCESS:  # one broken card must not hide the others
            found.append(_Device(library, index, handle))
    return found


def _namespace_of_pids() -> str | None:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def _sum(parts: Iterable[int | None]) -> int | None:
    """None if one part is unknown: a sum that leaves it out would look like a measured figure."""
    total = 0
    for part in parts:
        if part is None:
            return None
        total += part
    return total


def _mean_of_used(readings: list[tuple[int | None, float | None, bool]]) -> float | None:
    used = [utilization for _, utilization, uses in readings if uses]
    if not used:
        return 0.0
    known = [utilization for utilization in used if utilization is not None]
    return sum(known) / len(known) if len(known) == len(used) else None
