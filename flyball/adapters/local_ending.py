"""Ending what runs on a local machine, whatever state its wrapper is in, so that nothing outlives its attempt."""

from __future__ import annotations

import os
import signal
import time

from flyball.adapters.local_machines import MachineFolder
from flyball.meter import record
from flyball.meter.group import reopen
from flyball.meter.group_folder import send
from flyball.meter.keeper import RELEASE, STOP
from flyball.meter.one_machine import OUTPUT, write_ended
from flyball.meter.process import start_ticks
from flyball.meter.recover import recover

ROUNDS = 200  # of killing what is left: a fork bomb forks on between the looks
WRAPPER_SECONDS = 5.0  # in which a wrapper that was told to end at once must have written its outcome
NOTHING_LEFT_BEHIND = "its wrapper was killed before the command began"


def ask_to_stop(machine: MachineFolder) -> None:
    """With its grace; the wrapper does it. Raises: OSError."""
    if machine.ended() or machine.launched is None:
        return
    _make(machine, STOP)
    if claim_for_nobody(machine):
        write_ended(machine.path, "cancelled", "stopped before it started")
    else:
        _wake(machine)


def end_now(machine: MachineFolder) -> None:
    """When this returns nothing of it runs, and its outcome is on record if the command had begun. Raises: OSError."""
    if claim_for_nobody(machine) or machine.ended():
        return
    if machine.is_attended():
        _make(machine, RELEASE)
        _wake(machine)
        give_up = time.monotonic() + WRAPPER_SECONDS
        pause = 0.001
        while machine.is_attended() and time.monotonic() < give_up:
            time.sleep(pause)
            pause = min(0.05, pause * 1.5)
        pid = machine.wrapper_pid()
        if machine.is_attended() and pid is not None:
            send([pid], signal.SIGKILL)
            while machine.is_attended():
                time.sleep(0.001)
    if not machine.ended():
        close_unattended(machine)


def close_unattended(machine: MachineFolder) -> None:
    """Its wrapper is dead and left no outcome: ends what it left running, and writes the outcome. Raises: OSError."""
    if machine.ended():
        return
    intent = record.read_json(os.path.join(machine.runs, record.INTENT)) or {}
    for round_number in range(ROUNDS):
        pids = _left_running(machine, intent)
        if not pids:
            break
        group = reopen(intent.get("groups", {}))
        if group:
            group.kill()
            group.close()
        send(pids, signal.SIGKILL)
        time.sleep(min(0.05, 0.001 * 1.5**round_number))
    recover(machine.runs)
    if not machine.ended():
        write_ended(machine.path, "lost", NOTHING_LEFT_BEHIND)


def claim_for_nobody(machine: MachineFolder) -> bool:
    """Whether it had never begun to run; then it never will. Raises: OSError."""
    try:
        os.mkdir(machine.runs, 0o700)
    except FileExistsError:
        return False
    return True


def _make(machine: MachineFolder, name: str) -> None:
    path = os.path.join(machine.path, name)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _wake(machine: MachineFolder) -> None:
    """SIGCHLD makes a wrapper look around, and is passed on to nobody."""
    if machine.is_attended() and (pid := machine.wrapper_pid()) is not None:
        send([pid], signal.SIGCHLD)


def _left_running(machine: MachineFolder, intent: dict[str, object]) -> list[int]:
    """By its control group, and by the output folder that only its processes have in their environment."""
    group = reopen(intent.get("groups", {}))  # type: ignore[arg-type]
    found = set(group.pids()) if group else set()
    if group:
        group.close()
    main, ticks = intent.get("pid"), intent.get("pid_started_ticks")
    if isinstance(main, int) and ticks is not None and start_ticks(main) == ticks:
        found.add(main)
    mark = f"FLYBALL_OUTPUT={os.path.join(machine.runs, OUTPUT)}".encode()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit() and int(name) not in found and _has(name, mark):
            found.add(int(name))
    found.discard(os.getpid())
    return [pid for pid in found if start_ticks(pid) is not None]


def _has(pid: str, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False
