"""One order carried out by the wrapper process that was forked for it, exactly once.

The claim: the lock of the machine's folder, and the making of the attempt's folder, which nobody ever removes. Of any
number of processes that are given the same order one gets both; should it die right after, nobody starts it again.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Any

from flyball.meter import record
from flyball.meter.aftercheck import Aftercheck, append_to_log
from flyball.meter.ending import NOT_STARTED
from flyball.meter.keeper import ENDED, LOCK, NOTES, PROGRESS, Keeper
from flyball.meter.order import CannotLimit, Order
from flyball.meter.supervise import run_metered

OUTPUT = "output"  # in the attempt's folder: what the command makes until it is known to be whole
RECORD_FOR_SECONDS = 600.0  # a full disk may have room again


def run_machine(asked: dict[str, Any]) -> None:
    """Runs it to its end when this process is the first to claim it; leaves its outcome in its folder."""
    os.setsid()
    machine, folder = asked["machine"], asked["folder"]
    if not claim(machine, folder):
        return
    _leave_our_streams()
    output = os.path.join(folder, OUTPUT)
    os.mkdir(output, 0o700)
    order = order_of(asked, output)
    aftercheck = Aftercheck.before_start(asked, output, order.env or {})
    keeper = Keeper(
        machine,
        lease_seconds=asked["lease_seconds"],
        grace_seconds=order.grace_seconds,
        judge=aftercheck.judged,
    )
    asked_to_end = keeper.asked()
    if asked_to_end is not None:  # before it began
        write_ended(machine, "cancelled", f"{asked_to_end[0]} before it started")
        return
    receipt = _run(order, keeper, machine)
    if receipt["exit_cause"].startswith(NOT_STARTED):
        append_to_log(folder, f"{order.command[0]}: {receipt['exit_cause']}")
    _keep_trying_to_record(folder, receipt)
    try:
        os.rmdir(output)
    except OSError:
        pass  # something is left in it


def claim(machine: str, folder: str) -> bool:
    """Whether this process, and no other ever, is to run it. It holds the lock until it ends."""
    try:
        lock = os.open(os.path.join(machine, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return False  # it was given back
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.mkdir(folder, 0o700)
    except OSError:
        os.close(lock)
        return False
    try:
        os.write(lock, b"%d" % os.getpid())
    except OSError:
        pass  # a full disk: then nobody can wake us, and we look by ourselves
    return True


def refuse(asked: dict[str, Any], why: str) -> None:
    """It could not even be begun, and never will be."""
    if claim(asked["machine"], asked["folder"]):
        write_ended(asked["machine"], "lost", why)


def write_ended(machine: str, outcome: str, why: str) -> None:
    """An end without a receipt: the command never ran."""
    try:
        spare = os.path.join(machine, f"{ENDED}.{os.getpid()}")
        with open(spare, "w", encoding="utf-8") as file:
            json.dump({"outcome": outcome, "why": why, "at_seconds": time.time()}, file)
        os.replace(spare, os.path.join(machine, ENDED))
    except OSError:
        pass  # its folder is gone or the disk is full: it counts as lost


def order_of(asked: dict[str, Any], output: str) -> Order:
    limits = asked["limits"]
    env = dict(asked["env"])
    env.pop("FLYBALL_CHECKPOINT", None)
    env.update(
        FLYBALL_RUN=asked["run_id"],
        FLYBALL_ATTEMPT=asked["attempt_id"],
        FLYBALL_JOB=asked["job"],
        FLYBALL_PROGRESS=os.path.join(asked["machine"], PROGRESS),
        FLYBALL_OUTPUT=output,
    )
    if asked["checkpoint"] is not None:
        env["FLYBALL_CHECKPOINT"] = asked["checkpoint"]
    grace_seconds = limits["grace_seconds"]
    return Order(
        attempt_id=asked["attempt_id"],
        command=tuple(asked["command"]),
        folder=asked["folder"],
        memory_limit_bytes=limits["memory_bytes"],
        cpu_cores_limit=limits["cpu_cores"],
        timeout_seconds=limits["timeout_seconds"],
        stalled_after_seconds=limits["stalled_after_seconds"],
        grace_seconds=10.0 if grace_seconds is None else grace_seconds,
        workdir=asked["workdir"],
        env=env,
        log="always",
        group=asked["group"],
    )


def _run(order: Order, keeper: Keeper, machine: str) -> dict[str, Any]:
    """With as many of its limits as this computer can hold; notes say which it cannot."""
    notes: list[str] = []
    for tried in (order, order._replace(cpu_cores_limit=None), order._replace(memory_limit_bytes=None)):
        try:
            return run_metered(tried, keeper=keeper)
        except CannotLimit as refusal:
            notes.append(f"{refusal.what}: {refusal.why}")
            _write_notes(machine, notes)
    without = order._replace(cpu_cores_limit=None, memory_limit_bytes=None)
    return run_metered(without, keeper=keeper)


def _write_notes(machine: str, notes: list[str]) -> None:
    try:
        with open(os.path.join(machine, NOTES), "w", encoding="utf-8") as file:
            json.dump(list(dict.fromkeys(notes)), file)
    except OSError:
        pass  # they only explain


def _keep_trying_to_record(folder: str, receipt: dict[str, Any]) -> None:
    give_up = time.monotonic() + RECORD_FOR_SECONDS
    while record.read_json(os.path.join(folder, record.OUTCOME)) is None and time.monotonic() < give_up:
        try:
            record.write_outcome(folder, receipt)
        except OSError:
            time.sleep(1.0)


def _leave_our_streams() -> None:
    """One open file for all three: what the command writes is kept in its log, in its order."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    if null > 2:
        os.close(null)
