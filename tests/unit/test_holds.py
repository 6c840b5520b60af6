"""Whether a run may have a machine now, and why not."""

from __future__ import annotations

import pytest
from money_setting import (
    CLOUD,
    GIB,
    HOUR,
    LARGE,
    OWN,
    SPOT,
    T0,
    XLARGE,
    after,
    ended,
    give_back,
    host_launched,
    host_planned,
    job,
    known,
    launched,
    planned,
    released,
    started,
    submitted,
    the_run,
)
from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.ceilings import Budget, Ceilings, Quota, Slots
from flyball.model.machine import Capabilities
from flyball.model.outcome import Outcome
from flyball.model.resource import Size
from flyball.model.spec import Goal, Holding, Overlap
from flyball.policy.charges import charge_of
from flyball.policy.holds import Room, forced_provider

SMALL = Size(cpu_cores=1, memory_bytes=GIB)


def running(run_id: str, spec=None, *, at=T0, tags=None, **more):
    return (
        submitted(run_id, spec, at=at, tags=tags),
        planned(run_id, at=at, **more),
        launched(run_id, at=at),
    )


def refusal(room: Room, snapshot, run_id: str, *, of=LARGE, provider="sim", size=SMALL):
    """Of the run as such, else of that offer."""
    run = snapshot.runs[run_id]
    return room.refusal(run) or room.offer_refusal(run, provider, of, size)


def refused(ceilings: Ceilings, *facts, run_id="new", spec=None, tags=None, now=T0 + 60, kind=None, **asked):
    """The kind of refusal that a new run meets after these facts; None: it may start."""
    snapshot = after(*facts, submitted(run_id, spec, at=now, tags=tags))
    found = refusal(Room(snapshot, kind or known(ceilings), now), snapshot, run_id, **asked)
    return None if found is None else found.kind


def test_with_nothing_held_a_run_may_start():
    assert refused(Ceilings()) is None


# Slots


def test_a_job_runs_as_often_at_once_as_it_says():
    two = job(holding=Holding(runs_at_once=2))
    facts = running("a", two)
    assert refused(Ceilings(), *facts, spec=two) is None
    facts += running("b", two)
    assert refused(Ceilings(), *facts, spec=two) == "slots"
    assert refused(Ceilings(), *facts, spec=job("other")) is None


@pytest.mark.parametrize(
    ("rule", "held"),
    [
        (Slots(runs_max=1), True),
        (Slots(job="train", runs_max=1), True),
        (Slots(job="other", runs_max=1), False),
        (Slots(tag="team=data", runs_max=1), True),
        (Slots(tag="team=ops", runs_max=1), False),
        (Slots(provider="sim", runs_max=1), True),
        (Slots(provider="local", runs_max=1), False),
        (Slots(runs_max=2), False),
        (Slots(job="train", tag="team=data", provider="sim", runs_max=1), True),
    ],
)
def test_slots_are_held_by_what_runs(rule, held):
    facts = running("a", tags={"team": "data"})
    assert refused(Ceilings(slots=(rule,)), *facts, tags={"team": "data"}) == ("slots" if held else None)


def test_a_slot_for_others_does_not_hold_a_run():
    rule = Slots(tag="team=data", runs_max=1)
    assert refused(Ceilings(slots=(rule,)), *running("a", tags={"team": "data"}), tags={}) is None


def test_a_slot_is_held_until_the_machine_is_given_back():
    one = Ceilings(slots=(Slots(runs_max=1),))
    facts = (*running("a"), started("a"), ended("a"))
    assert refused(one, *facts, now=T0 + 700) == "slots"
    snapshot = after(*facts)
    charge = charge_of(give_back(snapshot, "a.1"), known(), T0 + 700)
    assert refused(one, *facts, released("a", "a.1", charge, at=T0 + 700), now=T0 + 700) is None


def test_runs_placed_in_one_tick_count_at_once():
    snapshot = after(*(submitted(name) for name in "abc"))
    room = Room(snapshot, known(Ceilings(slots=(Slots(runs_max=2),))), T0)
    for name in "ab":
        assert refusal(room, snapshot, name) is None
        room.take(the_run(snapshot, name), (planned(name),))
    found = refusal(room, snapshot, "c")
    assert found is not None
    assert (found.kind, found.reason) == ("slots", "all 2 slots are taken")


def test_runs_of_a_queue_go_one_at_a_time_the_oldest_first():
    queue = job(overlap=Overlap.QUEUE)
    waiting = [submitted("b", queue, at=T0 + 2), submitted("a", queue, at=T0 + 3, due_seconds=T0 + 1)]
    snapshot = after(*waiting)
    room = Room(snapshot, known(), T0 + 60)
    assert refusal(room, snapshot, "a") is None
    found = refusal(room, snapshot, "b")
    assert found is not None
    assert found.kind == "queue"
    under_way = after(*running("c", queue, at=T0 + 5), *waiting)
    room = Room(under_way, known(), T0 + 60)
    assert [room.refusal(the_run(under_way, name)) is None for name in "ab"] == [False, False]


