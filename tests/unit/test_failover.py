"""Placement with fail-over, case by case."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.folding import fold
from flyball.model.job import Features, RunSpec
from flyball.model.machine import Capabilities
from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Plan, Quantiles
from flyball.model.receipt import Host, Receipt
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import Snapshot, SpotSeen
from flyball.model.spec import Goal, JobSpec, Patience, SizeAsk, SpotAsk
from flyball.model.units import GIB
from flyball.policy.failover import Placed, place
from flyball.policy.failover_refusals import NO_CAPACITY_SECONDS, QUOTA_SECONDS, UNAVAILABLE_SECONDS
from flyball.policy.holds import Room
from flyball.policy.known import Known, Supply, Usual
from flyball.policy.next_step import Launchable, Waiting, next_step
from flyball.policy.placement import usable_memory_bytes

NOW = 1_780_000_000.0
SPOT, ON_DEMAND = Market.SPOT, Market.ON_DEMAND
STEP = Launchable(attempt_id="r.1", reason="first attempt")


def offer(kind="m", market=ON_DEMAND, usd="0.10", *, zone="a", vcpus=4, gib=16, rate=0.0, speed=1.0, gpus=0):
    return Offer(
        cloud="sim",
        region="r1",
        zone=zone,
        instance_type=kind,
        arch=Arch.X86_64,
        vcpus=vcpus,
        memory_bytes=gib * GIB,
        gpus=gpus,
        market=market,
        price_usd_per_hour=Decimal(usd),
        interruptions_per_hour=rate,
        speed_one_core=speed,
        speed_all_cores=speed,
        as_of=date(2026, 1, 1),
        source="test",
    )


def plan(seconds=600.0, gib=2.0, cores=1.0, spread=1.1):
    def about(value):
        return Quantiles(p50=value, p90=value * spread, p99=value * spread**2)

    return Plan(
        job="j",
        size=Size(cpu_cores=cores, memory_bytes=int(gib * GIB)),
        forecast=Forecast(
            runs=20,
            wall_seconds=about(seconds),
            cpu_core_seconds=about(seconds * cores),
            memory_bytes=about(gib * GIB / 2),
            cpu_cores=about(cores),
        ),
        reasons=("memory as in 20 runs", "cores as in 20 runs"),
    )


def known_of(offers, *, planned=None, capabilities=None, **others):
    supplies = {
        "cloud": Supply(
            name="cloud", capabilities=capabilities or Capabilities(), offers=OfferTable.of(offers)
        )
    }
    for name, (its, own) in others.items():
        supplies[name] = Supply(name=name, capabilities=its, offers=OfferTable.of(own))
    planned = planned or plan()
    return Known(supplies=supplies, plan=lambda _: planned, usual=lambda _: Usual())


def submitted(run_id="r", *, deadline=None, providers=("cloud",), tags=None, **spec):
    spec.setdefault("size", SizeAsk())
    job = JobSpec(name="j", command=("x",), paper="p", providers=providers, **spec)
    run = RunSpec(
        run_id=run_id, job="j", command=("x",), features=Features(started_at_seconds=NOW), tags=tags or {}
    )
    at = None if deadline is None else NOW + deadline
    return f.RunSubmitted(at_seconds=NOW, run=run, spec=job, deadline_seconds=at)


def refused(offer_, *, run_id="other", nth=1, kind="no_capacity", at=NOW, provider="cloud"):
    """An attempt on that offer and its refusal."""
    attempt = f"{run_id}.{nth}"
    planned = f.AttemptPlanned(
        at_seconds=at, run_id=run_id, attempt_id=attempt, provider=provider, offer=offer_,
        size=Size(cpu_cores=1, memory_bytes=GIB), limits=f.Limits(), reason="",
    )  # fmt: skip
    no = f.LaunchRefused(
        at_seconds=at, run_id=run_id, attempt_id=attempt, provider=provider, offer_id=offer_.offer_id,
        kind=kind, reason="no",
    )  # fmt: skip
    return [planned, no]


def world(*facts, **run):
    return fold(Snapshot(), [submitted(**run), submitted("other"), *facts])


def placed(snapshot, known, now=NOW, run_id="r"):
    run = snapshot.runs[run_id]
    step = next_step(run, known, now)
    assert isinstance(step, Launchable)
    return place(run, step, room=Room(snapshot, known, now), snapshot=snapshot, known=known, now_seconds=now)


def chosen(*args, **kwargs) -> f.AttemptPlanned:
    answer = placed(*args, **kwargs)
    assert isinstance(answer, Placed), answer
    return answer.facts[-1]


CHEAP = offer("cheap", SPOT, "0.03", rate=0.01)
DEAR = offer("dear", SPOT, "0.05", zone="b", rate=0.01)
FIXED = offer("fixed", ON_DEMAND, "0.10")


def test_the_cheapest_finished_run_wins_and_says_so():
    planned = chosen(world(), known_of([FIXED, DEAR, CHEAP]))
    assert planned.offer == CHEAP
    assert "the cheapest to be had of 3 that fit" in planned.reason
    assert planned.reason.startswith("first attempt")
    assert planned.refused == ()


def test_what_interrupts_too_often_is_not_the_cheapest():
    hectic = offer("hectic", SPOT, "0.05", rate=60.0)
    assert chosen(world(), known_of([hectic, FIXED], planned=plan(seconds=7200))).offer == FIXED


def test_own_experience_with_a_spot_market_corrects_the_catalogue():
    known, snapshot = known_of([CHEAP, FIXED], planned=plan(seconds=7200)), world()
    seen = f"cloud {CHEAP.offer_id}"
    bitter = replace(
        snapshot, spot={seen: SpotSeen(up_seconds=7200.0, interruptions=40, last_at_seconds=NOW - 9e4)}
    )
    assert chosen(snapshot, known).offer == CHEAP
    assert chosen(bitter, known).offer == FIXED


def test_a_refused_offer_is_followed_by_the_next_and_comes_back_after_its_time():
    known = known_of([CHEAP, DEAR, FIXED])
    snapshot = world(*refused(CHEAP))
    planned = chosen(snapshot, known)
    assert planned.offer == DEAR
    assert planned.refused[0].startswith(CHEAP.offer_id)
    assert planned.refused[0].endswith("no_capacity")
    assert chosen(snapshot, known, now=NOW + NO_CAPACITY_SECONDS[0] + 1).offer == CHEAP


def test_each_refusal_in_a_row_doubles_the_time():
    known = known_of([CHEAP, DEAR])
    first, longest = NO_CAPACITY_SECONDS
    facts, at = [], NOW
    for nth in range(1, 9):
        facts += refused(CHEAP, nth=nth, at=at)
        snapshot = world(*facts)
        wait = min(longest, first * 2 ** (nth - 1))
        assert chosen(snapshot, known, now=at + wait - 1).offer == DEAR
        assert chosen(snapshot, known, now=at + wait + 1).offer == CHEAP
        at += wait + 1


def test_many_refusals_at_once_count_once():
    facts = [fact for nth in range(1, 9) for fact in refused(CHEAP, nth=nth)]
    assert world(*facts).refusals[f"cloud {CHEAP.offer_id}"].times == 1


def test_a_quota_refusal_covers_the_market_of_that_provider():
    known = known_of([CHEAP, DEAR, FIXED])
    snapshot = world(*refused(CHEAP, kind="quota"))
    assert chosen(snapshot, known).offer == FIXED
    assert chosen(snapshot, known, now=NOW + QUOTA_SECONDS[0] + 1).offer == CHEAP


def test_an_unavailable_provider_is_left_alone_for_a_while():
    known = known_of([CHEAP], there=(Capabilities(), [FIXED]))
    snapshot = world(*refused(CHEAP, kind="unavailable"), providers=("cloud", "there"))
    assert chosen(snapshot, known).provider == "there"
    assert chosen(snapshot, known, now=NOW + UNAVAILABLE_SECONDS[0] + 1).provider == "cloud"


def test_a_bad_request_of_one_run_says_nothing_about_the_offer():
    assert chosen(world(*refused(CHEAP, kind="bad_request")), known_of([CHEAP, DEAR])).offer == CHEAP


def test_where_a_zone_is_short_of_machines_others_that_cost_little_more_come_first():
    crowded = [offer(f"t{i}", SPOT, f"0.04{i}", zone="a", rate=0.01) for i in range(5)]
    near, far = offer("n", SPOT, "0.050", zone="b", rate=0.01), offer("f", SPOT, "0.09", zone="b", rate=0.01)
    facts = [fact for nth, o in enumerate(crowded[:3], 1) for fact in refused(o, nth=nth)]
    assert chosen(world(*facts[:4]), known_of([*crowded, near])).offer == crowded[2]
    assert chosen(world(*facts), known_of([*crowded, near])).offer == near
    assert chosen(world(*facts), known_of([*crowded, far])).offer == crowded[3]


def test_a_launch_that_timed_out_counts_as_a_refusal_for_that_run():
    start = replace(refused(CHEAP, run_id="r")[0], run_id="r", attempt_id="r.1")
    receipt = Receipt(
        attempt_id="r.1", outcome=Outcome.LAUNCH_TIMED_OUT, exit_code=None, exit_cause="never came",
        started_at_seconds=NOW, ended_at_seconds=NOW, wall_seconds=0.0, host=Host(), limits=f.Limits(), sources={},
    )  # fmt: skip
    ended = f.AttemptEnded(at_seconds=NOW, run_id="r", attempt_id="r.1", receipt=receipt)
    snapshot = world(start, ended)
    known = known_of([CHEAP, DEAR])
    assert chosen(snapshot, known, now=NOW + 60).offer == DEAR
    assert chosen(snapshot, known, now=NOW + 60, run_id="other").offer == CHEAP


@pytest.mark.parametrize(("market", "expected"), [("auto", CHEAP), ("spot", CHEAP), ("on_demand", FIXED)])
def test_the_market_asked_for_is_kept(market, expected):
    assert chosen(world(spot=SpotAsk(market=market)), known_of([CHEAP, FIXED])).offer == expected


def test_who_wants_spot_only_waits_for_it():
    answer = placed(world(*refused(CHEAP), spot=SpotAsk(market="spot")), known_of([CHEAP, FIXED]))
    assert answer == Waiting(
        kind="spot", reason="no spot machine that fits is to be had, and you asked for spot"
    )


def test_nothing_for_sale_that_holds_it_is_said_with_what_it_failed_on():
    answer = placed(world(size=SizeAsk(memory_bytes=64 * GIB)), known_of([CHEAP, FIXED]))
    assert isinstance(answer, Waiting)
    assert answer.kind == "no_offer"
    assert "64" in answer.reason


def test_all_refused_is_a_wait_for_capacity():
    answer = placed(world(*refused(CHEAP), *refused(FIXED, nth=2)), known_of([CHEAP, FIXED]))
    assert answer == Waiting(kind="capacity", reason="every offer that fits was refused lately")


def test_an_unknown_provider_is_said():
    answer = placed(world(providers=("moon",)), known_of([CHEAP]))
    assert isinstance(answer, Waiting)
    assert "moon" in answer.reason


OWN = Size(cpu_cores=4, memory_bytes=16 * GIB)
HERE = Capabilities(bills_by_machine=False, shared_machine=OWN, boot_seconds=0.1)
OWN_OFFER = offer("own", usd="0", vcpus=4, gib=16)


def test_the_own_machine_comes_first_while_there_is_room():
    known = known_of([CHEAP], local=(HERE, [OWN_OFFER]))
    snapshot = world(providers=("cloud", "local"))
    planned = chosen(snapshot, known)
    assert planned.provider == "local"
    assert planned.limits.memory_bytes == planned.size.memory_bytes == 2 * GIB
    full = fold(
        snapshot,
        [
            replace(
                planned, run_id="other", attempt_id="other.1", size=Size(cpu_cores=1, memory_bytes=15 * GIB)
            )
        ],
    )
    assert chosen(full, known).provider == "cloud"


def test_an_own_machine_that_is_full_is_waited_for():
    known = known_of([], local=(HERE, [OWN_OFFER]))
    snapshot = world(providers=("local",))
    planned = chosen(snapshot, known)
    full = fold(
        snapshot,
        [
            replace(
                planned, run_id="other", attempt_id="other.1", size=Size(cpu_cores=1, memory_bytes=15 * GIB)
            )
        ],
    )
    answer = placed(full, known)
    assert isinstance(answer, Waiting)
    assert answer.kind == "room"


def test_a_machine_of_its_own_gives_the_run_all_of_its_memory():
    limits = chosen(world(), known_of([CHEAP])).limits
    assert limits.memory_bytes == usable_memory_bytes(CHEAP.memory_bytes)
    fixed = chosen(world(size=SizeAsk(memory_bytes=3 * GIB)), known_of([CHEAP])).limits
    assert fixed.memory_bytes == 3 * GIB
    ranged = chosen(world(size=SizeAsk(memory_bytes=GIB, memory_bytes_max=5 * GIB)), known_of([CHEAP])).limits
    assert ranged.memory_bytes == 5 * GIB


def test_the_limits_are_those_of_the_job():
    patience = Patience(run_seconds=50.0, stalled_seconds=20.0, grace_seconds=3.0)
    limits = chosen(world(patience=patience), known_of([CHEAP])).limits
    assert (limits.timeout_seconds, limits.stalled_after_seconds, limits.grace_seconds) == (50.0, 20.0, 3.0)


def test_after_running_out_of_memory_a_bigger_machine_is_taken():
    known = known_of([CHEAP, offer("big", SPOT, "0.06", gib=64, rate=0.01)])
    run = world().runs["r"]
    snapshot = world()
    step = Launchable(attempt_id="r.2", reason="grown", memory_limit_bytes=20 * GIB)
    answer = place(
        run, step, room=Room(snapshot, known, NOW), snapshot=snapshot, known=known, now_seconds=NOW
    )
    assert isinstance(answer, Placed)
    assert answer.facts[-1].offer.instance_type == "big"


# deadlines: the work is 600 s, 660 s for 9 of 10; a changeover is 60 s as measured by the user

CHECKPOINT = SpotAsk(checkpoint="there", changeover_seconds=60.0)
FROM_ZERO = SpotAsk(changeover_seconds=60.0)
LATE = 300.0 + 0.0  # until a machine without a notice is given up


@pytest.mark.parametrize(
    ("spot", "deadline", "expected"),
    [
        (CHECKPOINT, 7200.0, CHEAP),
        (CHECKPOINT, 700 + 2 * 60 + LATE + 20, CHEAP),
        (CHECKPOINT, 680 + 60 + LATE - 20, FIXED),  # losing a machine would cost more than there is
        (FROM_ZERO, 7200.0, CHEAP),
        (FROM_ZERO, 2 * 700 + 2 * 60 + LATE + 20, CHEAP),
        (FROM_ZERO, 2 * 660 + 60 + LATE, FIXED),
        (CHECKPOINT, 100.0, FIXED),  # too late for anything
        (CHECKPOINT, -100.0, FIXED),
    ],
)
def test_under_a_deadline_spot_is_taken_only_while_its_loss_could_be_made_good(spot, deadline, expected):
    planned = chosen(world(spot=spot, deadline=deadline), known_of([CHEAP, FIXED]))
    assert planned.offer == expected


def test_a_deadline_that_the_cheapest_machine_misses_buys_a_faster_one():
    fast = offer("fast", ON_DEMAND, "0.30", speed=2.0)
    known = known_of([FIXED, fast])
    assert chosen(world(spot=FROM_ZERO, deadline=800.0), known).offer == FIXED
    assert chosen(world(spot=FROM_ZERO, deadline=500.0), known).offer == fast
    late = chosen(world(spot=FROM_ZERO, deadline=200.0), known)
    assert late.offer == fast
    assert "sure to keep its deadline" in late.reason


def test_being_late_is_not_made_up_for_at_any_price():
    absurd = offer("absurd", ON_DEMAND, "9.00", speed=1.1)
    assert chosen(world(spot=FROM_ZERO, deadline=200.0), known_of([FIXED, absurd])).offer == FIXED


def test_with_much_time_and_no_spot_machine_it_waits_and_with_little_it_buys():
    known = known_of([CHEAP, FIXED], planned=plan(seconds=3600))
    gone = refused(CHEAP)
    waits = placed(world(*gone, spot=CHECKPOINT, deadline=40_000.0), known)
    assert isinstance(waits, Waiting)
    assert waits.kind == "spot"
    assert chosen(world(*gone, spot=CHECKPOINT, deadline=4200.0), known).offer == FIXED


def test_nothing_known_of_its_time_goes_on_demand_under_a_deadline():
    unknown = replace(plan(), forecast=Forecast(runs=0))
    planned = chosen(world(spot=FROM_ZERO, deadline=9e4), known_of([CHEAP, FIXED], planned=unknown))
    assert planned.offer == FIXED
    assert "nothing is known of how long it takes" in planned.reason


def test_a_time_limit_stands_in_for_an_unknown_duration():
    unknown = replace(plan(), forecast=Forecast(runs=0))
    snapshot = world(spot=FROM_ZERO, deadline=9e4, patience=Patience(run_seconds=600.0))
    assert chosen(snapshot, known_of([CHEAP, FIXED], planned=unknown)).offer == CHEAP


def test_without_a_deadline_a_short_run_buys_rather_than_waits():
    known = known_of([CHEAP, FIXED], planned=plan(seconds=60))
    assert chosen(world(*refused(CHEAP)), known).offer == FIXED


def test_a_budget_per_run_keeps_its_own_answer():
    known = known_of([CHEAP])
    snapshot = world(goal=Goal(usd_per_run=1.0))
    assert chosen(snapshot, known).offer == CHEAP


def test_the_answer_for_one_kind_of_run_is_found_once_a_tick():
    known = known_of([CHEAP])
    facts = [submitted(f"n{i}") for i in range(50)]
    snapshot = fold(world(*refused(CHEAP)), facts)
    room = Room(snapshot, known, NOW)
    answers = {
        id(place(run, STEP, room=room, snapshot=snapshot, known=known, now_seconds=NOW))
        for run in snapshot.runs.values()
        if not run.tried
    }
    assert len(answers) == 1


def test_a_tolerated_chance_of_being_late_buys_spot_where_it_would_not_be_safe():
    world_of = {
        share: world(spot=FROM_ZERO, deadline=1500.0, goal=Goal(late_tolerated=share))
        for share in (0.0, 0.01)
    }
    rare = offer("rare", SPOT, "0.02", rate=0.01)
    often = offer("often", SPOT, "0.02", rate=2.0)
    assert chosen(world_of[0.0], known_of([rare, FIXED])).offer == FIXED
    planned = chosen(world_of[0.01], known_of([rare, FIXED]))
    assert planned.offer == rare
    assert "is tolerated" in planned.reason
    assert chosen(world_of[0.01], known_of([often, FIXED])).offer == FIXED
