from __future__ import annotations

import csv
import os
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from flyball.adapters.catalog.cache import (
    IMPORTED,
    REFRESHED,
    cached_file,
    load_catalog,
    read_table,
    write_table,
)
from flyball.adapters.catalog.imported import import_catalog
from flyball.errors import InputError, StoreError
from flyball.model.offers import OfferTable, offer_row
from flyball.model.resource import Arch, Market, Offer
from flyball.model.units import GIB

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HEADER = "cloud,region,instance_type,vcpus,memory_bytes,market,price_usd_per_hour"


def a_file(folder, *lines: str, header: str = HEADER, name: str = "mine.csv"):
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def imported(folder, *lines: str, **options):
    return import_catalog(a_file(folder, *lines, **options), folder / "cache", NOW)


def test_good_rows_are_for_sale_afterwards(tmp_path):
    result = imported(
        tmp_path,
        "aws,eu-north-1,m6i.large,2,8589934592,on_demand,0.102",
        "AWS,eu-north-1,m7g.large,2,8GiB,spot,0.03",
        "own,cellar,rack-7,16,64GiB,on-demand,0.25",
        header=HEADER,
        name="mine.csv",
    )
    assert (result.accepted, result.refused) == (2, 1)
    assert "arch is empty" in result.refusals[0].reason
    table = load_catalog(tmp_path / "cache").offers()
    offer = table.find(cloud="aws", region="eu-north-1", instance_type="m6i.large")
    assert offer.price_usd_per_hour == Decimal("0.102")
    assert (offer.arch, offer.as_of, offer.source) == (
        Arch.X86_64,
        date(2026, 11, 21),
        "imported from mine.csv",
    )
    spot = table.find(cloud="aws", region="eu-north-1", instance_type="m7g.large", market=Market.SPOT)
    assert (spot.memory_bytes, spot.arch, spot.processor) == (8 * GIB, Arch.ARM64, "graviton3")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("aws,r,m6i.large,2,8589934592,on_demand,0", "is not above zero"),
        ("aws,r,m6i.large,2,8589934592,on_demand,-1", "is not above zero"),
        ("aws,r,m6i.large,2,8589934592,on_demand,nan", "is not above zero"),
        ("aws,r,m6i.large,2,8589934592,on_demand,free", "is not above zero"),
        ("aws,r,m6i.large,2,8589934592,on_demand,inf", "is not above zero"),
        ("aws,r,m6i.large,2,8589934592,on_demand,", "price_usd_per_hour is empty"),
        ("aws,r,m6i.large,2,8589934592,on_demand,2.4", "25 times off the 0.048 of its family"),
        ("aws,r,m6i.large,2,8589934592,on_demand,0.002", "48 times off the 0.048 of its family"),
        ("aws,r,m6i.large,2,8589934592,on_demand,960", "no machine costs that"),
        ("aws,r,m6i.large,0,8589934592,on_demand,0.1", "vcpus 0 is not between 1 and 10000"),
        ("aws,r,m6i.large,1.5,8589934592,on_demand,0.1", "vcpus 1.5 is not a whole number"),
        ("aws,r,m6i.large,two,8589934592,on_demand,0.1", "vcpus 'two' is not a number"),
        ("aws,r,m6i.large,2,0,on_demand,0.1", "memory_bytes 0 is not between"),
        ("aws,r,m6i.large,2,8,on_demand,0.1", "is under 1 MiB: it is counted in bytes"),
        ("aws,r,m6i.large,2,8 parsecs,on_demand,0.1", "'8 parsecs' is not an amount of memory"),
        ("aws,r,m6i.large,2,8589934592,auction,0.1", "market 'auction' is neither on_demand nor spot"),
        ("aws,r,,2,8589934592,on_demand,0.1", "instance_type is empty"),
        ("aws,r,m6i.large", "vcpus is empty"),
        ("aws,r,m6i\x07large,2,8589934592,on_demand,0.1", "instance_type is no name"),
        (f"aws,r,{'x' * 5000},2,8589934592,on_demand,0.1", "instance_type is no name"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line_and_the_rest_is_used(tmp_path, line, reason):
    result = imported(tmp_path, "aws,eu-north-1,c5.large,2,4294967296,on_demand,0.091", line)
    assert (result.accepted, result.refused) == (1, 1)
    assert result.refusals[0].line == 3
    assert reason in result.refusals[0].reason
    assert len(result.refusals[0].reason) <= 200


def test_a_family_nobody_knows_is_judged_by_its_own_median(tmp_path):
    lines = [f"own,r,zz{n}.a,4,8GiB,on_demand,0.{n}" for n in (1, 2)]
    rows = [f"own,r,zz.{n},4,8GiB,on_demand,{price}" for n, price in enumerate([0.1, 0.11, 0.12, 0.1, 9.0])]
    result = imported(tmp_path, *[f"{line},x86_64" for line in [*lines, *rows]], header=HEADER + ",arch")
    assert (result.accepted, result.refused) == (6, 1)
    assert "times off" in result.refusals[0].reason


def test_the_same_offer_twice_is_refused_the_second_time(tmp_path):
    line = "aws,eu-north-1,m6i.large,2,8GiB,on_demand,0.102"
    result = imported(tmp_path, line, line)
    assert (result.accepted, result.refused) == (1, 1)
    assert result.refusals[0].reason == "says again what line 2 says"


def test_what_the_json_rows_say_can_be_imported_again(tmp_path):
    offers = [o for o in load_catalog().offers() if o.region == "us-east-1"][::50]
    rows = [offer_row(offer) for offer in offers]
    for name in ("rows.csv", "rows.parquet"):
        path = tmp_path / name
        if name.endswith("csv"):
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
        else:
            pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)
        result = import_catalog(path, tmp_path / "cache", NOW)
        assert (result.accepted, result.refused, result.refusals) == (len(offers), 0, ())
        assert list(read_table(cached_file(tmp_path / "cache", IMPORTED, "rows"))) == list(
            OfferTable.of(offers)
        )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has no column cloud"),
        (b"\x00\xff\xfe garbage \x00", "not a table"),
        (b"PAR1" + b"\x00" * 500 + b"PAR1", "not a table"),
        (b"PAR1" + os.urandom(300), "not a table"),
        (b"a,b\n1,2\n", "has no column cloud"),
        (HEADER.encode() + b"\n" + b'"' + b"x" * 200_000, "not a table"),
        ((HEADER + ",cloud").encode() + b"\n", "same column twice"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_file_that_is_no_table_is_refused_in_words(tmp_path, content, says):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        import_catalog(path, tmp_path / "cache", NOW)
    assert not (tmp_path / "cache").exists()


def test_a_missing_file_a_folder_and_a_huge_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        import_catalog(tmp_path / "none.csv", tmp_path, NOW)
    with pytest.raises(InputError, match="is not a file"):
        import_catalog(tmp_path, tmp_path, NOW)
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(300 * 2**20)  # sparse: takes no disk
    with pytest.raises(InputError, match="too large"):
        import_catalog(huge, tmp_path, NOW)


def test_when_every_row_is_wrong_nothing_is_kept_and_an_earlier_import_stays(tmp_path):
    assert imported(tmp_path, "aws,eu-north-1,m6i.large,2,8GiB,on_demand,0.102").accepted == 1
    result = imported(tmp_path, *["aws,eu-north-1,m6i.large,2,8GiB,on_demand,0"] * 150)
    assert (result.accepted, result.refused, len(result.refusals), result.path) == (0, 150, 100, None)
    assert (
        load_catalog(tmp_path / "cache")
        .offers()
        .find(cloud="aws", region="eu-north-1", instance_type="m6i.large")
    )


def an_offer(price: str, **changes) -> Offer:
    fields = {
        "cloud": "aws",
        "region": "us-east-1",
        "instance_type": "m6i.large",
        "arch": Arch.X86_64,
        "vcpus": 2,
        "memory_bytes": 8 * GIB,
        "market": Market.ON_DEMAND,
        "price_usd_per_hour": Decimal(price),
        "as_of": date(2026, 11, 20),
        "source": "test",
    }
    return Offer(**fields | changes)


def test_an_import_wins_over_a_refresh_and_a_refresh_over_the_built_in_table(tmp_path):
    def price(market: Market) -> Decimal:
        table = load_catalog(tmp_path).offers()
        return table.find(
            cloud="aws", region="us-east-1", instance_type="m6i.large", market=market
        ).price_usd_per_hour

    builtin_spot = price(Market.SPOT)
    write_table(cached_file(tmp_path, IMPORTED, "mine"), OfferTable.of([an_offer("0.07")]))
    write_table(
        cached_file(tmp_path, REFRESHED, "aws-us-east-1"),
        OfferTable.of([an_offer("0.09"), an_offer("0.05", market=Market.SPOT)]),
    )
    assert (price(Market.ON_DEMAND), price(Market.SPOT)) == (Decimal("0.07"), Decimal("0.05"))
    cached_file(tmp_path, IMPORTED, "mine").unlink()
    assert price(Market.ON_DEMAND) == Decimal("0.09")
    cached_file(tmp_path, REFRESHED, "aws-us-east-1").unlink()
    assert (price(Market.ON_DEMAND), price(Market.SPOT)) == (Decimal("0.096"), builtin_spot)


def test_an_import_speaks_only_for_the_machine_types_it_names_and_a_refresh_for_its_whole_region(tmp_path):
    def sold() -> set[str]:
        table = load_catalog(tmp_path).offers()
        return {o.instance_type for o in table if (o.region, o.market) == ("us-east-1", Market.ON_DEMAND)}

    builtin = sold()
    zone = an_offer("0.07", zone="us-east-1a")
    write_table(
        cached_file(tmp_path, IMPORTED, "mine"), OfferTable.of([zone, an_offer("9", instance_type="new.one")])
    )
    assert sold() == builtin | {"new.one"}
    mine = [
        o
        for o in load_catalog(tmp_path).offers()
        if o.instance_type == "m6i.large" and o.market is Market.ON_DEMAND
    ]
    assert mine == [zone]
    write_table(
        cached_file(tmp_path, REFRESHED, "aws-us-east-1"),
        OfferTable.of([an_offer("0.09", instance_type="m7g.large")]),
    )
    assert sold() == {"m6i.large", "new.one", "m7g.large"}
    assert len(load_catalog(tmp_path).offers()) > 1000


def test_the_parts_say_where_each_price_comes_from_and_how_old_it_is(tmp_path):
    write_table(cached_file(tmp_path, REFRESHED, "aws-us-east-1"), OfferTable.of([an_offer("0.09")]))
    write_table(
        cached_file(tmp_path, IMPORTED, "mine"),
        OfferTable.of([an_offer("0.08", as_of=date(2026, 1, 2), instance_type="x")]),
    )
    catalog = load_catalog(tmp_path)
    parts = {(p.cloud, p.market, p.origin): p for p in catalog.parts()}
    refreshed = parts["aws", "on_demand", "refreshed-aws-us-east-1.parquet"]
    assert (refreshed.as_of, refreshed.offers) == (date(2026, 11, 20), 1)
    assert parts["aws", "on_demand", "imported-mine.parquet"].as_of == date(2026, 1, 2)
    assert ("aws", "on_demand", "built-in") not in parts
    assert {("aws", "spot", "built-in"), ("gcp", "spot", "built-in")} <= set(parts)
    assert sum(part.offers for part in catalog.parts()) == len(catalog.offers())


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "text", "flipped", "columns", "price", "vcpus", "rate", "market", "date"]
)
def test_a_damaged_cache_is_named_and_the_built_in_table_used_instead(tmp_path, damage):
    path = cached_file(tmp_path, REFRESHED, "aws-us-east-1")
    write_table(path, OfferTable.of([an_offer("0.09")]))
    frame = pl.read_parquet(path)
    if damage in {"cut", "empty", "text"}:
        path.write_bytes({"cut": path.read_bytes()[:-20], "empty": b"", "text": b"hello"}[damage])
    elif damage == "flipped":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.with_name(path.name + ".sha256").unlink()  # a file that its user put there
        changed = {
            "columns": frame.drop("arch"),
            "price": frame.with_columns(pl.lit(0.0).alias("price_usd_per_hour")),
            "vcpus": frame.with_columns(pl.lit(0).cast(pl.Int64).alias("vcpus")),
            "rate": frame.with_columns(pl.lit(float("nan")).alias("interruptions_per_hour")),
            "market": frame.with_columns(pl.lit("auction").alias("market")),
            "date": frame.with_columns(pl.lit("soon").alias("as_of")),
        }
        changed[damage].write_parquet(path)
    catalog = load_catalog(tmp_path)
    assert len(catalog.problems) == 1
    assert str(path) in catalog.problems[0]
    assert catalog.offers().find(
        cloud="aws", region="us-east-1", instance_type="m6i.large"
    ).price_usd_per_hour == Decimal("0.096")


