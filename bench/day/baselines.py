"""Ways of running the day without a governor: one machine per job, on demand or on spot, and a cluster that never stops.

All of them give a job what its owner asked for, know the same prices, choose machines as `flyball offers` ranks them for
that size (dollars for an hour of all its cores), pay by the second and at least a minute from launch to end, and wait
for machines as long as flyball does.
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import lru_cache
from random import Random

from lifeline import Lifeline
from outcome import NANO, DayOutcome, outcome_of
from workload import DAY_SECONDS, Day, DayRun
from world import World

from flyball.model.offers import OfferTable
from flyball.model.resource import Market, Offer, Size
from flyball.policy.placement import Wanted, Work, rank
from flyball.sim.truth import pace_on


class Shop:
    """The cheapest machines for asked sizes, by market."""

    def __init__(self, world: World, families: tuple[str, ...] = ()) -> None:
        self._tables: dict[Market, OfferTable] = {
            market: world.offers.take(world.offers.text["market"].where(market.value.__eq__))
            for market in Market
        }
        self._families = families
        self.cheapest = lru_cache(maxsize=None)(self._cheapest)

    def _cheapest(
        self, size: Size, gpu_models: tuple[str, ...], market: Market, most: int = 1
    ) -> tuple[Offer, ...]:
        work = Work.hour_of(size)
        ranking = rank(
            self._tables[market],
            need=Size(cpu_cores=size.cpu_cores, memory_bytes=0, gpus=size.gpus),
            work=Work(
                wall_seconds=work.wall_seconds, core_seconds=work.core_seconds, cores=work.cores,
                vcpus=work.vcpus, memory_bytes=size.memory_bytes,
            ),
            wanted=Wanted(gpu_models=gpu_models, families=() if size.gpus else self._families),
        )  # fmt: skip
        return tuple(choice.offer for choice in ranking[:most])


def machine_per_job(day: Day, world: World) -> DayOutcome:
    """A new on-demand machine of the asked size for every try, gone when it ends."""
    shop = Shop(world)
    usd: dict[str, float] = defaultdict(float)
    machines, ends = 0, []
    for run in day.runs:
        line, at = Lifeline(world, run), run.due_seconds
        offer = shop.cheapest(run.job.asked, run.job.gpu_models, Market.ON_DEMAND)[0]
        over = False
        while not over:
            ready_at = at + world.boot_seconds(f"{run.run_id} {line.starts} od")
            ended_at = line.begin(offer, ready_at, run.job.asked)
            usd[run.job.kind] += _usd(world, offer, at, ended_at)
            over, at, machines = line.end(ended_at), ended_at, machines + 1
        ends.append((run, line.ended_at, line.succeeded))
    return outcome_of("on demand, a machine per job", ends, usd_by_kind=usd, machines=machines)


def sticky_spot(day: Day, world: World, *, tries: int = 40) -> DayOutcome:
    """Spot at the asked size where there is any; once interrupted, on demand to the end."""
    shop, rng = Shop(world), Random(0)
    usd: dict[str, float] = defaultdict(float)
    machines = interruptions = 0
    ends = []
    for run in day.runs:
        line, at, over, spot = Lifeline(world, run), run.due_seconds, False, True
        while not over:
            offer = shop.cheapest(run.job.asked, run.job.gpu_models, Market.ON_DEMAND)[0]
            if spot:
                ranked = shop.cheapest(run.job.asked, run.job.gpu_models, Market.SPOT, tries)
                offer = next((o for o in ranked if world.weather.has_capacity(o, at, rng)), offer)
            taken_at = world.weather.taken_at(offer, at, rng)
            ready_at = at + world.boot_seconds(f"{run.run_id} {line.starts} {line.interruptions} sticky")
            ended_at = line.begin(offer, ready_at, run.job.asked)
            until = min(ended_at, taken_at)
            usd[run.job.kind] += _usd(world, offer, at, until)
            machines += 1
            if taken_at < ended_at:
                line.interrupt(taken_at)
                spot, interruptions = False, interruptions + 1
            else:
                over = line.end(ended_at)
            at = until
        ends.append((run, line.ended_at, line.succeeded))
    return outcome_of(
        "spot, sticky fall-back to on demand",
        ends,
        usd_by_kind=usd,
        machines=machines,
        interruptions=interruptions,
    )


# One m6i-family core and GiB on demand: what solves c6i ($0.0425 with 2 GiB) and r6i ($0.063 with 8 GiB) together.
USD_PER_GIB_HOUR = (0.063 - 0.0425) / 6
USD_PER_CORE_HOUR = 0.0425 - 2 * USD_PER_GIB_HOUR
GIB = 2**30


def always_on(day: Day, world: World) -> DayOutcome:
    """A cluster bought on demand for 24 hours that holds its own peak of asked cores, memory and GPUs at once, so that
    nothing waits; cores and GiB at m6i-generation prices as if machines came in any shape, which is too cheap."""
    shop = Shop(world)
    changes: list[tuple[float, float, float]] = []
    gpus: dict[tuple[str, ...], list[tuple[float, int]]] = defaultdict(list)
    prices: dict[tuple[str, ...], float] = {}
    for run in day.runs:
        offer = shop.cheapest(run.job.asked, run.job.gpu_models, Market.ON_DEMAND)[0]
        seconds = pace_on(offer, world.truth_on(run, offer), run.job.asked.cpu_cores).wall_seconds
        start, end = run.due_seconds, run.due_seconds + seconds
        if run.job.asked.gpus:
            models = run.job.gpu_models
            gpus[models] += [(start, 1), (end, -1)]
            prices[models] = max(prices.get(models, 0.0), float(offer.price_usd_per_hour))
            continue
        cores, gib = run.job.asked.cpu_cores, run.job.asked.memory_bytes / GIB
        changes += [(start, cores, gib), (end, -cores, -gib)]
    cores_max, gib_max = _peaks(changes)
    usd = {"cluster": DAY_SECONDS / 3600 * (cores_max * USD_PER_CORE_HOUR + gib_max * USD_PER_GIB_HOUR)}
    usd["gpus"] = sum(24 * prices[m] * _peaks([(t, d, 0) for t, d in times])[0] for m, times in gpus.items())
    ends = [(run, run.due_seconds, not run.fails_for_good) for run in day.runs]
    note = f"{cores_max:.0f} cores, {gib_max:.0f} GiB at its peak"
    return outcome_of("a cluster that runs all day", ends, usd_by_kind=usd, machines=0, notes=(note,))


def _peaks(changes: list[tuple[float, float, float]]) -> tuple[float, float]:
    cores = gib = cores_max = gib_max = 0.0
    for _, more_cores, more_gib in sorted(changes):
        cores, gib = cores + more_cores, gib + more_gib
        cores_max, gib_max = max(cores_max, cores), max(gib_max, gib)
    return cores_max, gib_max


def _usd(world: World, offer: Offer, from_seconds: float, until_seconds: float) -> float:
    billed = max(60, math.ceil(until_seconds - from_seconds - 1e-6))
    return world.weather.nano_usd(offer, from_seconds, billed) * NANO


def runs_of(day: Day) -> dict[str, DayRun]:
    return {run.run_id: run for run in day.runs}
