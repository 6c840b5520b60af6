"""What a cron expression may look like, and what the clock's changes do to usual ones."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from flyball.errors import InputError
from flyball.policy.cron import next_after, parse_cron, zone_named


def local(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def following(expression: str, zone: str, after: str, count: int = 1) -> list[str]:
    at, found = local(after, zone), []
    for _ in range(count):
        at = next_after(expression, zone, at)
        found.append(datetime.fromtimestamp(at, ZoneInfo(zone)).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 6 * * 1-5", "2026-11-20T06:00", "2026-11-23T06:00+01:00"),  # a Friday
        ("0 6 * * MON-FRI", "2026-11-20T06:00", "2026-11-23T06:00+01:00"),
        ("*/15 * * * *", "2026-11-20T06:01", "2026-11-20T06:15+01:00"),
        ("5/20 * * * *", "2026-11-20T06:26", "2026-11-20T06:45+01:00"),
        ("0 9-17/4 * * *", "2026-11-20T10:00", "2026-11-20T13:00+01:00"),
        ("0 0 1 JAN *", "2026-11-20T10:00", "2027-01-01T00:00+01:00"),
        ("0 0 * * 7", "2026-11-20T10:00", "2026-11-22T00:00+01:00"),
        ("0 0 * * SUN", "2026-11-20T10:00", "2026-11-22T00:00+01:00"),
        ("0 0 * * FRI-SUN", "2026-11-20T10:00", "2026-11-21T00:00+01:00"),
        ("0 0 13 * 5", "2026-11-20T10:00", "2026-11-27T00:00+01:00"),  # the 13th or a Friday
        ("0 0 13 * *", "2026-11-20T10:00", "2026-12-13T00:00+01:00"),
        ("0 0 */2 * 5", "2026-11-20T10:00", "2026-11-27T00:00+01:00"),  # odd days that are Fridays
        ("0 0 29 2 *", "2026-11-20T10:00", "2028-02-29T00:00+01:00"),
        ("@daily", "2026-11-20T10:00", "2026-11-21T00:00+01:00"),
        ("@Hourly", "2026-11-20T10:00", "2026-11-20T11:00+01:00"),
        ("@weekly", "2026-11-20T10:00", "2026-11-22T00:00+01:00"),
        ("@monthly", "2026-11-20T10:00", "2026-12-01T00:00+01:00"),
        ("@yearly", "2026-11-20T10:00", "2027-01-01T00:00+01:00"),
    ],
)
def test_the_time_after(expression, after, expected):
    assert following(expression, "Europe/Berlin", after) == [expected]


def test_what_a_clock_jumps_over_runs_once_right_after():
    assert following("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]
    assert following("0,15,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2)[0] == "2026-03-29T03:00+02:00"
    assert following("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00") == ["2026-10-04T02:30+11:00"]


def test_what_a_clock_shows_twice_runs_the_first_time_only():
    assert following("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_every_hour_is_every_hour_the_clock_shows():
    assert following("0 * * * *", "Europe/Berlin", "2026-10-25T01:00", 3) == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T03:00+01:00",
    ]
    assert following("0 * * * *", "Europe/Berlin", "2026-03-29T01:00", 1) == ["2026-03-29T03:00+02:00"]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "five fields"),
        ("* * * * * *", "this has 6"),
        ("60 * * * *", "'60' does not do for the minute: it goes from 0 to 59"),
        ("* 24 * * *", "for the hour"),
        ("* * 0 * *", "for the day of month: it goes from 1 to 31"),
        ("* * * 13 *", "for the month"),
        ("* * * * 8", "for the day of week"),
        ("* * * FOO *", "'FOO' does not do for the month"),
        ("* * * * MONDAY", "for the day of week"),
        ("*/0 * * * *", "'0' is not a step"),
        ("1-2-3 * * * *", "does not do"),
        ("1,,2 * * * *", "does not do"),
        ("-5 * * * *", "does not do"),
        ("\u0663 * * * *", "does not do"),
        ("0 22-2 * * *", "22-23,0-2 goes round"),
        ("0 0 31 4,6 *", "never happens"),
        ("@reboot", "there are @hourly"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said(expression, words):
    with pytest.raises(InputError) as caught:
        parse_cron(expression)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Berlin", "Europe/Berlin"),
        ("europe/berlin ", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("CEST", ""),
        ("../etc/passwd", ""),
        ("", ""),
    ],
)
def test_a_zone_that_is_not_there_is_refused_with_the_nearest(name, hint):
    with pytest.raises(InputError, match="no time zone") as caught:
        zone_named(name)
    assert hint in caught.value.hint
