"""Policies that need no simulation: what is recorded, and a machine of the asked size for every try."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.policy.placement import BOOT_SECONDS, MINIMUM_BILLED_SECONDS, Wanted, Work, rank
from flyball.sim.truth import pace_on
from flyball.sim.whatif_runs import PastRun


class Under(msgspec.Struct, frozen=True, kw_only=True):
    """Runs under one policy. `usd` by run id; None: it cannot be priced."""

    usd: dict[str, float | None]
    machine_seconds: float
    launches: int | None = None
    failed: int = 0
    late: int | None = None
    interruptions: int = 0
    out_of_memory: int = 0
    lost: int = 0


class Shop:
    """The cheapest on-demand machine for an asked size, as `flyball offers` ranks them."""

    def __init__(self, offers: OfferTable) -> None:
        self._table = offers.take(offers.text["market"].where(Market.ON_DEMAND.value.__eq__))
        self._text = self._table.text["instance_type"]
        self.for_size: Callable[[Size, Arch | None, str | None], Offer | None] = lru_cache(maxsize=None)(
            self._for_size
        )
        self.of_type: Callable[[str | None], Offer | None] = lru_cache(maxsize=None)(self._of_type)

    def _for_size(self, size: Size, arch: Arch | None, gpu_model: str | None) -> Offer | None:
        work = msgspec.structs.replace(Work.hour_of(size), memory_bytes=size.memory_bytes)
        wanted = Wanted(arch=arch, gpu_models=(gpu_model,) if gpu_model else ())
        ranking = rank(
            self._table, need=msgspec.structs.replace(size, memory_bytes=0), work=work, wanted=wanted
        )
        return ranking[0].offer if len(ranking) else None

    def _of_type(self, instance_type: str | None) -> Offer | None:
        if instance_type is None:
            return None
        rows = self._text.where(instance_type.__eq__).nonzero()[0]
        found = [self._table[int(row)] for row in rows]
        return min(found, key=lambda offer: offer.price_usd_per_hour, default=None)


def as_it_was(runs: Sequence[PastRun], shop: Shop) -> Under:
    """Recorded costs; where there are none, the on-demand price of the machine type that is recorded."""
    usd: dict[str, float | None] = {}
    seconds = 0.0
    failed = interruptions = out_of_memory = 0
    for run in runs:
        parts: list[float | None] = []
        for row in run.rows:
            if row.cost_usd is not None:
                parts.append(float(row.cost_usd))
                continue
            offer = shop.of_type(row.instance_type)
            parts.append(None if offer is None else _usd(offer, row.wall_seconds or 0.0, boot_seconds=0.0))
        priced = [part for part in parts if part is not None]
        usd[run.run_id] = sum(priced) if len(priced) == len(parts) else None
        seconds += sum(row.wall_seconds or 0.0 for row in run.rows)
        failed += all(row.outcome is not Outcome.SUCCEEDED for row in run.rows)
        interruptions += sum(row.outcome is Outcome.INTERRUPTED for row in run.rows)
        out_of_memory += sum(row.outcome is Outcome.OUT_OF_MEMORY for row in run.rows)
    return Under(
        usd=usd,
        machine_seconds=seconds,
        launches=sum(len(run.rows) for run in runs),
        failed=failed,
        interruptions=interruptions,
        out_of_memory=out_of_memory,
    )


def on_demand_asked(
    runs: Sequence[PastRun], shop: Shop, deadlines: dict[str, float], boot_seconds: float = BOOT_SECONDS
) -> Under:
    """Each try on a new machine of the asked size, and never too small for what the run used."""
    usd: dict[str, float | None] = {}
    seconds = 0.0
    launches = failed = late = 0
    for run in runs:
        offer = shop.for_size(held_size(run), run.arch, run.gpu_model)
        if offer is None:
            usd[run.run_id] = None
            continue
        wall = pace_on(offer, run.truth).wall_seconds
        tries = [wall * t.at_share for t in run.truth.tries]
        succeeds = len(tries) <= run.retries
        tries += [wall] if succeeds else []
        usd[run.run_id] = sum(_usd(offer, t, boot_seconds=boot_seconds) for t in tries)
        took = sum(boot_seconds + t for t in tries)
        seconds, launches, failed = seconds + took, launches + len(tries), failed + (not succeeds)
        late += run.started_at_seconds + took > deadlines.get(run.run_id, math.inf)
    return Under(
        usd=usd,
        machine_seconds=seconds,
        launches=launches,
        failed=failed,
        late=late if deadlines else None,
    )


def held_size(run: PastRun) -> Size:
    """The asked size, or what it used where that was more."""
    memory = max(run.asked.memory_bytes, math.ceil(run.truth.memory_bytes * 1.02))
    return msgspec.structs.replace(run.asked, memory_bytes=memory)


def _usd(offer: Offer, seconds: float, *, boot_seconds: float) -> float:
    billed = max(MINIMUM_BILLED_SECONDS, math.ceil(boot_seconds + seconds))
    return float(offer.price_usd_per_hour) * billed / 3600
