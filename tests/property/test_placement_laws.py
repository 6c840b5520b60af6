from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from flyball.model.offers import OfferTable
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.units import GIB
from flyball.policy.placement import (
    Work,
    expected_busy_seconds,
    nominal_memory_bytes,
    rank,
    usable_memory_bytes,
)

speeds = st.floats(0.2, 3.0)


@st.composite
def offers(draw):
    spot = draw(st.booleans())
    return Offer(
        cloud=draw(st.sampled_from(["aws", "gcp"])),
        region="r1",
        zone=draw(st.sampled_from([None, "r1-a", "r1-b"])),
        instance_type=draw(st.sampled_from(["m6i.large", "t3.micro", "n2-standard-2", "x"])),
        arch=draw(st.sampled_from(Arch)),
        vcpus=draw(st.integers(1, 96)),
        memory_bytes=draw(st.integers(1, 512)) * GIB,
        market=Market.SPOT if spot else Market.ON_DEMAND,
        price_usd_per_hour=Decimal(draw(st.integers(1, 10**6))) / 10**5,
        interruptions_per_hour=draw(st.floats(0, 5)) if spot else 0.0,
        speed_one_core=draw(speeds),
        speed_all_cores=draw(speeds),
        sustained_cpu_share=draw(st.sampled_from([1.0, 0.97, 0.2, 0.05])),
        as_of=date(2026, 7, 20),
        source="test",
    )


@st.composite
def works(draw):
    return Work(
        wall_seconds=draw(st.floats(0.01, 10**6)),
        core_seconds=draw(st.floats(0, 10**7)),
        cores=draw(st.floats(0.1, 200)),
        speed_one_core=draw(speeds),
        speed_all_cores=draw(speeds),
        vcpus=draw(st.none() | st.floats(1, 128)),
        memory_bytes=draw(st.none() | st.integers(1, 600 * GIB)),
    )


needs = st.builds(
    Size, cpu_cores=st.floats(0, 96), memory_bytes=st.integers(0, 512 * GIB), gpus=st.integers(0, 1)
)
tables = st.lists(offers(), max_size=12, unique_by=lambda o: o.offer_id)


@given(tables, needs, works())
def test_every_choice_holds_the_need_costs_something_and_they_come_cheapest_first(table, need, work):
    choices = list(rank(table, need=need, work=work))
    assert [c.expected_usd for c in choices] == sorted(c.expected_usd for c in choices)
    for choice in choices:
        size = Size(
            cpu_cores=choice.offer.vcpus, memory_bytes=choice.offer.memory_bytes, gpus=choice.offer.gpus
        )
        assert size.holds(need)
        assert (
            work.memory_bytes is None or usable_memory_bytes(choice.offer.memory_bytes) >= work.memory_bytes
        )
        assert choice.expected_usd >= float(choice.offer.price_usd_per_hour) / 60 * 0.999999
        assert choice.expected_seconds > 0
        assert choice.reason
    fitting = [
        o for o in table if Size(cpu_cores=o.vcpus, memory_bytes=o.memory_bytes, gpus=o.gpus).holds(need)
    ]
    assert len(choices) == len(
        [
            o
            for o in fitting
            if work.memory_bytes is None or usable_memory_bytes(o.memory_bytes) >= work.memory_bytes
        ]
    )


@given(tables, needs, works(), st.randoms(use_true_random=False))
def test_the_order_the_offers_came_in_changes_nothing(table, need, work, rng):
    shuffled = list(table)
    rng.shuffle(shuffled)
    assert list(rank(table, need=need, work=work)) == list(rank(shuffled, need=need, work=work))


@given(offers(), works(), st.floats(1.01, 3))
def test_more_of_anything_good_never_makes_an_offer_worse(offer, work, factor):
    import msgspec

    def usd(changed: Offer) -> float:
        ranked = rank(
            [changed],
            need=Size(cpu_cores=0, memory_bytes=0),
            work=msgspec.structs.replace(work, memory_bytes=None),
        )
        return ranked[0].expected_usd

    before = usd(offer) * (1 + 1e-9)
    assert (
        usd(msgspec.structs.replace(offer, interruptions_per_hour=offer.interruptions_per_hour / factor))
        <= before
    )
    assert (
        usd(msgspec.structs.replace(offer, sustained_cpu_share=min(1.0, offer.sustained_cpu_share * factor)))
        <= before
    )
    faster = {
        "speed_one_core": offer.speed_one_core * factor,
        "speed_all_cores": offer.speed_all_cores * factor,
    }
    assert usd(msgspec.structs.replace(offer, **faster)) <= before
    cheaper = offer.price_usd_per_hour / Decimal(factor)
    assert usd(msgspec.structs.replace(offer, price_usd_per_hour=cheaper)) <= before


@given(st.integers(0, 2**45))
def test_the_nominal_memory_is_the_least_that_leaves_what_is_needed(usable):
    nominal = nominal_memory_bytes(usable)
    assert usable_memory_bytes(nominal + 2) >= usable
    assert usable_memory_bytes(nominal - 2) <= usable


@given(st.floats(0, 10**6), st.floats(0, 10))
def test_interruptions_only_ever_add_machine_time(seconds, rate):
    assert expected_busy_seconds(seconds, rate) >= seconds * (1 - 1e-9)


@given(tables)
def test_a_table_keeps_every_offer_as_it_was(table):
    assert sorted(OfferTable.of(table), key=lambda o: o.offer_id) == sorted(table, key=lambda o: o.offer_id)
    assert list(OfferTable(OfferTable.of(table).columns())) == list(OfferTable.of(table))
