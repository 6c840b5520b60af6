"""What may be risked of a deadline: the chance, and that it is taken only by who says so."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.policy.failover_market import Terms

HOUR = 3600.0


def terms(left_hours: float, *, resumes: bool = False, changeover: float = 0.1, late: float = 0.1) -> Terms:
    return Terms(
        left_seconds=left_hours * HOUR,
        changeover_seconds=changeover * HOUR,
        late_seconds=late * HOUR,
        resumes=resumes,
    )


def chance(found: Terms, work_hours: float, rate: float) -> float:
    seconds = work_hours * HOUR
    return found.late_chance(on_demand_seconds=seconds, spot_seconds=seconds, interruptions_per_hour=rate)


def test_where_spot_is_safe_there_is_no_chance_of_being_late():
    found = terms(10.0)
    longest = found.spot_seconds_max(4 * HOUR)
    assert longest >= 4 * HOUR
    assert chance(found, 4.0, 5.0) == pytest.approx(0.0, abs=1e-9)
    assert chance(terms(5.0, resumes=True), 4.0, 5.0) == 0.0


def test_what_cannot_end_in_time_is_late_for_sure():
    assert chance(terms(4.0), 4.0, 0.0) == 1.0


@pytest.mark.parametrize("left", [4.2, 5.0, 6.5, 8.0])
@pytest.mark.parametrize("rate", [0.02, 0.2, 1.0])
def test_the_chance_is_that_of_an_interruption_which_comes_too_late_to_start_over(left, rate):
    found, work, rng, late = terms(left), 4.0, Random(f"{left} {rate}"), 0
    tries = 4000
    for _ in range(tries):
        lost_at = rng.expovariate(rate)  # hours after the command started; told `late` later
        again = 0.1 + lost_at + 0.1 + 0.1 + work  # changeover, lost, heard of, changeover, all of it
        late += lost_at < work and again > left
    assert chance(found, work, rate) == pytest.approx(late / tries, abs=4 * math.sqrt(0.25 / tries))


@given(left=st.floats(0.1, 50), work=st.floats(0.01, 20), rate=st.floats(0, 5), resumes=st.booleans())
def test_it_is_a_chance_and_more_time_never_makes_it_worse(left, work, rate, resumes):
    now, more = (chance(terms(hours, resumes=resumes), work, rate) for hours in (left, left * 1.5))
    assert 0.0 <= more <= now <= 1.0
