"""What one attempt's machine cost, and how that was reckoned."""

from __future__ import annotations

from decimal import Decimal

import msgspec

NANO = Decimal("0.000000001")


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """Estimated from prices known at the time; an invoice may correct it later."""

    usd: Decimal  # to the nano-dollar
    usd_on_demand_asked: Decimal | None = None  # the same job, on demand, at the size it was asked for
    billed_seconds: float  # boot and idle included
    boot_seconds: float = 0.0  # from launch to the command
    idle_seconds: float = 0.0  # from its end to the release
    share: float = 1.0  # of a shared machine: max(CPU share, memory share)
    price_usd_per_hour: Decimal
    price_source: str = ""
    price_as_of: str = ""
    not_included: tuple[str, ...] = ()
    reason: str  # in words
    is_known: bool = True  # False: no price was to be had; `usd` is 0 and says nothing

    @property
    def nano_usd(self) -> int:
        return int((self.usd / NANO).to_integral_value())


def nothing(reason: str) -> Charge:
    """A charge of $0, and why."""
    return Charge(usd=Decimal(0), billed_seconds=0.0, price_usd_per_hour=Decimal(0), reason=reason)
