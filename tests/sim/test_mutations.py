"""Faults seeded into our own code, one at a time: the invariants have to notice each of them.

This is the one place where our own code is patched: it is what is tested.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from test_crashes import CALM
from worlds import Chances, World

from flyball.engine import governor as engine
from flyball.engine.governor import Governor
from flyball.errors import Unavailable
from flyball.model import folding, folding_attempts
from flyball.model.ceilings import Budget, Ceilings
from flyball.model.facts import LaunchRefused, MachineReleased
from flyball.model.folding import fold
from flyball.model.outcome import Outcome
from flyball.model.snapshot import LiveRun
from flyball.policy import governor as policy
from flyball.policy import holds_money, next_step, observing, schedule
from flyball.policy.holds_tally import Tally
from flyball.ports.store import MemoryStore
from flyball.sim.faults import Faults
from flyball.sim.weather import Rates

SEEDS = 60  # worlds that a fault may live through before it counts as unnoticed

Patch = pytest.MonkeyPatch
Mutation = Callable[[Patch], None]
MUTATIONS: dict[str, tuple[Mutation, Chances | None]] = {}


def mutation(name: str, chances: Chances | None = None):
    """`chances`: of the worlds in which it shows; None: random ones."""

    def note(seed_fault: Mutation) -> Mutation:
        MUTATIONS[name] = seed_fault, chances
        return seed_fault

    return note


CROWDED = Chances(
    governors=2,
    runs=6,
    between_rate=0.3,
    slow_rate=0.05,
    storm_seconds=7200.0,
    rates=Rates(on_demand_refusal_rate=0.5, spot_up_seconds=600.0, spot_down_seconds=600.0),
)
LOSING_ANSWERS = Chances(runs=5, faults=Faults(lost_answer_rate=0.3), storm_seconds=7200.0)
CRASHING = Chances(runs=5, crash_rate=0.05, storm_seconds=7200.0)
STRAYS = replace(CALM, runs=5, strays=3, storm_seconds=3600.0)
FAILING = replace(CALM, runs=8)
TIMED = replace(CALM, runs=1, schedules=2, storm_seconds=10_000.0)
POOR = replace(CALM, runs=8, ceilings=Ceilings(budgets=(Budget(job="job1", usd_per_month=0.01),)))


@mutation("a launch before it is recorded", CRASHING)
def _(patch: Patch) -> None:
    record = Governor._record

    def launch_first(self: Governor, facts) -> None:
        known = self._known(self.snapshot)
        ahead = fold(self.snapshot, facts)
        for command in policy.correct(ahead, {}, known, self._clock.now_seconds()):
            if isinstance(command, engine.StartAttempt):
                self._carry_out(command, known)
        record(self, facts)

    patch.setattr(Governor, "_record", launch_first)


@mutation("an append that does not look whether somebody else was first", CROWDED)
def _(patch: Patch) -> None:
    append = MemoryStore.append

    def anyhow(self: MemoryStore, facts, *, after=None) -> int:
        return append(self, facts)

    patch.setattr(MemoryStore, "append", anyhow)


@mutation(
    "an empty listing is believed at once", replace(LOSING_ANSWERS, faults=Faults(listing_lag_seconds=90.0))
)
def _(patch: Patch) -> None:
    missing = observing._missing

    def at_once(run, live, known, now_seconds):
        if live.launched_at_seconds is None:
            yield from missing(run, live, known, now_seconds)
            return
        receipt = observing.receipt_without_wrapper(live, Outcome.LOST, "gone", now_seconds)
        yield observing.AttemptEnded(
            at_seconds=now_seconds, run_id=run.run_id, attempt_id=live.attempt_id, receipt=receipt
        )

    patch.setattr(observing, "_missing", at_once)


@mutation("an answer that was lost is taken for a refusal", LOSING_ANSWERS)
def _(patch: Patch) -> None:
    start = Governor._start

    def give_up(self: Governor, command):
        planned = command.planned
        try:
            return start(self, command)
        except Unavailable as error:
            refused = LaunchRefused(
                at_seconds=self._clock.now_seconds(),
                run_id=planned.run_id,
                attempt_id=planned.attempt_id,
                provider=planned.provider,
                offer_id=planned.offer.offer_id,
                kind="no_capacity",
                reason=str(error),
            )
            return (refused,)

    patch.setattr(Governor, "_start", give_up)


@mutation("a machine is forgotten when its attempt ends")
def _(patch: Patch) -> None:
    leave = folding_attempts.leave

    def forget(draft, run, live, outcome, **more) -> None:
        leave(draft, run, live, outcome, **more)
        draft.writable("unreleased").pop(live.attempt_id)

    patch.setattr(folding_attempts, "leave", forget)


@mutation("the next attempt does not wait until the last machine is given back", LOSING_ANSWERS)
def _(patch: Patch) -> None:
    decide = policy.decide

    def impatient(snapshot, known, now_seconds):
        return decide(replace(snapshot, unreleased={}), known, now_seconds)

    patch.setattr(engine, "decide", impatient)


@mutation("nobody's machines are left alone", STRAYS)
def _(patch: Patch) -> None:
    patch.setattr(
        engine, "correct", lambda snapshot, *rest: policy.correct(replace(snapshot, zombies={}), *rest)
    )


@mutation("nobody's machines are not looked for", STRAYS)
def _(patch: Patch) -> None:
    patch.setattr(observing, "_zombies", lambda *_: ())


@mutation(
    "a machine that is listed after it was given back is called a zombie",
    Chances(faults=Faults(listing_lag_seconds=90.0)),
)
def _(patch: Patch) -> None:
    zombies = observing._zombies
    patch.setattr(
        observing, "_zombies", lambda snapshot, *rest: zombies(replace(snapshot, given_back={}), *rest)
    )


@mutation("leases are not renewed", replace(CALM, runs=6))
def _(patch: Patch) -> None:
    patch.setattr(Governor, "_renew", lambda *_: None)


@mutation("an ended attempt ends again", CROWDED)
def _(patch: Patch) -> None:
    patch.setattr(folding_attempts, "_machine_released", _released_twice)
    patch.setitem(folding._APPLY, MachineReleased, _released_twice)


def _released_twice(draft, fact) -> None:
    """Every release of a run is charged, the second one too."""
    left = draft.table("unreleased").get(fact.attempt_id)
    folding_attempts._spend(draft, fact.charge, fact.at_seconds, fact.job, fact.tags)
    if left is not None:
        draft.writable("unreleased").pop(fact.attempt_id)


@mutation("the boot is not charged", replace(CALM, runs=6))
def _(patch: Patch) -> None:
    charge_of = engine.charge_of

    def from_start(command, known, at_seconds):
        left = command.left
        if left is not None and left.started_at_seconds is not None:
            command = replace(command, left=replace(left, launched_at_seconds=left.started_at_seconds))
        return charge_of(command, known, at_seconds)

    patch.setattr(engine, "charge_of", from_start)


@mutation("an interruption spends a retry", replace(CALM, runs=6, rates=Rates(interruptions_per_hour=2.0)))
def _(patch: Patch) -> None:
    patch.setattr(Outcome, "spends_retry", property(lambda self: self is not Outcome.SUCCEEDED))


@mutation("retries are not counted", FAILING)
def _(patch: Patch) -> None:
    again = next_step._again

    def once_more(run: LiveRun, last, *rest):
        tenacity = replace(run.spec.tenacity, retries=99)
        return again(replace(run, spec=replace(run.spec, tenacity=tenacity)), last, *rest)

    patch.setattr(next_step, "_again", once_more)


@mutation("budgets are not looked at", POOR)
def _(patch: Patch) -> None:
    patch.setattr(holds_money.Spending, "used_up", lambda *_: None)


@mutation("a slot is free before its machine is given back", replace(LOSING_ANSWERS, runs=8))
def _(patch: Patch) -> None:
    made = Tally.__init__

    def leaky(self, snapshot, known) -> None:
        made(self, replace(snapshot, unreleased={}), known)

    patch.setattr(Tally, "__init__", leaky)


@mutation("a slot of a schedule is not remembered", TIMED)
def _(patch: Patch) -> None:
    patch.setattr(folding, "_with_slot", lambda state, _: state)
    names = itertools.count()
    patch.setattr(schedule, "scheduled_run_id", lambda job, _: f"{job}x{next(names)}")


@mutation("an ended run that is told of again comes back to life")
def _(patch: Patch) -> None:
    submitted = folding._run_submitted
    patch.setitem(
        folding._APPLY,
        folding.f.RunSubmitted,
        lambda draft, fact: draft.writable("ended").pop(fact.run.run_id, None) or submitted(draft, fact),
    )


@mutation(
    "what is missing for a moment is never seen again",
    replace(CALM, runs=6, faults=Faults(vanish_per_hour=2.0)),
)
def _(patch: Patch) -> None:
    missing = observing._missing

    def wait_for_ever(run, live, known, now_seconds):
        if live.missed_since_seconds is None:
            yield from missing(run, live, known, now_seconds)

    patch.setattr(observing, "_missing", wait_for_ever)


@mutation("success is what the exit code says, whatever became of the machine")
def _(patch: Patch) -> None:
    receipt = observing._receipt

    def gullible(live, machine, now_seconds):
        given = receipt(live, machine, now_seconds)
        well = given.outcome in {Outcome.INTERRUPTED, Outcome.LOST}
        return replace(given, outcome=Outcome.SUCCEEDED) if well else given

    patch.setattr(observing, "_receipt", gullible)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_fault_in_our_own_code_is_noticed(name, monkeypatch):
    seed_fault, chances = MUTATIONS[name]
    seed_fault(monkeypatch)
    for seed in range(SEEDS):
        try:
            broken = World(seed, chances).run(patience_seconds=86_400.0)
        except (AssertionError, KeyError, AttributeError, ValueError) as error:
            broken = [f"it crashed: {error!r}"]
        if broken:
            print(name, seed, broken[0])
            return
    pytest.fail(f"{SEEDS} worlds saw nothing of: {name}")
