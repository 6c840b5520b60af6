"""What people write in a job definition, read: "4GiB..32GiB", "3x usual", "$2.50". All raise InputError."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any

from flyball.errors import InputError
from flyball.model.units import parse_bytes, parse_cores, parse_seconds

_TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\Z")
_TIMES_USUAL = re.compile(r"(\d+(?:\.\d+)?)\s*x(?:\s+usual)?\Z", re.IGNORECASE)


def as_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{shown(value)} is not a text", hint='a text in quotes: "..."')
    return value


def as_texts(value: Any) -> tuple[str, ...]:
    """One text, or a list of them."""
    if isinstance(value, str):
        return (as_text(value),)
    if not isinstance(value, Sequence):
        raise InputError(f"{shown(value)} is not a list of texts", hint='["one", "two"]')
    return tuple(as_text(part) for part in value)


def as_words(value: Any) -> tuple[str, ...]:
    """A command: words as a shell would split them, without a shell."""
    if isinstance(value, str):
        try:
            words = tuple(shlex.split(value))
        except ValueError as error:
            raise InputError(f"{shown(value)} cannot be split into words", why=str(error)) from None
    elif isinstance(value, Sequence) and all(isinstance(word, str) for word in value):
        words = tuple(value)
    else:
        raise InputError(
            f"{shown(value)} is not a command", hint='"python train.py" or ["python", "train.py"]'
        )
    if not words or not words[0]:
        raise InputError("it is empty", hint='"python train.py"')
    if any("\0" in word for word in words):
        raise InputError(f"{shown(value)} holds a NUL character", why="no program can be given one")
    return words


def as_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{shown(value)} is neither true nor false", hint="true")
    return value


def as_count(value: Any, *, low: int = 0, high: int = 1_000_000) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"{shown(value)} is not a whole number from {low} to {high:,}", hint=str(max(low, 2))
        )
    return value


def as_choice(value: Any, names: Sequence[str]) -> str:
    if value not in names:
        raise InputError(
            f"{shown(value)} is not known", why=f"there are {', '.join(names)}", hint=near(value, names)
        )
    return str(value)


def as_seconds(value: Any) -> float:
    """ "90s", "1h30m"; from Python a timedelta, too."""
    if isinstance(value, timedelta) and value > timedelta():
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{shown(value)} is not a length of time", hint='"90s", "30m" or "2h"')
    return parse_seconds(str(value))


def as_memory(value: Any) -> tuple[int | None, int | None]:
    """(floor or limit, ceiling) of "4GiB..32GiB", "4GiB" or "auto"."""
    low, high = _range(value)
    return _both(low, high, parse_bytes)


def as_cores(value: Any) -> tuple[float | None, float | None]:
    """(floor or fixed, ceiling) of 2, "1..8" or "auto"."""
    low, high = _range(value)
    return _both(low, high, parse_cores)


def as_usd(value: Any) -> float:
    """2.5, "$2.50", "2.50 USD"."""
    text = str(value).strip().removeprefix("$").removesuffix("USD").strip()
    amount = (
        float(text) if re.fullmatch(r"\d+(\.\d+)?|\.\d+", text) and not isinstance(value, bool) else math.nan
    )
    if not isinstance(value, str | int | float | Decimal) or not math.isfinite(amount):
        raise InputError(f"{shown(value)} is not an amount of dollars", hint='"$2.50"')
    if amount == 0:
        raise InputError("0 dollars would never let it start", hint='"$2.50", or leave it out for no limit')
    return amount


def as_share(value: Any) -> float:
    """ "80%" or 0.8."""
    text = str(value)
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise InputError(f"{shown(value)} is not a share above 0 and up to 100 %", hint='"80%"')
    return share


def as_pairs(value: Any) -> dict[str, str]:
    """{name = "value"}; numbers and booleans as they are written in TOML."""
    if not isinstance(value, Mapping):
        raise InputError(f"{shown(value)} is not a table", hint='{ name = "value" }')
    pairs = {}
    for name, one in value.items():
        if isinstance(one, Mapping | Sequence) and not isinstance(one, str):
            raise InputError(f"{name}: {shown(one)} is not a text", hint=f'{{ {name} = "value" }}')
        pairs[str(name)] = str(one).lower() if isinstance(one, bool) else str(one)
    return pairs


def as_env(value: Any) -> dict[str, str]:
    env = as_pairs(value)
    for name, one in env.items():
        if not name or "=" in name or "\0" in name + one:
            raise InputError(f"{name!r} cannot be a variable", hint='{ NAME = "value" }')
    return env


def as_deadline(value: Any, now: datetime) -> tuple[float | None, str | None]:
    """(seconds after it is due, time of day)."""
    if isinstance(value, time_of_day):
        return None, value.strftime("%H:%M")
    text = str(value).strip()
    if match := _TIME_OF_DAY.match(text):
        return None, f"{int(match[1]):02}:{match[2]}"
    moment = _moment(value)
    if moment is not None:
        past = moment.replace(tzinfo=moment.tzinfo or now.tzinfo) <= now
        why = "it is in the past" if past else "a job recurs, and a moment does not"
        raise InputError(f"{shown(value)} is one moment", why=why, hint='"2h" after it was due, or "06:30"')
    if text.startswith("-"):
        raise InputError(f"{shown(value)} lies before it is due", hint='"2h" after it was due, or "06:30"')
    return as_seconds(value), None


def as_timeout(value: Any) -> tuple[float | None, float | None]:
    """(seconds, times the usual) of "2h", "3x usual" or both in a list."""
    seconds: float | None = None
    times: float | None = None
    for part in value if isinstance(value, list | tuple) else [value]:
        match = _TIMES_USUAL.match(part.strip()) if isinstance(part, str) else None
        if match is None:
            seconds = as_seconds(part)
        elif float(match[1]) <= 1:
            raise InputError(f"{shown(part)} would end usual runs", hint='"3x usual"')
        else:
            times = float(match[1])
    return seconds, times


def near(wanted: Any, names: Sequence[str]) -> str:
    """The name that was probably meant, or ""."""
    import difflib

    found = difflib.get_close_matches(str(wanted), names, n=1, cutoff=0.6)
    return found[0] if found else ""


def shown(value: Any) -> str:
    """As the user wrote it, more or less, and short."""
    text = value.isoformat() if isinstance(value, date | time_of_day) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _range(value: Any) -> tuple[str, str | None]:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{shown(value)} is not an amount", hint='"4GiB", "4GiB..32GiB" or "auto"')
    low, dots, high = str(value).partition("..")
    return low.strip(), high.strip() if dots else None


def _both(low: str, high: str | None, parse: Any) -> tuple[Any, Any]:
    if high is None:
        return (None if low == "auto" else parse(low)), None
    floor, ceiling = parse(low), parse(high)
    if floor > ceiling:
        raise InputError(f"the floor {low} is above the ceiling {high}", hint=f'"{high}..{low}"')
    return floor, ceiling


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None
