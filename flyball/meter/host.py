"""The machine a command runs on: processor, usable cores and memory, operating system. No network (see cloud.py)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from flyball.meter.cloud import cloud_facts as cloud_facts  # noqa: PLC0414 - offered here as one of the host's facts
from flyball.meter.mounts import Places, find_places

ARCHITECTURES = {"amd64": "x86_64", "x64": "x86_64", "aarch64": "arm64", "armv8l": "arm64"}
CPUINFO_BYTES = 8192  # the first processor's lines; the whole file is megabytes on a 192-core machine
SMALL_FILE_BYTES = 1 << 20

# Linux on arm64 names no model: implementer and part of MIDR_EL1 do, as in the kernel's asm/cputype.h and util-linux'
# lscpu-arm.c; servers' processors only.
ARM_PARTS = {
    ("0x41", "0xd03"): "Arm Cortex-A53",
    ("0x41", "0xd07"): "Arm Cortex-A57",
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0b"): "Arm Cortex-A76",
    ("0x41", "0xd0c"): "Arm Neoverse N1",
    ("0x41", "0xd40"): "Arm Neoverse V1",
    ("0x41", "0xd49"): "Arm Neoverse N2",
    ("0x41", "0xd4f"): "Arm Neoverse V2",
    ("0x41", "0xd84"): "Arm Neoverse V3",
    ("0x41", "0xd8e"): "Arm Neoverse N3",
    ("0x46", "0x001"): "Fujitsu A64FX",
    ("0x48", "0xd01"): "HiSilicon Kunpeng 920",
    ("0x6d", "0xd49"): "Microsoft Azure Cobalt 100",
    ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1a",
}


def host_facts(root: str = "/", places: Places | None = None) -> dict[str, Any]:
    """The fields of model/receipt.py Host but the cloud's; under 5 ms, never raises, None is unknown.

    Cores and memory are what this process may use: affinity and the limits of every cgroup around it count.
    """
    system = os.uname()
    places = find_places() if places is None else places
    return {
        "hostname": system.nodename or None,
        "os": _os_name(root, system.sysname),
        "kernel": system.release or None,
        "arch": ARCHITECTURES.get(system.machine.lower(), system.machine.lower()) or None,
        "cpu_model": cpu_model(root),
        "cpu_cores": _smallest([_affinity_cores(), *_cpu_quotas(places)]),
        "memory_bytes": _whole(_smallest([_physical_memory_bytes(root), *_memory_limits(places)])),
        "cgroup": places.version,
    }


def cpu_model(root: str = "/") -> str | None:
    """ "AMD EPYC 9R14", "Arm Neoverse V2", "Apple M3"; None where the system does not say."""
    if sys.platform == "darwin" and root == "/":
        return _sysctl_text("machdep.cpu.brand_string")
    info = _first_processor(_read(f"{root}/proc/cpuinfo", CPUINFO_BYTES) or "")
    named = next((info[key] for key in ("model name", "cpu model", "cpu") if info.get(key)), None)
    if named is None and "cpu implementer" in info:
        implementer, part = info["cpu implementer"].lower(), info.get("cpu part", "?").lower()
        named = ARM_PARTS.get((implementer, part), f"Arm implementer {implementer} part {part}")
    if named is None:
        named = (_read(f"{root}/proc/device-tree/model", 256) or "").rstrip("\0")
    return " ".join(named.split()) or None


def _first_processor(cpuinfo: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip().lower(), value.strip())
    return found


def _enclosing(folder: str | None) -> Iterator[str]:
    """Folders of this process's group and of every group around it, as far as they can be seen."""
    while folder and os.path.exists(f"{folder}/cgroup.procs"):
        yield folder
        folder = os.path.dirname(folder)


def _cpu_quotas(places: Places) -> Iterator[float | None]:
    for folder in _enclosing(places.v2):
        yield _ratio((_read(f"{folder}/cpu.max") or "").split())
    for folder in _enclosing(places.v1.get("cpu")):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        yield _ratio([(_read(f"{folder}/{name}") or "").strip() for name in names])


def _ratio(quota_and_period: list[str]) -> float | None:
    """Cores of a quota; None for "max", -1 (v1's no limit) and anything that is not two numbers."""
    if len(quota_and_period) != 2 or not all(text.isdigit() for text in quota_and_period):
        return None
    quota, period = map(int, quota_and_period)
    return quota / period if quota and period else None


def _memory_limits(places: Places) -> Iterator[float | None]:
    for folder in _enclosing(places.v2):
        yield _positive(_read(f"{folder}/memory.max"))
    for folder in _enclosing(places.v1.get("memory")):
        yield _positive(_read(f"{folder}/memory.limit_in_bytes"))


def _physical_memory_bytes(root: str) -> float | None:
    for line in (_read(f"{root}/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            kib = _positive(line.split()[1])
            return None if kib is None else kib * 1024
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) if root == "/" else None
    except (ValueError, OSError):
        return None


def _affinity_cores() -> float | None:
    if hasattr(os, "sched_getaffinity"):
        return float(len(os.sched_getaffinity(0)))
    return float(os.cpu_count() or 0) or None


def _os_name(root: str, fallback: str) -> str | None:
    """ "Debian GNU/Linux 12 (bookworm)", "macOS 15.1"."""
    if sys.platform == "darwin" and root == "/":
        return f"macOS {_sysctl_text('kern.osproductversion') or ''}".strip()
    text = _read(f"{root}/etc/os-release") or _read(f"{root}/usr/lib/os-release") or ""
    named = (
        line.partition("=")[2].strip().strip("\"'")
        for line in text.splitlines()
        if line.startswith("PRETTY_NAME=")
    )
    return next(named, None) or fallback or None


def _sysctl_text(name: str) -> str | None:
    """A text of macOS' sysctl(3), asked of libc itself: starting sysctl(8) takes longer than all the rest."""
    import ctypes

    try:
        text, length = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
        code = ctypes.CDLL(None).sysctlbyname(
            name.encode(), text, ctypes.byref(length), None, ctypes.c_size_t(0)
        )
    except (OSError, AttributeError):
        return None
    return text.value.decode(errors="replace") or None if code == 0 else None


def _positive(text: str | None) -> float | None:
    stripped = (text or "").strip()
    return float(stripped) if stripped.isdigit() and int(stripped) > 0 else None


def _smallest(limits: list[float | None]) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _read(path: str, limit_bytes: int = SMALL_FILE_BYTES) -> str | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(limit_bytes).decode(errors="replace")
    except OSError:
        return None
