"""What both cgroup versions do with a group's folder: make, list, kill, remove."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable


def make(folder: str) -> str | None:
    """The folder of a new group (one left over by the same attempt is taken again), or None."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return folder
    except OSError:
        return None
    return folder


def write_value(folder: str | None, name: str, value: str) -> bool:
    """Whether the kernel took that value."""
    if folder is None:
        return False
    try:
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(value)
    except OSError:
        return False
    return True


def read_value(folder: str, name: str) -> str | None:
    """That file's text, or None."""
    try:
        with open(os.path.join(folder, name), encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def pids_in(folder: str) -> list[int]:
    """Processes in the group and in those below; zombies are not listed by the kernel."""
    found: list[int] = []
    for below, _, names in os.walk(folder):
        if "cgroup.procs" in names:
            found += [int(word) for word in (read_value(below, "cgroup.procs") or "").split()]
    return [pid for pid in found if pid > 0]  # 0: a process of a pid namespace we cannot see


def kill_all(pids: Callable[[], list[int]], rounds: int = 50) -> None:
    """SIGKILL until nobody is left, or for that many rounds: each catches what forked meanwhile."""
    for _ in range(rounds):
        now = pids()
        if not now:
            return
        send(now, signal.SIGKILL)


def send(pids: list[int], number: int) -> None:
    """The signal to each that still exists."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


def remove(folder: str, patience_seconds: float = 1.0) -> bool:
    """Whether the group is gone. A just killed process may hold it for some milliseconds."""
    give_up = time.monotonic() + patience_seconds
    while not _remove_now(folder):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.005)
    return True


def _remove_now(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        for below in _below(folder):
            _remove_now(below)  # groups the job itself made; gone on the next try
        return False
    return True


def _below(folder: str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
