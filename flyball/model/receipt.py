"""What the wrapper wrote down about one attempt: the decoded form of its outcome.json."""

from __future__ import annotations

import msgspec

from flyball.model.outcome import Outcome

RECEIPT_SCHEMA = 1


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU as this attempt's own processes used it."""

    index: int
    name: str
    memory_bytes_total: int | None = None
    memory_bytes_max: int | None = None  # summed over the attempt's processes
    utilization_mean: float | None = None  # 0..1 share of time its processes kept the GPU busy
    utilization_max: float | None = None


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The machine it ran on."""

    hostname: str | None = None
    os: str | None = None
    kernel: str | None = None
    arch: str | None = None  # x86_64, arm64
    cpu_model: str | None = None
    cpu_cores: float | None = None  # usable by this process: affinity and enclosing cgroup limits counted
    memory_bytes: int | None = None  # likewise
    cgroup: str | None = None  # "v1", "v2", "hybrid" or None
    cloud: str | None = None
    instance_type: str | None = None
    region: str | None = None
    zone: str | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of the wrapper; None: no limit."""

    memory_bytes: int | None = None
    cpu_cores: float | None = None
    timeout_seconds: float | None = None
    stalled_after_seconds: float | None = None
    grace_seconds: float | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt used and how it ended. None means unknown on this machine, never zero."""

    schema: int = RECEIPT_SCHEMA
    attempt_id: str
    outcome: Outcome
    exit_code: int | None  # what the wrapper passes on; None when the wrapper itself was killed
    signal: int | None = None
    exit_cause: (
        str  # in words: "exit 3", "killed by SIGKILL from outside", "out of memory at its limit of 2 GiB"
    )
    pid: int | None = None
    started_at_seconds: float  # since the epoch, UTC
    ended_at_seconds: float
    complete: bool = (
        True  # False: the wrapper died; figures are up to the last sample or from the kernel's counters
    )

    wall_seconds: float
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    cpu_seconds: float | None = None
    cpu_cores_mean: float | None = None
    cpu_cores_p95: float | None = None
    cpu_cores_max: float | None = None
    cpu_parallel_share: float | None = None  # share of its CPU time spent while more than one core was busy
    memory_bytes_max: int | None = None  # anonymous + shared memory at the peak: what a size must hold
    memory_bytes_kernel_peak: int | None = None  # the kernel's own high-water mark; counts page cache too
    memory_bytes_mean: float | None = None
    swap_bytes_max: int | None = None
    major_faults: int | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    disk_read_operations: int | None = None
    disk_write_operations: int | None = None
    network_receive_bytes: int | None = None
    network_send_bytes: int | None = None
    network_scope: str | None = None  # "namespace": this attempt alone; "host": everything on the machine
    processes_max: int | None = None
    threads_max: int | None = None
    pressure_cpu_seconds: float | None = None  # PSI "some" total: at least one task waited for a core
    pressure_memory_seconds: float | None = None
    pressure_io_seconds: float | None = None
    throttled_seconds: float | None = None  # held back by its own CPU limit
    steal_seconds: float | None = None  # taken by the hypervisor, whole machine
    cpu_cores_wanted: float | None = None  # mean cores it would have used with no one in its way
    oom_kills: int | None = None
    gpus: tuple[Gpu, ...] | None = None  # None: no GPU seen, or NVML not to be had
    output_bytes: int | None = None  # written to stdout and stderr, where they passed through the wrapper
    samples: int = 0
    host: Host
    limits: Limits
    sources: dict[str, str]  # figure -> "cgroup v2", "cgroup v1", "proc", "rusage", "psutil", "nvml", "host"
