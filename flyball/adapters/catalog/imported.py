"""A table of offers that a user brings, as CSV or Parquet; what is wrong in it is refused row by row and said."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from flyball.adapters.catalog.builtin import builtin_offers
from flyball.adapters.catalog.cache import IMPORTED, cached_file, write_table
from flyball.adapters.catalog.import_cells import offer_of
from flyball.adapters.catalog.table_file import short_text, table_rows
from flyball.errors import InputError
from flyball.model.offers import OfferTable, family_of
from flyball.model.resource import Market, Offer

OUTLIER_FACTOR = (
    20.0  # dearest and cheapest real price per vCPU within one family differ by less than 5 (GPU sizes)
)
REFUSALS_KEPT = 100


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    line: int  # of the file, from 1; the row's number for Parquet
    instance_type: str
    reason: str


class ImportResult(msgspec.Struct, frozen=True, kw_only=True):
    accepted: int
    refused: int
    refusals: tuple[Refusal, ...]  # the first hundred
    path: str | None  # where the accepted rows are kept; None when none were


def import_catalog(path: Path, cache_folder: Path, now: datetime) -> ImportResult:
    """What was accepted, and what was not and why. An earlier import of a file of that name is replaced.

    Raises: InputError for a file that cannot be read or is no such table, StoreError when it cannot be kept.
    """
    accepted, refusals = _sorted_out(table_rows(path), now.astimezone(UTC).date(), path.name)
    kept = cached_file(cache_folder, IMPORTED, path.stem)
    if accepted:
        write_table(kept, OfferTable.of(accepted))
    return ImportResult(
        accepted=len(accepted),
        refused=len(refusals),
        refusals=tuple(refusals[:REFUSALS_KEPT]),
        path=str(kept) if accepted else None,
    )


def _sorted_out(
    rows: Iterator[tuple[int, Mapping[str, Any]]], today: date, name: str
) -> tuple[list[Offer], list[Refusal]]:
    read: list[tuple[int, Offer]] = []
    refusals: list[Refusal] = []
    first_line: dict[str, int] = {}
    for line, row in rows:
        try:
            offer = offer_of(row, today, name)
        except (ValueError, InputError) as error:
            refusals.append(_refusal(line, row.get("instance_type"), str(error).partition("\n")[0]))
            continue
        earlier = first_line.setdefault(offer.offer_id, line)
        if earlier == line:
            read.append((line, offer))
        else:
            refusals.append(_refusal(line, offer.instance_type, f"says again what line {earlier} says"))
    accepted, outliers = _without_outliers(read)
    return accepted, sorted(refusals + outliers, key=lambda refusal: refusal.line)


def _without_outliers(read: list[tuple[int, Offer]]) -> tuple[list[Offer], list[Refusal]]:
    """Refuses prices per vCPU far from their family's: the built-in median where there is one, else the file's own."""
    own: dict[tuple[str, str, Market], list[float]] = {}
    for _, offer in read:
        own.setdefault(_family(offer), []).append(_usd_per_vcpu(offer))
    usual = {
        key: statistics.median(prices) for key, prices in own.items() if len(prices) >= 3
    } | _builtin_medians()
    accepted, refusals = [], []
    for line, offer in read:
        price, median = _usd_per_vcpu(offer), usual.get(_family(offer))
        factor = max(price / median, median / price) if median else 1.0
        if factor > OUTLIER_FACTOR and median:
            reason = (
                f"price_usd_per_hour {offer.price_usd_per_hour} is {price:.3g} per vCPU,"
                f" {factor:.0f} times off the {median:.3g} of its family"
            )
            refusals.append(_refusal(line, offer.instance_type, reason))
        else:
            accepted.append(offer)
    return accepted, refusals


@lru_cache(maxsize=1)
def _builtin_medians() -> dict[tuple[str, str, Market], float]:
    table = builtin_offers()
    prices: dict[tuple[str, str, Market], list[float]] = {}
    usd = (table.numbers["price_usd_per_hour"] / table.numbers["vcpus"]).tolist()
    for row, price in enumerate(usd):
        text = {name: table.text[name][row] or "" for name in ("cloud", "instance_type", "market")}
        key = (text["cloud"], family_of(text["instance_type"]), Market(text["market"]))
        prices.setdefault(key, []).append(price)
    return {key: statistics.median(found) for key, found in prices.items()}


def _family(offer: Offer) -> tuple[str, str, Market]:
    return offer.cloud, family_of(offer.instance_type), offer.market


def _usd_per_vcpu(offer: Offer) -> float:
    return float(offer.price_usd_per_hour) / offer.vcpus


def _refusal(line: int, instance_type: Any, reason: str) -> Refusal:
    return Refusal(line=line, instance_type=short_text(instance_type), reason=short_text(reason, 200))
