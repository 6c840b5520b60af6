"""Which machine to keep warm for a crowd of small runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from flyball.model.resource import Market, Offer
from flyball.policy.packing_demand import Crowd, Small
from flyball.policy.placement import SYSTEM_MEMORY_BYTES, SYSTEM_MEMORY_SHARE

if TYPE_CHECKING:
    from flyball.policy.failover_errand import Stall

VCPUS_MAX = 64  # of one warm machine: losing it must not stop everything
GUESTS_MAX = 100  # each has a wrapper, a log and some processes
OFFERS_TRIED = 8
TAIL = 1.3  # a machine is there until the last of its guests has ended


class Warm(msgspec.Struct, frozen=True, kw_only=True):
    """An offer, how many guests it would take, and what each would cost."""

    offer: Offer
    guests: int
    usd_per_run: float


def best_host(
    stall: Stall, provider: str, small: Small, crowd: Crowd, market: Market | None
) -> Iterator[Warm]:
    """The cheapest for each guest first.

    A machine holds k = min(vCPUs / mean cores, memory / mean memory) guests and is paid from its launch until the last
    has ended and it was kept idle for as long as a start takes: price x (boot + 1.3 T + boot) / min(k, guests to come).
    """
    import numpy as np

    supply = stall.known.supplies[provider]
    table, number = supply.offers, supply.offers.numbers
    vcpus = number["vcpus"] * number["sustained_cpu_share"]
    usable = number["memory_bytes"] * (1 - SYSTEM_MEMORY_SHARE) - SYSTEM_MEMORY_BYTES
    fits = (number["gpus"] == 0) & (number["vcpus"] <= VCPUS_MAX)
    fits &= (vcpus >= small.cpu_cores) & (usable >= small.memory_bytes)
    if small.arch is not None:
        fits &= table.text["arch"].where(small.arch.value.__eq__)
    if market is not None:
        fits &= table.text["market"].where(market.value.__eq__)
    blocked, _ = stall.refusals.masks(provider, table)
    if blocked is not None:
        fits &= ~blocked
    rows = np.flatnonzero(fits)
    runs, mean = max(1.0, crowd.runs), 1.0 / max(1.0, crowd.runs)
    holds = np.minimum(vcpus[rows] / (crowd.cpu_cores * mean), usable[rows] / (crowd.memory_bytes * mean))
    guests = np.clip(np.floor(holds), 1.0, min(GUESTS_MAX, np.ceil(runs)))
    boot, seconds = supply.capabilities.boot_seconds, TAIL * crowd.seconds * mean
    billed = np.maximum(2 * boot + seconds, supply.capabilities.minimum_billed_seconds)
    redone = 1.0 + number["interruptions_per_hour"][rows] / 3600 * (boot + seconds)
    each = number["price_usd_per_hour"][rows] * billed * redone / 3600 / guests
    for place in np.argsort(each, kind="stable")[:OFFERS_TRIED]:
        yield Warm(offer=table[int(rows[place])], guests=int(guests[place]), usd_per_run=float(each[place]))
