"""The cloud of the day: AWS's built-in prices in four zones, spot capacity as it was traced, machines that start as measured.

Every baseline and flyball itself meet the same one: the same pools are empty at the same times, machines are taken away
at the same times, seconds are billed alike, and a job runs as fast on a machine type whoever chose it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from random import Random

import msgspec
from workload import DayRun

from flyball.adapters.catalog.builtin import builtin_offers
from flyball.model.machine import Launch
from flyball.model.offers import OfferTable
from flyball.model.resource import Market, Offer
from flyball.sim.faults import Boot
from flyball.sim.truth import Truth
from flyball.sim.weather import Trace, Weather

REGION = "us-east-1"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d")
# Traced sites, by our zones. Pings of V100 machines of 2023, every 195 s for 45 days. For machines without GPU the site
# where three zones were up for 88 to 90 % of the time and one for 75 %; for those with GPU the one with 16 to 58 %.
FOLDER = "availability/1-node/aws-02-15-2023"
CPU_SITE = ("us-west-2a_v100_1", "us-west-2b_v100_1", "us-west-2c_v100_1", "us-east-2a_v100_1")
GPU_SITE = ("us-east-1a_v100_1", "us-east-1c_v100_1", "us-east-1d_v100_1", "us-east-1f_v100_1")
# (up share, mean hours up) of those traces, for alternating exponential times where the traces are not at hand.
CPU_MEANS = ((0.876, 6.0), (0.901, 10.4), (0.886, 6.8), (0.754, 5.6))
GPU_MEANS = ((0.156, 0.67), (0.453, 1.44), (0.435, 1.61), (0.578, 2.21))
SHOWN_SECONDS = 3 * 86_400.0  # how much of a trace a world holds
STEP_SECONDS = 195.0
# Seconds from start to the first user command, 70 starts on AWS in Spare Cores' boot timings of 2026-05 to 2026-08.
AWS_BOOT = Boot(median_seconds=32.0, p95_seconds=46.0)
SPEED_SPREAD = (
    0.10  # of logarithms: how a job's own speed on a processor differs from what the catalogue says
)


class World:
    """One day's cloud. `truth_of` is what the simulated cloud asks."""

    def __init__(
        self, runs: tuple[DayRun, ...], *, start_seconds: float, seed: int, data: Path | None
    ) -> None:
        self.start_seconds, self.seed = start_seconds, seed
        self.boot, self.boot_source = _boot(data)
        traces, self.spot_source = _traces(start_seconds, seed, data)
        self._traces = traces
        self.weather = Weather(seed=seed, traces=traces, start_seconds=start_seconds)
        self.offers = _offers(self.weather, start_seconds)
        self.on_demand = self.offers.take(self.offers.text["market"].where("on_demand".__eq__))
        self.truths: Mapping[str, DayRun] = {run.run_id: run for run in runs}

    def truth_of(self, order: Launch) -> Truth:
        return self.truth_on(self.truths[order.run_id], order.offer)

    def truth_on(self, run: DayRun, offer: Offer) -> Truth:
        """Its work, in seconds of what the catalogue takes that processor for."""
        factor = speed_of(self.seed, run.job.name, offer.processor or "")
        truth = run.truth
        return msgspec.structs.replace(
            truth,
            serial_seconds=truth.serial_seconds / factor,
            parallel_core_seconds=truth.parallel_core_seconds / factor,
        )

    def least_usd(self, spot: Offer) -> float:
        """The least it costs an hour, in all the time that is traced."""
        prices = self._traces[spot.zone or spot.region, spot.instance_type].usd_per_hour
        return min(prices) if prices else float(spot.price_usd_per_hour)

    def boot_seconds(self, name: str) -> float:
        return self.boot.draw(Random(f"{self.seed} boot {name}"))


@lru_cache(maxsize=200_000)
def speed_of(seed: int, job: str, processor: str) -> float:
    """A job's own speed there, in units of what the catalogue says."""
    return math.exp(Random(f"{seed} {job} {processor}").gauss(0.0, SPEED_SPREAD))


