"""Whatever happens to governors, calls and machines: every run ends, nothing runs twice, nothing is forgotten."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from stage import Crash, crash_at_call
from worlds import Chances, World, offers

from flyball.adapters.sqlite_store import SqliteStore
from flyball.model import facts as f
from flyball.model.outcome import Outcome
from flyball.model.resource import Market
from flyball.model.spec import Goal, JobSpec, SpotAsk, Tenacity
from flyball.sim.faults import Faults
from flyball.sim.truth import Truth, Try
from flyball.sim.weather import Rates

CALM = Chances(runs=0, cancel_rate=0.0)


def world_of(truth: Truth, chances: Chances = CALM, *, seed: int = 1, **changes) -> World:
    """A world with one run, which is called r0."""
    world = World(seed, replace(chances, runs=0))
    spec = JobSpec(name="job", command=("work",), paper=world.paper, providers=tuple(world.clouds), **changes)
    world.submit("r0", spec, truth, at_seconds=world.clock.now_seconds())
    return world


def ends_of(world: World) -> list[Outcome]:
    return [fact.receipt.outcome for fact in world.store.read() if isinstance(fact, f.AttemptEnded)]


def result_of(world: World) -> f.RunEnded:
    (ended,) = [fact for fact in world.store.read() if isinstance(fact, f.RunEnded)]
    return ended


# Random worlds


@pytest.mark.parametrize("seed", range(60))
def test_all_invariants_hold_in_every_world(seed):
    assert World(seed).run() == []


@pytest.mark.parametrize("seed", range(1000, 1006))
def test_they_hold_over_a_real_file_too(seed, tmp_path):
    store = SqliteStore(tmp_path / "store.sqlite")
    try:
        assert World(seed, store=store).run() == []
    finally:
        store.close()


def test_the_same_seed_gives_the_same_world():
    logs = []
    for _ in range(2):
        world = World(21)
        world.run()
        logs.append(list(world.store.read()))
    assert logs[0] == logs[1]
    assert len(logs[0]) > 20


@pytest.mark.parametrize("seed", range(12))
def test_charges_are_the_bill_to_the_second_where_governors_see_all(seed):
    rates = Rates(interruptions_per_hour=0.7, on_demand_refusal_rate=0.1)
    faults = Faults(silent_rate=0.05, no_notice_rate=0.3, doubled_notice_rate=0.3, no_receipt_rate=0.1)
    chances = Chances(runs=8, clouds=1 + seed % 2, rates=rates, faults=faults)
    assert chances.exact
    world = World(seed, chances)
    assert world.run() == []
    assert sum(bill.nano_usd for cloud in world.clouds.values() for bill in cloud.bills().values()) > 0


# A crash at every single moment


FAILS_ONCE = Truth(serial_seconds=120.0, tries=(Try(exit_code=1, at_share=0.3),))


def _fails_once_world() -> World:
    return world_of(FAILS_ONCE, tenacity=Tenacity(retries=1))


def _moments() -> int:
    """Moments before and after port calls in an undisturbed life of that world."""
    world, seen = _fails_once_world(), []
    world.around = lambda when, call: seen.append((when, call))
    assert world.run() == []
    return len(seen)


def test_a_crash_at_any_one_moment_changes_nothing_in_the_end():
    moments = _moments()
    assert moments > 50
    for number in range(1, moments + 1):
        world = _fails_once_world()
        world.around = crash_at_call(number)
        broken = world.run()
        assert (number, broken) == (number, [])
        assert (number, world.crashes) == (number, 1)
        ended = result_of(world)
        assert (number, ended.result) == (number, f.RunResult.SUCCEEDED)


def test_a_governor_that_dies_at_every_fifth_call_gets_there_all_the_same():
    world, calls = _fails_once_world(), []

    def around(when: str, call: str) -> None:
        calls.append(call)
        if len(calls) % 11 == 0:
            raise Crash

    world.around = around
    assert world.run() == []
    assert world.crashes > 5


# Two governors


@pytest.mark.parametrize("seed", range(12))
def test_two_governors_do_no_harm_to_each_other(seed):
    chances = Chances(governors=2, runs=6, between_rate=0.2, slow_rate=0.1)
    world = World(seed, chances)
    assert world.run() == []


def test_two_governors_do_get_in_each_others_way():
    worlds = [World(seed, Chances(governors=2, runs=6, between_rate=0.2, slow_rate=0.1)) for seed in range(6)]
    assert [world.run() for world in worlds] == [[]] * 6
    assert sum(world.conflicts for world in worlds) > 6


# Single rules


def test_an_interruption_never_spends_a_retry():
    rates = Rates(interruptions_per_hour=6.0)
    world = world_of(
        Truth(serial_seconds=1200.0), replace(CALM, rates=rates), spot=SpotAsk(market="spot"), seed=3
    )
    assert world.run() == []
    assert Outcome.INTERRUPTED in ends_of(world)
    assert result_of(world).result is f.RunResult.SUCCEEDED


def test_running_out_of_memory_comes_back_bigger():
    world = world_of(Truth(serial_seconds=600.0, memory_bytes=10 * 2**30))
    assert world.run() == []
    limits = [x.limits.memory_bytes for x in world.store.read() if isinstance(x, f.AttemptPlanned)]
    assert limits == sorted(limits)
    assert limits[-1] > 10 * 2**30 > limits[0]
    assert result_of(world).result is f.RunResult.SUCCEEDED


def test_a_silent_machine_is_given_up_and_another_one_bought():
    world = world_of(Truth(serial_seconds=600.0, tries=(Try(reports=False),)))
    faults = Faults(silent_rate=0.0)
    world.clouds["sim"].change(faults=faults)
    assert world.run() == []


def test_a_run_that_nobody_may_launch_any_more_ends():
    always = tuple(Try(exit_code=1, at_share=0.01) for _ in range(50))
    tenacity = Tenacity(retries=40, launches_max=5, backoff_seconds=1.0)
    world = world_of(Truth(serial_seconds=600.0, tries=always), tenacity=tenacity)
    assert world.run() == []
    assert len(ends_of(world)) == 5
    assert result_of(world).result is f.RunResult.FAILED


def test_the_budget_of_a_run_is_overspent_by_one_attempt_at_most():
    always = tuple(Try(exit_code=1) for _ in range(50))
    world = world_of(
        Truth(serial_seconds=3600.0, tries=always),
        tenacity=Tenacity(retries=40),
        goal=Goal(usd_per_run=0.2),
        spot=SpotAsk(market="on_demand"),
    )
    assert world.run() == []
    spent = sum(bill.nano_usd for bill in world.clouds["sim"].bills().values()) / 1e9
    dearest = max(
        float(offer.price_usd_per_hour) for offer in offers("sim") if offer.market is Market.ON_DEMAND
    )
    assert 0.2 <= spent <= 0.2 + 1.2 * dearest
    assert result_of(world).result is f.RunResult.FAILED
