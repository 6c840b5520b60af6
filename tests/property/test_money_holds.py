"""Ceilings under random histories: slots, quotas and dollars an hour are never exceeded, budgets by no more than what
was running when they were reached; and nothing leaks, because everything is counted from what is live."""

from __future__ import annotations

from collections import Counter
from random import Random

import msgspec
import pytest
from money_setting import (
    CLOUD,
    GIB,
    LARGE,
    OWN,
    SPOT,
    T0,
    XLARGE,
    after,
    ended,
    give_back,
    job,
    known,
    launched,
    planned,
    released,
    started,
    submitted,
)

from flyball.model import facts as f
from flyball.model.ceilings import Budget, Ceilings, Quota, Slots
from flyball.model.outcome import Outcome
from flyball.model.resource import Size
from flyball.model.snapshot import LiveAttempt, LiveRun, Snapshot
from flyball.model.spec import Holding, Overlap
from flyball.policy.charges import charge_of
from flyball.policy.charges_open import open_costs
from flyball.policy.holds import Room
from flyball.policy.known import Known

CEILINGS = Ceilings(
    usd_per_hour_max=2.0,
    slots=(
        Slots(runs_max=9), Slots(job="b", runs_max=3), Slots(tag="team=x", runs_max=2), Slots(provider="local", runs_max=2),
    ),
    quotas=(
        Quota(provider="sim", vcpus_max=12), Quota(provider="sim", market="spot", machines_max=2),
        Quota(provider="sim", machines_max=5),
    ),
    budgets=(Budget(usd_per_month=0.3), Budget(job="a", usd_per_month=0.03), Budget(tag="team=x", usd_per_month=0.05)),
)  # fmt: skip
KNOWN = known(CEILINGS, sim=CLOUD, local=OWN)
SPECS = {
    "a": job("a", providers=("sim", "local"), holding=Holding(runs_at_once=2)),
    "b": job("b", providers=("sim",)),
    "q": job("q", providers=("sim", "local"), overlap=Overlap.QUEUE),
}


class World:
    """A log that grows at random; now and then the governor forgets all it knew and folds the log again."""

    def __init__(self, seed: int, kind: Known = KNOWN) -> None:
        self.known = kind
        self.rng, self.now, self.log = Random(seed), T0, list[f.AnyFact]()
        self.snapshot = Snapshot()

    def tell(self, *facts: f.AnyFact) -> None:
        self.log.extend(facts)
        self.snapshot = after(*facts, since=self.snapshot)

    def step(self, n: int) -> None:
        self.now += self.rng.uniform(0, 120)
        if self.rng.random() < 0.5:
            spec = SPECS[self.rng.choice("abq")]
            tags = {"team": self.rng.choice("xy")}
            self.tell(submitted(f"{spec.name}{n:03d}", spec, at=self.now, tags=tags))
        self.world_goes_on()
        if self.rng.random() < 0.2:
            assert after(*self.log) == self.snapshot
            self.snapshot = after(*self.log)
        self.place()

    def world_goes_on(self) -> None:
        for run in list(self.snapshot.runs.values()):
            if run.live is not None:
                self.attempt_goes_on(run, run.live)
            elif run.tried and run.tried[-1].outcome is Outcome.SUCCEEDED and not self.unreleased(run.run_id):
                self.tell(over(run, self.now))
        for attempt_id, left in list(self.snapshot.unreleased.items()):
            if self.rng.random() < 0.7:
                charge = charge_of(give_back(self.snapshot, attempt_id), self.known, self.now)
                self.tell(released(left.run_id, attempt_id, charge, at=self.now))

    def attempt_goes_on(self, run: LiveRun, live: LiveAttempt) -> None:
        n, chance, planned_as = len(run.tried) + 1, self.rng.random(), live.planned
        if live.launched_at_seconds is None and chance < 0.2:
            self.tell(
                f.LaunchRefused(
                    at_seconds=self.now, run_id=run.run_id, attempt_id=live.attempt_id, provider=planned_as.provider,
                    offer_id=planned_as.offer.offer_id, kind="no_capacity", reason="",
                )
            )  # fmt: skip
        elif live.launched_at_seconds is None:
            self.tell(launched(run.run_id, n, at=self.now))
        elif live.started_at_seconds is None:
            self.tell(started(run.run_id, n, at=self.now))
        elif chance < 0.4:
            outcome = self.rng.choice([Outcome.SUCCEEDED, Outcome.INTERRUPTED, Outcome.LOST])
            self.tell(ended(run.run_id, n, at=self.now, wall=10, outcome=outcome))

    def unreleased(self, run_id: str) -> bool:
        return any(left.run_id == run_id for left in self.snapshot.unreleased.values())

    def place(self) -> None:
        room, facts = Room(self.snapshot, self.known, self.now), list[f.AnyFact]()
        waiting = [r for r in self.snapshot.runs.values() if r.live is None and not self.unreleased(r.run_id)]
        self.rng.shuffle(waiting)
        for run in waiting:
            if room.refusal(run) is not None:
                continue
            provider = self.rng.choice(run.spec.providers)
            at_offer = LARGE if provider == "local" else self.rng.choice([LARGE, XLARGE, SPOT])
            cores, gib = self.rng.choice([0.5, 1, 2]), self.rng.choice([1, 4, 7])
            if (
                room.offer_refusal(run, provider, at_offer, Size(cpu_cores=cores, memory_bytes=gib * GIB))
                is None
            ):
                placed = planned(run.run_id, len(run.tried) + 1, at=self.now, of=at_offer, provider=provider,
                                 cores=cores, gib=gib)  # fmt: skip
                room.take(run, (placed,))
                facts.append(placed)
        self.tell(*facts)

    def held(self) -> list[tuple[str, dict[str, str], f.AttemptPlanned]]:
        live = [(r.job, r.run.tags, r.live.planned) for r in self.snapshot.runs.values() if r.live]
        return live + [(left.job, left.tags, left.planned) for left in self.snapshot.unreleased.values()]


