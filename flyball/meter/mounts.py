"""Where this process stands in the cgroup hierarchies, as paths it can open."""

from __future__ import annotations

import os
from typing import NamedTuple


class Places(NamedTuple):
    """Folders of our own group: one per v1 controller, and the one in the v2 tree."""

    v1: dict[str, str]  # controller -> folder
    v2: str | None
    v2_root: str | None  # where that tree is mounted

    @property
    def version(self) -> str | None:
        """ "v1", "v2", "hybrid" or None."""
        if self.v1:
            return "hybrid" if self.v2 else "v1"
        return "v2" if self.v2 else None


def find_places(pid: int | str = "self") -> Places:
    """Our groups as far as they are mounted where we can see them; empty where there is no /proc."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = [_mount(line) for line in file if " - cgroup" in line]
    except OSError:
        return Places({}, None, None)
    v1: dict[str, str] = {}
    v2 = v2_root = None
    for _, controllers, path in groups:
        if not controllers:
            v2, v2_root = _seen_in(path, [m for m in mounts if m.kind == "cgroup2"])
            continue
        for controller in controllers.split(","):
            folder, _ = _seen_in(
                path, [m for m in mounts if m.kind == "cgroup" and controller in m.options.split(",")]
            )
            if folder:
                v1[controller] = folder
    return Places(v1, v2, v2_root)


class _Mount(NamedTuple):
    root: str
    point: str
    kind: str
    options: str


def _mount(line: str) -> _Mount:
    """Fields as in proc_pid_mountinfo(5): ID parent device root point options ... - kind source options."""
    left, _, right = line.partition(" - ")
    fields, tail = left.split(), right.split()
    return _Mount(_plain(fields[3]), _plain(fields[4]), tail[0], tail[2])


def _plain(path: str) -> str:
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _seen_in(path: str, mounts: list[_Mount]) -> tuple[str | None, str | None]:
    """The group's folder under the first mount that shows it, and that mount's point."""
    for mount in mounts:
        root = mount.root.rstrip("/")
        if path != root and not path.startswith(root + "/"):
            continue  # mounted from a subtree that does not hold our group (a container's bind mount)
        folder = mount.point + path[len(root) :].rstrip("/")
        if os.path.isdir(folder):
            return folder, mount.point
    return None, None
