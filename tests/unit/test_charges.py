"""What a machine that is given back has cost, to the nano-dollar."""

from __future__ import annotations

from decimal import Decimal

import pytest
from money_setting import (
    CLOUD,
    GIB,
    HOUR,
    LARGE,
    OWN,
    SPOT,
    T0,
    after,
    ended,
    give_back,
    host_launched,
    host_planned,
    job,
    known,
    launched,
    offer,
    one_attempt,
    planned,
    released,
    started,
    submitted,
)
from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.machine import Capabilities, Machine, Stage
from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.resource import Arch
from flyball.model.spec import SizeAsk, SpotAsk
from flyball.policy.charges import charge_of, share_of, usd_for
from flyball.policy.commands import GiveBack
from flyball.policy.known import Known, Supply

KNOWN = known()


def test_an_attempt_is_charged_from_its_launch_until_its_machine_is_given_back():
    charge = charge_of(give_back(one_attempt(started(), ended(seen_at=T0 + 641))), KNOWN, T0 + 650)
    assert charge.usd == Decimal("0.065")  # 650 s at $0.36/h
    assert (charge.billed_seconds, charge.boot_seconds, charge.idle_seconds) == (650, 40, 10)
    assert (charge.price_usd_per_hour, charge.price_source, charge.price_as_of) == (
        LARGE.price_usd_per_hour,
        "list",
        "2026-10-01",
    )
    assert charge.not_included == ("network traffic",)
    assert charge.reason == "m.large on demand in r-a at $0.360/h for 10 min 50 s (boot 40.0 s, idle 10.0 s)"


def test_a_short_attempt_costs_the_least_that_is_billed():
    charge = charge_of(give_back(one_attempt(started(at=T0 + 5), ended(at=T0 + 9, wall=4))), KNOWN, T0 + 10)
    assert (charge.usd, charge.billed_seconds) == (Decimal("0.006"), 60)
    assert "at least 1 min is billed" in charge.reason


def test_a_machine_that_never_started_its_command_is_charged_as_boot():
    late = ended(at=T0 + 600, wall=0, outcome=Outcome.LAUNCH_TIMED_OUT)
    charge = charge_of(give_back(one_attempt(late)), KNOWN, T0 + 600)
    assert (charge.usd, charge.boot_seconds, charge.idle_seconds) == (Decimal("0.06"), 600, 0)


def test_what_was_never_launched_costs_nothing():
    snapshot = after(submitted(), planned(), ended(outcome=Outcome.LOST))
    charge = charge_of(give_back(snapshot), KNOWN, T0 + 700)
    assert (charge.usd, charge.usd_on_demand_asked, charge.reason) == (Decimal(0), None, "never launched")


@pytest.mark.parametrize(
    "outcome", [Outcome.FAILED, Outcome.OUT_OF_MEMORY, Outcome.CANCELLED, Outcome.TIMED_OUT]
)
def test_attempts_that_failed_are_charged_all_the_same(outcome):
    charge = charge_of(give_back(one_attempt(started(), ended(outcome=outcome))), KNOWN, T0 + 640)
    assert charge.usd == Decimal("0.064")


def test_a_machine_that_was_taken_away_costs_nothing_after_that():
    taken = ended(at=T0 + 640, outcome=Outcome.INTERRUPTED, seen_at=T0 + 900)
    charge = charge_of(give_back(one_attempt(started(), taken, of=SPOT)), KNOWN, T0 + 900)
    assert (charge.usd, charge.billed_seconds) == (Decimal("0.0064"), 640)
    assert charge.reason.endswith("until it was taken away)")


def test_a_machine_that_was_ended_by_us_for_a_better_one_costs_until_it_is_given_back():
    stopping = f.AttemptStopping(
        at_seconds=T0 + 600, run_id="r1", attempt_id="r1.1", outcome=Outcome.INTERRUPTED, reason="moves to spot"
    )  # fmt: skip
    moved = ended(at=T0 + 640, outcome=Outcome.INTERRUPTED)
    charge = charge_of(give_back(one_attempt(started(), stopping, moved)), KNOWN, T0 + 700)
    assert charge.billed_seconds == 700


def test_a_machine_that_went_missing_costs_until_it_was_missed():
    missed = f.MachineMissed(at_seconds=T0 + 500, run_id="r1", attempt_id="r1.1")
    lost = ended(at=T0 + 500, wall=460, outcome=Outcome.LOST, seen_at=T0 + 800)
    charge = charge_of(give_back(one_attempt(started(), missed, lost)), KNOWN, T0 + 805)
    assert charge.billed_seconds == 500


def test_own_hardware_adds_no_charge_and_the_reason_says_so():
    snapshot = after(submitted(), planned(provider="local"), launched(), started(), ended())
    charge = charge_of(give_back(snapshot), known(local=OWN), T0 + 640)
    assert charge.usd == 0
    assert charge.usd_on_demand_asked is None  # nothing is saved by what was bought before
    assert "own hardware" in charge.reason


