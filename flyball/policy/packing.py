"""Warm machines for small jobs: when starting a machine costs more than the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from flyball.model.facts import AnyFact, AttemptPlanned, HostEnding, HostPlanned
from flyball.model.receipt import Limits
from flyball.model.resource import Market, Offer, Size
from flyball.model.snapshot import Host, LiveAttempt, LiveRun, Snapshot
from flyball.model.units import show_seconds, show_usd
from flyball.policy.packing_demand import Demand, Small, small_of
from flyball.policy.packing_offers import GUESTS_MAX, Warm, best_host
from flyball.policy.placement import usable_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flyball.policy.failover_choice import Picked
    from flyball.policy.failover_errand import Errand, Stall
    from flyball.policy.holds import Room
    from flyball.policy.known import Known

GAIN = 0.7  # of the cost of machines of their own: guests to come are a guess, and the last one out is late


class Load(msgspec.Struct):
    """What is reserved on one warm machine."""

    cpu_cores: float = 0.0
    memory_bytes: int = 0
    guests: int = 0
    ends_at_seconds: float = 0.0  # as expected, when the last of its guests ends


class Hosts:
    """Warm machines and what is on them, kept up to date as runs are placed within one tick."""

    def __init__(self, stall: Stall) -> None:
        self._stall = stall
        self.demand = Demand(stall)
        self.not_worth: dict[
            tuple[str, Small, Market | None], float
        ] = {}  # at that price of one's own machine
        snapshot = stall.snapshot
        over = {ending.host_id for ending in hosts_to_end(snapshot, stall.known, stall.now_seconds)}
        self.planned: dict[str, HostPlanned] = {
            host_id: host.planned
            for host_id, host in snapshot.hosts.items()
            if host.ending is None and host_id not in over
        }
        self.loads = {host_id: Load() for host_id in self.planned}
        for run in snapshot.runs.values():
            if run.live is not None and run.live.planned.host_id in self.loads:
                self.put(run.live.planned, _ends_at(run, run.live, stall))

    def put(self, planned: AttemptPlanned, ends_at_seconds: float) -> None:
        load = self.loads.setdefault(planned.host_id or "", Load())
        load.cpu_cores += planned.size.cpu_cores
        load.memory_bytes += planned.size.memory_bytes
        load.guests += 1
        load.ends_at_seconds = max(load.ends_at_seconds, ends_at_seconds)

    def with_room(self, small: Small, errand: Errand, usd_max: float) -> tuple[HostPlanned, float] | None:
        """The fullest that still has room, where the run's part costs no more; and that part in dollars."""
        found = []
        for host_id, planned in self.planned.items():
            offer, load = planned.offer, self.loads[host_id]
            share = _share_after(offer, load, small)
            if share > 1.0 or load.guests >= GUESTS_MAX or not small.may_be_on(planned.provider, offer):
                continue
            if _market(errand, self._stall, planned.provider, small) not in {None, offer.market}:
                continue
            # Whoever stays longest keeps the whole machine from being given back.
            longer = max(0.0, self._stall.now_seconds + small.seconds - load.ends_at_seconds)
            seconds = max(longer, small.share_of(offer) * small.seconds)
            usd = float(offer.price_usd_per_hour) * seconds / 3600
            if usd <= usd_max:
                found.append((share, host_id, usd))
        if not found:
            return None
        _, host_id, usd = max(found)
        return self.planned[host_id], usd


def onto_host(errand: Errand, stall: Stall, room: Room, picked: Picked | None) -> tuple[AnyFact, ...] | None:
    """Facts that put the run on a warm machine; None: it is not small, or better off on a machine of its own.

    `picked` is what it would get otherwise; None: nothing.
    """
    if stall.known.only is not None or not stall.has_hosts or (picked and picked.candidate.usd <= 0):
        return None
    small = small_of(errand, stall)
    if small is None:
        return None
    hosts: Hosts | None = stall.memo.get("hosts")
    if hosts is None:
        hosts = stall.memo["hosts"] = Hosts(stall)
    hosts.demand.met(errand.run.run_id)
    own_usd = picked.candidate.usd if picked else float("inf")
    found = hosts.with_room(small, errand, own_usd)
    if found is not None and room.host_refusal(errand.run, found[0].provider) is None:
        planned = _guest(
            errand, small, found[0], usd=found[1], own_usd=own_usd, now_seconds=stall.now_seconds
        )
        hosts.put(planned, stall.now_seconds + small.seconds)
        return (planned,)
    return _on_new_host(errand, stall, room, small, hosts=hosts, own_usd=own_usd)


def _on_new_host(
    errand: Errand, stall: Stall, room: Room, small: Small, *, hosts: Hosts, own_usd: float
) -> tuple[AnyFact, ...] | None:
    for provider in small.providers:
        market = _market(errand, stall, provider, small)
        key = provider, small, market
        if own_usd <= hosts.not_worth.get(key, -1.0):
            continue  # fewer wait than when that was found out
        crowd = hosts.demand.crowd(provider, small)
        for warm in best_host(stall, provider, small, crowd, market):
            if warm.usd_per_run >= GAIN * own_usd:
                hosts.not_worth[key] = own_usd
                break
            offer = warm.offer
            whole = Size(cpu_cores=offer.vcpus, memory_bytes=offer.memory_bytes)
            if room.offer_refusal(errand.run, provider, offer, whole) is not None:
                continue
            host = _new_host(errand, provider, warm, own_usd, stall.now_seconds)
            planned = _guest(
                errand, small, host, usd=warm.usd_per_run, own_usd=own_usd, now_seconds=stall.now_seconds
            )
            hosts.planned[host.host_id] = host
            boot_seconds = stall.known.supplies[provider].capabilities.boot_seconds
            hosts.put(planned, stall.now_seconds + boot_seconds + small.seconds)
            return host, planned
    return None