def test_a_reader_between_the_two_steps_of_a_write_finds_a_whole_table(tmp_path):
    path = cached_file(tmp_path, REFRESHED, "aws-us-east-1")
    write_table(path, OfferTable.of([an_offer("0.09")]))
    old = path.read_bytes()
    write_table(path, OfferTable.of([an_offer("0.08")]))
    new = path.read_bytes()
    for content, price in (
        (old, "0.09"),
        (new, "0.08"),
    ):  # the digest is noted first, then the file is replaced
        path.write_bytes(content)
        assert next(iter(read_table(path))).price_usd_per_hour == Decimal(price)


def test_a_table_that_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(tmp_path):
    path = cached_file(tmp_path, REFRESHED, "aws-us-east-1")
    write_table(path, OfferTable.of([an_offer("0.09")]))
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(StoreError, match="cannot be kept"):
        write_table(in_the_way / path.name, OfferTable.of([an_offer("0.08")]))
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        "file",
        path.name,
        path.name + ".sha256",
    ]
    assert next(iter(read_table(path))).price_usd_per_hour == Decimal("0.09")


def test_a_large_import_is_read_whole(tmp_path):
    lines = (f"own,r,zz.{n},4,8GiB,on_demand,0.1,x86_64" for n in range(20_000))
    assert imported(tmp_path, *lines, header=HEADER + ",arch").accepted == 20_000
    assert len(load_catalog(tmp_path / "cache").offers()) > 20_000
