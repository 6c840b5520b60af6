"""Times of day by five cron fields, on a wall clock that is sometimes set forward and back.

Ours and not a library's: cronsim and croniter step through wall hours of 3600 s, which loses runs where a clock is set
by half an hour (Lord Howe Island).

The rule for changes of the clock, as cron daemons have it for decades, told by the hour field:
- an hour field that begins with `*` follows the wall clock: what the clock jumps over is left out, what it shows twice
  runs twice;
- any other hour field means "once a day at that time": what the clock jumps over runs once, right after the jump, and
  what it shows twice runs the first time only.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from flyball.errors import InputError

DAYS_AHEAD_MAX = 40 * 366  # 29 February on a given weekday comes back after 28, or around 2100 after 40 years

_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = {
    "JAN": 1, "FEB": 2, "MAR": 3, "APR": 4, "MAY": 5, "JUN": 6,
    "JUL": 7, "AUG": 8, "SEP": 9, "OCT": 10, "NOV": 11, "DEC": 12,
}  # fmt: skip
_WEEKDAYS = {"SUN": 0, "MON": 1, "TUE": 2, "WED": 3, "THU": 4, "FRI": 5, "SAT": 6}


class _Field(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    low: int
    high: int
    names: Mapping[str, int] = {}


_FIELDS = (
    _Field(name="minute", low=0, high=59),
    _Field(name="hour", low=0, high=23),
    _Field(name="day of month", low=1, high=31),
    _Field(name="month", low=1, high=12, names=_MONTHS),
    _Field(name="day of week", low=0, high=7, names=_WEEKDAYS),
)


class Cron(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The fields as sets, one value per expression. Days match by either of both day fields when both are given, as in every cron."""

    minutes_of_day: tuple[int, ...]  # ascending
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either_day: bool
    follows_clock: bool  # the hour field begins with *

    def on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month or in_week) if self.either_day else (in_month and in_week)


def next_after(expression: str, timezone: str, after_seconds: float) -> float:
    """Epoch seconds of the first time after that one. Raises: InputError for what is not a cron expression or zone."""
    cron, zone = parse_cron(expression), zone_named(timezone)
    # A day earlier: times that a clock jumped over lie on the day after their own.
    start = _local_day(zone, after_seconds) - timedelta(days=1)
    for ahead in range(DAYS_AHEAD_MAX):
        day = start + timedelta(days=ahead)
        if cron.on(day):
            times = _times_on(cron, zone, day)
            index = bisect.bisect_right(times, after_seconds)
            if index < len(times):
                return times[index]
    raise InputError(f"{expression!r} never happens", hint="0 6 * * 1-5")


def newest_until(expression: str, timezone: str, until_seconds: float, after_seconds: float) -> float | None:
    """Epoch seconds of the last time in (after, until]; None: there is none."""
    cron, zone = parse_cron(expression), zone_named(timezone)
    day, first = _local_day(zone, until_seconds), _local_day(zone, after_seconds) - timedelta(days=1)
    while day >= first:
        if cron.on(day):
            times = _times_on(cron, zone, day)
            index = bisect.bisect_right(times, until_seconds)
            if index and times[index - 1] > after_seconds:
                return times[index - 1]
        day -= timedelta(days=1)
    return None


@functools.lru_cache(maxsize=4096)
def parse_cron(expression: str) -> Cron:
    """Five fields, or @daily and the like. Raises: InputError that names the field."""
    text = _NAMED.get(expression.strip().lower(), expression)
    parts = text.upper().split()
    if len(parts) != len(_FIELDS):
        why = (
            f"there are {', '.join(_NAMED)}"
            if text.startswith("@")
            else f"cron has five fields (minute hour day month weekday), this has {len(parts)}"
        )
        raise InputError(f"{expression!r} is not a schedule", why=why, hint='"0 6 * * 1-5"')
    minutes, hours, days, months, weekdays = (
        _values(part, field, expression) for part, field in zip(parts, _FIELDS, strict=True)
    )
    cron = Cron(
        minutes_of_day=tuple(sorted(hour * 60 + minute for hour in hours for minute in minutes)),
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        either_day=not (parts[2].startswith("*") or parts[4].startswith("*")),
        follows_clock=parts[1].startswith("*"),
    )
    first = date(2000, 1, 1)
    if not any(cron.on(first + timedelta(days=ahead)) for ahead in range(DAYS_AHEAD_MAX)):
        raise InputError(f"{expression!r} never happens", why="no such day is in those months")
    return cron


