"""Who a process is beyond its number: numbers come round again, (boot, number, start) does not."""

from __future__ import annotations

import os


def boot_id() -> str | None:
    """This boot's id; None where the kernel gives none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def start_ticks(pid: int) -> int | None:
    """Clock ticks after boot when that process started; None when there is no such process or no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def is_alive(pid: int, started_ticks: int | None, boot: str | None) -> bool:
    """Whether that very process still runs. Without /proc: whether some process has its number."""
    if boot != boot_id():
        return False
    if started_ticks is not None:
        return start_ticks(pid) == started_ticks
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