def _new_host(errand: Errand, provider: str, warm: Warm, own_usd: float, now_seconds: float) -> HostPlanned:
    offer = warm.offer
    own = "" if own_usd == float("inf") else f", {show_usd(own_usd)} on machines of their own"
    return HostPlanned(
        at_seconds=now_seconds,
        host_id=f"{errand.step.attempt_id}.host",
        provider=provider,
        offer=offer,
        reason=(
            f"warm machine {offer.instance_type} in {offer.zone or offer.region} for {warm.guests} small runs:"
            f" {show_usd(warm.usd_per_run)} each{own}"
        ),
    )


def _guest(
    errand: Errand, small: Small, host: HostPlanned, *, usd: float, own_usd: float, now_seconds: float
) -> AttemptPlanned:
    patience = errand.limits(host.provider, machine_bytes=None)
    sized = errand.sized[host.provider]
    own = (
        "no machine of its own is to be had" if own_usd == float("inf") else f"{show_usd(own_usd)} on its own"
    )
    return AttemptPlanned(
        at_seconds=now_seconds,
        run_id=errand.run.run_id,
        attempt_id=errand.step.attempt_id,
        provider=host.provider,
        offer=host.offer,
        size=Size(cpu_cores=small.cpu_cores, memory_bytes=small.memory_bytes),
        limits=Limits(
            memory_bytes=small.memory_bytes,
            cpu_cores=small.cpu_cores_most,
            timeout_seconds=patience.timeout_seconds,
            stalled_after_seconds=patience.stalled_after_seconds,
            grace_seconds=patience.grace_seconds,
        ),
        reason=(
            f"{errand.step.reason}; {show_seconds(small.seconds)} of work on a warm machine that others use too:"
            f" about {show_usd(usd)}, {own}; {sized.reason}"
        ),
        host_id=host.host_id,
    )


def _ends_at(run: LiveRun, live: LiveAttempt, stall: Stall) -> float:
    """One that is over its time is given a quarter of it more."""
    wall = stall.known.plan(run.run).forecast.wall_seconds
    seconds = wall.p50 if wall is not None else 0.0
    started = stall.now_seconds if live.started_at_seconds is None else live.started_at_seconds
    return max(started + seconds, stall.now_seconds + seconds / 4)


def _share_after(offer: Offer, load: Load, small: Small) -> float:
    """Of the machine, reserved with this run on it; over 1: it does not fit. Memory is never promised twice."""
    memory_bytes = (load.memory_bytes + small.memory_bytes) / max(1, usable_memory_bytes(offer.memory_bytes))
    return max(memory_bytes, (load.cpu_cores + small.cpu_cores) / offer.vcpus - 1e-9)


def _market(errand: Errand, stall: Stall, provider: str, small: Small) -> Market | None:
    """The only market that will do: as asked, or on demand where its deadline leaves no time to do it all again."""
    market, deadline = errand.run.spec.spot.market, errand.deadline_seconds
    if market != "auto":
        return Market(market)
    if deadline is None:
        return None
    once = stall.changeover_seconds(errand, provider) + small.seconds_p90
    safe = deadline - stall.now_seconds >= 2 * once + stall.late_seconds(provider)
    return None if safe else Market.ON_DEMAND


def hosts_to_end(snapshot: Snapshot, known: Known, now_seconds: float) -> tuple[HostEnding, ...]:
    """Warm machines that are not worth keeping."""
    if not snapshot.hosts:
        return ()
    used = {run.live.planned.host_id for run in snapshot.runs.values() if run.live is not None}
    used |= {left.planned.host_id for left in snapshot.unreleased.values()}
    return tuple(_ends(snapshot, known, used, now_seconds))


def _ends(
    snapshot: Snapshot, known: Known, used: set[str | None], now_seconds: float
) -> Iterator[HostEnding]:
    for host_id, host in snapshot.hosts.items():
        if host.ending is None and host_id not in used and _idle_for_too_long(host, known, now_seconds):
            reason = "idle for as long as starting a new one would cost"
            yield HostEnding(at_seconds=now_seconds, host_id=host_id, reason=reason)


def _idle_for_too_long(host: Host, known: Known, now_seconds: float) -> bool:
    """Break-even: an idle machine is kept until its idling has cost what its next start would.

    Whatever comes or does not come, that costs at most twice what it would have cost to know beforehand. What is paid
    for anyhow (the least that is billed) is kept. One that nobody is on and nobody left is not wanted at all.
    """
    supply = known.supplies.get(host.planned.provider)
    if supply is None:
        return False  # a governor that has the provider decides
    capabilities = supply.capabilities
    launched = host.launched_at_seconds
    since = host.planned.at_seconds if launched is None else launched
    if host.idle_since_seconds is None:
        return now_seconds >= since + capabilities.minimum_billed_seconds
    idle_from = max(host.idle_since_seconds, since)
    keep_until = max(idle_from + capabilities.boot_seconds, since + capabilities.minimum_billed_seconds)
    return now_seconds >= keep_until
