"""A receipt as a list of figures in words, each with what it is measured against and where it came from."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from flyball.app.narrate import cores_available, memory_available
from flyball.model.receipt import Gpu, Receipt
from flyball.model.units import show_bytes, show_cores, show_seconds


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    group: str
    name: str
    value: str
    note: str = ""
    source: str = ""


Show = Callable[[float], str]


def figures(receipt: Receipt) -> list[Figure]:
    """Every figure of a receipt that is known, grouped: time, CPU, memory, disk, network, processes, GPU."""
    found = [
        Figure(
            group=group,
            name=name,
            value=show(value),
            note=note(receipt),
            source=receipt.sources.get(field, ""),
        )
        for group, field, name, show, note in _FIELDS
        if (value := getattr(receipt, field)) is not None
    ]
    for gpu in receipt.gpus or ():
        found += _gpu_figures(gpu, receipt.sources.get("gpus", "nvml"))
    return found


def unknown_figures(receipt: Receipt) -> list[str]:
    """Names of the figures that could not be had on that machine."""
    missing = [name for _, field, name, _, _ in _FIELDS if getattr(receipt, field) is None]
    return [*missing, *(["GPU"] if receipt.gpus is None else [])]


def _gpu_figures(gpu: Gpu, source: str) -> list[Figure]:
    found = []
    if gpu.memory_bytes_max is not None:
        note = f"of {show_bytes(gpu.memory_bytes_total)}, {gpu.name}" if gpu.memory_bytes_total else gpu.name
        value = show_bytes(gpu.memory_bytes_max)
        found.append(
            Figure(group="GPU", name=f"GPU {gpu.index} peak memory", value=value, note=note, source=source)
        )
    if gpu.utilization_mean is not None:
        note = "" if gpu.utilization_max is None else f"at most {_percent(gpu.utilization_max)}"
        value = _percent(gpu.utilization_mean)
        found.append(
            Figure(group="GPU", name=f"GPU {gpu.index} mean use", value=value, note=note, source=source)
        )
    return found


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _none(_: Receipt) -> str:
    return ""


def _fixed(text: str) -> Callable[[Receipt], str]:
    return lambda _: text


def _timeout(receipt: Receipt) -> str:
    limit = receipt.limits.timeout_seconds
    return "" if limit is None else f"of {show_seconds(limit)} allowed"


def _user_system(receipt: Receipt) -> str:
    if receipt.cpu_user_seconds is None or receipt.cpu_system_seconds is None:
        return ""
    return f"{show_seconds(receipt.cpu_user_seconds)} user, {show_seconds(receipt.cpu_system_seconds)} system"


def _of_cores(receipt: Receipt) -> str:
    available, what = cores_available(receipt)
    return "" if available is None else f"of {show_cores(available)}" + (f" ({what})" if what else "")


def _of_memory(receipt: Receipt) -> str:
    available, what = memory_available(receipt)
    if available is None or receipt.memory_bytes_max is None:
        return "anonymous + shared: what a size must hold"
    share = _percent(receipt.memory_bytes_max / available)
    return f"{share} of {show_bytes(available)}" + (f" ({what})" if what else "")


def _of_wall(field: str) -> Callable[[Receipt], str]:
    def share(receipt: Receipt) -> str:
        seconds = getattr(receipt, field)
        return f"{_percent(seconds / receipt.wall_seconds)} of the run" if receipt.wall_seconds > 0 else ""

    return share


def _scope(receipt: Receipt) -> str:
    return {"host": "of the whole machine", "namespace": "of this attempt alone"}.get(
        receipt.network_scope or "", ""
    )


_FIELDS: tuple[tuple[str, str, str, Show, Callable[[Receipt], str]], ...] = (
    ("time", "wall_seconds", "wall time", show_seconds, _timeout),
    ("CPU", "cpu_seconds", "CPU time", show_seconds, _user_system),
    ("CPU", "cpu_cores_mean", "mean cores", show_cores, _of_cores),
    ("CPU", "cpu_cores_p95", "95th percentile of cores", show_cores, _none),
    ("CPU", "cpu_cores_max", "most cores", show_cores, _none),
    ("CPU", "cpu_cores_wanted", "cores wanted", show_cores, _fixed("mean, had nothing been in its way")),
    ("CPU", "cpu_parallel_share", "on more than one core", _percent, _fixed("of its CPU time")),
    ("CPU", "pressure_cpu_seconds", "waited for a core", show_seconds, _of_wall("pressure_cpu_seconds")),
    ("CPU", "throttled_seconds", "held back by its limit", show_seconds, _none),
    ("CPU", "steal_seconds", "taken by the hypervisor", show_seconds, _fixed("of the whole machine")),
    ("memory", "memory_bytes_max", "peak memory", show_bytes, _of_memory),
    ("memory", "memory_bytes_mean", "mean memory", show_bytes, _none),
    ("memory", "memory_bytes_kernel_peak", "kernel's own peak", show_bytes, _fixed("page cache counts too")),
    ("memory", "swap_bytes_max", "peak swap", show_bytes, _none),
    ("memory", "major_faults", "major page faults", _count, _none),
    (
        "memory",
        "pressure_memory_seconds",
        "waited for memory",
        show_seconds,
        _of_wall("pressure_memory_seconds"),
    ),
    ("memory", "oom_kills", "processes killed for memory", _count, _none),
    ("disk", "disk_read_bytes", "disk read", show_bytes, _none),
    ("disk", "disk_write_bytes", "disk written", show_bytes, _none),
    ("disk", "disk_read_operations", "disk reads", _count, _none),
    ("disk", "disk_write_operations", "disk writes", _count, _none),
    ("disk", "pressure_io_seconds", "waited for disk", show_seconds, _of_wall("pressure_io_seconds")),
    ("network", "network_receive_bytes", "network received", show_bytes, _scope),
    ("network", "network_send_bytes", "network sent", show_bytes, _scope),
    ("processes", "processes_max", "most processes", _count, _none),
    ("processes", "threads_max", "most threads", _count, _none),
    ("processes", "output_bytes", "output", show_bytes, _fixed("stdout and stderr")),
)
