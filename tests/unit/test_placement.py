from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from flyball.adapters.catalog.builtin import builtin_offers
from flyball.model.offers import OfferTable, concat, family_of, offer_row
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.units import GIB
from flyball.policy.placement import (
    MINIMUM_BILLED_SECONDS,
    Wanted,
    Work,
    nominal_memory_bytes,
    rank,
    usable_memory_bytes,
)

NEED = Size(cpu_cores=4, memory_bytes=16 * GIB)


def an_offer(name: str = "m6i.xlarge", **changes) -> Offer:
    fields = {
        "cloud": "aws",
        "region": "us-east-1",
        "instance_type": name,
        "arch": Arch.X86_64,
        "vcpus": 4,
        "memory_bytes": 16 * GIB,
        "market": Market.ON_DEMAND,
        "price_usd_per_hour": Decimal("0.192"),
        "as_of": date(2026, 7, 20),
        "source": "test",
    }
    return Offer(**fields | changes)


def costs(offers, work, **options):
    ranked = rank(offers, need=Size(cpu_cores=0, memory_bytes=0), work=work, boot_seconds=0, **options)
    return {choice.offer.instance_type: choice for choice in ranked}


def test_a_run_of_an_hour_on_an_idle_machine_costs_its_price_and_its_boot():
    work = Work(wall_seconds=3600, core_seconds=3600)
    (choice,) = rank([an_offer()], need=NEED, work=work, boot_seconds=36)
    assert choice.expected_usd == pytest.approx(0.192 * 1.01)
    assert choice.expected_seconds == pytest.approx(3600)


def test_a_slower_processor_takes_longer_and_may_still_cost_less():
    work = Work(wall_seconds=1000, core_seconds=1000)
    cheap = an_offer("slow", price_usd_per_hour=Decimal("0.08"), speed_one_core=0.5, speed_all_cores=0.5)
    dear = an_offer("fast", price_usd_per_hour=Decimal("0.20"), speed_one_core=1.0)
    found = costs([cheap, dear], work)
    assert found["slow"].expected_seconds == pytest.approx(2000)
    assert list(found) == ["slow", "fast"]
    assert list(costs([cheap, an_offer("fast", price_usd_per_hour=Decimal("0.15"))], work)) == [
        "fast",
        "slow",
    ]


def test_interruptions_make_long_runs_dearer_than_on_demand_and_leave_short_ones_cheap():
    on_demand = an_offer("on-demand")
    spot = an_offer(
        "spot", market=Market.SPOT, price_usd_per_hour=Decimal("0.06"), interruptions_per_hour=0.2
    )
    short = costs([on_demand, spot], Work(wall_seconds=600, core_seconds=600))
    long = costs([on_demand, spot], Work(wall_seconds=24 * 3600, core_seconds=24 * 3600))
    assert list(short) == ["spot", "on-demand"]
    assert list(long) == ["on-demand", "spot"]


def test_rework_is_what_a_simulation_of_restarts_says():
    import random

    rate, hours, rng = 0.5, 2.0, random.Random(11)

    def one() -> float:
        total = 0.0
        while (gap := rng.expovariate(rate)) < hours:
            total += gap
        return total + hours

    simulated = sum(one() for _ in range(40_000)) / 40_000
    spot = an_offer("spot", market=Market.SPOT, price_usd_per_hour=Decimal(1), interruptions_per_hour=rate)
    assert costs([spot], Work(wall_seconds=7200, core_seconds=7200))["spot"].expected_usd == pytest.approx(
        simulated, rel=0.02
    )


def test_a_short_run_is_billed_for_a_minute():
    choice = costs([an_offer()], Work(wall_seconds=2, core_seconds=2))["m6i.xlarge"]
    assert choice.expected_usd == pytest.approx(0.192 * MINIMUM_BILLED_SECONDS / 3600)
    assert "billed for its least, 60 s" in choice.reason


