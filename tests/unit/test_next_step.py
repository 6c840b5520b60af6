"""What follows an attempt: the table of outcomes, the ceilings, the waits."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from msgspec.structs import replace

from flyball.model.facts import RunResult, RunSubmitted
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Plan
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import LiveRun, Tried
from flyball.model.spec import Goal, JobSpec, SizeAsk, SpotAsk, Tenacity
from flyball.policy.known import Known, Usual
from flyball.policy.next_step import Finish, Launchable, Waiting, backoff_seconds, next_step
from flyball.policy.retry import Grown

GIB = 2**30
OFFER = Offer(
    cloud="x", region="r", instance_type="t", arch=Arch.X86_64, vcpus=2, memory_bytes=8 * GIB, market=Market.SPOT,
    price_usd_per_hour=Decimal("0.1"), as_of=date(2026, 1, 1), source="test",
)  # fmt: skip
KNOWN = Known(
    supplies={},
    plan=lambda run: Plan(
        job=run.job, size=Size(cpu_cores=1, memory_bytes=GIB), forecast=Forecast(runs=0), reasons=()
    ),
    usual=lambda _: Usual(),
    grow=lambda _run, limit, _n: (
        Grown(memory_limit_bytes=limit * 2, reason="doubled") if limit < 16 * GIB else None
    ),
)
WORLDS_FAULT = [Outcome.INTERRUPTED, Outcome.LOST, Outcome.LAUNCH_TIMED_OUT, Outcome.NO_CAPACITY]
JOBS_FAULT = [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.STALLED, Outcome.INCOMPLETE_OUTPUT]


def spec(**changes) -> JobSpec:
    return replace(JobSpec(name="j", command=("true",), paper="p"), **changes)


def tried(outcome: Outcome, n: int = 1, *, limit: int | None = GIB, at: float = 100.0, **changes) -> Tried:
    launched = None if outcome is Outcome.NO_CAPACITY else at - 60
    return replace(
        Tried(
            attempt_id=f"r.{n}", provider="p", offer_id=OFFER.offer_id, market=Market.SPOT, outcome=outcome,
            memory_limit_bytes=limit, planned_at_seconds=at - 70, launched_at_seconds=launched,
            started_at_seconds=launched, ended_at_seconds=at, reason=outcome.value,
        ),
        **changes,
    )  # fmt: skip


def run(*attempts: Tried, of: JobSpec | None = None, **changes) -> LiveRun:
    job = of or spec()
    submitted = RunSubmitted(
        at_seconds=0.0,
        run=RunSpec(run_id="r", job="j", command=("true",), features=Features(started_at_seconds=0.0)),
        spec=job,
    )
    return replace(LiveRun(submitted=submitted, spec=job, tried=attempts), **changes)


def test_the_first_attempt_has_the_number_one():
    step = next_step(run(), KNOWN, 0.0)
    assert isinstance(step, Launchable)
    assert step.attempt_id == "r.1"


def test_a_success_is_the_end():
    step = next_step(run(tried(Outcome.SUCCEEDED)), KNOWN, 101.0)
    assert isinstance(step, Finish)
    assert step.result is RunResult.SUCCEEDED


@pytest.mark.parametrize("outcome", WORLDS_FAULT)
def test_the_worlds_faults_spend_no_retry(outcome):
    attempts = [tried(outcome, n) for n in range(1, 6)]
    step = next_step(run(*attempts), KNOWN, 101.0)
    assert isinstance(step, Launchable)
    assert step.attempt_id == "r.6"


@pytest.mark.parametrize("outcome", JOBS_FAULT)
def test_the_jobs_own_faults_spend_the_users_retries(outcome):
    of = spec(tenacity=Tenacity(retries=1, backoff_seconds=10.0))
    assert isinstance(next_step(run(tried(outcome), of=of), KNOWN, 100.0), Waiting)
    assert isinstance(next_step(run(tried(outcome), of=of), KNOWN, 200.0), Launchable)
    step = next_step(
        run(tried(outcome, 1), tried(Outcome.INTERRUPTED, 2), tried(outcome, 3), of=of), KNOWN, 9e9
    )
    assert isinstance(step, Finish)
    assert step.result is RunResult.FAILED
    assert "1 retries allowed" in step.reason


def test_a_wait_is_told_in_the_same_words_until_it_is_over():
    of = spec(tenacity=Tenacity(retries=3, backoff_seconds=60.0))
    waits = {next_step(run(tried(Outcome.FAILED), of=of), KNOWN, 100.0 + s) for s in range(0, 29, 7)}
    assert len(waits) == 1


def test_waits_double_up_to_the_longest_and_differ_between_runs():
    of = spec(tenacity=Tenacity(retries=9, backoff_seconds=10.0, backoff_seconds_max=100.0))
    waits = [backoff_seconds(run(of=of), n) for n in range(1, 9)]
    assert all(5.0 * 2 ** (n - 1) <= wait <= 10.0 * 2 ** (n - 1) for n, wait in enumerate(waits[:4], 1))
    assert max(waits) <= 100.0
    assert waits == [backoff_seconds(run(of=of), n) for n in range(1, 9)]


def test_out_of_memory_comes_back_bigger_and_keeps_what_it_has_learnt():
    first = next_step(run(tried(Outcome.OUT_OF_MEMORY, limit=GIB)), KNOWN, 100.0)
    assert isinstance(first, Launchable)
    assert first.memory_limit_bytes == 2 * GIB
    later = run(tried(Outcome.OUT_OF_MEMORY, limit=GIB), tried(Outcome.INTERRUPTED, 2, limit=2 * GIB))
    again = next_step(later, KNOWN, 101.0)
    assert isinstance(again, Launchable)
    assert again.memory_limit_bytes == 2 * GIB


def test_memory_stops_at_the_users_ceiling():
    of = spec(size=SizeAsk(memory_bytes=GIB, memory_bytes_max=3 * GIB))
    step = next_step(run(tried(Outcome.OUT_OF_MEMORY, limit=2 * GIB), of=of), KNOWN, 100.0)
    assert isinstance(step, Launchable)
    assert step.memory_limit_bytes == 3 * GIB
    end = next_step(run(tried(Outcome.OUT_OF_MEMORY, limit=3 * GIB), of=of), KNOWN, 100.0)
    assert isinstance(end, Finish)
    assert "the most it may have" in end.reason


def test_a_limit_that_the_user_set_alone_is_final():
    of = spec(size=SizeAsk(memory_bytes=GIB))
    step = next_step(run(tried(Outcome.OUT_OF_MEMORY), of=of), KNOWN, 100.0)
    assert isinstance(step, Finish)
    assert "that you set" in step.reason


def test_launches_have_a_ceiling_that_refusals_do_not_count_for():
    of = spec(tenacity=Tenacity(launches_max=3), spot=SpotAsk(checkpoint="c"))
    refused = [tried(Outcome.NO_CAPACITY, n) for n in range(1, 30)]
    assert isinstance(next_step(run(*refused, of=of), KNOWN, 101.0), Launchable)
    launched = [tried(Outcome.INTERRUPTED, n, progress=n / 10) for n in range(1, 4)]
    step = next_step(run(*launched, of=of), KNOWN, 101.0)
    assert isinstance(step, Finish)
    assert "3 launches" in step.reason


def test_a_world_that_never_lets_it_get_anywhere_is_given_up():
    of = spec(tenacity=Tenacity(launches_max=1000))
    lost = [tried(Outcome.LOST, n) for n in range(1, 17)]
    step = next_step(run(*lost, of=of), KNOWN, 101.0)
    assert isinstance(step, Finish)
    assert "in a row" in step.reason
    gets_on = [tried(Outcome.INTERRUPTED, n, progress=n / 100) for n in range(1, 40)]
    assert isinstance(next_step(run(*gets_on, of=of), KNOWN, 101.0), Launchable)


def test_a_budget_ends_it():
    of = spec(goal=Goal(usd_per_run=1.0))
    step = next_step(run(tried(Outcome.INTERRUPTED), of=of, spent_nano_usd=1_200_000_000), KNOWN, 101.0)
    assert isinstance(step, Finish)
    assert "budget" in step.reason


def test_a_request_that_can_never_work_is_not_repeated():
    step = next_step(run(tried(Outcome.FAILED, reason="bad_request: no such type")), KNOWN, 101.0)
    assert isinstance(step, Finish)
    assert "no such type" in step.reason


def test_what_is_cancelled_ends_whatever_else_holds():
    step = next_step(run(tried(Outcome.FAILED), cancel_reason="by hand"), KNOWN, 101.0)
    assert isinstance(step, Finish)
    assert step.result is RunResult.CANCELLED
