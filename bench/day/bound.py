"""What the day would cost somebody who knows it all beforehand: two lower bounds.

`per_job`: every try gets a machine of its own, of the type and in the zone and at the time that is cheapest for what it
truly needs and truly takes there, on spot only where and when the trace stays up long enough for all of it (what can
resume needs no such stretch), at the lowest price of the hours it may run in (until its deadline, else for a day).
Boots take their median. Nobody who buys a machine per try does better, up to the luck of boots.

`packed`: any packing of all tries onto machines, without boots, minimum billing, idle time or interruptions. The price
of every machine is split among its cores and its GiB in one fixed proportion; a try pays for the core-seconds and
GiB-seconds that it occupies on the type where that is least. What all tries on a machine pay so can never be more than
the machine costs, so the sum is a lower bound for every proportion, and the best proportion is taken. A GPU run pays
for its GPUs alone. It is not tight: machines that are full in both cores and memory do not exist for every mix, and
work does not arrive so that they stay full.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

import numpy as np
from outcome import DayOutcome
from workload import DAY_SECONDS, GIB, RETRIES, Day, DayRun
from world import STEP_SECONDS, World, speed_of

from flyball.model.processor import HYPERTHREAD_SHARE
from flyball.model.resource import Market, Offer
from flyball.policy.placement import MINIMUM_BILLED_SECONDS, usable_memory_bytes

PROPORTIONS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.3)  # of a GiB's price to a core's


class _Prices:
    """Of one offer over the days: the least ahead, and how long it stays up."""

    def __init__(self, world: World, offer: Offer) -> None:
        steps = int(3 * DAY_SECONDS / STEP_SECONDS)
        times = [world.start_seconds + i * STEP_SECONDS for i in range(steps)]
        self.start = world.start_seconds
        self.usd = np.array([float(world.weather.usd_per_hour(offer, t)) for t in times])
        up, self.windows = False, list[tuple[float, float]]()
        at = self.start
        while offer.market is Market.SPOT and at < times[-1]:
            up = world.weather.has_capacity(offer, at, None)
            until = min(world.weather.next_change_seconds(offer, at), times[-1])
            if up:
                self.windows.append((at, until))
            at = until
        self._ends = [end for _, end in self.windows]

    def least(self, from_seconds: float, until_seconds: float) -> float:
        first = int((from_seconds - self.start) // STEP_SECONDS)
        last = int((until_seconds - self.start) // STEP_SECONDS) + 1
        return float(self.usd[first:last].min()) if first < len(self.usd) else float(self.usd[-1])

    def fits(self, from_seconds: float, until_seconds: float, seconds: float) -> bool:
        """Whether it stays up for so long, starting not before and ending not after."""
        for start, end in self.windows[bisect_right(self._ends, from_seconds) :]:
            if start > until_seconds - seconds:
                return False
            if min(end, until_seconds) - max(start, from_seconds) >= seconds:
                return True
        return False


class _Types:
    """Machine types as columns; a run's seconds on each of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.offers = [o for o in world.offers if o.market is Market.ON_DEMAND]
        self.vcpus = np.array([o.vcpus for o in self.offers], dtype=float)
        self.usable = np.array([usable_memory_bytes(o.memory_bytes) for o in self.offers], dtype=float)
        self.one = np.array([o.speed_one_core for o in self.offers])
        self.every = np.array([o.speed_all_cores for o in self.offers]) * HYPERTHREAD_SHARE
        self.sustained = np.array([o.sustained_cpu_share for o in self.offers])
        self.models = [o.gpu_model for o in self.offers]
        self.gpus = np.array([o.gpus for o in self.offers])
        names = sorted({o.processor or "" for o in self.offers})
        self.processor = np.array([names.index(o.processor or "") for o in self.offers])
        self.names = names
        self.spot: dict[str, list[Offer]] = defaultdict(list)
        for offer in world.offers:
            if offer.market is Market.SPOT:
                self.spot[offer.instance_type].append(offer)
        # The least that each type ever costs in the days to come.
        self.least = np.array(
            [
                min([float(o.price_usd_per_hour), *(world.least_usd(s) for s in self.spot[o.instance_type])])
                for o in self.offers
            ]
        )

    def suit(self, run: DayRun) -> np.ndarray:
        fits = self.usable >= run.truth.memory_bytes
        if run.job.gpu_models:
            return fits & np.array([model in run.job.gpu_models for model in self.models])
        return fits

    def factors(self, run: DayRun) -> np.ndarray:
        own = np.array([speed_of(self.world.seed, run.job.name, name) for name in self.names])
        return own[self.processor]

    def seconds(self, run: DayRun) -> np.ndarray:
        truth, factor = run.truth, self.factors(run)
        here = np.minimum(max(1.0, truth.cores), self.vcpus)
        one, many = factor * self._speed(np.ones_like(here)), factor * self._speed(here)
        wall = truth.serial_seconds / one + truth.parallel_core_seconds / here / many
        cpu = truth.serial_seconds / one + truth.parallel_core_seconds / many
        floor = np.where(self.sustained < 1, cpu / (self.vcpus * self.sustained), 0.0)
        return np.maximum(wall, floor) + truth.waiting_seconds

    def _speed(self, threads: np.ndarray) -> np.ndarray:
        shared = np.clip(2 * threads / self.vcpus - 1, 0.0, 1.0)
        return self.one + (self.every - self.one) * shared


