"""Lines of tab-, comma- or pipe-separated text with a header, none of them trusted."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from flyball.adapters.history_files.imported import Refused
from flyball.errors import InputError

LINES_MAX = 2_000_000
_FIELD_CHARS_MAX = 65_536
_COLUMNS_MAX = 1000
_UNKNOWN = frozenset({"", "-", "NA", "N/A", "null", "None", "Unknown", "?", "nan", "NaN"})

_BYTES = re.compile(r"([0-9.]+(?:[eE][+-]?\d+)?)\s*([kKmMgGtTpP]?)(?:i?[bB])?\Z")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)\Z")
_DAYS = re.compile(r"(\d+) days?, (.*)\Z")


def rows(
    text: str, delimiter: str, required: set[str], what: str, path: str
) -> Iterator[tuple[int, dict[str, str] | Refused]]:
    """(line number, fields by column) for each line; Refused for lines of another shape. Raises: InputError."""
    lines = csv.reader(
        text.splitlines(),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if delimiter != "," else csv.QUOTE_MINIMAL,
    )
    header = [name.strip() for name in next(_safely(lines), [])]
    missing = sorted(required - set(header))
    if missing or len(header) > _COLUMNS_MAX:
        raise InputError(
            f"{path} is not {what}",
            why=f"its first line has no column {', '.join(missing)}" if missing else "too wide",
        )
    for number, line in enumerate(_safely(lines), start=2):
        if number > LINES_MAX:
            yield number, Refused(line=number, reason=f"and all after it: {LINES_MAX:,} lines is the most")
            return
        if not line or line == header:  # repeated where files were put together
            continue
        if len(line) != len(header):
            yield (
                number,
                Refused(line=number, reason=f"{len(line)} fields where the header has {len(header)}"),
            )
        elif any(len(field) > _FIELD_CHARS_MAX for field in line):
            yield number, Refused(line=number, reason="a field is too long")
        else:
            yield number, {name: field.strip() for name, field in zip(header, line, strict=True)}


def _safely(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    """The lines, with one that csv cannot split as a line of no known shape."""
    while True:
        try:
            yield next(lines)
        except StopIteration:
            return
        except csv.Error:
            yield [""]


def known(fields: Mapping[str, str], *names: str) -> str | None:
    """The first of these columns that is there and says something."""
    for name in names:
        value = fields.get(name, "")
        if value not in _UNKNOWN:
            return value
    return None


def number(text: str | None) -> float | None:
    """Raises: ValueError."""
    if text is None:
        return None
    value = float(text.rstrip("%"))
    if value != value or abs(value) == float("inf"):  # noqa: PLR0124 - NaN
        raise ValueError(f"{text!r} is not a number")
    return value


def bytes_of(text: str | None, *, unit_bytes: int = 1) -> int | None:
    """Bytes of "1.2 GB", "145792K", "4Gi" (1024-based, as these tools mean them). Raises: ValueError."""
    if text is None:
        return None
    match = _BYTES.match(text)
    if not match:
        raise ValueError(f"{text!r} is not an amount of memory")
    factor = 1024 ** _POWERS[match[2].lower()] if match[2] or text[-1] in "bB" else unit_bytes
    return round(float(match[1]) * factor)


def duration_seconds(text: str | None) -> float | None:
    """Seconds of "1h 2m 3s" or "931ms"; of a bare number of milliseconds (Nextflow, raw). Raises: ValueError."""
    if text is None:
        return None
    if re.fullmatch(r"\d+", text):
        return int(text[:18]) / 1000
    position, total = 0, 0.0
    while (part := _DURATION.match(text, position)) is not None:
        total, position = total + float(part[1]) * _UNIT_SECONDS[part[2]], part.end()
    if position != len(text):
        raise ValueError(f"{text!r} is not a length of time")
    return total


def clock_seconds(text: str | None) -> float | None:
    """Seconds of "2-03:04:05", "3:04:05", "04:05.678", "1 day, 3:04:05". Raises: ValueError."""
    if text is None:
        return None
    worded = _DAYS.match(text)
    if worded:
        return int(worded[1][:6]) * 86400.0 + (clock_seconds(worded[2]) or 0.0)
    match = _CLOCK.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a length of time")
    days, hours, minutes, seconds = (float(part[:9]) if part else 0.0 for part in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def local_seconds(text: str | None) -> float | None:
    """Seconds since the epoch of "2026-11-01 10:00:00.123" in this machine's zone, or of milliseconds (raw)."""
    if text is None:
        return None
    if re.fullmatch(r"\d{12,14}", text):
        return int(text) / 1000
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{text!r} is not a time") from error
