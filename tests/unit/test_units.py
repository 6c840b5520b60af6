from __future__ import annotations

import pytest

from flyball.errors import InputError
from flyball.model.units import (
    GIB,
    MIB,
    parse_bytes,
    parse_cores,
    parse_seconds,
    show_bytes,
    show_seconds,
    show_usd,
)


@pytest.mark.parametrize(
    ("text", "expected_bytes"),
    [
        ("4GiB", 4 * GIB),
        ("4G", 4 * GIB),
        ("4Gi", 4 * GIB),
        ("1.5 GiB", 3 * GIB // 2),
        ("500MB", 500_000_000),
        ("512m", 512 * MIB),
        ("1TiB", 1024 * GIB),
        ("10kb", 10_000),
        (".5GiB", GIB // 2),
    ],
)
def test_memory_is_read_in_the_units_people_write(text, expected_bytes):
    assert parse_bytes(text) == expected_bytes


@pytest.mark.parametrize(
    "text", ["4", "4.0", "", "GiB", "4 apples", "-4GiB", "0GiB", "4GiB8", "nanGiB", "1e3GiB"]
)
def test_memory_that_could_be_misread_is_refused_with_an_example(text):
    with pytest.raises(InputError) as caught:
        parse_bytes(text)
    assert "GiB" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected_seconds"),
    [
        ("90s", 90.0),
        ("30m", 1800.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5 h", 5400.0),
    ],
)
def test_time_is_read_in_the_units_people_write(text, expected_seconds):
    assert parse_seconds(text) == expected_seconds


@pytest.mark.parametrize("text", ["90", "", "h", "-1h", "1h30", "0s", "5 parsecs"])
def test_time_that_could_be_misread_is_refused(text):
    with pytest.raises(InputError):
        parse_seconds(text)


@pytest.mark.parametrize(("text", "cores"), [("1.5", 1.5), ("2", 2.0), ("500m", 0.5)])
def test_cores_may_be_whole_parts_or_thousandths(text, cores):
    assert parse_cores(text) == cores


@pytest.mark.parametrize("text", ["0", "-1", "two", "2GiB"])
def test_cores_that_make_no_sense_are_refused(text):
    with pytest.raises(InputError):
        parse_cores(text)


def test_what_is_shown_keeps_three_digits_and_says_unknown():
    assert [show_bytes(b) for b in (None, 0, 1023, 1400 * MIB, 250 * MIB, GIB)] == [
        "unknown", "0 B", "1023 B", "1.37 GiB", "250 MiB", "1.00 GiB",
    ]  # fmt: skip
    assert [show_seconds(s) for s in (None, 0.051, 12.34, 59.96, 245, 3600, 11_520, 187_200)] == [
        "unknown", "0.05 s", "12.3 s", "1 min", "4 min 5 s", "1 h", "3 h 12 min", "2 d 4 h",
    ]  # fmt: skip
    assert [show_usd(d) for d in (None, 0, 1234.5, 0.0312, 0.0031, 0.00000001)] == [
        "unknown", "$0", "$1,234.50", "$0.031", "$0.0031", "under $0.000001",
    ]  # fmt: skip