def _offers(weather: Weather, at_seconds: float) -> OfferTable:
    """x86 machines of AWS, on demand anywhere in the region and on spot in each zone at the price of that time."""
    offers: list[Offer] = []
    for offer in builtin_offers():
        if offer.cloud != "aws" or offer.arch.value != "x86_64":
            continue
        if offer.market is Market.ON_DEMAND:
            offers.append(offer)
            continue
        for zone in ZONES:
            here = msgspec.structs.replace(offer, zone=zone)
            price = weather.usd_per_hour(here, at_seconds)
            offers.append(msgspec.structs.replace(here, price_usd_per_hour=price))
    return OfferTable.of(offers)


def _boot(data: Path | None) -> tuple[Boot, str]:
    found = sorted((data / "catalog").glob("sparecores_boot_timing*.csv")) if data else []
    if not found:
        return AWS_BOOT, "as measured: median 32 s, p95 46 s of 70 starts"
    import polars as pl

    rows = pl.read_csv(found[-1], infer_schema_length=None).filter(pl.col("vendor") == "aws")
    seconds = rows["start_to_userdata_s"].drop_nulls()
    seconds = seconds.filter(seconds > 0)
    median, p95 = float(seconds.median()), float(seconds.quantile(0.95))
    boot = Boot(median_seconds=median, p95_seconds=p95)
    return boot, f"{found[-1].name}: median {median:.0f} s, p95 {p95:.0f} s of {len(seconds)} starts"


def _traces(start_seconds: float, seed: int, data: Path | None) -> tuple[dict[tuple[str, str], Trace], str]:
    """For each machine type a window of its own, the same for all zones: what hits several zones at once still does."""
    folder = data / "spot" if data else None
    real = folder is not None and (folder / FOLDER).exists()
    sites = {
        gpu: [_read(folder, name) for name in (GPU_SITE if gpu else CPU_SITE)] if real else None
        for gpu in (False, True)
    }
    traces: dict[tuple[str, str], Trace] = {}
    for offer in builtin_offers():
        if offer.cloud != "aws" or offer.arch.value != "x86_64" or offer.market is Market.ON_DEMAND:
            continue
        gpu, name = bool(offer.gpus), offer.instance_type
        site = sites[gpu] or [
            _made(f"{seed} {name} {zone}", *means) for zone, means in zip(ZONES, _means(gpu), strict=True)
        ]
        steps = int(SHOWN_SECONDS / STEP_SECONDS)
        usual = sum(sum(prices) / len(prices) for _, prices in site) / len(site)
        start = _number(f"{seed} {name}") % (len(site[0][0]) - steps)
        for zone, (up, prices) in zip(ZONES, site, strict=True):
            usd = [float(offer.price_usd_per_hour) * p / usual for p in prices[start : start + steps]]
            traces[zone, name] = Trace(
                start_seconds=start_seconds, step_seconds=STEP_SECONDS, up=up[start : start + steps],
                usd_per_hour=[round(u, 6) for u in usd],
            )  # fmt: skip
    source = f"{FOLDER} and its prices" if real else "alternating at the traces' mean times, prices constant"
    return traces, source


def _means(gpu: bool) -> tuple[tuple[float, float], ...]:
    return GPU_MEANS if gpu else CPU_MEANS


@lru_cache(maxsize=16)
def _read(folder: Path, name: str) -> tuple[list[bool], list[float]]:
    """(up, $/h) per sample."""
    up = json.loads((folder / FOLDER / f"{name}.json").read_text())["data"]
    prices = json.loads((folder / "prices" / f"{Path(FOLDER).name}.json").read_text())[name]
    prices += [prices[-1]] * (len(up) - len(prices))
    return [bool(u) for u in up], [float(p) for p in prices[: len(up)]]


def _made(name: str, up_share: float, up_hours: float) -> tuple[list[bool], list[float]]:
    rng, steps = Random(name), int(SHOWN_SECONDS / STEP_SECONDS) + 1
    down_hours = up_hours * (1 - up_share) / up_share
    up: list[bool] = []
    state = rng.random() < up_share
    while len(up) < steps:
        hours = rng.expovariate(1 / (up_hours if state else down_hours))
        up += [state] * max(1, round(hours * 3600 / STEP_SECONDS))
        state = not state
    return up[:steps], [1.0] * steps


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")
