from __future__ import annotations

import math
import random
import statistics
import time
from itertools import pairwise

import pytest

from flyball.policy.spot import decide, holds, plans
from flyball.policy.spot_expected import busy_seconds_resuming, busy_seconds_starting_over
from flyball.policy.spot_memory import SpotMemory, looked
from flyball.policy.spot_state import SpotState, ZoneNow

HOUR = 3600.0


def market(*, zones=("a",), up_hours=3.0, down_hours=1.0, days=3, until=0.0, ends_up=True):
    """What three days of looks every ten minutes at a steady market leave behind, with the last spell just begun."""
    memory, step = SpotMemory.of(zones), 600.0
    dice = random.Random(7)
    now, up, change = until - days * 24 * HOUR, True, 0.0
    while now < until:
        if change <= 0:
            up = not up
            change = dice.expovariate(1 / (up_hours if up else down_hours)) * HOUR
        memory = looked(memory, dict.fromkeys(zones, up), now_seconds=now)
        now, change = now + step, change - step
    memory = looked(memory, dict.fromkeys(zones, not ends_up), now_seconds=until - 1)
    return looked(memory, dict.fromkeys(zones, ends_up), now_seconds=until)


def state(**changes):
    given = {
        "now_seconds": 0.0,
        "deadline_seconds": 20 * HOUR,
        "work_left_seconds": 10 * HOUR,
        "work_seconds": 10 * HOUR,
        "changeover_seconds": 300.0,
        "tick_seconds": 60.0,
        "on_demand_usd_per_hour": 1.0,
        "zones": (ZoneNow(zone="a", usd_per_hour=0.3, up=True),),
        "memory": market(),
    }
    return SpotState(**(given | changes))


def down(**changes):
    zones = (ZoneNow(zone="a", usd_per_hour=0.3, up=False),)
    return state(zones=zones, **({"memory": market(ends_up=False)} | changes))


def test_spot_is_taken_while_there_is_time_to_lose_it():
    decision = decide(state())
    assert (decision.action, decision.zone) == ("spot", "a")


def test_without_capacity_it_waits_while_there_is_slack_and_buys_when_there_is_none():
    assert decide(down()).action == "wait"
    assert decide(down(deadline_seconds=10 * HOUR + 330)).action == "on_demand"


def test_a_new_spot_machine_needs_time_for_two_changeovers():
    tight = 10 * HOUR + 2 * 300
    assert decide(state(deadline_seconds=tight - 1)).action == "on_demand"
    assert state(deadline_seconds=tight).may_launch_spot
    assert not state(deadline_seconds=tight, late_seconds=30).may_launch_spot


def test_a_live_spot_machine_is_kept_without_any_slack():
    running = state(machine="spot", zone="a", deadline_seconds=10 * HOUR, warming_seconds=0.0)
    assert decide(running).action == "spot"


def test_on_demand_goes_back_to_spot_when_the_rest_of_the_work_pays_for_it():
    bought = {"machine": "on_demand", "memory": market(up_hours=20.0), "changeover_seconds": 300.0}
    assert decide(state(**bought)).action == "spot"
    assert decide(state(**bought, work_left_seconds=100.0, deadline_seconds=1 * HOUR)).action == "on_demand"


def test_spot_that_costs_more_than_on_demand_is_not_bought_and_left():
    dear = (ZoneNow(zone="a", usd_per_hour=1.4, up=True),)
    assert decide(state(zones=dear, deadline_seconds=11 * HOUR)).action == "on_demand"
    assert decide(state(zones=dear, machine="spot", zone="a")).action == "on_demand"


def test_the_cheaper_of_two_equal_zones_is_taken():
    zones = (ZoneNow(zone="a", usd_per_hour=0.5, up=True), ZoneNow(zone="b", usd_per_hour=0.3, up=True))
    assert decide(state(zones=zones, memory=market(zones=("a", "b")))).zone == "b"


def test_a_running_machine_moves_only_when_the_difference_pays_for_the_move():
    def choice(usd):
        zones = (ZoneNow(zone="a", usd_per_hour=0.3, up=True), ZoneNow(zone="b", usd_per_hour=usd, up=True))
        memory = market(zones=("a", "b"), up_hours=20.0)
        return decide(state(zones=zones, memory=memory, machine="spot", zone="a")).zone

    assert choice(0.299) == "a"
    assert choice(0.05) == "b"


def test_nobody_knows_whether_there_is_capacity_so_it_asks():
    unknown = (ZoneNow(zone="a", usd_per_hour=0.3),)
    assert decide(state(zones=unknown, memory=SpotMemory.of(["a"]))).action == "spot"


def test_asking_an_unknown_zone_costs_a_tick_that_must_be_there():
    unknown = {"zones": (ZoneNow(zone="a", usd_per_hour=0.3),), "memory": SpotMemory.of(["a"])}
    no_tick = state(**unknown, changeover_seconds=10, tick_seconds=300, deadline_seconds=10 * HOUR + 60)
    assert no_tick.may_launch_spot
    assert decide(no_tick).action == "on_demand"


def test_no_spot_offers_leave_on_demand():
    assert decide(state(zones=(), memory=SpotMemory.of([]))).action == "on_demand"
    assert decide(state(zones=(), memory=SpotMemory.of([]), deadline_seconds=None)).action == "on_demand"


def test_a_deadline_that_has_passed_is_met_as_soon_as_can_be():
    assert decide(state(deadline_seconds=-HOUR)).action == "on_demand"