def zone_named(timezone: str) -> ZoneInfo:
    """Raises: InputError with the names that are near."""
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        import difflib
        import zoneinfo

        names = sorted(zoneinfo.available_timezones())
        by_lower = {name.lower(): name for name in names} | {
            name.rpartition("/")[2].lower(): name for name in names
        }
        wanted = timezone.lower().replace(" ", "_")
        near = difflib.get_close_matches(wanted, by_lower, n=1, cutoff=0.6)
        raise InputError(
            f"there is no time zone {timezone!r}", hint=by_lower[near[0]] if near else "Europe/Berlin, UTC"
        ) from None


def _values(text: str, field: _Field, expression: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = int(step_text) if step_text.isdecimal() else 0
        if slash and step < 1:
            raise _bad(part, field, expression, f"{step_text!r} is not a step")
        low_text, dash, high_text = span.partition("-")
        if span == "*":
            low, high = field.low, min(field.high, 6) if field.names is _WEEKDAYS else field.high
        elif dash:
            low, high = _value(low_text, field, expression), _value(high_text, field, expression)
            high = 7 if field.names is _WEEKDAYS and high == 0 and low > 0 else high  # FRI-SUN
        else:
            low = _value(low_text, field, expression)
            high = field.high if slash else low
        if low > high:
            hint = f"{low}-{field.high},{field.low}-{high}"
            raise _bad(part, field, expression, f"it starts after it ends; {hint} goes round")
        found.update(range(low, high + 1, max(1, step)))
    return frozenset(found)


def _value(text: str, field: _Field, expression: str) -> int:
    named = field.names.get(text)
    if named is not None:
        return named
    if not text.isdecimal() or not text.isascii() or not field.low <= int(text) <= field.high:
        raise _bad(text, field, expression, f"it goes from {field.low} to {field.high}")
    return int(text)


def _bad(part: str, field: _Field, expression: str, why: str) -> InputError:
    return InputError(f"{expression!r}: {part!r} does not do for the {field.name}", why=why)


def _local_day(zone: ZoneInfo, at_seconds: float) -> date:
    return datetime.fromtimestamp(at_seconds, zone).date()


@functools.lru_cache(maxsize=1024)
def _times_on(cron: Cron, zone: ZoneInfo, day: date) -> Sequence[float]:
    """Epoch seconds of all times on that day of the wall clock, ascending."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    if _is_even(midnight, zone):
        start = midnight.timestamp()
        return [start + minute * 60 for minute in cron.minutes_of_day]
    times: set[float] = set()
    for minute in cron.minutes_of_day:
        times.update(_occurrences(midnight + timedelta(minutes=minute), follows_clock=cron.follows_clock))
    return sorted(times)


def _is_even(midnight: datetime, zone: ZoneInfo) -> bool:
    """Whether the clock is not set on that day: its offset is one from midnight to midnight."""
    following = (midnight + timedelta(days=1)).replace(tzinfo=zone)
    offsets = {at.replace(fold=fold).utcoffset() for at in (midnight, following) for fold in (0, 1)}
    return len(offsets) == 1


def _occurrences(wall: datetime, *, follows_clock: bool) -> Iterator[float]:
    """When the wall clock shows that; adding to an aware datetime moves its wall clock."""
    first, second = wall.replace(fold=0).timestamp(), wall.replace(fold=1).timestamp()
    if first == second:
        yield first
    elif first < second:  # shown twice
        yield first
        if follows_clock:
            yield second
    elif not follows_clock:  # never shown: the offset after the jump gives the earlier moment
        yield _jump_between(wall, second, first)


def _jump_between(wall: datetime, before_seconds: float, after_seconds: float) -> float:
    """The first second after the clock was set forward."""
    zone, low, high = wall.tzinfo, int(before_seconds), int(after_seconds)
    old = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return float(high)