def test_a_price_history_is_believed_before_the_price_it_was_planned_at():
    def paid(provider, at_offer, from_seconds, to_seconds):
        assert (provider, at_offer, from_seconds, to_seconds) == ("sim", SPOT, T0, T0 + 640)
        return Decimal("0.018")

    history = replace(KNOWN, price_paid=paid)
    charge = charge_of(give_back(one_attempt(started(), ended(), of=SPOT)), history, T0 + 640)
    assert (charge.usd, charge.price_usd_per_hour) == (Decimal("0.0032"), Decimal("0.018"))


def test_a_clock_that_goes_back_never_makes_a_charge_negative():
    charge = charge_of(give_back(one_attempt(started(), ended())), known(sim=Capabilities()), T0 - 100)
    assert (charge.usd, charge.billed_seconds, charge.boot_seconds, charge.idle_seconds) == (0, 0, 0, 0)


def test_a_provider_that_is_not_there_any_more_is_taken_to_bill():
    charge = charge_of(give_back(one_attempt(started(), ended())), known(other=CLOUD), T0 + 640)
    assert (charge.usd, charge.usd_on_demand_asked) == (Decimal("0.064"), None)


# What savings are counted against


def asked(size: SizeAsk, *facts, of=SPOT, spec=None, offers=None, at=T0 + 640):
    spec = spec or job(size=size)
    extra = KNOWN if offers is None else selling(offers)
    return charge_of(give_back(one_attempt(started(), *(facts or [ended()]), of=of, spec=spec)), extra, at)


def selling(offers) -> Known:
    supply = Supply(name="sim", capabilities=CLOUD, offers=OfferTable.of(offers))
    return replace(KNOWN, supplies={"sim": supply})


@pytest.mark.parametrize(
    ("size", "usd"),
    [
        (SizeAsk(), "0.064"),  # nothing asked: as planned, on the cheapest on demand
        (SizeAsk(memory_bytes=12 * GIB), "0.128"),
        (SizeAsk(memory_bytes=GIB, memory_bytes_max=12 * GIB), "0.128"),  # the most of a range
        (SizeAsk(cpu_cores=1, cpu_cores_max=4), "0.128"),
        (SizeAsk(memory_bytes=64 * GIB), None),  # nothing on sale holds it
        (SizeAsk(gpus=1), None),
        (SizeAsk(instance_types=("m.xlarge",)), "0.128"),
        (SizeAsk(archs=(Arch.ARM64,)), None),
    ],
)
def test_the_same_job_on_demand_is_priced_at_the_size_it_was_asked_for(size, usd):
    assert asked(size).usd_on_demand_asked == (None if usd is None else Decimal(usd))


def test_on_demand_takes_the_boot_and_the_command_but_no_idle_time():
    charge = asked(SizeAsk(), at=T0 + 5000)
    assert (charge.idle_seconds, charge.usd_on_demand_asked) == (4360, Decimal("0.064"))


def test_a_burstable_machine_does_not_count_for_cores_it_cannot_keep_up():
    burstable = offer("t.large", usd="0.1", sustained_cpu_share=0.3)
    assert asked(SizeAsk(cpu_cores=2), offers=[burstable, LARGE]).usd_on_demand_asked == Decimal("0.064")
    assert asked(SizeAsk(cpu_cores=0.5), offers=[burstable, LARGE]).usd_on_demand_asked < Decimal("0.02")


def test_the_machine_on_demand_has_the_processor_that_the_attempt_ran_on():
    arm = offer("g.large", usd="0.1", arch=Arch.ARM64)
    assert asked(SizeAsk(), offers=[arm, LARGE]).usd_on_demand_asked == Decimal("0.064")
    assert asked(
        SizeAsk(archs=(Arch.ARM64, Arch.X86_64)), offers=[arm, LARGE]
    ).usd_on_demand_asked == usd_for(arm.price_usd_per_hour, 640)


@pytest.mark.parametrize("outcome", [Outcome.INTERRUPTED, Outcome.LOST, Outcome.OUT_OF_MEMORY])
def test_what_on_demand_would_have_been_spared_is_no_saving(outcome):
    charge = asked(SizeAsk(), ended(outcome=outcome))
    assert charge.usd > 0
    assert charge.usd_on_demand_asked == 0


def test_work_that_an_interruption_did_not_destroy_counts():
    progress = f.ProgressReported(at_seconds=T0 + 340, run_id="r1", attempt_id="r1.1", share=0.5)
    resumes = job(spot=SpotAsk(checkpoint="ck"))
    charge = asked(SizeAsk(), progress, ended(outcome=Outcome.INTERRUPTED), spec=resumes)
    assert charge.usd_on_demand_asked == Decimal("0.03")  # 300 s of the 600 were kept


# Shared machines


