"""The control groups of one attempt, whatever versions this machine has, behind one face."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flyball.meter.counters import Reading
from flyball.meter.group_folder import make, read_value, write_value
from flyball.meter.group_v1 import GroupV1
from flyball.meter.group_v2 import GroupV2
from flyball.meter.mounts import Places, find_places
from flyball.meter.order import CannotLimit, Order

if TYPE_CHECKING:
    from typing import TypeAlias

    Part: TypeAlias = GroupV1 | GroupV2

PREFIX = "flyball-"
SUPERVISOR = "flyball-supervisor"  # the leaf a wrapper moves into when it stands alone in a delegated group
SWITCH = "FLYBALL_METER_CGROUP"  # "off": do as on a machine without control groups
WANTED = ("memory", "cpu", "io", "pids")


class Group:
    """One attempt's groups: v2, v1, or v1 with the v2 tree beside it (hybrid: CPU, PSI and kill come from v2)."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self._memory = next((part for part in parts if part.has_memory), None)
        self._cpu = parts[0]

    @property
    def counts_memory(self) -> bool:
        return self._memory is not None

    @property
    def memory_source(self) -> str | None:
        return self._memory.source if self._memory else None

    @property
    def cpu_source(self) -> str:
        return self._cpu.source

    def doors(self) -> list[int]:
        """Open files; whoever writes 0 to each is inside."""
        return [door for part in self.parts for door in part.doors()]

    def memory(self) -> Reading:
        return self._memory.memory() if self._memory else {}

    def take_peak_bytes(self) -> int | None:
        return self._memory.take_peak_bytes() if self._memory else None

    def cpu_seconds(self) -> float | None:
        return self._cpu.cpu_seconds()

    def read(self, reading: Reading, sources: dict[str, str]) -> None:
        """Adds every figure it has and that is not there yet, and where it came from."""
        for part in self.parts:
            for name, value in part.read().items():
                if name not in reading:
                    reading[name] = value
                    sources[name] = part.source

    def own_pids(self) -> list[int]:
        """Processes in the group itself, not in groups the job made; cheap."""
        return self.parts[0].own_pids()

    def pids(self) -> list[int]:
        """Processes inside any of them."""
        return sorted({pid for part in self.parts for pid in part.pids()})

    def kill(self) -> None:
        """SIGKILL to all of them, forks in flight too."""
        for part in self.parts:  # v2 first: one write ends them all
            part.kill()

    def remove(self) -> bool:
        removed = [part.remove() for part in self.parts]
        return all(removed)

    def close(self) -> None:
        for part in self.parts:
            part.close()

    def limit(self, order: Order) -> None:
        """Holds the order's limits from now on. Raises CannotLimit."""
        memory, cores = order.memory_limit_bytes, order.cpu_cores_limit
        if memory is not None and not _any(part.limit_memory(memory) for part in self.parts):
            raise CannotLimit(f"cannot limit memory to {memory} bytes", *_why("memory"))
        if cores is not None and not _any(part.limit_cpu(cores) for part in self.parts):
            raise CannotLimit(f"cannot limit the command to {cores} cores", *_why("cpu"))

    def recorded(self) -> dict[str, Any]:
        """What `reopen` needs."""
        recorded: dict[str, Any] = {}
        for part in self.parts:
            if isinstance(part, GroupV1):
                recorded["v1"] = part.folders
            else:
                recorded["v2"] = part.folder
        return recorded


def _any(done: Iterable[bool]) -> bool:
    """Whether one was; all are tried."""
    return True in list(done)


def reopen(recorded: dict[str, Any]) -> Group | None:
    """The groups an intent names, as far as they still exist; None when none does."""
    parts: list[Part] = []
    for version, place in recorded.items():
        try:
            parts.append(GroupV1(dict(place)) if version == "v1" else GroupV2(str(place)))
        except (OSError, ValueError):
            continue
    parts.sort(key=lambda part: isinstance(part, GroupV1))
    return Group(parts) if parts else None


def open_group(order: Order) -> Group | None:
    """Groups of its own for this order with its limits set, or None where none can be had.

    Raises CannotLimit when a limit is asked for and cannot be held; then nothing is left behind.
    """
    group = (
        None
        if os.environ.get(SWITCH) == "off"
        else _make(find_places(), PREFIX + (order.group or order.attempt_id).replace(os.sep, "_"))
    )
    if group is None:
        if order.memory_limit_bytes is not None or order.cpu_cores_limit is not None:
            what = "memory" if order.memory_limit_bytes is not None else "cpu"
            raise CannotLimit(f"cannot limit {what} on this machine", *_why(what))
        return None
    try:
        group.limit(order)
    except CannotLimit:
        group.remove()
        group.close()
        raise
    return group


def _make(places: Places, name: str) -> Group | None:
    parts: list[Part] = []
    try:
        if places.v2:
            parts.append(GroupV2.create(_v2_parent(places), name))
    except OSError:
        pass
    try:
        if places.v1:
            parts.append(GroupV1.create(places.v1, name))
    except OSError:
        pass
    return Group(parts) if parts else None


def _v2_parent(places: Places) -> str:
    """The group to make ours in: our own where controllers can be had there, else the nearest fit one above.

    The kernel gives controllers only to children of a group without processes (or of the root). In a
    terminal's scope that means going up to the slice the user owns; never past a limit, and never out of a
    service, whose manager would lose sight of the job.
    """
    own = str(places.v2)
    if os.path.basename(own) == SUPERVISOR:
        own = os.path.dirname(own)
    if _enable(own) or _enable_alone(own):
        return own
    folder = own
    while folder != places.v2_root and folder.endswith(".scope") and not _is_limited(folder):
        folder = os.path.dirname(folder)
        if "memory" in _enabled(folder) and os.access(os.path.join(folder, "cgroup.procs"), os.W_OK):
            return folder
    return own


def _enabled(folder: str) -> list[str]:
    return (read_value(folder, "cgroup.subtree_control") or "").split()


def _enable(folder: str) -> bool:
    """Whether children of that group get the memory controller; all wanted ones are asked for one by one."""
    offered = (read_value(folder, "cgroup.controllers") or "").split()
    for controller in WANTED:
        if controller in offered and controller not in _enabled(folder):
            write_value(folder, "cgroup.subtree_control", "+" + controller)
    return "memory" in _enabled(folder)


def _enable_alone(folder: str) -> bool:
    """The same for a delegated group (`systemd-run -p Delegate=yes`) in which only this process stands."""
    if (read_value(folder, "cgroup.procs") or "").split() != [str(os.getpid())]:
        return False
    leaf = make(os.path.join(folder, SUPERVISOR))
    if leaf is None or not write_value(leaf, "cgroup.procs", "0"):
        return False
    return _enable(folder)


def _is_limited(folder: str) -> bool:
    files = ("memory.max", "memory.high", "memory.swap.max", "pids.max")
    values = [read_value(folder, name) for name in files]
    cpu = (read_value(folder, "cpu.max") or "max").split()[0]
    return any(value not in (None, "max") for value in [*values, cpu])


def _why(controller: str) -> tuple[str, str]:
    """Why a limit cannot be held here, and what to do about it."""
    places = find_places()
    if os.environ.get(SWITCH) == "off":
        return f"control groups are switched off by {SWITCH}", f"unset {SWITCH}"
    if places.version is None:
        return "it needs Linux control groups, and none are mounted here", "run without the limit"
    return (
        f"this user may not make a control group with the {controller} controller ({places.version})",
        "run as root, or inside: systemd-run --user --scope -p Delegate=yes flyball run ...",
    )
