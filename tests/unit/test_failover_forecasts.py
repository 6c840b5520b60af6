"""What the loop knows of jobs and of what is for sale."""

from __future__ import annotations

import pytest

from flyball.engine.forecasts import Forecasts
from flyball.engine.planning import Preferences
from flyball.model import facts as f
from flyball.model.folding import fold
from flyball.model.job import Features, RunSpec
from flyball.model.machine import Capabilities
from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.receipt import Host, Receipt
from flyball.model.resource import Market
from flyball.model.snapshot import Snapshot
from flyball.model.spec import JobSpec
from flyball.model.units import GIB
from flyball.ports.catalog import MemoryCatalog
from flyball.ports.store import MemoryStore
from tests.unit.test_failover import offer

NOW = 1_780_000_000.0


class Seller:
    def __init__(self, capabilities=None):
        self.capabilities = capabilities or Capabilities()


class World:
    def __init__(self, **kwargs):
        self.store, self.snapshot, self.count = MemoryStore(), Snapshot(), 0
        self.now = NOW
        kwargs.setdefault("providers", {"sim": Seller()})
        self.forecasts = Forecasts(store=self.store, now_seconds=lambda: self.now, **kwargs)

    def spec(self, run_id, **features):
        told = Features(started_at_seconds=self.now, **features)
        return RunSpec(run_id=run_id, job="j", command=("x",), features=told)

    def run(self, *, gib=1.0, seconds=100.0, outcome=Outcome.SUCCEEDED, job="j", **features):
        """One run from its submission to its end."""
        self.count += 1
        run_id = f"r{self.count:04}"
        name = {"run_id": run_id, "attempt_id": f"{run_id}.1"}
        limits = f.Limits(memory_bytes=int(gib * GIB))
        receipt = Receipt(
            attempt_id=name["attempt_id"], outcome=outcome, exit_code=0, exit_cause="", started_at_seconds=self.now,
            ended_at_seconds=self.now + seconds, wall_seconds=seconds, cpu_seconds=seconds / 2, cpu_cores_p95=1.0,
            memory_bytes_max=int(gib * GIB), host=Host(), limits=limits, sources={}, samples=5,
        )  # fmt: skip
        spec = JobSpec(name=job, command=("x",), paper="p")
        run = f.RunSubmitted(at_seconds=self.now, run=self.spec(run_id, **features), spec=spec)
        plan = f.AttemptPlanned(
            at_seconds=self.now, **name, provider="sim", offer=offer(), size=PLAIN, limits=limits, reason=""
        )
        facts = [
            run,
            plan,
            f.AttemptLaunched(at_seconds=self.now, **name),
            f.AttemptStarted(at_seconds=self.now, **name, limits=limits, reason=""),
            f.AttemptEnded(at_seconds=self.now + seconds, **name, receipt=receipt),
            f.RunEnded(
                at_seconds=self.now + seconds, run_id=run_id, job=job, result=f.RunResult.SUCCEEDED, reason=""
            ),
        ]
        self.store.append(facts)
        self.snapshot = fold(self.snapshot, facts)
        self.now += 600.0

    @property
    def known(self):
        return self.forecasts.known(self.snapshot)

    def plan(self, **features):
        return self.known.plan(self.spec("next", **features))


PLAIN = f.Size(cpu_cores=1, memory_bytes=GIB)


def test_a_stranger_has_no_forecast_and_every_run_of_the_first_ones_counts():
    world = World()
    assert world.plan().forecast.runs == 0
    for runs in range(1, 5):
        world.run()
        assert world.plan().forecast.runs == runs


def test_the_same_plan_is_given_while_nothing_surprising_comes_in():
    world = World()
    for i in range(40):
        world.run(gib=1.0 + 0.001 * (i % 7))
    first = world.plan()
    assert world.plan() is first
    world.run(gib=1.003)
    assert world.plan() is first


def test_an_out_of_memory_end_makes_a_new_plan_at_once():
    world = World()
    for _ in range(40):
        world.run()
    first = world.plan()
    world.run(gib=1.2, outcome=Outcome.OUT_OF_MEMORY)
    again = world.plan()
    assert again is not first
    assert again.size.memory_bytes > first.size.memory_bytes


def test_runs_that_need_much_more_than_expected_change_the_plan_soon():
    world = World()
    for _ in range(40):
        world.run()
    first = world.plan()
    for _ in range(3):
        world.run(gib=3.0)
    assert world.plan().size.memory_bytes > 2 * first.size.memory_bytes


def test_inputs_that_are_near_share_a_plan_and_far_ones_do_not():
    world = World()
    for i in range(20):
        world.run(gib=0.5 + i * 0.1, input_bytes=(5 + i) * GIB)
    assert world.plan(input_bytes=10 * GIB) is world.plan(input_bytes=10 * GIB + 1000)
    assert (
        world.plan(input_bytes=20 * GIB).size.memory_bytes > world.plan(input_bytes=5 * GIB).size.memory_bytes
    )


def test_the_usual_is_told_from_five_runs_on_and_one_odd_run_does_not_move_it():
    world = World()
    for _ in range(4):
        world.run(seconds=100.0)
    assert world.known.usual("j").wall_seconds_p95 is None
    for _ in range(30):
        world.run(seconds=100.0)
    world.run(seconds=90_000.0)
    usual = world.known.usual("j")
    assert usual.runs == 35
    assert usual.wall_seconds_p95 == pytest.approx(100.0)
    assert usual.wall_seconds.p50 == pytest.approx(100.0)


def test_what_others_wrote_is_found_within_the_hour():
    world = World()
    world.run()
    assert world.plan().forecast.runs == 1
    mine, world.snapshot = world.snapshot, Snapshot()
    for _ in range(9):
        world.run()
    world.snapshot = mine
    world.now += 4000.0
    assert world.plan().forecast.runs == 10


def test_work_is_told_with_the_plan():
    world = World()
    for _ in range(5):
        world.run(seconds=100.0)
    work = world.known.doing(world.spec("next")).work
    assert work.wall_seconds == pytest.approx(100.0, rel=0.1)


SOLD = [
    offer("a1", Market.SPOT, "0.1"),
    offer("a2", Market.ON_DEMAND, "0.2"),
    offer("a3", Market.ON_DEMAND, "9.0"),
]


def test_the_catalogue_is_filtered_by_the_users_wishes():
    wishes = Preferences(markets=(Market.ON_DEMAND,), price_usd_per_hour_max=1.0)
    world = World(catalog=lambda: MemoryCatalog(SOLD), preferences=wishes)
    assert [o.instance_type for o in world.known.supplies["sim"].offers] == ["a2"]
    assert world.known.catalog_age_seconds == NOW - 1_767_225_600.0  # 2026-01-01


def test_own_offers_go_before_the_catalogue_and_tables_stay_the_same_objects():
    own = OfferTable.of([offer("own")])
    providers = {"local": Seller(), "sim": Seller()}
    world = World(catalog=lambda: MemoryCatalog(SOLD), own_offers={"local": own}, providers=providers)
    before = world.known.supplies
    assert before["local"].offers is own
    assert len(before["sim"].offers) == 3
    world.now += 5000.0
    assert world.known.supplies["sim"].offers is before["sim"].offers


def test_without_anything_from_the_catalogue_it_has_no_age():
    world = World(own_offers={"sim": OfferTable.of([offer("own")])})
    assert world.known.catalog_age_seconds is None