def test_on_fewer_cores_only_the_parallel_part_takes_longer():
    # given 100 s of one thread, then 100 s of four, seen on four cores with nothing to share
    work = Work(wall_seconds=200, core_seconds=500, cores=4, speed_all_cores=1.5, vcpus=4)
    whole = {"speed_all_cores": 1.5}
    offers = [an_offer(str(n), vcpus=n, **whole) for n in (1, 2, 4, 8)]
    # then two cores need 100 + 200 s, one needs 100 + 400 s, and eight need no less than four
    seconds = {name: c.expected_seconds for name, c in costs(offers, work).items()}
    assert seconds == {
        "1": pytest.approx(500),
        "2": pytest.approx(300),
        "4": pytest.approx(200),
        "8": pytest.approx(200),
    }


def test_waiting_for_the_network_gets_no_shorter_on_a_faster_processor():
    work = Work(wall_seconds=1000, core_seconds=100)
    fast = costs([an_offer("fast", speed_one_core=2.0, speed_all_cores=2.0)], work)["fast"]
    assert fast.expected_seconds == pytest.approx(900 + 50)


def test_hyperthreads_that_share_a_core_are_slower_than_cores_of_their_own():
    work = Work(wall_seconds=100, core_seconds=400, cores=4, vcpus=4)
    four, eight = an_offer("four"), an_offer("eight", vcpus=8)
    seconds = {name: c.expected_seconds for name, c in costs([four, eight], work).items()}
    assert seconds["four"] == pytest.approx(100)
    assert seconds["eight"] == pytest.approx(100 / 1.5)


def test_a_burstable_machine_is_counted_at_what_it_sustains():
    work = Work(wall_seconds=100, core_seconds=200, cores=2, vcpus=2)
    choice = costs([an_offer("t3.medium", vcpus=2, sustained_cpu_share=0.2)], work)["t3.medium"]
    assert choice.expected_seconds == pytest.approx(500)
    assert "burstable: 20% of each vCPU counted" in choice.reason


def test_a_burstable_machine_is_no_slower_for_a_job_that_mostly_waits():
    work = Work(wall_seconds=1000, core_seconds=20)
    choice = costs([an_offer("t3.medium", vcpus=2, sustained_cpu_share=0.2)], work)["t3.medium"]
    assert choice.expected_seconds == pytest.approx(980 + max(20, 20 / 0.4), rel=0.05)


def test_a_jobs_own_speeds_outweigh_the_benchmarks():
    work = Work(wall_seconds=1000, core_seconds=1000, processor="icelake")
    graviton = an_offer(
        "m7g.xlarge", processor="graviton3", arch=Arch.ARM64, price_usd_per_hour=Decimal("0.163")
    )
    intel = an_offer("m6i.xlarge", processor="icelake")
    assert list(costs([graviton, intel], work)) == ["m7g.xlarge", "m6i.xlarge"]
    learnt = costs([graviton, intel], work, speed_corrections={"graviton3": 0.5, "icelake": 1.0})
    assert list(learnt) == ["m6i.xlarge", "m7g.xlarge"]
    assert learnt["m7g.xlarge"].expected_seconds == pytest.approx(2000)


def test_a_machine_must_leave_room_for_its_own_system():
    job = Work(wall_seconds=60, core_seconds=60, memory_bytes=16 * GIB)
    small, large = an_offer("small"), an_offer("large", memory_bytes=32 * GIB)
    assert list(costs([small, large], job)) == ["large"]
    assert list(costs([small], Work(wall_seconds=60, core_seconds=60))) == ["small"]
    assert usable_memory_bytes(16 * GIB) < 16 * GIB < nominal_memory_bytes(16 * GIB)