def over(run: LiveRun, at: float) -> f.RunEnded:
    return f.RunEnded(at_seconds=at, run_id=run.run_id, job=run.job, result=f.RunResult.SUCCEEDED, reason="")


def broken(world: World) -> list[str]:
    """Ceilings that do not hold now, counted here in another way than the policy counts."""
    held, found = world.held(), []
    jobs = Counter(name for name, _, _ in held)
    clouds = [p.offer for _, _, p in held if p.provider == "sim"]
    local = [p.size for _, _, p in held if p.provider == "local"]
    limits = {
        "all slots": (len(held), 9),
        "slots of b": (jobs["b"], 3),
        "runs of a at once": (jobs["a"], 2),
        "queue": (jobs["q"], 1),
        "slots of team x": (sum(tags["team"] == "x" for _, tags, _ in held), 2),
        "slots on local": (len(local), 2),
        "vcpus": (sum(o.vcpus for o in clouds), 12),
        "spot machines": (sum(o.market.value == "spot" for o in clouds), 2),
        "machines": (len(clouds), 5),
        "dollars an hour": (sum(float(o.price_usd_per_hour) for o in clouds), 2.0 + 1e-9),
        "memory of local": (sum(s.memory_bytes for s in local), 16 * GIB),
        "cores of local": (sum(s.cpu_cores for s in local), 4 + 1e-6),
    }
    for name, (taken, most) in limits.items():
        if taken > most:
            found.append(f"{name}: {taken} of {most}")
    return found


@pytest.mark.parametrize("seed", range(15))
def test_no_ceiling_is_exceeded_in_any_history(seed):
    world = World(seed)
    for n in range(120):
        world.step(n)
        assert broken(world) == []


@pytest.mark.parametrize("job_name", [None, "a"])
@pytest.mark.parametrize("seed", range(8))
def test_a_budget_is_exceeded_by_no_more_than_what_ran_when_it_was_reached(seed, job_name):
    """Nothing that costs is placed after it; what was held then goes on to cost until it is given back."""
    budget = Budget(job=job_name, usd_per_month=0.2 if job_name is None else 0.03)
    ceilings = msgspec.structs.replace(CEILINGS, budgets=(budget,))
    world = World(seed, known(ceilings, sim=CLOUD, local=OWN))
    for n in range(200):
        world.step(n)
    limit = int(budget.usd_per_month * 1e9)
    charges = [
        fact for fact in world.log
        if isinstance(fact, f.MachineReleased) and (job_name is None or fact.run_id.startswith(job_name))
    ]  # fmt: skip
    placed_at = {fact.attempt_id: fact.at_seconds for fact in world.log if isinstance(fact, f.AttemptPlanned)}
    spent, reached = 0, None
    for fact in charges:
        spent += fact.charge.nano_usd
        if spent >= limit and reached is None:
            reached = fact.at_seconds
    assert reached is not None, "the world is too small to test anything"
    held_then = [fact for fact in charges if placed_at[fact.attempt_id] <= reached <= fact.at_seconds]
    assert spent - limit <= sum(fact.charge.nano_usd for fact in held_then)
    assert [fact for fact in charges if placed_at[fact.attempt_id] > reached and fact.charge.usd] == []


@pytest.mark.parametrize("seed", range(8))
def test_when_all_is_over_nothing_is_taken(seed):
    """Whatever crashed meanwhile: a slot is what is live, and nothing is."""
    world = World(seed)
    for n in range(60):
        world.step(n)
    for _ in range(400):
        world.now += 60
        world.world_goes_on()
    for run in list(world.snapshot.runs.values()):
        if run.live is None and not world.unreleased(run.run_id):
            world.tell(over(run, world.now))
    assert world.held() == []
    assert list(open_costs(world.snapshot, KNOWN.supplies, world.now)) == []
    ceilings = msgspec.structs.replace(CEILINGS, budgets=())
    free = after(submitted("new", SPECS["a"], tags={"team": "x"}), since=world.snapshot)
    room = Room(free, known(ceilings, sim=CLOUD, local=OWN), world.now)
    run = free.runs["new"]
    assert room.refusal(run) is None
    assert room.offer_refusal(run, "sim", SPOT, Size(cpu_cores=1, memory_bytes=GIB)) is None
