from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.policy.spot_chances import Prior, alike, chance_up, chances, life_left_seconds, rates
from flyball.policy.spot_memory import (
    BLIND_SECONDS_MAX,
    HALF_LIFE_SECONDS,
    SpotMemory,
    ZoneMemory,
    looked,
    seen,
)

HOUR = 3600.0


def after(looks, *, every_seconds=300.0):
    memory = ZoneMemory()
    for place, up in enumerate(looks):
        memory = seen(memory, up=up, now_seconds=place * every_seconds)
    return memory


def site(looks, zones=("a", "b"), *, every_seconds=300.0):
    memory = SpotMemory.of(zones)
    for place, look in enumerate(looks):
        memory = looked(memory, dict(zip(zones, look, strict=False)), now_seconds=place * every_seconds)
    return memory


def test_a_spell_is_counted_at_its_age_with_its_end():
    memory = after([True] * 6 + [False] * 3 + [True])
    assert sum(memory.up_spells.seconds) == pytest.approx(1800, rel=0.02)  # fading a little
    assert sum(memory.up_spells.ends) == pytest.approx(1, rel=0.02)
    assert memory.up_spells.ends[1] > 0.9  # it was 30 minutes old
    assert sum(memory.down_spells.seconds) == pytest.approx(900, rel=0.02)


def test_a_late_report_changes_nothing():
    memory = after([True, False])
    assert seen(memory, up=True, now_seconds=10.0) == memory


def test_looks_far_apart_say_nothing_about_what_was_between():
    memory = after([True, True, False], every_seconds=BLIND_SECONDS_MAX + 1)
    assert sum(memory.up_spells.seconds) == 0
    assert sum(memory.up_spells.ends) == 0
    assert memory.up is False


def test_what_was_seen_long_ago_fades():
    memory = after([True, True, False])
    old = seen(memory, up=False, now_seconds=600 + 60.0)
    for place in range(1, 500):
        old = seen(old, up=False, now_seconds=660 + place * HALF_LIFE_SECONDS / 400)
    later = seen(old, up=True, now_seconds=660 + HALF_LIFE_SECONDS * 500 / 400)
    assert sum(later.up_spells.ends) == pytest.approx(2 ** (-500 / 400), rel=0.02)


@settings(derandomize=True, max_examples=100)
@given(looks=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_the_site_is_up_while_any_zone_is(looks):
    memory = site(looks)
    assert memory.site.up is any(looks[-1])
    assert all(memory.zones[name].up is up for name, up in zip("ab", looks[-1], strict=True))


def test_the_site_is_down_only_when_every_zone_was_seen_down_lately():
    memory = looked(SpotMemory.of("ab"), {"a": False}, now_seconds=0.0)
    assert memory.site.up is None
    assert looked(memory, {"b": False}, now_seconds=60.0).site.up is False
    assert looked(memory, {"b": False}, now_seconds=2 * BLIND_SECONDS_MAX).site.up is None


def test_what_is_known_of_a_zone_goes_stale():
    memory = looked(SpotMemory.of("ab"), {"a": True}, now_seconds=0.0)
    assert memory.up_now("a", now_seconds=60.0, fresh_seconds=90.0) is True
    assert memory.up_now("a", now_seconds=100.0, fresh_seconds=90.0) is None
    assert memory.up_now("b", now_seconds=0.0, fresh_seconds=90.0) is None


def test_losses_remember_whether_another_zone_was_up():
    together = site([(True, True), (False, False)] * 20)
    apart = site([(True, False), (False, True)] * 20)
    prices = {"a": 0.3, "b": 0.3}
    ask = {"prior": Prior(), "now_seconds": 40 * 300.0}
    assert chances(together, prices, **ask).another_up < 0.1
    assert chances(apart, prices, **ask).another_up > 0.9


def lives(dice, draw, *, spells, gap=600.0):
    memory, now = ZoneMemory(), 0.0
    for _ in range(spells):
        for up, span in ((True, draw(dice)), (False, gap)):
            end = now + span
            while now < end:
                memory = seen(memory, up=up, now_seconds=now)
                now += min(300.0, max(1.0, end - now))
    return memory


def test_rates_of_memoryless_capacity_come_out_flat_and_right():
    memory = lives(random.Random(5), lambda dice: dice.expovariate(1 / HOUR), spells=400)
    found = rates([memory.up_spells], mean_seconds=7200.0, prior_spells=1.0)
    assert all(rate == pytest.approx(1 / HOUR, rel=0.35) for rate in found[:3]), found


def test_capacity_of_mixed_steadiness_is_trusted_the_more_the_older_it_is():
    def draw(dice):
        return dice.weibullvariate(HOUR, 0.5)

    found = rates(
        [lives(random.Random(6), draw, spells=400).up_spells], mean_seconds=7200.0, prior_spells=1.0
    )
    assert found[0] > found[1] > found[2]
    assert life_left_seconds(found, 8 * HOUR) > 2 * life_left_seconds(found, 0.0)


def test_a_catalogue_s_interruption_rate_is_where_it_starts():
    def life(prior):
        told = chances(SpotMemory.of("a"), {"a": 0.3}, prior=prior, now_seconds=0.0)
        return life_left_seconds(told.ends, 0.0)

    assert life(Prior.of_interruptions(0.001)) > 20 * life(Prior.of_interruptions(0.5))
    assert Prior.of_interruptions(None) == Prior()


def test_two_days_without_a_loss_outweigh_the_assumption():
    memory = SpotMemory.of("a")
    for place in range(300):
        memory = looked(memory, {"a": True}, now_seconds=place * 600.0)
    told = chances(memory, {"a": 0.3}, prior=Prior(), now_seconds=299 * 600.0)
    assert life_left_seconds(told.ends, 299 * 600.0) > 24 * HOUR


@settings(derandomize=True, max_examples=100)
@given(looks=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), price=st.floats(0.05, 2.0))
def test_chances_are_chances_whatever_was_seen(looks, price):
    memory = site(looks)
    told = chances(memory, {"a": price, "b": 0.4}, prior=Prior(), now_seconds=len(looks) * 300.0)
    assert all(rate > 0 for rate in (*told.ends, *told.returns))
    assert 0 <= told.another_up <= 1
    assert min(price, 0.4) <= told.price + 1e-12
    assert told.price <= max(price, 0.4) + 1e-12
    assert alike(told, told)
    up = chance_up(memory.zones["a"], prior=Prior(), now_seconds=1e6)
    assert 0 <= up <= 1


def test_a_zone_just_refused_is_hardly_up_and_one_refused_a_week_ago_may_be():
    memory = after([True] * 100 + [False])
    now = 100 * 300.0
    assert chance_up(memory, prior=Prior(), now_seconds=now + 1) < 0.05
    assert chance_up(memory, prior=Prior(), now_seconds=now + 7 * 24 * HOUR) > 0.5
