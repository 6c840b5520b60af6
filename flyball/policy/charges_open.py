"""What machines that are still held have cost so far; a charge takes the place of it when they are given back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from flyball.model.facts import AttemptPlanned
from flyball.model.resource import Offer
from flyball.model.snapshot import Host, Snapshot
from flyball.policy.charges import capabilities_of, share_of

if TYPE_CHECKING:
    from flyball.policy.known import Supply

NANO_USD_PER_HOUR = Decimal(1_000_000_000)


class Open(NamedTuple):
    """Run up by one attempt, or by a warm machine beyond what its attempts pay."""

    attempt_id: str
    job: str
    tags: Mapping[str, str]
    nano_usd: int


def open_costs(snapshot: Snapshot, supplies: Mapping[str, Supply], now_seconds: float) -> Iterator[Open]:
    """Of all that is held and billed, as its charge would be now (a warm machine's attempts may pay a little less)."""
    on_hosts: dict[str, int] = {}
    for run in snapshot.runs.values():
        live = run.live
        if live is not None and live.launched_at_seconds is not None:
            nano_usd = _so_far(live.planned, live.launched_at_seconds, now_seconds, supplies, on_hosts)
            yield Open(live.attempt_id, run.job, run.run.tags, nano_usd)
    for attempt_id, left in snapshot.unreleased.items():
        if left.launched_at_seconds is not None:
            until = now_seconds if left.gone_at_seconds is None else min(now_seconds, left.gone_at_seconds)
            nano_usd = _so_far(left.planned, left.launched_at_seconds, until, supplies, on_hosts)
            yield Open(attempt_id, left.job, left.tags, nano_usd)
    for host_id, host in snapshot.hosts.items():
        rest = _host_so_far(host, now_seconds, supplies) - host.charged_nano_usd - on_hosts.get(host_id, 0)
        yield Open(host_id, "", {}, max(0, rest))


def _so_far(
    planned: AttemptPlanned,
    launched: float,
    until: float,
    supplies: Mapping[str, Supply],
    on_hosts: dict[str, int],
) -> int:
    capabilities = capabilities_of(supplies, planned.provider)
    if not capabilities.bills_by_machine:
        return 0
    if planned.host_id is None:
        return _nano_usd(planned.offer, max(until - launched, capabilities.minimum_billed_seconds))
    nano_usd = round(_nano_usd(planned.offer, until - launched) * share_of(planned.size, planned.offer))
    on_hosts[planned.host_id] = on_hosts.get(planned.host_id, 0) + nano_usd
    return nano_usd


def _host_so_far(host: Host, now_seconds: float, supplies: Mapping[str, Supply]) -> int:
    capabilities = capabilities_of(supplies, host.planned.provider)
    launched = host.launched_at_seconds
    if launched is None or not capabilities.bills_by_machine:
        return 0
    until = now_seconds if host.missed_since_seconds is None else host.missed_since_seconds
    return _nano_usd(host.planned.offer, max(until - launched, capabilities.minimum_billed_seconds))


def _nano_usd(offer: Offer, seconds: float) -> int:
    return round(float(offer.price_usd_per_hour * NANO_USD_PER_HOUR) * max(0.0, seconds) / 3600.0)