def test_a_backfill_is_throttled_and_nothing_else_is():
    facts = [submitted(name, at=T0, backfill="bf", backfill_at_once=2) for name in "abc"] + [
        planned("a"),
        planned("b"),
    ]
    snapshot = after(*facts, submitted("x"))
    room = Room(snapshot, known(), T0)
    found = room.refusal(the_run(snapshot, "c"))
    assert found is not None
    assert found.kind == "backfill"
    assert room.refusal(the_run(snapshot, "x")) is None


def test_launches_an_hour_have_a_ceiling_that_counts_this_tick():
    snapshot = after(*running("a"), *(submitted(name) for name in "bc"))
    room = Room(snapshot, known(Ceilings(launches_per_hour_max=2)), T0)
    assert room.refusal(the_run(snapshot, "b")) is None
    room.take(the_run(snapshot, "b"), (planned("b"),))
    found = room.refusal(the_run(snapshot, "c"))
    assert found is not None
    assert found.kind == "ceiling"
    assert (
        Room(snapshot, known(Ceilings(launches_per_hour_max=2)), T0 + HOUR).refusal(the_run(snapshot, "c"))
        is None
    )


# Quotas and room


@pytest.mark.parametrize(
    ("quota", "kind"),
    [
        (Quota(provider="sim", machines_max=1), "quota"),
        (Quota(provider="sim", machines_max=2), None),
        (Quota(provider="sim", vcpus_max=3), "quota"),
        (Quota(provider="sim", vcpus_max=4), None),
        (Quota(provider="sim", market="spot", machines_max=1), None),
        (Quota(provider="sim", market="on_demand", machines_max=1), "quota"),
        (Quota(provider="other", machines_max=0), None),
    ],
)
def test_quotas_count_what_is_held(quota, kind):
    assert refused(Ceilings(quotas=(quota,)), *running("a")) == kind


@pytest.mark.parametrize(
    "capabilities",
    [Capabilities(machines_max=1), Capabilities(vcpus_max=3), Capabilities(machines_max=1, hosts=True)],
)
def test_a_quota_that_the_provider_knows_holds_without_being_written_down(capabilities):
    assert refused(Ceilings(), *running("a"), kind=known(sim=capabilities)) == "quota"


def test_a_warm_machine_counts_once_however_many_attempts_are_on_it():
    guests = [*running("a", host_id="h1"), *running("b", host_id="h1")]
    quota = Ceilings(quotas=(Quota(provider="sim", machines_max=2),))
    assert refused(quota, host_planned(), host_launched(), *guests) is None
    full = Ceilings(quotas=(Quota(provider="sim", machines_max=1),))
    snapshot = after(host_planned(), host_launched(), submitted("new"))
    room = Room(snapshot, known(full), T0)
    assert room.offer_refusal(the_run(snapshot, "new"), "sim", LARGE, SMALL) is not None
    assert room.host_refusal(the_run(snapshot, "new"), "sim") is None  # nothing new is bought


@pytest.mark.parametrize(
    ("cores", "gib", "kind"),
    [(2, 8, None), (2.5, 1, "room"), (1, 8.1, "room"), (5, 1, "room"), (1, 17, "room")],
)
def test_on_one_machine_for_all_memory_and_cores_are_given_away_once(cores, gib, kind):
    local = known(local=OWN)  # 4 cores, 16 GiB
    held = running("a", provider="local", cores=2, gib=8)
    size = Size(cpu_cores=cores, memory_bytes=int(gib * GIB))
    spec = job(providers=("local",))
    assert refused(Ceilings(), *held, spec=spec, kind=local, provider="local", size=size) == kind


def test_a_full_machine_turns_runs_away_before_they_are_sized():
    local = known(local=OWN)
    held = running("a", provider="local", cores=4, gib=1)
    snapshot = after(
        *held, submitted("new", job(providers=("local",))), submitted("any", job(providers=("local", "sim")))
    )
    room = Room(snapshot, replace(local, supplies={**local.supplies, **known().supplies}), T0)
    found = room.refusal(the_run(snapshot, "new"))
    assert found is not None
    assert found.kind == "room"
    assert room.refusal(the_run(snapshot, "any")) is None  # it may go to the cloud


# Money

ALL = Budget(usd_per_month=0.05)


def charged(run_id="a", *, at=T0 + 640, tags=None, spec=None):
    """Facts of an attempt that cost $0.064."""
    facts = (*running(run_id, spec, tags=tags), started(run_id), ended(run_id, at=at))
    charge = charge_of(give_back(after(*facts), f"{run_id}.1"), known(), at)
    return (*facts, released(run_id, f"{run_id}.1", charge, at=at))


