"""The simulated cloud does what clouds do: each rule once, on the smallest case that shows it."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from flyball.errors import Unavailable
from flyball.model.machine import Launch, Machine, Stage
from flyball.model.outcome import Outcome
from flyball.model.receipt import Limits
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.spec import SpotAsk, SuccessRules
from flyball.model.units import GIB
from flyball.policy.placement import Work, rank
from flyball.ports.clock import FakeClock
from flyball.ports.provider import BadRequest, NoCapacity, QuotaReached
from flyball.sim.cloud import NOTICE_SECONDS, Quotas, SimCloud
from flyball.sim.faults import Boot, Faults
from flyball.sim.truth import How, Truth, Try, pace_on
from flyball.sim.weather import NEVER, Rates, Trace, Weather

START = 1_780_000_000.0
NO_BOOT = Boot(median_seconds=10.0, p95_seconds=10.0)
HOUR = Truth(serial_seconds=3600.0)


def offer_of(market: Market = Market.ON_DEMAND, **changes) -> Offer:
    offer = Offer(
        cloud="sim",
        region="r1",
        zone="r1a",
        instance_type="m6i.large",
        arch=Arch.X86_64,
        vcpus=2,
        memory_bytes=8 * GIB,
        market=market,
        price_usd_per_hour=Decimal("0.36"),
        as_of=date(2026, 11, 1),
        source="test",
    )
    return replace(offer, **changes)


def order_of(attempt_id: str = "r.1", **changes) -> Launch:
    order = Launch(
        run_id=attempt_id.rpartition(".")[0],
        attempt_id=attempt_id,
        job="job",
        offer=offer_of(),
        size=Size(cpu_cores=1, memory_bytes=2 * GIB),
        limits=Limits(memory_bytes=2 * GIB, grace_seconds=20.0),
        command=("work",),
        lease_seconds=1e9,
    )
    return replace(order, **changes)


class Sky:
    """A cloud and its clock."""

    def __init__(self, truth: Truth = HOUR, **settings) -> None:
        self.clock = FakeClock(START)
        settings = {"boot": NO_BOOT, **settings}
        self.cloud = SimCloud(clock=self.clock, truth_of=lambda _: truth, **settings)

    def launch(self, order: Launch | None = None) -> None:
        self.cloud.launch(order or order_of())

    def after(self, seconds: float, attempt_id: str = "r.1") -> Machine | None:
        """The listing so long after the start."""
        self.clock.sleep(START + seconds - self.clock.now_seconds())
        return next((m for m in self.cloud.machines() if m.attempt_id == attempt_id), None)


def spot_trace(*up: bool, prices=None) -> Weather:
    trace = Trace(start_seconds=START, step_seconds=600.0, up=up, usd_per_hour=prices)
    return Weather(traces={("r1a", "m6i.large"): trace})


# How long work takes


TRUTHS = st.one_of(
    st.builds(Truth, waiting_seconds=st.floats(0, 1000), serial_seconds=st.floats(1, 1000)),
    st.builds(
        Truth,
        serial_seconds=st.floats(1, 1000),
        parallel_core_seconds=st.floats(0, 5000),
        cores=st.integers(2, 64).map(float),
    ),
)
OFFERS = st.builds(
    offer_of,
    vcpus=st.sampled_from([1, 2, 4, 16, 96]),
    speed_one_core=st.floats(0.5, 2),
    speed_all_cores=st.floats(0.5, 2),
    sustained_cpu_share=st.sampled_from([1.0, 0.2]),
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(truth=TRUTHS, offer=OFFERS)
def test_work_takes_as_long_as_placement_reckons(truth, offer):
    busy = truth.serial_seconds + truth.parallel_core_seconds / truth.cores
    work = Work(
        wall_seconds=busy + truth.waiting_seconds,
        core_seconds=truth.serial_seconds + truth.parallel_core_seconds,
        cores=truth.cores,
    )
    (choice,) = rank([offer], need=Size(cpu_cores=1, memory_bytes=GIB), work=work)
    assert pace_on(offer, truth).wall_seconds == pytest.approx(choice.expected_seconds, rel=1e-6)


def test_a_run_of_one_thread_goes_as_fast_as_the_processor_and_waiting_does_not():
    truth = Truth(waiting_seconds=100.0, serial_seconds=600.0)
    assert pace_on(offer_of(speed_one_core=2.0), truth).wall_seconds == pytest.approx(400.0)


def test_boots_have_the_median_and_the_tail_they_are_given():
    rng, boot = Random(1), Boot(median_seconds=40.0, p95_seconds=100.0)
    draws = sorted(boot.draw(rng) for _ in range(4000))
    assert draws[2000] == pytest.approx(40.0, rel=0.05)
    assert draws[3800] == pytest.approx(100.0, rel=0.1)


# The course of one attempt


def test_it_starts_after_its_boot_and_ends_after_its_work():
    sky = Sky()
    sky.launch()
    stages = [sky.after(seconds).stage for seconds in (5, 11, 3600, 3611)]
    assert stages == [Stage.STARTING, Stage.RUNNING, Stage.RUNNING, Stage.ENDED]
    machine = sky.after(4000)
    assert (machine.outcome, machine.receipt.exit_code) == (Outcome.SUCCEEDED, 0)
    assert machine.receipt.wall_seconds == pytest.approx(3600.0)
    assert machine.receipt.cpu_seconds == pytest.approx(3600.0)


def test_too_little_memory_ends_it_part_of_the_way():
    sky = Sky(replace(HOUR, memory_bytes=3 * GIB, out_of_memory_at=0.25))
    sky.launch()
    machine = sky.after(1000)
    assert machine.outcome is Outcome.OUT_OF_MEMORY
    assert machine.receipt.wall_seconds == pytest.approx(900.0)
    assert machine.receipt.memory_bytes_max == 2 * GIB


def test_without_a_limit_the_machine_itself_is_one():
    sky = Sky(replace(HOUR, memory_bytes=7 * GIB))  # of 8 GiB less than 7.3 are left to a job
    sky.launch(order_of(limits=Limits()))
    assert sky.after(4000).outcome is Outcome.SUCCEEDED
    sky = Sky(replace(HOUR, memory_bytes=8 * GIB))
    sky.launch(order_of(limits=Limits()))
    assert sky.after(4000).outcome is Outcome.OUT_OF_MEMORY


def test_each_start_of_the_command_goes_as_its_truth_says():
    sky = Sky(replace(HOUR, tries=(Try(exit_code=9, at_share=0.1), Try(exit_code=8, at_share=0.1))))
    seen = []
    for n in range(3):
        sky.launch(order_of(f"r.{n + 1}"))
        sky.clock.sleep(4000)
        seen.append(next(m.receipt.exit_code for m in sky.cloud.machines() if m.attempt_id == f"r.{n + 1}"))
    assert seen == [9, 8, 0]


def test_a_launch_that_never_started_uses_up_no_try():
    sky = Sky(replace(HOUR, tries=(Try(exit_code=9),)))
    sky.launch()
    sky.clock.sleep(5)
    sky.cloud.release("r.1")
    sky.launch(order_of("r.2"))
    assert sky.after(4000, "r.2").receipt.exit_code == 9


def test_what_hangs_ends_by_its_time_out_only():
    hanging = replace(HOUR, tries=(Try(how=How.HANGS, at_share=0.5),))
    sky = Sky(hanging)
    sky.launch()
    assert sky.after(10**6).stage is Stage.RUNNING
    sky = Sky(hanging)
    sky.launch(order_of(limits=Limits(timeout_seconds=7200.0)))
    machine = sky.after(10**6)
    assert (machine.outcome, machine.receipt.wall_seconds) == (Outcome.TIMED_OUT, 7200.0)


def test_the_wrapper_sees_a_stall_when_it_has_a_rule_for_it():
    sky = Sky(replace(HOUR, tries=(Try(how=How.STALLS, at_share=0.5),)))
    sky.launch(order_of(limits=Limits(stalled_after_seconds=300.0)))
    machine = sky.after(10**5)
    assert (machine.outcome, machine.receipt.wall_seconds) == (Outcome.STALLED, 2100.0)


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [(SuccessRules(), Outcome.SUCCEEDED), (SuccessRules(outputs=("out",)), Outcome.INCOMPLETE_OUTPUT)],
)
def test_half_an_output_is_seen_by_rules_only(rules, outcome):
    sky = Sky(replace(HOUR, tries=(Try(complete=False),)))
    sky.launch(order_of(success=rules))
    assert sky.after(4000).outcome is outcome


def test_stop_takes_the_grace_for_what_hangs_and_no_time_else():
    sky = Sky()
    sky.launch()
    sky.after(100)
    sky.cloud.stop(["r.1"])
    assert sky.after(100).outcome is Outcome.CANCELLED
    sky = Sky(replace(HOUR, tries=(Try(how=How.HANGS, at_share=0.0),)))
    sky.launch()
    sky.after(100)
    sky.cloud.stop(["r.1"])
    assert sky.after(119).stage is Stage.RUNNING
    assert sky.after(121).outcome is Outcome.CANCELLED


def test_progress_is_shown_as_it_was_last_reported():
    sky = Sky(replace(HOUR, progress_every_seconds=600.0))
    sky.launch()
    assert [round(sky.after(10 + seconds).progress, 3) for seconds in (1, 601, 1100, 1201)] == [
        0.0, 0.167, 0.167, 0.333,
    ]  # fmt: skip


def test_what_has_a_checkpoint_goes_on_from_it():
    sky = Sky(replace(HOUR, checkpoint_every_seconds=900.0, resume_seconds=50.0))
    spot = SpotAsk(checkpoint="/kept")
    sky.launch(order_of(spot=spot))
    sky.clock.sleep(10 + 2000)
    sky.cloud.release("r.1")  # 1,800 of 3,600 s are kept
    launched = sky.clock.now_seconds()
    sky.launch(order_of("r.2", spot=spot))
    machine = sky.after(10_000, "r.2")
    assert machine.receipt.started_at_seconds == launched + 10
    assert machine.receipt.wall_seconds == pytest.approx(1850.0)


def test_without_a_checkpoint_it_starts_over():
    sky = Sky(replace(HOUR, checkpoint_every_seconds=900.0))
    sky.launch()
    sky.clock.sleep(3000)
    sky.cloud.release("r.1")
    sky.launch(order_of("r.2"))
    assert sky.after(10_000, "r.2").receipt.wall_seconds == pytest.approx(3600.0)


# Interruptions, capacity, quotas


def test_a_trace_takes_spot_machines_away_after_two_minutes_notice():
    sky = Sky(weather=spot_trace(True, True, False, True))
    sky.launch(order_of(offer=offer_of(Market.SPOT)))
    assert sky.after(1200 - NOTICE_SECONDS - 1).notice_ends_at_seconds is None
    assert sky.after(1200 - NOTICE_SECONDS + 1).notice_ends_at_seconds == START + 1200
    machine = sky.after(1201)
    assert (machine.outcome, machine.receipt.outcome) == (Outcome.INTERRUPTED, Outcome.INTERRUPTED)
    with pytest.raises(NoCapacity):
        sky.launch(order_of("r.2", offer=offer_of(Market.SPOT)))
    sky.clock.sleep(600)
    sky.launch(order_of("r.2", offer=offer_of(Market.SPOT)))


def test_traces_leave_on_demand_alone():
    sky = Sky(weather=spot_trace(False))
    sky.launch()
    assert sky.after(4000).outcome is Outcome.SUCCEEDED


def test_an_interruption_without_notice_leaves_no_receipt():
    sky = Sky(weather=spot_trace(True, False), faults=Faults(no_notice_rate=1.0))
    sky.launch(order_of(offer=offer_of(Market.SPOT)))
    assert sky.after(599).notice_ends_at_seconds is None
    machine = sky.after(601)
    assert (machine.outcome, machine.receipt) == (Outcome.INTERRUPTED, None)


def test_interruptions_come_at_the_rate_of_the_offer():
    weather, rng = Weather(seed=3), Random(5)
    offer = offer_of(Market.SPOT, interruptions_per_hour=0.5)
    lives = [weather.taken_at(offer, 0.0, rng) for _ in range(4000)]
    assert sum(lives) / len(lives) == pytest.approx(7200.0, rel=0.05)
    assert weather.taken_at(offer_of(), 0.0, rng) == NEVER


def test_pools_go_up_and_down_for_the_times_they_are_given():
    weather = Weather(seed=1, rates=Rates(spot_up_seconds=3000.0, spot_down_seconds=1000.0))
    offer, rng = offer_of(Market.SPOT), Random(1)
    up = sum(weather.has_capacity(offer, 60.0 * n, rng) for n in range(200_000))
    assert up / 200_000 == pytest.approx(0.75, abs=0.02)
    assert weather.has_capacity(offer_of(), 0.0, rng)


def test_a_refused_launch_costs_nothing_and_may_be_asked_again():
    sky = Sky(weather=spot_trace(False, True))
    order = order_of(offer=offer_of(Market.SPOT))
    with pytest.raises(NoCapacity):
        sky.launch(order)
    assert (list(sky.cloud.machines()), dict(sky.cloud.bills())) == ([], {})
    sky.clock.sleep(600)
    sky.launch(order)
    assert len(sky.cloud.machines()) == 1


def test_quotas_count_what_is_held_until_it_is_gone():
    sky = Sky(weather=spot_trace(True, False), quotas=Quotas(machines_max=2))
    sky.launch(order_of("a.1"))
    sky.launch(order_of("b.1", offer=offer_of(Market.SPOT)))
    with pytest.raises(QuotaReached):
        sky.launch(order_of("c.1"))
    sky.clock.sleep(700)  # b was taken away
    sky.launch(order_of("c.1"))
    with pytest.raises(QuotaReached):
        sky.launch(order_of("d.1"))
    sky.cloud.release("a.1")
    sky.cloud.release("b.1")  # counted once only
    sky.launch(order_of("d.1"))
    with pytest.raises(QuotaReached):
        sky.launch(order_of("e.1"))


def test_what_is_not_for_sale_is_a_bad_request():
    sky = Sky(offers=[offer_of()])
    with pytest.raises(BadRequest):
        sky.launch(order_of(offer=offer_of(instance_type="m99")))
    with pytest.raises(BadRequest):
        sky.launch(order_of(size=Size(cpu_cores=3, memory_bytes=GIB)))


# Money


def bill(sky: Sky, attempt_id: str = "r.1"):
    return sky.cloud.bills()[attempt_id]


@pytest.mark.parametrize(("held_seconds", "billed_seconds"), [(0.5, 60), (60, 60), (60.5, 61), (3600, 3600)])
def test_machines_are_billed_by_the_second_from_launch_to_release(held_seconds, billed_seconds):
    sky = Sky()
    sky.launch()
    sky.clock.sleep(held_seconds)
    assert not bill(sky).final
    sky.cloud.release("r.1")
    sky.clock.sleep(99)
    assert bill(sky).final
    assert (bill(sky).billed_seconds, bill(sky).nano_usd) == (billed_seconds, billed_seconds * 100_000)


def test_what_the_cloud_takes_away_costs_nothing_from_then_on():
    sky = Sky(weather=spot_trace(True, False))
    sky.launch(order_of(offer=offer_of(Market.SPOT)))
    sky.clock.sleep(5000)
    assert bill(sky).billed_seconds == 600


def test_spot_is_billed_at_the_prices_of_its_time():
    sky = Sky(weather=spot_trace(True, True, True, True, prices=[0.36, 3.6, 0.36, 0.36]))
    sky.launch(order_of(offer=offer_of(Market.SPOT)))
    sky.clock.sleep(900)
    sky.cloud.release("r.1")
    assert bill(sky).nano_usd == 600 * 100_000 + 300 * 1_000_000


# What goes wrong


def test_a_throttled_call_does_nothing_and_a_lost_answer_hides_that_it_worked():
    sky = Sky(faults=Faults(throttle_rate=1.0))
    with pytest.raises(Unavailable):
        sky.launch()
    assert not sky.cloud.launched()
    sky = Sky(faults=Faults(lost_answer_rate=1.0))
    with pytest.raises(Unavailable):
        sky.launch()
    assert set(sky.cloud.launched()) == {"r.1"}


def test_listings_that_lag_show_some_moment_of_the_last_seconds():
    sky = Sky(faults=Faults(listing_lag_seconds=60.0))
    sky.launch()
    shown = [sky.after(30) is not None for _ in range(200)]
    assert 0.3 < sum(shown) / len(shown) < 0.7
    assert all(sky.after(61) is not None for _ in range(50))
    sky.cloud.release("r.1")
    shown = [sky.after(61 + 30) is not None for _ in range(200)]
    assert 0.3 < sum(shown) / len(shown) < 0.7
    assert all(sky.after(61 + 61) is None for _ in range(50))


def test_a_machine_may_never_report_and_costs_money_all_the_same():
    sky = Sky(faults=Faults(silent_rate=1.0))
    sky.launch()
    assert sky.after(7200).stage is Stage.STARTING
    assert bill(sky).billed_seconds == 7200


def test_a_machine_may_vanish_without_a_trace():
    sky = Sky(faults=Faults(vanish_per_hour=10.0))
    sky.launch()
    assert sky.after(10**6) is None
    assert bill(sky).final
    sky.cloud.release("r.1")


def test_a_machine_whose_lease_runs_out_ends_itself():
    sky = Sky()
    sky.launch(order_of(lease_seconds=900.0))
    sky.clock.sleep(600)
    sky.cloud.renew(["r.1"])
    assert sky.after(1499).stage is Stage.RUNNING
    machine = sky.after(1501)
    assert (machine.stage, machine.outcome) == (Stage.ENDED, Outcome.LOST)
    sky.cloud.renew(["r.1"])
    assert sky.after(1502).stage is Stage.ENDED
    assert bill(sky).billed_seconds == 1500


def test_a_notice_may_be_seen_with_several_times():
    faults = Faults(doubled_notice_rate=1.0)
    sky = Sky(weather=spot_trace(True, False), faults=faults)
    sky.launch(order_of(offer=offer_of(Market.SPOT)))
    told = {sky.after(500).notice_ends_at_seconds for _ in range(100)}
    assert None in told
    assert START + 600 in told
    assert len(told) > 2


# Warm machines


def test_a_warm_machine_pays_for_its_guests_and_takes_them_with_it():
    sky = Sky()
    sky.launch(order_of("host", is_host=True, size=Size(cpu_cores=2, memory_bytes=8 * GIB)))
    sky.launch(order_of("a.1", host_id="host"))
    sky.launch(order_of("b.1", host_id="host"))
    assert sky.after(13, "a.1").stage is Stage.RUNNING
    assert set(sky.cloud.bills()) == {"host"}
    sky.cloud.release("host")
    assert list(sky.cloud.machines()) == []
    with pytest.raises(NoCapacity):
        sky.launch(order_of("c.1", host_id="host"))


def test_a_warm_machine_is_full_when_its_memory_is():
    sky = Sky()
    sky.launch(order_of("host", is_host=True, size=Size(cpu_cores=2, memory_bytes=3 * GIB)))
    sky.launch(order_of("a.1", host_id="host"))
    with pytest.raises(NoCapacity):
        sky.launch(order_of("b.1", host_id="host"))
    sky.clock.sleep(4000)  # a has ended
    sky.launch(order_of("b.1", host_id="host"))
    assert sky.after(4003, "b.1").stage is Stage.RUNNING


def test_guests_of_a_warm_machine_that_is_taken_away_are_interrupted():
    sky = Sky(weather=spot_trace(True, False))
    sky.launch(order_of("host", is_host=True, offer=offer_of(Market.SPOT)))
    sky.launch(order_of("a.1", host_id="host", offer=offer_of(Market.SPOT)))
    assert sky.after(700, "a.1").outcome is Outcome.INTERRUPTED


# The whole


def test_the_fate_of_an_attempt_does_not_depend_on_what_else_is_launched():
    weather = Weather(seed=1, rates=Rates(interruptions_per_hour=2.0))

    def fates(order: list[str]) -> dict[str, tuple[float, float]]:
        sky = Sky(weather=weather, boot=Boot(), seed=9)
        for attempt_id in order:
            sky.launch(order_of(attempt_id, offer=offer_of(Market.SPOT)))
        return {name: (held.started_at, held.taken_at) for name, held in sky.cloud.launched().items()}

    names = [f"r{n}.1" for n in range(20)]
    assert fates(names) == fates(names[::-1])
    assert len(set(fates(names).values())) == 20


def test_the_next_change_is_when_a_listing_next_differs():
    sky = Sky()
    assert math.isinf(sky.cloud.next_change_seconds())
    sky.launch()
    assert sky.cloud.next_change_seconds() == START + 10
    sky.clock.sleep(11)
    assert sky.cloud.next_change_seconds() == START + 3610
