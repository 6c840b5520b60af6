from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from datetime import date

import pytest

from flyball.adapters.catalog.builtin import CLOUDS, builtin_offers
from flyball.adapters.catalog.family_table import Cloud, columns, machines
from flyball.adapters.catalog.interruption import BAND_SHARES, HOURS_PER_MONTH, interruptions_per_hour
from flyball.model.offers import family_of
from flyball.model.processor import PROCESSORS, arch_of, processor_of
from flyball.model.resource import Arch, Market

OFFERS = list(builtin_offers())
BY_CLOUD = {cloud.name: list(machines(cloud)) for cloud in CLOUDS}


def test_it_holds_at_least_five_hundred_offers_of_three_clouds_and_both_architectures():
    assert len(OFFERS) >= 500
    assert {offer.cloud for offer in OFFERS} == {"aws", "gcp", "azure"}
    assert {offer.arch for offer in OFFERS} == set(Arch)
    assert {offer.market for offer in OFFERS} == set(Market)
    assert len({offer.offer_id for offer in OFFERS}) == len(OFFERS)


@pytest.mark.parametrize(
    "offer",
    OFFERS[::37] + [o for o in OFFERS if o.gpus or o.sustained_cpu_share < 1],
    ids=lambda o: o.offer_id,
)
def test_every_offer_is_possible(offer):
    assert 0 < offer.price_usd_per_hour < 200
    assert offer.vcpus >= 1
    assert 0.5 * 2**30 <= offer.memory_bytes <= 6 * 2**40
    assert 0 < offer.sustained_cpu_share <= 1
    assert (offer.gpus > 0) == (offer.gpu_model is not None) == (offer.gpu_memory_bytes is not None)
    assert date(2025, 1, 1) < offer.as_of < date(2027, 1, 1)
    assert offer.source


def test_no_price_is_zero_or_negative_anywhere_in_the_table():
    numbers = builtin_offers().numbers
    assert (numbers["price_usd_per_hour"] > 0).all()
    assert (numbers["memory_bytes"] > 0).all()
    assert (numbers["vcpus"] > 0).all()
    assert (numbers["speed_all_cores"] >= numbers["speed_one_core"]).all()


def test_spot_is_cheaper_than_on_demand_and_only_spot_is_interrupted():
    on_demand = {o.instance_type: o for o in OFFERS if o.market is Market.ON_DEMAND}
    spot = [o for o in OFFERS if o.market is Market.SPOT]
    assert len(spot) == len(on_demand)
    assert all(
        0.05 * float(on_demand[o.instance_type].price_usd_per_hour)
        < o.price_usd_per_hour
        < on_demand[o.instance_type].price_usd_per_hour
        for o in spot
    )
    assert all(o.interruptions_per_hour > 0 for o in spot)
    assert all(o.interruptions_per_hour == 0 for o in on_demand.values())


@pytest.mark.parametrize("cloud", BY_CLOUD)
def test_within_a_family_more_vcpus_never_cost_less_and_never_have_less_memory(cloud):
    families = defaultdict(list)
    for machine in BY_CLOUD[cloud]:
        kind = (
            re.sub(r"\d+g?$", "", machine.instance_type)
            if cloud == "gcp"
            else family_of(machine.instance_type)
        )
        if not machine.gpus:
            families[kind].append(machine)
    assert len(families) > 10
    for family in families.values():
        sizes = sorted(family, key=lambda m: (m.vcpus, m.memory_bytes, m.price_usd_per_hour))
        assert sizes == sorted(sizes, key=lambda m: m.price_usd_per_hour)
        if len({m.vcpus for m in sizes}) == len(sizes):
            assert sizes == sorted(sizes, key=lambda m: m.memory_bytes)


@pytest.mark.parametrize(
    ("cloud", "machine"), [(c, m) for c, ms in BY_CLOUD.items() for m in ms if c == "aws"][::9], ids=str
)
def test_the_processor_in_the_table_is_the_one_its_name_says(cloud, machine):
    assert processor_of(instance_type=machine.instance_type).name == machine.processor


def test_every_processor_named_in_the_tables_is_known_with_its_architecture():
    named = {m.processor for ms in BY_CLOUD.values() for m in ms}
    assert named <= {p.name for p in PROCESSORS}
    assert arch_of("graviton4") is Arch.ARM64
    assert all(o.arch is arch_of(o.processor) for o in OFFERS)


def test_known_list_prices_come_out_to_the_cent():
    table = builtin_offers()
    known = {  # AWS, Google and Azure price pages
        ("aws", "m6i.large"): "0.096",
        ("aws", "t3.nano"): "0.0052",
        ("aws", "c7g.16xlarge"): "2.32",
        ("aws", "p4d.24xlarge"): "21.9576",
        ("gcp", "n2-standard-4"): "0.194236",
        ("azure", "Standard_D4s_v5"): "0.192",
    }
    assert {
        key: str(table.find(cloud=key[0], instance_type=key[1]).price_usd_per_hour) for key in known
    } == known


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("m6i icelake 4 0.048 63 17.5 - l..banana", "banana"),
        ("m6i icelake 4 0.048 63 17.5 - l;drop", "l;drop"),
        ("m6i nosuch 4 0.048 63 17.5 - l", "nosuch"),
        ("m6i icelake", "m6i icelake"),
        ("m6i icelake 4 0.048 63 100 - l", "not a share"),
    ],
)
def test_a_table_that_is_written_wrongly_is_refused_with_its_line(line, says):
    cloud = Cloud(
        name="aws",
        region="r",
        as_of="2026-01-01",
        spot_as_of="2026-01-01",
        source="s",
        spot_source="s",
        families=line,
    )
    with pytest.raises(ValueError, match=re.escape(says)):
        columns([cloud])


def test_the_interruption_rate_gives_the_month_its_share_back():
    for share in BAND_SHARES.values():
        rate = interruptions_per_hour(share)
        survived = (1 - rate / 1000) ** (1000 * HOURS_PER_MONTH)  # a month of thousandths of hours
        assert 1 - survived == pytest.approx(share, rel=1e-3)
    assert interruptions_per_hour(0.0) == 0.0


def test_unfolding_needs_neither_polars_nor_numpy():
    code = (
        "import sys; from flyball.adapters.catalog.builtin import CLOUDS; from flyball.adapters.catalog.family_table import columns;"
        "columns(CLOUDS); import flyball.adapters.catalog.cache, flyball.adapters.catalog.imported, flyball.adapters.catalog.aws,"
        "flyball.policy.placement, flyball.policy.speed, flyball.ports.catalog;"
        "print([m for m in ('numpy', 'polars', 'boto3', 'botocore') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