def on_host(*runs: tuple[str, float, float]):
    """Attempts of so many cores and GiB on one machine of 2 vCPUs and 8 GiB, started as it was launched."""
    facts = [host_planned(), host_launched()]
    for run_id, cores, gib in runs:
        facts += [submitted(run_id), planned(run_id, cores=cores, gib=gib, host_id="h1"), launched(run_id)]
        facts += [started(run_id, at=T0), ended(run_id, at=T0 + 600)]
    return after(*facts)


@pytest.mark.parametrize(
    ("cores", "gib", "share"), [(0.5, 1, 0.25), (0.1, 4, 0.5), (2, 1, 1.0), (4, 1, 1.0), (0, 0, 0)]
)
def test_a_share_is_the_larger_of_cpu_and_memory(cores, gib, share):
    assert share_of(planned(cores=cores, gib=gib).size, LARGE) == share


def test_the_gpus_of_a_shared_machine_count_too():
    size = replace(planned(cores=0.1, gib=0.1).size, gpus=1)
    assert share_of(size, offer(gpus=4)) == 0.25


def test_attempts_on_a_shared_machine_pay_their_share_and_the_machine_pays_the_rest():
    snapshot = on_host(("a", 0.5, 1), ("b", 0.1, 4))
    a = charge_of(give_back(snapshot, "a.1"), KNOWN, T0 + 600)
    b = charge_of(give_back(snapshot, "b.1"), KNOWN, T0 + 600)
    assert (a.usd, a.share, b.usd, b.share) == (Decimal("0.015"), 0.25, Decimal("0.03"), 0.5)
    snapshot = after(
        released("a", "a.1", a, at=T0 + 600), released("b", "b.1", b, at=T0 + 600), since=snapshot
    )
    rest = charge_of(GiveBack(provider="sim", attempt_id="h1", host=snapshot.hosts["h1"]), KNOWN, T0 + 900)
    assert rest.usd == Decimal("0.09") - Decimal("0.045")
    assert rest.reason.endswith("= $0.090, of which its attempts paid $0.045")


def test_attempts_that_together_take_more_than_the_machine_never_pay_more_than_its_bill():
    snapshot = on_host(("a", 1.6, 0.5), ("b", 0.2, 7))
    a = charge_of(give_back(snapshot, "a.1", together=2), KNOWN, T0 + 600)
    b = charge_of(give_back(snapshot, "b.1", together=2), KNOWN, T0 + 600)
    assert a.usd + b.usd <= Decimal("0.06")
    snapshot = after(
        released("a", "a.1", a, at=T0 + 600), released("b", "b.1", b, at=T0 + 600), since=snapshot
    )
    rest = charge_of(GiveBack(provider="sim", attempt_id="h1", host=snapshot.hosts["h1"]), KNOWN, T0 + 600)
    assert a.usd + b.usd + rest.usd == Decimal("0.06")


def test_a_shared_machine_that_was_refused_costs_nothing():
    host = after(host_planned()).hosts["h1"]
    charge = charge_of(GiveBack(provider="sim", attempt_id="h1", host=host), KNOWN, T0 + 600)
    assert (charge.usd, charge.reason) == (0, "never launched")


# Zombies


def zombie(**machine) -> GiveBack:
    seen = Machine(attempt_id="z.1", stage=Stage.RUNNING, **machine)
    return GiveBack(provider="sim", attempt_id="z.1", zombie_since_seconds=T0 + 100, machine=seen)


def test_a_zombie_costs_from_when_it_was_found():
    charge = charge_of(zombie(price_usd_per_hour="0.36", launched_at_seconds=T0), KNOWN, T0 + 200)
    assert (charge.usd, charge.usd_on_demand_asked) == (Decimal("0.01"), Decimal(0))
    late = charge_of(zombie(price_usd_per_hour="0.36", launched_at_seconds=T0 + 150), KNOWN, T0 + 200)
    assert late.usd == Decimal("0.005")


def test_a_zombie_without_a_price_is_said_to_be_unknown():
    charge = charge_of(zombie(), KNOWN, T0 + 200)
    assert not charge.is_known
    assert "does not say at which price" in charge.reason


def test_what_zombies_cost_is_counted_against_budgets():
    found = f.ZombieFound(at_seconds=T0 + 100, provider="sim", attempt_id="z.1", reason="nobody's")
    charge = charge_of(zombie(price_usd_per_hour="0.36"), KNOWN, T0 + 200)
    snapshot = after(found, released("", "z.1", charge, at=T0 + 200))
    again = after(released("", "z.1", charge, at=T0 + 200), since=snapshot)
    assert snapshot.spent_nano_usd["2026-11"] == again.spent_nano_usd["2026-11"] == charge.nano_usd > 0
    assert not snapshot.zombies


def test_prices_are_exact_to_the_nano_dollar():
    assert usd_for(Decimal("0.000001"), HOUR) == Decimal("0.000001")
    assert usd_for(Decimal("98.32"), 1 / 3) == Decimal("0.009103695")  # 98.32 * 0.333333 s / 3600
    assert usd_for(Decimal("0.36"), -5.0) == 0
