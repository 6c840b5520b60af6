from __future__ import annotations

import pytest

from flyball.model.outcome import Outcome
from flyball.model.units import GIB, MIB
from flyball.policy.retry import ATTEMPTS_MAX_PER_RUN, Again, Allowance, Final, Grown, after

OOM, FAILED = Outcome.OUT_OF_MEMORY, Outcome.FAILED


def doubled(limit_bytes):
    return Grown(memory_limit_bytes=2 * limit_bytes, reason="doubled")


def step(*outcomes, retries=0, ceiling=None, limit=GIB, grow=doubled):
    allowance = Allowance(retries=retries, memory_ceiling_bytes=ceiling)
    return after(outcomes, allowance=allowance, memory_limit_bytes=limit, grow=grow)


def test_success_is_final():
    assert isinstance(step(Outcome.SUCCEEDED, retries=3), Final)


def test_a_failure_is_retried_as_often_as_allowed_and_no_more():
    assert isinstance(step(FAILED), Final)
    assert isinstance(step(FAILED, retries=2), Again)
    assert isinstance(step(FAILED, FAILED, retries=2), Again)
    assert isinstance(step(FAILED, FAILED, FAILED, retries=2), Final)


def test_running_out_of_memory_comes_back_bigger_and_spends_no_retry():
    assert step(OOM, ceiling=8 * GIB).memory_limit_bytes == 2 * GIB
    assert isinstance(step(OOM, FAILED, ceiling=8 * GIB, retries=1), Again)


def test_growth_stops_at_the_ceiling_after_having_tried_it():
    assert step(OOM, ceiling=3 * GIB, limit=2 * GIB).memory_limit_bytes == 3 * GIB
    assert isinstance(step(OOM, ceiling=3 * GIB, limit=3 * GIB), Final)


def test_a_single_limit_that_the_user_set_is_never_exceeded():
    final = step(OOM, ceiling=None, limit=150 * MIB)
    assert isinstance(final, Final)
    assert "150 MiB" in final.reason


def test_a_cancelled_run_is_not_started_again():
    assert isinstance(step(Outcome.CANCELLED, retries=5), Final)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_no_run_gets_more_than_the_most_attempts(outcome):
    assert isinstance(step(*[outcome] * ATTEMPTS_MAX_PER_RUN, retries=1000, ceiling=2**60), Final)
