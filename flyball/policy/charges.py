"""What a machine that is given back has cost: boot, idle time and the least that is billed counted."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from flyball.model.charge import NANO, Charge, nothing
from flyball.model.machine import Capabilities
from flyball.model.resource import Market, Offer, Size
from flyball.model.snapshot import Host, Unreleased
from flyball.model.units import show_seconds, show_usd
from flyball.policy.charges_asked import usd_on_demand_asked
from flyball.policy.commands import GiveBack

if TYPE_CHECKING:
    from flyball.policy.known import Known, Supply

MICROSECONDS_PER_HOUR = 3_600_000_000


def charge_of(command: GiveBack, known: Known, released_at_seconds: float) -> Charge:
    """From its launch until it was given back or taken away, at the price of its zone and market then."""
    machine = command.machine
    if machine is not None and machine.gone_at_seconds is not None:  # it ended itself, or was taken away
        released_at_seconds = min(released_at_seconds, machine.gone_at_seconds)
    if command.left is not None:
        return _of_attempt(command, command.left, known, released_at_seconds)
    if command.host is not None:
        return _of_host(command.host, known, released_at_seconds)
    return _of_zombie(command, known, released_at_seconds)


def usd_for(price_usd_per_hour: Decimal, seconds: float, share: float = 1.0) -> Decimal:
    """To the nano-dollar; the seconds are exact to the microsecond, the share to a millionth."""
    microseconds = max(0, round(seconds * 1e6))
    usd = price_usd_per_hour * microseconds / MICROSECONDS_PER_HOUR
    if share != 1.0:
        usd = usd * round(share * 1e6) / 1_000_000
    return usd.quantize(NANO, ROUND_HALF_EVEN)


def share_of(size: Size, offer: Offer) -> float:
    """What an attempt of that size takes of a machine: the larger of its shares of CPU, memory and GPUs."""
    shares = [size.cpu_cores / max(1, offer.vcpus), size.memory_bytes / max(1, offer.memory_bytes)]
    if offer.gpus:
        shares.append(size.gpus / offer.gpus)
    return min(1.0, max(shares))


def _of_attempt(command: GiveBack, left: Unreleased, known: Known, released_at_seconds: float) -> Charge:
    capabilities = capabilities_of(known.supplies, command.provider)
    if not capabilities.bills_by_machine:
        return nothing("own hardware: flyball adds no charge for it")
    launched = left.launched_at_seconds
    if launched is None:
        return nothing("never launched")
    gone = released_at_seconds if left.gone_at_seconds is None else left.gone_at_seconds
    until = max(launched, min(released_at_seconds, gone))
    boot, idle = _boot_and_idle(left, launched, until)
    offer = left.planned.offer
    price = _price(known, command.provider, offer, launched, until)
    shared = left.planned.host_id is not None
    share = share_of(left.planned.size, offer) if shared else 1.0
    least = 0.0 if shared else capabilities.minimum_billed_seconds
    billed = max(until - launched, least)
    usd = usd_for(price, billed, share)
    if shared and command.host is not None:
        usd = min(usd, _left_of_host(command, command.host, known, released_at_seconds))
    return Charge(
        usd=usd,
        usd_on_demand_asked=usd_on_demand_asked(
            left, known, boot_seconds=capabilities.boot_seconds if shared or left.started_at_seconds is None else boot
        ),
        billed_seconds=billed,
        boot_seconds=boot,
        idle_seconds=idle,
        share=share,
        price_usd_per_hour=price,
        price_source=offer.source,
        price_as_of=offer.as_of.isoformat(),
        not_included=capabilities.not_included,
        reason=_words(
            offer, price, billed, boot=boot, idle=idle, share=share, least=least,
            taken_away=gone < released_at_seconds,
        ),
    )  # fmt: skip


def _boot_and_idle(left: Unreleased, launched: float, until: float) -> tuple[float, float]:
    """Seconds before the command ran, and after; a machine that never started only booted."""
    started = left.started_at_seconds
    if started is None:
        return until - launched, 0.0
    started = min(max(started, launched), until)
    ended = left.command_ended_at_seconds
    if ended is None:
        ended = left.ended_at_seconds if left.wall_seconds is None else started + left.wall_seconds
    return started - launched, until - min(max(ended, started), until)


def _left_of_host(command: GiveBack, host: Host, known: Known, now_seconds: float) -> Decimal:
    """What of the host's bill so far nobody has paid; those who leave together may each take an equal part of it.

    Shares of CPU and of memory can add up to more than one machine; together they never pay more than its bill.
    """
    unpaid = bill_of_host(host, known, now_seconds) - NANO * host.charged_nano_usd
    part = unpaid / command.leaving_together
    return max(Decimal(0), part.quantize(NANO, "ROUND_DOWN"))


def bill_of_host(host: Host, known: Known, now_seconds: float) -> Decimal:
    """The whole machine, from its launch until now or until it was not there any more."""
    launched = host.launched_at_seconds
    if launched is None:
        return Decimal(0)
    planned = host.planned
    least = capabilities_of(known.supplies, planned.provider).minimum_billed_seconds
    until = _host_until(host, now_seconds)
    price = _price(known, planned.provider, planned.offer, launched, until)
    return usd_for(price, max(until - launched, least))


def _host_until(host: Host, now_seconds: float) -> float:
    gone = now_seconds if host.missed_since_seconds is None else min(now_seconds, host.missed_since_seconds)
    return max(gone, host.launched_at_seconds or gone)


def _of_host(host: Host, known: Known, released_at_seconds: float) -> Charge:
    """What its attempts have not paid for."""
    launched, planned = host.launched_at_seconds, host.planned
    capabilities = capabilities_of(known.supplies, planned.provider)
    if not capabilities.bills_by_machine:
        return nothing("own hardware: flyball adds no charge for it")
    if launched is None:
        return nothing("never launched")
    until = _host_until(host, released_at_seconds)
    bill = bill_of_host(host, known, released_at_seconds)
    paid = NANO * host.charged_nano_usd
    price = _price(known, planned.provider, planned.offer, launched, until)
    billed = max(until - launched, capabilities.minimum_billed_seconds)
    return Charge(
        usd=max(Decimal(0), bill - paid),
        usd_on_demand_asked=Decimal(0),  # nobody would have had it
        billed_seconds=billed,
        idle_seconds=billed,
        price_usd_per_hour=price,
        price_source=planned.offer.source,
        price_as_of=planned.offer.as_of.isoformat(),
        not_included=capabilities.not_included,
        reason=f"{_words(planned.offer, price, billed)} = {show_usd(bill)}, "
        f"of which its attempts paid {show_usd(paid)}",
    )


def _of_zombie(command: GiveBack, known: Known, released_at_seconds: float) -> Charge:
    """From when it was found: until then a live attempt owned it, and paid."""
    if not capabilities_of(known.supplies, command.provider).bills_by_machine:
        return nothing("own hardware: flyball adds no charge for it")
    machine, since = command.machine, command.zombie_since_seconds
    if machine is None or machine.price_usd_per_hour is None or since is None:
        return Charge(
            usd=Decimal(0), is_known=False, billed_seconds=0.0, price_usd_per_hour=Decimal(0),
            reason="a machine that nobody owned; its provider does not say at which price",
        )  # fmt: skip
    if machine.launched_at_seconds is not None:
        since = max(since, machine.launched_at_seconds)
    seconds = max(0.0, released_at_seconds - since)
    price = Decimal(machine.price_usd_per_hour)
    return Charge(
        usd=usd_for(price, seconds),
        usd_on_demand_asked=Decimal(0),
        billed_seconds=seconds,
        idle_seconds=seconds,
        price_usd_per_hour=price,
        price_source=f"listing of {command.provider}",
        reason=f"a machine that nobody owned, {show_seconds(seconds)} from when it was found, at {show_usd(price)}/h",
    )


def capabilities_of(supplies: Mapping[str, Supply], provider: str) -> Capabilities:
    """The defaults for a provider that is not there any more: it is taken to bill."""
    supply = supplies.get(provider)
    return Capabilities() if supply is None else supply.capabilities


def _price(known: Known, provider: str, offer: Offer, from_seconds: float, to_seconds: float) -> Decimal:
    """The mean over that time where prices of the past are known, else what it was when it was planned."""
    paid = known.price_paid(provider, offer, from_seconds, to_seconds)
    return offer.price_usd_per_hour if paid is None else paid


def _words(
    offer: Offer, price: Decimal, billed: float, *, boot: float = 0.0, idle: float = 0.0, share: float = 1.0,
    least: float = 0.0, taken_away: bool = False,
) -> str:  # fmt: skip
    """ "m7a.large spot in us-east-1a at $0.041/h for 12 min 5 s (boot 41.2 s, idle 3.10 s)"."""
    market = "spot" if offer.market is Market.SPOT else "on demand"
    parts = [f"boot {show_seconds(boot)}"] if boot else []
    parts += [f"idle {show_seconds(idle)}"] if idle else []
    parts += [f"at least {show_seconds(least)} is billed"] if billed <= least else []
    parts += [f"{share:.0%} of the machine"] if share != 1.0 else []
    parts += ["until it was taken away"] if taken_away else []
    inside = f" ({', '.join(parts)})" if parts else ""
    place = offer.zone or offer.region
    return (
        f"{offer.instance_type} {market} in {place} at {show_usd(price)}/h for {show_seconds(billed)}{inside}"
    )
