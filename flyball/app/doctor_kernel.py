"""What the kernel lets us do here, found out by doing it: groups, limits, pressure, GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from flyball.app.finding import Finding
from flyball.meter.gpu import GpuMeter
from flyball.meter.group import SWITCH, Group, open_group
from flyball.meter.mounts import find_places
from flyball.meter.order import CannotLimit, Order
from flyball.model.units import MIB

DELEGATE = "systemd-run --user --scope -p Delegate=yes flyball run -- COMMAND, or run as root"
TRIAL_LIMIT_BYTES, TRIAL_BYTES = 48 * MIB, 128 * MIB
TRIAL_SECONDS_MAX = 20.0

# Enters the groups whose doors are named, then touches more memory than they allow.
_TRIAL = """
import os, sys
for door in sys.argv[2:]:
    os.write(int(door), b"0")
held = bytearray(int(sys.argv[1]))
held[::4096] = b"x" * len(held[::4096])
"""


def kernel_findings() -> list[Finding]:
    """Control groups and their limits, pressure, GPU."""
    if sys.platform == "darwin":
        return [_mac_limits(), _mac_psutil()]
    return [_groups(), _memory_limit(), _cpu_limit(), pressure(Path("/proc/pressure")), gpu(GpuMeter.open())]


def _order(what: str, **limits: float) -> Order:
    memory, cores = limits.get("memory"), limits.get("cores")
    return Order(
        attempt_id=f"doctor-{what}-{os.getpid()}",
        command=(),
        folder="",
        memory_limit_bytes=None if memory is None else int(memory),
        cpu_cores_limit=cores,
    )


def _groups() -> Finding:
    version = find_places().version
    if os.environ.get(SWITCH) == "off":
        return Finding(
            name="control groups", ok=None, says=f"switched off by {SWITCH}", fix=f"unset {SWITCH}"
        )
    group = open_group(_order("group"))
    if group is None:
        seen = (
            "none are mounted here" if version is None else f"cgroup {version} is here, but not ours to use"
        )
        says = f"{seen}: figures come from /proc, which misses what lives for milliseconds"
        return Finding(name="control groups", ok=False, says=says, fix=DELEGATE)
    memory, cpu = group.memory_source, group.cpu_source
    _leave(group)
    says = f"a run gets a group of its own (memory from {memory or 'the process tree'}, CPU from {cpu})"
    return Finding(name="control groups", ok=True, says=says)


def _memory_limit() -> Finding:
    """A child is put under a limit and must be killed for passing it."""
    name = "memory limits"
    try:
        group = open_group(_order("memory", memory=TRIAL_LIMIT_BYTES))
    except CannotLimit as refusal:
        return Finding(name=name, ok=False, says=f"--memory cannot be held: {refusal.why}", fix=refusal.hint)
    if group is None:
        return Finding(name=name, ok=False, says="--memory cannot be held", fix=DELEGATE)
    try:
        code = _trial(group)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name=name, ok=None, says=f"the trial could not be made: {error}")
    finally:
        _leave(group)
    if code == -signal.SIGKILL:
        return Finding(name=name, ok=True, says="--memory is held: a trial beyond its limit was killed")
    return Finding(
        name=name,
        ok=False,
        says=f"a trial passed its limit and was not killed (it ended with {code}): it may have been swapped out",
        fix="swapoff -a, or count on a limit slowing a job down instead of ending it",
    )


def _trial(group: Group) -> int:
    doors = group.doors()
    try:
        command = [sys.executable, "-I", "-S", "-c", _TRIAL, str(TRIAL_BYTES), *map(str, doors)]
        child = subprocess.run(  # noqa: S603 - our own program
            command, pass_fds=doors, check=False, stderr=subprocess.DEVNULL, timeout=TRIAL_SECONDS_MAX
        )
    finally:
        for door in doors:
            os.close(door)
    return child.returncode


def _cpu_limit() -> Finding:
    name = "CPU limits"
    try:
        group = open_group(_order("cpu", cores=0.5))
    except CannotLimit as refusal:
        return Finding(name=name, ok=False, says=f"--cpus cannot be held: {refusal.why}", fix=refusal.hint)
    if group is None:
        return Finding(name=name, ok=False, says="--cpus cannot be held", fix=DELEGATE)
    _leave(group)
    return Finding(name=name, ok=True, says="--cpus is held: the kernel took a quota")


def _leave(group: Group) -> None:
    group.kill()
    group.remove()
    group.close()


def pressure(folder: Path) -> Finding:
    """Whether waiting can be told from idling (PSI)."""
    name = "pressure (PSI)"
    without = "how long a job waited for a core, memory or disk stays unknown"
    missing = []
    for what in ("cpu", "memory", "io"):
        try:
            (folder / what).read_text(encoding="ascii")
        except OSError:  # no file: not built in; EOPNOTSUPP: switched off
            missing.append(what)
    if not missing:
        return Finding(name=name, ok=True, says="stalls for cpu, memory and io are counted")
    fix = "boot with psi=1 on the kernel's command line (kernel 4.20 or later, CONFIG_PSI=y)"
    return Finding(name=name, ok=False, says=f"not for {', '.join(missing)}: {without}", fix=fix)


def gpu(meter: GpuMeter | None) -> Finding:
    if meter is not None:
        names = ", ".join(str(each["name"]) for each in meter.summary())
        meter.close()
        return Finding(name="GPU", ok=True, says=f"NVML answers for {names}")
    if Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia/version").exists():
        fix = "install libnvidia-ml.so.1 of the driver; in a container set NVIDIA_DRIVER_CAPABILITIES=utility,compute"
        return Finding(name="GPU", ok=False, says="there is an NVIDIA GPU, but NVML does not answer", fix=fix)
    return Finding(name="GPU", ok=None, says="no NVIDIA GPU here")


def _mac_limits() -> Finding:
    says = "macOS has no control groups: --memory and --cpus cannot be held, and stalls stay unknown"
    return Finding(name="limits", ok=None, says=says, fix="use --timeout and --stalled-after, or Linux")


def _mac_psutil() -> Finding:
    from importlib.util import find_spec

    if find_spec("psutil"):
        return Finding(name="process figures", ok=True, says="read through psutil")
    return Finding(
        name="process figures",
        ok=False,
        says="psutil is not installed: memory and CPU stay unknown",
        fix="pip install 'flyball[mac]'",
    )