@pytest.mark.parametrize(
    ("budget", "kind"),
    [
        (ALL, "budget"),
        (Budget(usd_per_month=0.07), None),
        (Budget(job="train", usd_per_month=0.05), "budget"),
        (Budget(job="other", usd_per_month=0.05), None),
        (Budget(tag="team=data", usd_per_month=0.05), "budget"),
        (Budget(tag="team=ops", usd_per_month=0.05), None),
        (Budget(usd_per_month=0.0), "budget"),
    ],
)
def test_a_budget_that_is_spent_holds_what_it_is_about(budget, kind):
    tags = {"team": "data"}
    assert refused(Ceilings(budgets=(budget,)), *charged(tags=tags), tags=tags, now=T0 + 700) == kind


def test_what_runs_counts_with_what_it_has_cost_so_far():
    ceilings = Ceilings(budgets=(ALL,))
    assert refused(ceilings, *running("a"), now=T0 + 300) is None  # $0.03
    assert refused(ceilings, *running("a"), now=T0 + 501) == "budget"


def test_the_least_that_is_billed_counts_from_the_first_second():
    ceilings = Ceilings(budgets=(Budget(usd_per_month=0.006),))
    assert refused(ceilings, *running("a"), now=T0 + 1) == "budget"


def test_a_new_month_has_its_whole_budget():
    ceilings = Ceilings(budgets=(ALL,))
    assert refused(ceilings, *charged(), now=T0 + 31 * 24 * HOUR) is None


def test_own_hardware_needs_no_budget():
    both = replace(known(Ceilings(budgets=(ALL,))), supplies={**known(sim=CLOUD, local=OWN).supplies})
    spec = job(providers=("sim", "local"))
    snapshot = after(*charged(), submitted("new", spec))
    room = Room(snapshot, both, T0 + 700)
    run = the_run(snapshot, "new")
    assert room.refusal(run) is None
    assert room.offer_refusal(run, "sim", LARGE, SMALL) is not None
    assert room.offer_refusal(run, "local", LARGE, SMALL) is None


def test_a_run_that_has_used_up_its_own_budget_gets_nothing_more():
    spec = job(goal=Goal(usd_per_run=0.06))
    interrupted = (*running("a", spec), started("a"), ended("a", outcome=Outcome.INTERRUPTED))
    charge = charge_of(give_back(after(*interrupted), "a.1"), known(), T0 + 640)
    snapshot = after(*interrupted, released("a", "a.1", charge, at=T0 + 640))
    found = Room(snapshot, known(), T0 + 640).refusal(the_run(snapshot, "a"))
    assert found is not None
    assert (found.kind, found.reason) == ("budget", "its budget of $0.060 a run is used up")


def test_all_machines_together_have_a_price_an_hour():
    ceilings = Ceilings(usd_per_hour_max=0.75)
    assert refused(ceilings, *running("a")) is None  # 0.36 + 0.36
    assert refused(ceilings, *running("a"), of=XLARGE) == "ceiling"
    assert refused(ceilings, *running("a"), *running("b"), of=SPOT) == "ceiling"
    shared = (host_planned(), host_launched(), *running("a", host_id="h1"), *running("b", host_id="h1"))
    assert refused(ceilings, *shared) is None


def test_the_words_stay_the_same_while_nothing_but_time_passes():
    ceilings = Ceilings(budgets=(ALL,), slots=(Slots(runs_max=5),))
    snapshot = after(*charged(), *running("b"), submitted("new"))
    said = {
        Room(snapshot, known(ceilings), now).refusal(the_run(snapshot, "new"))
        for now in (T0 + 700, T0 + 705, T0 + 9000)
    }
    assert len(said) == 1


# Elsewhere, when it takes too long

FORCE = job(holding=Holding(force_to="local", force_after_seconds=600))


def held(kind="quota", at=T0 + 10):
    return f.RunHeld(at_seconds=at, run_id="r1", kind=kind, reason="full")


def test_a_run_held_for_too_long_goes_where_its_rule_says():
    run = the_run(after(submitted(spec=FORCE), held()))
    assert forced_provider(run, T0 + 599) is None
    assert forced_provider(run, T0 + 600) == "local"


def test_another_kind_of_hold_does_not_start_the_wait_anew():
    run = the_run(after(submitted(spec=FORCE), held(), held("capacity", T0 + 590)))
    assert forced_provider(run, T0 + 600) == "local"


@pytest.mark.parametrize("kind", ["backoff", "queue", "backfill"])
def test_a_run_that_waits_by_its_jobs_own_wish_is_not_forced(kind):
    assert forced_provider(the_run(after(submitted(spec=FORCE), held(kind))), T0 + 6000) is None


def test_without_a_rule_nothing_is_forced():
    assert forced_provider(the_run(after(submitted(), held())), T0 + 1e6) is None


def test_the_wait_is_counted_from_the_end_of_the_last_attempt_on_a_machine():
    facts = (submitted(spec=FORCE), planned(), launched(), started(), ended(outcome=Outcome.INTERRUPTED))
    run = the_run(after(*facts, held(at=T0 + 700)))
    assert forced_provider(run, T0 + 1239) is None
    assert forced_provider(run, T0 + 1240) == "local"
