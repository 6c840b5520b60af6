"""`python -m flyball.meter --folder DIR -- CMD...`: one command, metered, with nothing but the standard library."""

from __future__ import annotations

import os
import re
import sys

from flyball.meter.order import CannotLimit, Order
from flyball.meter.supervise import run_metered

EXIT_USAGE = 2
EXIT_FLYBALL_FAILED = 125
USAGE = """usage: flyball-meter --folder DIR [--attempt-id ID] [--memory 2GiB] [--cpus 1.5] [--timeout 2h]
                     [--stalled-after 20m] [--grace 10s] [--log auto|always|never] -- COMMAND..."""

SIZES = {
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40,
    "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "B": 1,
}  # fmt: skip
TIMES = {"MS": 0.001, "S": 1.0, "M": 60.0, "H": 3600.0, "D": 86400.0, "": 1.0}
TEXT = ("folder", "attempt_id", "log")
OPTIONS = {
    "--folder": "folder", "--attempt-id": "attempt_id", "--memory": "memory_limit_bytes",
    "--cpus": "cpu_cores_limit", "--timeout": "timeout_seconds", "--stalled-after": "stalled_after_seconds",
    "--grace": "grace_seconds", "--log": "log",
}  # fmt: skip


class Misuse(Exception):
    """The command line cannot be understood."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code to leave with."""
    try:
        order = parse(sys.argv[1:] if arguments is None else arguments)
    except Misuse as misuse:
        print(f"flyball: {misuse}\n{USAGE}", file=sys.stderr)  # noqa: T201 - a command line's own voice
        return EXIT_USAGE
    try:
        receipt = run_metered(order)
    except CannotLimit as refusal:
        print(f"flyball: {refusal}", file=sys.stderr)  # noqa: T201
        return EXIT_FLYBALL_FAILED
    if "record_error" in receipt:
        print(f"flyball: could not record: {receipt['record_error']}", file=sys.stderr)  # noqa: T201
    return int(receipt["exit_code"])


def parse(arguments: list[str]) -> Order:
    """The order those words give. Raises Misuse. (argparse would cost 5 ms before each command.)"""
    values: dict[str, object] = {}
    words = list(arguments)
    while words and words[0] != "--":
        name, joined, value = words.pop(0).partition("=")
        if name not in OPTIONS:
            raise Misuse(f"unknown option {name}; the command comes after --")
        if not joined and not words:
            raise Misuse(f"{name} needs a value")
        values[OPTIONS[name]] = _value(name, value if joined else words.pop(0))
    command = tuple(words[1:])
    if not command:
        raise Misuse("no command")
    if "folder" not in values:
        raise Misuse("--folder is needed")
    values.setdefault("attempt_id", f"{os.getpid()}-{os.urandom(4).hex()}")
    return Order(command=command, **values)  # type: ignore[arg-type]


def _value(name: str, text: str) -> object:
    field = OPTIONS[name]
    if field in TEXT:
        if field == "log" and text not in ("auto", "always", "never"):
            raise Misuse(f"--log takes auto, always or never, not {text}")
        if field == "attempt_id" and not re.fullmatch(r"[A-Za-z0-9._-]+", text):
            raise Misuse("--attempt-id takes letters, digits, dot, dash and underscore")
        return text
    if field == "memory_limit_bytes":
        return round(_measured(name, text, SIZES))
    if field == "cpu_cores_limit":
        return _measured(name, text, {"": 1.0})
    return _measured(name, text, TIMES)


def _measured(name: str, text: str, units: dict[str, float] | dict[str, int]) -> float:
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([A-Za-z]*)", text.strip())
    if match is None or match[2].upper() not in units:
        known = ", ".join(unit or "(none)" for unit in units)
        raise Misuse(f"{name} {text}: a number and a unit ({known}) is needed")
    value = float(match[1]) * units[match[2].upper()]
    if value <= 0:
        raise Misuse(f"{name} must be more than 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
