"""AWS's own lists of machine types, on-demand prices and spot prices, fetched and kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from flyball.adapters.catalog.aws_errors import aws_errors
from flyball.adapters.catalog.aws_pricing import on_demand_prices
from flyball.adapters.catalog.builtin import builtin_offers
from flyball.adapters.catalog.cache import REFRESHED, cached_file, write_table
from flyball.adapters.catalog.import_cells import LEAST_USD_PER_VCPU_HOUR, MOST_USD_PER_VCPU_HOUR
from flyball.adapters.catalog.interruption import BAND_SHARES, interruptions_per_hour
from flyball.adapters.catalog.spot_advisor import read_spot_advisor
from flyball.errors import InputError
from flyball.model.offers import OfferTable, decimal_usd, family_of
from flyball.model.processor import processor_of
from flyball.model.resource import Arch, Market, Offer
from flyball.model.units import MIB

EXTRA_HINT = "pip install 'flyball[aws]'"
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}\Z")
_ARCHS = {"x86_64": Arch.X86_64, "arm64": Arch.ARM64}
FLEX_SHARE = 0.97  # AWS: full speed for 95 % of the time, a baseline of 40 % for the rest
REFUSALS_KEPT = 100
_UNKNOWN_BAND = "10-15%"

Machine = dict[str, Any]  # the fields of an Offer that say what the machine is


class ClientFactory(Protocol):
    def __call__(self, service: str, region: str) -> Any:
        """A boto3 client of that service in that region."""
        ...


class RegionRefreshed(msgspec.Struct, frozen=True, kw_only=True):
    region: str
    machine_types: int
    on_demand_offers: int
    spot_offers: int
    unpriced: tuple[str, ...]  # machine types for which AWS quotes no price there
    refused: int  # prices that no machine costs
    refusals: tuple[str, ...]  # the first hundred of them, in words
    path: str


class RefreshResult(msgspec.Struct, frozen=True, kw_only=True):
    regions: tuple[RegionRefreshed, ...]
    interruption_source: str

    @property
    def offers(self) -> int:
        return sum(r.on_demand_offers + r.spot_offers for r in self.regions)


def refresh_aws(
    *,
    cache_folder: Path,
    now: datetime,
    regions: Sequence[str] = (),
    client: ClientFactory | None = None,
    spot_advisor: Path | None = None,
    progress: Callable[[str], None] = lambda _line: None,
) -> RefreshResult:
    """What was fetched; each region's table replaces the cached one as soon as it is complete.

    Without regions, the one that the AWS configuration names. `spot_advisor` is a copy of the Spot Advisor's public
    JSON; without it interruption rates stay the built-in ones of each family.
    Raises: InputError (boto3, credentials, permission or region missing), Unavailable (no answer, throttled), StoreError.
    """
    make = client or boto_clients()
    advised = read_spot_advisor(spot_advisor) if spot_advisor else {}
    refreshed = []
    for region in regions or (_configured_region(),):
        if not _REGION.match(region):
            raise InputError(f"{region!r} is no AWS region", hint="us-east-1, eu-central-1")
        with aws_errors(region):
            offers, types = _fetch(region, make, advised, now=now, progress=progress)
        refreshed.append(_keep(region, offers, types, cache_folder))
    return RefreshResult(
        regions=tuple(refreshed),
        interruption_source=str(spot_advisor) if spot_advisor else "built-in, by family",
    )


def boto_clients() -> ClientFactory:
    """Clients from the AWS configuration of this machine. Raises: InputError without boto3."""
    session = _session()
    from botocore.config import Config

    config = Config(
        retries={"mode": "adaptive", "max_attempts": 6},
        connect_timeout=10,
        read_timeout=60,
        user_agent_extra="flyball",
    )
    return lambda service, region: session.client(service, region_name=region, config=config)


def _session() -> Any:
    try:
        import boto3
    except ImportError as error:
        raise InputError("AWS's price list needs boto3, which is not installed", hint=EXTRA_HINT) from error
    with aws_errors("any region"):
        return boto3.Session()


def _configured_region() -> str:
    region = _session().region_name
    if not region:
        raise InputError(
            "no AWS region",
            why="none was given and the AWS configuration names none",
            hint="--region us-east-1",
        )
    return str(region)


def _fetch(
    region: str,
    make: ClientFactory,
    advised: Mapping[tuple[str, str], float],
    *,
    now: datetime,
    progress: Callable[[str], None],
) -> tuple[list[Offer], set[str]]:
    """Everything AWS lists for sale in the region, and the machine types it knows."""
    ec2 = make("ec2", region)
    progress(f"{region}: machine types")
    types = {t["InstanceType"]: t for t in _pages(ec2, "describe_instance_types", "InstanceTypes")}
    progress(f"{region}: {len(types)} machine types; on-demand prices")
    on_demand = on_demand_prices(make, region)
    progress(f"{region}: {len(on_demand)} on-demand prices; spot prices")
    spot = _spot_prices(ec2, now)
    progress(f"{region}: {len(spot)} spot prices")
    shares = _builtin_shares()
    machines = {name: _machine(facts, region, now, shares) for name, facts in types.items()}
    return [*_on_demand(machines, on_demand), *_spot(machines, spot, advised)], set(types)


def _keep(region: str, offers: Sequence[Offer], types: set[str], cache_folder: Path) -> RegionRefreshed:
    refusals = [_refusal(offer) for offer in offers if not _believable(offer)]
    offers = [offer for offer in offers if _believable(offer)]
    if not offers:
        raise InputError(
            f"AWS quotes no usable price in {region}",
            why=f"{len(refusals)} were out of all bounds" if refusals else "",
            hint="another --region, as us-east-1",
        )
    path = cached_file(cache_folder, REFRESHED, f"aws-{region}")
    write_table(path, OfferTable.of(offers))
    priced = {offer.instance_type for offer in offers}
    spots = sum(offer.market is Market.SPOT for offer in offers)
    return RegionRefreshed(
        region=region,
        machine_types=len(priced),
        on_demand_offers=len(offers) - spots,
        spot_offers=spots,
        unpriced=tuple(sorted(types - priced)),
        refused=len(refusals),
        refusals=tuple(refusals[:REFUSALS_KEPT]),
        path=str(path),
    )


def _believable(offer: Offer) -> bool:
    per_vcpu = float(offer.price_usd_per_hour) / offer.vcpus
    return LEAST_USD_PER_VCPU_HOUR <= per_vcpu <= MOST_USD_PER_VCPU_HOUR


def _refusal(offer: Offer) -> str:
    return f"{offer.offer_id}: {offer.price_usd_per_hour} USD per hour: no machine of {offer.vcpus} vCPUs costs that"


def _pages(client: Any, operation: str, key: str, **request: Any) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator(operation).paginate(**request):
        yield from page.get(key, ())


def _spot_prices(ec2: Any, now: datetime) -> dict[tuple[str, str], tuple[float, datetime]]:
    """Newest Linux price and its time by (zone, machine type). From now on: AWS then gives the price in force."""
    prices: dict[tuple[str, str], tuple[float, datetime]] = {}
    history = _pages(
        ec2,
        "describe_spot_price_history",
        "SpotPriceHistory",
        StartTime=now.astimezone(UTC),
        ProductDescriptions=["Linux/UNIX"],
    )
    for entry in history:
        key, at = (entry["AvailabilityZone"], entry["InstanceType"]), entry["Timestamp"]
        if key not in prices or at > prices[key][1]:
            prices[key] = (float(entry["SpotPrice"]), at)
    return prices


def _on_demand(machines: Mapping[str, Machine | None], prices: Mapping[str, float]) -> Iterator[Offer]:
    for name, usd in prices.items():
        if machine := machines.get(name):
            yield Offer(
                **machine,
                market=Market.ON_DEMAND,
                price_usd_per_hour=decimal_usd(usd),
                source="AWS price list",
            )


def _spot(
    machines: Mapping[str, Machine | None],
    prices: Mapping[tuple[str, str], tuple[float, datetime]],
    advised: Mapping[tuple[str, str], float],
) -> Iterator[Offer]:
    usual = _builtin_rates()
    unknown = interruptions_per_hour(BAND_SHARES[_UNKNOWN_BAND])
    for (zone, name), (usd, _) in prices.items():
        if (machine := machines.get(name)) and usd > 0:
            rate = advised.get((machine["region"], name), usual.get(family_of(name), unknown))
            yield Offer(
                **machine,
                zone=zone,
                market=Market.SPOT,
                price_usd_per_hour=decimal_usd(usd),
                interruptions_per_hour=rate,
                source="AWS spot price history",
            )


def _machine(
    facts: Mapping[str, Any], region: str, now: datetime, shares: Mapping[str, float]
) -> Machine | None:
    """Fields of an offer that say what the machine is; None for bare metal, Macs and what is no x86_64 or arm64."""
    name = facts["InstanceType"]
    arch = next((_ARCHS[a] for a in facts["ProcessorInfo"]["SupportedArchitectures"] if a in _ARCHS), None)
    if arch is None or facts.get("BareMetal") or name.startswith("mac"):
        return None
    seen = processor_of(instance_type=name)
    gpu = next(iter(facts.get("GpuInfo", {}).get("Gpus", ())), None)
    gpus = int(gpu.get("Count", 0)) if gpu else 0
    flex = FLEX_SHARE if "-flex." in name else 1.0
    return {
        "cloud": "aws",
        "region": region,
        "instance_type": name,
        "arch": arch,
        "vcpus": int(facts["VCpuInfo"]["DefaultVCpus"]),
        "memory_bytes": int(facts["MemoryInfo"]["SizeInMiB"]) * MIB,
        "gpus": gpus,
        "gpu_model": gpu["Name"] if gpu and gpus else None,
        "gpu_memory_bytes": int(gpu["MemoryInfo"]["SizeInMiB"]) * MIB if gpu and gpus else None,
        "speed_one_core": seen.speed_one_core,
        "speed_all_cores": seen.speed_all_cores,
        "processor": seen.name if seen.known else None,
        "sustained_cpu_share": shares.get(name, 0.2) if facts.get("BurstablePerformanceSupported") else flex,
        "as_of": now.astimezone(UTC).date(),
    }


def _builtin_rates() -> dict[str, float]:
    """Interruptions per hour of each AWS family in the built-in table."""
    table = builtin_offers()
    rows = table.text["cloud"].where("aws".__eq__) & table.text["market"].where("spot".__eq__)
    names = table.text["instance_type"].taken(rows).to_list()
    rates = table.numbers["interruptions_per_hour"][rows].tolist()
    return {family_of(name or ""): rate for name, rate in zip(names, rates, strict=True)}


def _builtin_shares() -> dict[str, float]:
    table = builtin_offers()
    names = table.text["instance_type"].to_list()
    return {
        n or "": s for n, s in zip(names, table.numbers["sustained_cpu_share"].tolist(), strict=True) if s < 1
    }
