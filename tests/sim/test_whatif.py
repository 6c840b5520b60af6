"""What-if: the work of past runs read as placement reads it, nothing known before its time, figures that add up."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.adapters.catalog.builtin import builtin_offers
from flyball.app.look import Look
from flyball.app.whatif_pages import bar, whatif_json, whatif_page
from flyball.errors import InputError
from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome
from flyball.model.processor import processor_of
from flyball.model.resource import Market, Size
from flyball.model.units import GIB
from flyball.policy.placement import Work, rank
from flyball.sim.truth import pace_on
from flyball.sim.whatif import Policy, whatif
from flyball.sim.whatif_jobs import sampled
from flyball.sim.whatif_runs import past_runs

DAY = 86_400.0
START = 1_780_000_000.0


def aws():
    offers = builtin_offers()
    return offers.take(offers.text["cloud"].where("aws".__eq__))


def row(name: str, *, job="nightly", at=START, outcome=Outcome.SUCCEEDED, attempt=1, **figures) -> AttemptRow:
    usual = {
        "wall_seconds": 600.0,
        "cpu_seconds": 900.0,
        "cpu_cores_max": 2.0,
        "memory_bytes_max": 3 * GIB,
        "memory_limit_bytes": 16 * GIB,
        "cpu_cores_limit": 8.0,
        "instance_type": "m6i.2xlarge",
        "host_cores": 8.0,
        "host_memory_bytes": 32 * GIB,
    }
    return AttemptRow(
        run_id=name, attempt_id=f"{name}.{attempt}", job=job, origin="run", started_at_seconds=at, outcome=outcome,
        **{**usual, **figures},
    )  # fmt: skip


def nights(count: int, seed: int = 0, job: str = "nightly") -> list[AttemptRow]:
    rng = Random(seed)
    return [
        row(
            f"{job}{i}",
            job=job,
            at=START + i * DAY,
            memory_bytes_max=int(3 * GIB * rng.uniform(0.9, 1.1)),
            wall_seconds=600 * rng.uniform(0.8, 1.2),
        )
        for i in range(count)
    ]


@settings(derandomize=True, deadline=None)
@given(
    wall=st.floats(1, 1e5),
    cores=st.floats(1, 64),
    share=st.floats(0.01, 1),
    kind=st.sampled_from(["m6i.4xlarge", "c8a.2xlarge", "m5a.8xlarge", "r7i.16xlarge"]),
)
def test_a_past_run_takes_as_long_elsewhere_as_placement_expects(wall, cores, share, kind):
    # Given a run on some machine, and what placement makes of it
    cpu = wall * max(share, share * cores)
    known = row(
        "r", wall_seconds=wall, cpu_seconds=cpu, cpu_cores_max=cores, instance_type=kind, host_cores=16.0
    )
    seen = processor_of(instance_type=kind)
    work = Work(
        wall_seconds=wall, core_seconds=cpu, cores=cores, processor=seen.name, vcpus=16.0,
        speed_one_core=seen.speed_one_core, speed_all_cores=seen.speed_all_cores,
    )  # fmt: skip
    offers = [
        offer for offer in aws() if offer.instance_type == "m7i.4xlarge" and offer.market is Market.ON_DEMAND
    ]
    expected = rank(offers, need=Size(cpu_cores=1, memory_bytes=0), work=work)[0].expected_seconds
    # When its truth is taken to that machine
    (run,) = past_runs([known], {}).runs
    # Then both agree
    assert pace_on(offers[0], run.truth).wall_seconds == pytest.approx(expected, rel=1e-6, abs=2e-3)


def test_under_flyball_each_run_is_planned_from_those_before_it_only():
    # Given a job whose memory grows twentyfold half-way: who peeked would never run out of memory
    calm = nights(10)
    grown = [
        row(f"grown{i}", at=START + (20 + i) * DAY, memory_bytes_max=15 * GIB, memory_limit_bytes=16 * GIB)
        for i in range(3)
    ]
    found = whatif([*calm, *grown], aws(), policies=[Policy.FLYBALL])
    result = found.result(Policy.FLYBALL)
    # Then the first grown run does run out of memory, comes back bigger, and all of them succeed
    assert result.out_of_memory >= 1
    assert result.failed == 0


def test_flyball_costs_less_than_the_asked_size_on_demand_and_more_than_nothing():
    found = whatif(nights(20), aws())
    costs = {result.policy: result.usd for result in found.results}
    assert 0 < costs[Policy.FLYBALL] < costs[Policy.FLYBALL_ON_DEMAND] < costs[Policy.ON_DEMAND_ASKED]
    assert found.replayed == found.runs == 20


def test_as_it_was_adds_up_recorded_costs():
    rows = [row(f"r{i}", at=START + i * DAY, cost_usd="0.125") for i in range(4)]
    found = whatif(rows, aws(), policies=[Policy.AS_IT_WAS])
    assert found.result(Policy.AS_IT_WAS).usd == 0.5


def test_without_a_recorded_cost_the_machine_type_is_priced_and_without_either_nothing_is_made_up():
    priced = whatif([row("r", wall_seconds=3600.0)], aws(), policies=[Policy.AS_IT_WAS])
    assert priced.result(Policy.AS_IT_WAS).usd == pytest.approx(0.384)  # an hour of m6i.2xlarge
    unknown = whatif([row("r", instance_type=None)], aws(), policies=[Policy.AS_IT_WAS])
    assert unknown.result(Policy.AS_IT_WAS).runs == 0


def test_a_run_that_failed_twice_and_then_succeeded_does_so_in_every_world():
    rows = [
        row("r", outcome=Outcome.FAILED, exit_code=3, wall_seconds=60.0),
        row("r", outcome=Outcome.FAILED, exit_code=3, wall_seconds=120.0, attempt=2, at=START + 100),
        row("r", attempt=3, at=START + 300),
    ]
    found = whatif(rows, aws())
    assert [result.failed for result in found.results] == [0, 0, 0, 0]
    assert found.result(Policy.FLYBALL).launches == found.result(Policy.ON_DEMAND_ASKED).launches == 3


def test_a_run_that_failed_for_good_fails_for_good_and_is_paid_for():
    found = whatif([row("r", outcome=Outcome.FAILED, exit_code=1)], aws())
    assert [result.failed for result in found.results] == [1, 1, 1, 1]
    assert all(result.usd > 0 for result in found.results)


def test_the_world_s_faults_are_not_the_run_s():
    rows = [row("r", outcome=Outcome.INTERRUPTED, wall_seconds=60.0), row("r", attempt=2, at=START + 100)]
    found = whatif(rows, aws(), policies=[Policy.ON_DEMAND_ASKED])
    assert found.result(Policy.ON_DEMAND_ASKED).launches == 1


def test_runs_that_cannot_be_replayed_are_left_out_and_said_so():
    rows = [*nights(2), row("gone", outcome=Outcome.LOST), row("gpu", gpus_used=1)]
    found = whatif(rows, aws(), policies=[Policy.ON_DEMAND_ASKED])
    assert found.runs == 2
    assert "1 left out: they used GPUs" in found.notes[0]
    with pytest.raises(InputError, match="no finished run"):
        whatif([row("gone", outcome=Outcome.LOST)], aws())


def test_only_runs_of_that_time_are_counted_and_earlier_ones_are_known():
    rows = nights(10)
    found = whatif(rows, aws(), since=START + 5 * DAY, until=START + 8 * DAY, policies=[Policy.FLYBALL])
    assert found.runs == 3
    assert found.result(Policy.FLYBALL).out_of_memory == 0


def test_the_same_seed_gives_the_same_answer():
    one, other = (whatif(nights(6), aws(), seed=4) for _ in range(2))
    assert one.results == other.results
    assert one.jobs == other.jobs


def test_of_many_runs_a_share_of_each_job_is_replayed_and_the_total_is_near():
    rows = [r for n in range(5) for r in nights(30, seed=n, job=f"job{n}")]
    whole = whatif(rows, aws(), policies=[Policy.FLYBALL])
    part = whatif(rows, aws(), policies=[Policy.FLYBALL], runs_max=40)
    assert whole.replayed == 150
    assert part.replayed <= 40
    assert part.runs == 150
    assert part.result(Policy.FLYBALL).runs == 150
    assert part.result(Policy.FLYBALL).usd == pytest.approx(whole.result(Policy.FLYBALL).usd, rel=0.35)


@settings(derandomize=True, deadline=None)
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=12), runs_max=st.integers(1, 200))
def test_a_sample_is_never_larger_than_asked_and_each_of_its_runs_is_one_of_them(counts, runs_max):
    rows = [
        row(f"{n}-{i}", job=f"job{n}", at=START + i) for n, count in enumerate(counts) for i in range(count)
    ]
    runs = past_runs(rows, {}).runs
    chosen = sampled(runs, runs_max, seed=1)
    assert 1 <= len(chosen) <= runs_max
    assert {run.run_id for run in chosen} <= {run.run_id for run in runs}
    if len(runs) <= runs_max:
        assert len(chosen) == len(runs)


def test_late_is_counted_only_where_deadlines_are_known():
    rows = nights(3)
    without = whatif(rows, aws(), policies=[Policy.ON_DEMAND_ASKED])
    assert without.result(Policy.ON_DEMAND_ASKED).late is None
    deadlines = {r.run_id: r.started_at_seconds + 10.0 for r in rows}
    kept = whatif(rows, aws(), policies=[Policy.ON_DEMAND_ASKED], deadlines=deadlines)
    assert kept.result(Policy.ON_DEMAND_ASKED).late == 3


def test_progress_goes_from_nothing_to_all():
    heard: list[float] = []
    whatif(nights(5), aws(), progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


@pytest.mark.parametrize("width", [40, 80, 160])
def test_a_page_says_what_each_policy_costs_and_fits_its_terminal(width):
    found = whatif(nights(8), aws())
    page = whatif_page(found, Look(width=width))
    assert all(policy.value[:10] in page.split("\n\n")[1] for policy in Policy)
    assert all(len(line) <= width for line in page.splitlines())
    assert "nightly" in page
    plain = whatif_json(found)
    assert [result["policy"] for result in plain["results"]] == [policy.value for policy in Policy]


@settings(derandomize=True, deadline=None)
@given(value=st.floats(0, 1e9), most=st.floats(0, 1e9))
def test_a_bar_is_never_longer_than_the_longest_and_never_nothing_for_something(value, most):
    drawn = bar(min(value, most), most, Look(width=80))
    assert len(drawn) <= 24
    assert bool(drawn) == (min(value, most) > 0)
