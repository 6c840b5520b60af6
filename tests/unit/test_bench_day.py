"""The bench of a day: what it draws, that its ways of running a day are charged alike, and that its bounds are bounds."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "day"))

from asked import MEASURED, Band
from baselines import Shop, always_on, machine_per_job, sticky_spot
from bound import packed, per_job
from governed import flyball
from managed import IDLE_SECONDS, ManagedBatch
from workload import DAY_SECONDS, KINDS, day
from world import World

from flyball.model.resource import Market

START_SECONDS = 1_767_225_600.0


@pytest.fixture(scope="module")
def small():
    made = day(3, MEASURED, start_seconds=START_SECONDS, runs=120)
    return made, World(made.runs, start_seconds=START_SECONDS, seed=3, data=None)


@pytest.fixture(scope="module")
def governed(small):
    return flyball(*small)


def test_a_day_is_the_same_for_the_same_seed_and_another_for_another():
    one, same, other = (day(seed, MEASURED, start_seconds=START_SECONDS, runs=100) for seed in (1, 1, 2))
    assert one == same
    assert one.runs != other.runs


def test_a_day_has_as_many_runs_as_it_says_in_the_order_they_are_due():
    made = day(1, MEASURED, start_seconds=START_SECONDS)
    assert len(made.runs) == 4000 == sum(kind.runs for kind in KINDS)
    times = [run.due_seconds for run in made.runs]
    assert times == sorted(times)
    assert START_SECONDS <= times[0] <= times[-1] < START_SECONDS + DAY_SECONDS
    assert len({run.run_id for run in (*made.runs, *made.before)}) == len(made.runs) + len(made.before)


def test_what_is_asked_for_always_holds_what_is_used():
    made = day(5, MEASURED, start_seconds=START_SECONDS)
    for run in (*made.runs, *made.before):
        assert run.truth.memory_bytes <= run.job.asked.memory_bytes
        assert run.truth.cores <= run.job.asked.cpu_cores


def test_one_job_in_ten_has_not_run_before():
    made = day(7, MEASURED, start_seconds=START_SECONDS)
    jobs = {run.job.name: run.job for run in made.runs}.values()
    known = {run.job.name for run in made.before}
    assert all((job.name in known) != job.new for job in jobs)
    assert 0.05 < sum(job.new for job in jobs) / len(jobs) < 0.16


def test_ratios_are_drawn_between_the_outer_quantiles_and_never_below_one():
    rng = Random(11)
    band = Band(below=1.0, types=9, ratios=(0.5, 0.9, 1.2, 2.0, 3.0, 5.0, 8.0))
    drawn = [band.ratio(rng) for _ in range(2000)]
    assert min(drawn) == 1.0
    assert max(drawn) <= 8.0
    assert 1.8 < sorted(drawn)[1000] < 2.2  # the middle is where it was measured


def test_every_way_of_running_the_day_ends_every_run_that_can_succeed(small):
    made, world = small
    for outcome in (
        machine_per_job(made, world),
        sticky_spot(made, world),
        ManagedBatch(made, world).run(),
        ManagedBatch(made, world, spot=True).run(),
    ):
        assert outcome.lost == 0, outcome.name
        assert outcome.usd > 0


def test_nothing_real_costs_less_than_perfect_packing_and_nothing_per_machine_less_than_the_bound(small):
    made, world = small
    bound, fluid = per_job(made, world), packed(made, world)
    assert fluid.usd < bound.usd
    for outcome in (always_on(made, world), machine_per_job(made, world), sticky_spot(made, world)):
        assert outcome.usd > bound.usd, outcome.name
    for batch in (ManagedBatch(made, world), ManagedBatch(made, world, spot=True)):
        assert batch.run().usd > fluid.usd


def test_a_managed_machine_is_kept_for_ten_idle_minutes_and_then_goes(small):
    batch = ManagedBatch(*small)
    batch.run()
    assert batch.past_nodes
    assert not batch.nodes
    assert all(node.gone_at - node.idle_since == pytest.approx(IDLE_SECONDS) for node in batch.past_nodes)


@pytest.mark.parametrize("spot", [False, True])
def test_a_managed_machine_never_holds_more_than_it_has(small, spot):
    batch = ManagedBatch(*small, spot=spot)
    batch.run()
    assert all(node.least_free >= 0 for node in batch.past_nodes)
    assert len(batch.past_nodes) == batch.machines


def test_the_asked_size_is_for_sale_for_every_job_of_a_day():
    made = day(2, MEASURED, start_seconds=START_SECONDS)
    world = World(made.runs, start_seconds=START_SECONDS, seed=2, data=None)
    shop = Shop(world, families=("m6i", "c6i", "r6i", "c7i"))
    for job in {run.job.name: run.job for run in made.runs}.values():
        offer = shop.cheapest(job.asked, job.gpu_models, Market.ON_DEMAND)[0]
        assert offer.vcpus >= job.asked.cpu_cores
        assert offer.memory_bytes >= job.asked.memory_bytes


def test_flyball_loses_no_run_and_costs_more_than_perfect_packing(small, governed):
    made, world = small
    assert governed.outcome.lost == 0
    assert packed(made, world).usd < governed.outcome.usd < machine_per_job(made, world).usd
    assert set(governed.replayed.runs) == {run.run_id for run in made.runs}


def test_the_same_day_under_flyball_is_the_same_day(small, governed):
    again = flyball(*small)
    assert again.replayed.nano_usd == governed.replayed.nano_usd
    assert again.replayed.runs == governed.replayed.runs
