"""What the simulated cloud charges: per second, at least a minute, from the launch until the machine is gone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from flyball.model.resource import Market

if TYPE_CHECKING:
    from flyball.sim.held import Held
    from flyball.sim.weather import Weather

MINIMUM_BILLED_SECONDS = 60.0


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """Of one machine. `final`: it is gone, and costs nothing more."""

    market: Market
    billed_seconds: int
    nano_usd: int
    final: bool


def bill_of(held: Held, weather: Weather, now_seconds: float) -> Bill:
    until = min(now_seconds, held.gone_at)
    # A microsecond is taken off before rounding up: floats of epoch seconds are no more exact than that.
    seconds = math.ceil(until - held.launched_at - 1e-6)
    billed = max(int(MINIMUM_BILLED_SECONDS), seconds)
    offer = held.order.offer
    return Bill(
        market=offer.market,
        billed_seconds=billed,
        nano_usd=weather.nano_usd(offer, held.launched_at, billed),
        final=held.gone_at <= now_seconds,
    )