def test_a_run_that_starts_over_takes_spot_only_while_all_of_it_fits_again():
    over = {"resumable": False, "memory": market(up_hours=60.0, down_hours=0.2)}
    fits = 2 * (10 * HOUR + 300)
    assert decide(state(**over, deadline_seconds=fits)).action == "spot"
    assert decide(state(**over, deadline_seconds=fits - 1)).action == "on_demand"


def test_a_run_that_starts_over_is_not_sent_where_it_cannot_finish():
    short_lived = market(up_hours=0.5, down_hours=0.5)
    over = {"resumable": False, "memory": short_lived, "deadline_seconds": None}
    assert decide(state(**over)).action == "on_demand"
    assert decide(state(**over, work_left_seconds=300, work_seconds=300)).action == "spot"


def test_without_a_deadline_spot_by_expected_dollars_and_patience_when_there_is_none():
    assert decide(state(deadline_seconds=None)).action == "spot"
    assert decide(down(deadline_seconds=None)).action == "wait"
    assert decide(down(deadline_seconds=None, idle_seconds=2 * HOUR)).action == "on_demand"
    assert (
        decide(down(deadline_seconds=None, idle_seconds=2 * HOUR, patience_seconds=9 * HOUR)).action == "wait"
    )


def test_a_run_that_lost_patience_stays_on_demand_until_spot_comes():
    bought = {"deadline_seconds": None, "machine": "on_demand", "idle_seconds": 0.0}
    assert decide(down(**bought)).action == "on_demand"
    assert decide(state(**bought)).action == "spot"


def test_the_reason_is_a_sentence_with_numbers():
    reason = decide(state()).reason
    assert reason.startswith("spot in a: expected to the end: spot in a $3.")
    assert "on demand $" in reason
    assert reason.endswith("slack 10 h 00 min")


def test_the_reason_says_what_the_deadline_forbade():
    weighed = decide(state(deadline_seconds=20 * HOUR + 10, resumable=False, memory=market(up_hours=900.0)))
    assert weighed.action == "on_demand"
    assert "spot in a could miss the deadline" in weighed.reason


def test_more_slack_never_costs_more():
    run = state()
    table = plans([run])[0].table
    for row in range(40):
        costs = [table.costs(run.left_seconds, slack)[row] for slack in range(600, 36_000, 300)]
        assert all(later <= earlier * 1.001 for earlier, later in pairwise(costs)), row


def test_a_steady_market_costs_what_it_should():
    """One zone that lasts for months: spot to the end, so the price of the work and one changeover."""
    run = state(memory=market(up_hours=5000.0, days=30))
    best = decide(run).weighed[0]
    assert best.expected_usd == pytest.approx(0.3 * (10 + 300 / HOUR), rel=0.02)


def test_a_plan_holds_until_something_new_is_seen_or_its_layers_run_out():
    run = state()
    plan = plans([run])[0]
    assert holds(plan, run)
    assert holds(plan, state(now_seconds=HOUR, machine="spot", zone="a", work_left_seconds=9 * HOUR))
    assert not holds(plan, state(now_seconds=6 * HOUR, machine="spot", zone="a", work_left_seconds=4 * HOUR))
    memory, now = run.memory, 0.0
    for look in range(40):  # up and down every five minutes
        now += 300
        memory = looked(memory, {"a": look % 2 == 1}, now_seconds=now)
    assert not holds(plan, state(memory=memory, now_seconds=600.0))


def test_plans_made_together_are_those_made_alone():
    runs = [
        state(),
        state(memory=market(up_hours=0.5)),
        state(deadline_seconds=30 * HOUR),
        state(resumable=False),
    ]
    for run, together in zip(runs, plans(runs), strict=True):
        alone, both = decide(run, plans([run])[0]), decide(run, together)
        assert (alone.action, alone.zone) == (both.action, both.zone)
        assert both.weighed[0].expected_usd == pytest.approx(alone.weighed[0].expected_usd, rel=1e-3)


@pytest.mark.parametrize(("rate_per_hour", "warming"), [(0.2, 0.2), (1.0, 0.2), (1.0, 0.05), (3.0, 0.0)])
def test_expected_time_of_a_run_that_resumes_is_the_mean_of_many(rate_per_hour, warming):
    dice, work, changeover = random.Random(3), 2.0, 0.2

    def once():
        busy, left, first = 0.0, work, warming
        while True:
            life = dice.expovariate(rate_per_hour)
            if life >= first + left:
                return busy + first + left
            busy, left, first = busy + life, left - max(0.0, life - first), changeover

    expected = busy_seconds_resuming(
        rate_per_hour, work_seconds=work, changeover_seconds=changeover, warming_seconds=warming
    )
    assert statistics.mean(once() for _ in range(20_000)) == pytest.approx(expected, rel=0.03)


def test_expected_time_of_a_run_that_starts_over_is_the_mean_of_many():
    dice, whole, left, rate = random.Random(4), 1.5, 0.5, 0.8

    def once():
        busy, ahead = 0.0, left
        while (life := dice.expovariate(rate)) < ahead:
            busy, ahead = busy + life, whole
        return busy + ahead

    expected = busy_seconds_starting_over(rate, whole_seconds=whole, left_seconds=left)
    assert statistics.mean(once() for _ in range(20_000)) == pytest.approx(expected, rel=0.03)
    assert math.isfinite(busy_seconds_starting_over(5.0, whole_seconds=1e6))


def test_a_decision_with_a_plan_takes_less_than_a_millisecond():
    zones = tuple(ZoneNow(zone=str(z), usd_per_hour=0.3 + z / 100, up=True) for z in range(9))
    run = state(zones=zones, memory=market(zones=tuple(str(z) for z in range(9))))
    plan = plans([run])[0]
    best = min(_seconds(lambda: decide(run, plan)) for _ in range(50))
    assert best < 0.001


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
