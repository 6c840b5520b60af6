"""How an attempt ended, from what is known about it: a table in code, no I/O."""

from __future__ import annotations

import signal
from typing import NamedTuple

EXIT_TIMED_OUT = 124  # as timeout(1)
EXIT_SIGNAL = 128
NOT_STARTED = "could not be started"


class Clues(NamedTuple):
    """What is known when the command is over."""

    status: int  # as wait(2) gives it
    oom_kills: int | None = None  # in its own group
    machine_oom_kills: int | None = None  # anywhere meanwhile; only a hint
    memory_limit_bytes: int | None = None
    at_limit: bool = False  # its usage reached its own limit
    stopped_for: str | None = None  # why we ended it: "timeout", "stall", or one of ASKED
    stop_seconds: float | None = None  # that limit
    passed_on: frozenset[int] = frozenset()  # signals we were sent and gave it


class Ending(NamedTuple):
    outcome: str
    exit_code: int | None
    signal: int | None
    exit_cause: str


def ending(clues: Clues) -> Ending:  # noqa: PLR0911 - one line of the table each
    """The outcome, the exit code to pass on, and the cause in words."""
    number = _signal_of(clues.status)
    code = EXIT_SIGNAL + number if number else _exit_of(clues.status)
    if clues.stopped_for == "timeout":
        return Ending(
            "timed_out", EXIT_TIMED_OUT, number, f"still running at its limit of {clues.stop_seconds:g} s"
        )
    if clues.stopped_for == "stall":
        cause = f"no CPU, no I/O and no output for {clues.stop_seconds:g} s"
        return Ending("stalled", EXIT_TIMED_OUT, number, cause)
    if clues.stopped_for in ASKED:
        outcome, cause = ASKED[clues.stopped_for]
        return Ending(outcome, code, number, cause)
    if code == 0:
        kills = f"exit 0, though {clues.oom_kills} of its processes ran out of memory"
        return Ending("succeeded", 0, None, kills if clues.oom_kills else "exit 0")
    if clues.oom_kills or _looks_like_oom(clues, number):
        return Ending("out_of_memory", code, number, _oom_cause(clues))
    if number is None:
        return Ending(_cancelled_or_failed(clues, code), code, None, f"exit {code}")
    name = _name(number)
    if number in clues.passed_on or clues.passed_on & STOPPING:
        return Ending("cancelled", code, number, f"ended by {name}, passed on")
    if number in (signal.SIGINT, signal.SIGQUIT):
        return Ending("cancelled", code, number, f"interrupted by {name}")
    return Ending("failed", code, number, f"killed by {name}, sent from outside or by itself")


ASKED = {  # reasons that come from outside the order, and how they count
    "stopped": ("cancelled", "ended because it was told to stop"),
    "released": ("cancelled", "ended because its machine was given back"),
    "unheard": ("lost", "ended because its governor had not been heard of for too long"),
}
STOPPING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})


def _cancelled_or_failed(clues: Clues, code: int) -> str:
    """A command told to stop that ends with the code of that signal was cancelled, whoever computed it."""
    return "cancelled" if any(code == EXIT_SIGNAL + number for number in clues.passed_on) else "failed"


def _looks_like_oom(clues: Clues, number: int | None) -> bool:
    """Without a counter of its own: SIGKILL while the kernel was killing for memory on this machine."""
    return clues.oom_kills is None and number == signal.SIGKILL and bool(clues.machine_oom_kills)


def _oom_cause(clues: Clues) -> str:
    if clues.memory_limit_bytes is not None and clues.at_limit:
        return f"out of memory at its limit of {_size(clues.memory_limit_bytes)}"
    if clues.oom_kills is None:
        return "killed by SIGKILL while this machine was out of memory"
    return "out of memory: the machine or an enclosing group had no more"


def _size(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"


def _signal_of(status: int) -> int | None:
    number = status & 0x7F
    return number or None


def _exit_of(status: int) -> int:
    return status >> 8 & 0xFF


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