@pytest.mark.parametrize(
    ("wanted", "is_wanted"),
    [
        (Wanted(clouds=("AWS",)), lambda o: o.cloud == "aws"),
        (Wanted(regions=("us-central1", "eastus")), lambda o: o.cloud in {"gcp", "azure"}),
        (Wanted(arch=Arch.ARM64), lambda o: o.arch is Arch.ARM64),
        (Wanted(market=Market.SPOT), lambda o: o.market is Market.SPOT),
        (Wanted(max_price_usd_per_hour=0.2), lambda o: o.price_usd_per_hour <= Decimal("0.2")),
        (Wanted(gpu_models=("nvidia a10g", "l4")), lambda o: o.gpu_model in {"A10G", "L4"}),
        (
            Wanted(families=("m6i", "n2", "Ds_v5")),
            lambda o: family_of(o.instance_type) in {"m6i", "n2", "Ds_v5"},
        ),
        (Wanted(instance_types=("M6I.2xlarge",)), lambda o: o.instance_type == "m6i.2xlarge"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_not_wanted_is_not_offered_and_nothing_else_is_left_out(wanted, is_wanted):
    ranked = list(rank(builtin_offers(), need=NEED, wanted=wanted))
    expected = {
        o.offer_id for o in builtin_offers() if is_wanted(o) and o.vcpus >= 4 and o.memory_bytes >= 16 * GIB
    }
    assert ranked
    assert {choice.offer.offer_id for choice in ranked} == expected


def test_when_nothing_fits_the_ranking_says_on_what_the_offers_failed():
    ranked = rank(
        builtin_offers(),
        need=Size(cpu_cores=4, memory_bytes=100 * 1024 * GIB),
        wanted=Wanted(clouds=("aws",)),
    )
    assert not ranked
    assert "are in other clouds" in ranked.why_empty()
    assert "have less than 100 TiB" in ranked.why_empty()
    assert rank([], need=NEED).why_empty() == "the catalogue is empty"


def test_without_a_job_gpu_machines_are_ranked_by_what_an_hour_costs():
    ranked = rank(
        builtin_offers(), need=Size(cpu_cores=1, memory_bytes=GIB, gpus=1), wanted=Wanted(gpu_models=("L4",))
    )
    assert {choice.expected_seconds for choice in ranked} == {3600.0}
    on_demand = [c.offer.price_usd_per_hour for c in ranked if c.offer.market is Market.ON_DEMAND]
    assert on_demand == sorted(on_demand)
    assert len(on_demand) > 10


def test_a_ranking_reads_like_a_list():
    ranked = rank(builtin_offers(), need=NEED)
    assert [c.offer.offer_id for c in ranked[:3]] == [ranked[i].offer.offer_id for i in range(3)]
    assert ranked[-1] == ranked[len(ranked) - 1]
    with pytest.raises(IndexError):
        ranked[len(ranked)]


def test_a_row_has_the_documented_names_and_plain_values():
    row = offer_row(rank([an_offer()], need=NEED)[0])
    documented = (
        "cloud region zone instance_type arch vcpus memory_bytes market price_usd_per_hour as_of source"
    )
    assert set(documented.split()) <= set(row)
    assert row["price_usd_per_hour"] == 0.192
    assert row["as_of"] == "2026-07-20"
    assert row["zone"] is None
    assert row["expected_usd_per_run"] > 0
    assert "expected_usd_per_run" not in offer_row(an_offer())


def test_a_table_gives_back_the_offers_it_was_made_of():
    offers = [
        an_offer("b", zone="us-east-1a"),
        an_offer("a"),
        an_offer("c", gpus=2, gpu_model="T4", gpu_memory_bytes=16 * GIB),
    ]
    table = OfferTable.of(offers)
    assert sorted(table, key=lambda o: o.offer_id) == sorted(offers, key=lambda o: o.offer_id)
    assert list(concat([table[:1], table[1:]])) == list(table)
    assert len(OfferTable.of([])) == 0
    assert OfferTable.of([]).find(cloud="aws", instance_type="a") is None


@pytest.mark.parametrize(
    ("instance_type", "family"),
    [
        ("m6i.large", "m6i"),
        ("m7i-flex.large", "m7i-flex"),
        ("p6-b200.48xlarge", "p6-b200"),
        ("n2-standard-4", "n2"),
        ("Standard_D4s_v5", "Ds_v5"),
        ("Standard_E96-24ds_v5", "Eds_v5"),
        ("Standard_NC24ads_A100_v4", "NCads_A100_v4"),
    ],
)
def test_a_machine_type_belongs_to_the_family_its_cloud_says(instance_type, family):
    assert family_of(instance_type) == family
