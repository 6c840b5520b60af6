"""Cron times against a walk through every minute, around changes of the clock in zones that do it differently."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.policy.cron import newest_until, next_after

MINUTE = 60
# (zone, a day on which its clock is set): forward and back, by an hour, half an hour, at midnight, and by a whole day
CHANGES = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("America/Sao_Paulo", "2018-11-04"),  # 00:00 becomes 01:00
    ("America/Sao_Paulo", "2018-02-18"),  # 00:00 becomes 23:00 of the day before
    ("Asia/Beirut", "2026-03-29"),  # 00:00 becomes 01:00
    ("Africa/Casablanca", "2026-02-15"),
    ("Antarctica/Troll", "2026-03-29"),  # by two hours
    ("Pacific/Apia", "2011-12-30"),  # a day that never was
    ("Asia/Kathmandu", "2026-05-01"),  # 5:45, never changed
    ("UTC", "2026-02-28"),
]


def numbers(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = map(int, span.split("-"))
        else:
            first, last = int(span), high if step else int(span)
        found |= set(range(first, last + 1, int(step or 1)))
    return found


class Wanted:
    """Whether a wall-clock minute matches, read off the expression in the plainest way."""

    def __init__(self, expression: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self.minutes, self.hours = numbers(minute, 0, 59), numbers(hour, 0, 23)
        self.days, self.months = numbers(day, 1, 31), numbers(month, 1, 12)
        self.weekdays = {n % 7 for n in numbers(weekday, 0, 7)}
        self.either = "*" not in (day[0], weekday[0])
        self.follows_clock = hour[0] == "*"

    def matches(self, wall: datetime) -> bool:
        if wall.minute not in self.minutes or wall.hour not in self.hours or wall.month not in self.months:
            return False
        in_month, in_week = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either else in_month and in_week


def minute_by_minute(expression: str, timezone: str, start: float, end: float) -> list[float]:
    """Watches a clock on the wall: one look each minute, remembering what it has shown."""
    wanted, found = Wanted(expression), []
    before, latest = None, None
    for at, wall in shown(timezone, start // 86_400 * 86_400 - 2 * 86_400, end):
        shown_before = latest is not None and wall <= latest
        fires = wanted.matches(wall) and (wanted.follows_clock or not shown_before)
        if before is not None and not wanted.follows_clock and not shown_before:
            jumped = before + timedelta(minutes=1)
            while jumped < wall and not fires:
                fires = (latest is None or jumped > latest) and wanted.matches(jumped)
                jumped += timedelta(minutes=1)
        if fires and start < at <= end:
            found.append(at)
        before, latest = wall, wall if latest is None else max(latest, wall)
    return found


@functools.cache
def shown(timezone: str, start: float, end: float) -> list[tuple[float, datetime]]:
    zone = ZoneInfo(timezone)
    moments = [start + MINUTE * n for n in range(int(end - start) // MINUTE + 1)]
    return [(at, datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0)) for at in moments]


def field(low: int, high: int):
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, max(2, high // 2))
    return st.one_of(
        st.just("*"),
        step.map("*/{}".format),
        st.lists(number.map(str), min_size=1, max_size=3).map(",".join),
        span,
        st.tuples(span, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )


EXPRESSIONS = st.tuples(
    field(0, 59),
    st.one_of(field(0, 23), field(0, 4)),
    st.one_of(st.just("*"), field(1, 31)),
    st.just("*"),
    st.one_of(st.just("*"), field(0, 7)),
).map(" ".join)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(change=st.sampled_from(CHANGES), expression=EXPRESSIONS, first_minute=st.integers(-36 * 60, 24 * 60))
def test_the_times_found_are_those_that_a_watched_clock_shows(change, expression, first_minute):
    timezone, day = change
    noon = datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()
    start, end = noon + first_minute * MINUTE, noon + 48 * 3600.0
    expected = minute_by_minute(expression, timezone, start, end)
    found, at = [], start
    while (at := next_after(expression, timezone, at)) <= end:
        found.append(at)
    assert found == expected
    assert newest_until(expression, timezone, end, start) == (expected[-1] if expected else None)


@pytest.mark.parametrize(("timezone", "day"), CHANGES)
@pytest.mark.parametrize(
    "expression", ["0 3 * * *", "0 */3 * * *", "*/10 3 * * *", "30 2 * * *", "7 * * * *"]
)
def test_usual_schedules_keep_their_times_on_the_day_the_clock_is_set(timezone, day, expression):
    noon = datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()
    start, end = noon - 40 * 3600.0, noon + 40 * 3600.0
    found, at = [], start
    while (at := next_after(expression, timezone, at)) <= end:
        found.append(at)
    assert found == minute_by_minute(expression, timezone, start, end)
    assert found


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    expression=EXPRESSIONS,
    timezone=st.sampled_from([zone for zone, _ in CHANGES]),
    after=st.floats(0, 4e9, allow_nan=False),
)
def test_the_next_time_is_later_and_the_newest_until_it_is_itself(expression, timezone, after):
    at = next_after(expression, timezone, after)
    assert at > after
    assert newest_until(expression, timezone, at, after) == at
    assert at % MINUTE == 0 or datetime.fromtimestamp(at, UTC).year < 1975  # zones had odd seconds once