def per_job(day: Day, world: World) -> DayOutcome:
    types, prices = _Types(world), dict[str, _Prices]()
    usd: dict[str, float] = defaultdict(float)
    for run in day.runs:
        seconds, suit = types.seconds(run), types.suit(run)
        for share in _tries(run):
            billed = np.maximum(MINIMUM_BILLED_SECONDS, world.boot.median_seconds + share * seconds)
            usd[run.job.kind] += _cheapest(run, billed, suit, types, prices)
    return DayOutcome(name="clairvoyant, a machine per try", usd=sum(usd.values()), usd_by_kind=dict(usd))


def _cheapest(
    run: DayRun, billed: np.ndarray, suit: np.ndarray, types: _Types, prices: dict[str, _Prices]
) -> float:
    """Dollars of one try: `billed` seconds by type."""
    until = run.deadline_seconds if run.deadline_seconds is not None else run.due_seconds + DAY_SECONDS
    found = np.inf
    resumes = run.truth.checkpoint_every_seconds is not None
    for row in np.argsort(np.where(suit, types.least * billed, np.inf)):
        seconds = float(billed[row])
        if not suit[row] or types.least[row] * seconds / 3600 >= found:
            break
        offer = types.offers[row]
        found = min(found, float(offer.price_usd_per_hour) * seconds / 3600)
        for spot in types.spot[offer.instance_type]:
            if spot.offer_id not in prices:
                prices[spot.offer_id] = _Prices(types.world, spot)
            known = prices[spot.offer_id]
            usd = known.least(run.due_seconds, until) * seconds / 3600
            latest = max(until, run.due_seconds + seconds)
            if usd < found and (resumes or known.fits(run.due_seconds, latest, seconds)):
                found = usd
    return float(found)


def _tries(run: DayRun) -> list[float]:
    """Shares of its work that its tries do, in turn."""
    failing = [t.at_share for t in run.truth.tries]
    return failing if len(failing) > RETRIES else [*failing, 1.0]


def packed(day: Day, world: World) -> DayOutcome:
    types = _Types(world)
    least = types.least
    best: dict[str, float] = {}
    rows = [(run, types.suit(run), types.factors(run), sum(_tries(run))) for run in day.runs]
    for proportion in PROPORTIONS:
        per_core = least / (types.vcpus * types.sustained + proportion * types.usable / GIB)
        usd: dict[str, float] = defaultdict(float)
        for run, suit, factor, shares in rows:
            truth, one = run.truth, factor * types.one
            core_seconds = (truth.serial_seconds + truth.parallel_core_seconds) / one
            wall = (
                truth.waiting_seconds
                + truth.serial_seconds / one
                + truth.parallel_core_seconds / one / max(1, truth.cores)
            )
            cost = per_core * (core_seconds + proportion * truth.memory_bytes / GIB * wall)
            if run.job.gpu_models:
                cost = least / np.maximum(1, types.gpus) * wall
            usd[run.job.kind] += shares * float(cost[suit].min()) / 3600
        if sum(usd.values()) > sum(best.values()):
            best = dict(usd)
    return DayOutcome(name="clairvoyant, packed without a gap", usd=sum(best.values()), usd_by_kind=best)
