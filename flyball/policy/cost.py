"""What the machine under a finished attempt charged for it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from flyball.model.receipt import Receipt
from flyball.model.resource import Market, Offer


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """`usd` None: on a cloud machine whose price is not in the catalogue."""

    usd: Decimal | None
    reason: str


def cost_here(receipt: Receipt, find: Callable[[str, str, str | None, Market], Offer | None]) -> Cost:
    """The share of this machine's price for the attempt's wall time; 0 on a machine that is no cloud's.

    `find(cloud, instance_type, region, market)` gives the offer. On demand is assumed: an instance does not always
    know how it was bought.
    """
    host = receipt.host
    if host.cloud is None or host.instance_type is None:
        return Cost(usd=Decimal(0), reason="own machine")
    offer = find(host.cloud, host.instance_type, host.region, Market.ON_DEMAND)
    if offer is None:
        return Cost(usd=None, reason=f"no price known for {host.cloud} {host.instance_type}")
    usd = offer.price_usd_per_hour * Decimal(str(round(receipt.wall_seconds, 6))) / 3600
    price = f"{host.instance_type} on demand in {offer.region} at ${offer.price_usd_per_hour}/h as of {offer.as_of}"
    return Cost(usd=usd.quantize(Decimal("0.000000001")), reason=price)
