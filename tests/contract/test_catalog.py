"""The catalogue's promises, kept by the in-memory twin and by the layered one with and without a cache."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from flyball.adapters.catalog.cache import REFRESHED, LayeredCatalog, cached_file, load_catalog, write_table
from flyball.model.offers import OfferTable
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.units import GIB
from flyball.policy.placement import rank
from flyball.ports.catalog import Catalog, MemoryCatalog

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def an_offer(name: str = "m6i.large", **changes) -> Offer:
    fields = {
        "cloud": "aws",
        "region": "eu-west-1",
        "instance_type": name,
        "arch": Arch.X86_64,
        "vcpus": 2,
        "memory_bytes": 8 * GIB,
        "market": Market.ON_DEMAND,
        "price_usd_per_hour": Decimal("0.107"),
        "as_of": date(2026, 11, 20),
        "source": "test",
    }
    return Offer(**fields | changes)


class CatalogContract:
    def catalog(self, offers: list[Offer], tmp_path) -> Catalog:
        raise AssertionError("each adapter makes its own")

    def test_what_was_put_in_is_for_sale(self, tmp_path):
        offers = [
            an_offer("a"),
            an_offer(
                "b",
                zone="eu-west-1a",
                market=Market.SPOT,
                interruptions_per_hour=0.1,
                gpus=1,
                gpu_model="T4",
                gpu_memory_bytes=16 * GIB,
            ),
        ]
        table = self.catalog(offers, tmp_path).offers()
        assert [o for o in table if o.region == "eu-west-1"] == sorted(offers, key=lambda o: o.offer_id)

    def test_each_offer_is_there_once_and_has_a_price(self, tmp_path):
        table = self.catalog([an_offer("a"), an_offer("b")], tmp_path).offers()
        assert len({o.offer_id for o in table}) == len(table)
        assert (table.numbers["price_usd_per_hour"] > 0).all()

    def test_it_is_as_old_as_its_oldest_price(self, tmp_path):
        catalog = self.catalog([an_offer("a"), an_offer("b", as_of=date(2024, 2, 3))], tmp_path)
        assert catalog.as_of() == date(2024, 2, 3) == min(o.as_of for o in catalog.offers())

    def test_it_can_be_ranked(self, tmp_path):
        table = self.catalog(
            [an_offer("nearly-free", price_usd_per_hour=Decimal("0.0001"))], tmp_path
        ).offers()
        best = rank(table, need=Size(cpu_cores=2, memory_bytes=8 * GIB))[0]
        assert best.offer.instance_type == "nearly-free"


class TestMemoryCatalog(CatalogContract):
    def catalog(self, offers, tmp_path):
        return MemoryCatalog(offers)

    def test_an_empty_one_has_no_age(self):
        assert MemoryCatalog().as_of() is None
        assert len(MemoryCatalog().offers()) == 0


class TestLayeredCatalog(CatalogContract):
    def catalog(self, offers, tmp_path):
        write_table(cached_file(tmp_path, REFRESHED, "aws-eu-west-1"), OfferTable.of(offers))
        return load_catalog(tmp_path)


class TestBuiltinCatalog:
    @pytest.mark.parametrize("folder", [None, "missing"])
    def test_without_a_cache_the_built_in_table_is_for_sale(self, tmp_path, folder):
        catalog = LayeredCatalog(tmp_path / folder if folder else None)
        assert len(catalog.offers()) >= 500
        assert catalog.as_of() == min(part.as_of for part in catalog.parts())
        assert {part.origin for part in catalog.parts()} == {"built-in"}
        assert catalog.problems == []
