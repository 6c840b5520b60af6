"""Bytes, seconds and dollars: read from what people write, and shown in one way everywhere."""

from __future__ import annotations

import re
from decimal import Decimal

from flyball.errors import InputError

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40

_BYTES_PER_UNIT = {
    "b": 1,
    "k": KIB, "ki": KIB, "kib": KIB, "kb": 10**3,
    "m": MIB, "mi": MIB, "mib": MIB, "mb": 10**6,
    "g": GIB, "gi": GIB, "gib": GIB, "gb": 10**9,
    "t": TIB, "ti": TIB, "tib": TIB, "tb": 10**12,
}  # fmt: skip
_SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]*)\s*\Z")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]+)\s*")


def parse_bytes(text: str) -> int:
    """Bytes of "4GiB", "4G" (binary, as schedulers read it), "500MB" (decimal).

    Raises: InputError, also for a number without a unit: 4 might be bytes, MiB or GiB, and a guess costs money.
    """
    match = _QUANTITY.match(text)
    if match and not match[2]:
        raise InputError(
            f"{text!r} has no unit", why="it could be bytes, MiB or GiB", hint=f"{text.strip()}GiB"
        )
    unit = _BYTES_PER_UNIT.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise InputError(f"{text!r} is not an amount of memory", hint="4GiB, 4G, 512MiB or 500MB")
    amount_bytes = int(Decimal(match[1]) * unit)
    if amount_bytes <= 0:
        raise InputError(f"{text!r} is not above zero", hint="4GiB")
    return amount_bytes


def parse_seconds(text: str) -> float:
    """Seconds of "90s", "30m", "2h", "1d", "1h30m", "250ms".

    Raises: InputError, also for a number without a unit.
    """
    stripped = text.strip()
    if _QUANTITY.match(stripped) and stripped[-1].isdigit():
        raise InputError(
            f"{text!r} has no unit", why="it could be seconds or minutes", hint=f"{stripped}s or {stripped}m"
        )
    position, seconds = 0, 0.0
    while position < len(stripped):
        part = _DURATION_PART.match(stripped, position)
        unit = _SECONDS_PER_UNIT.get(part[2].lower()) if part else None
        if part is None or unit is None:
            break
        seconds, position = seconds + float(part[1]) * unit, part.end()
    if position < len(stripped) or seconds <= 0:
        raise InputError(f"{text!r} is not a length of time", hint="90s, 30m, 2h, 1d or 1h30m")
    return seconds


def parse_cores(text: str) -> float:
    """CPU cores of "1.5" or "500m" (thousandths, as Kubernetes writes them). Raises: InputError."""
    match = _QUANTITY.match(text)
    if match is None or match[2] not in {"", "m"} or float(match[1]) <= 0:
        raise InputError(f"{text!r} is not a number of cores", hint="2, 1.5 or 500m")
    return float(match[1]) / (1000 if match[2] == "m" else 1)


def show_bytes(amount_bytes: float | None) -> str:
    """ "1.31 GiB", "250 MiB"; "unknown" for None. Binary units only, so that figures can be compared by eye."""
    if amount_bytes is None:
        return "unknown"
    for unit_bytes, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if abs(amount_bytes) >= unit_bytes * 0.9995:
            return f"{_three_digits(amount_bytes / unit_bytes)} {name}"
    return f"{amount_bytes:.0f} B"


def show_seconds(seconds: float | None) -> str:
    """ "0.05 s", "12.3 s", "4 min 5 s", "3 h 12 min", "2 d 4 h"; "unknown" for None."""
    if seconds is None:
        return "unknown"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    for big, big_name, small, small_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= big:
            rest = whole % big // small
            return f"{whole // big} {big_name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def show_usd(amount_usd: float | Decimal | None) -> str:
    """ "$1.24", "$0.0031"; enough digits to tell small jobs apart, never an exponent. "unknown" for None."""
    if amount_usd is None:
        return "unknown"
    value = float(amount_usd)
    if value == 0:
        return "$0"
    if abs(value) >= 0.995:
        return f"${value:,.2f}"
    if abs(value) >= 0.01:
        return f"${value:.3f}"
    return f"${value:.6f}".rstrip("0") if abs(value) >= 0.000001 else "under $0.000001"


def show_cores(cores: float | None) -> str:
    return "unknown" if cores is None else f"{cores:.2f}".rstrip("0").rstrip(".")


def count_cores(cores: float) -> str:
    """ "1 core", "0.25 cores", "2 cores"."""
    return f"{show_cores(cores)} core" + ("" if cores == 1 else "s")


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
