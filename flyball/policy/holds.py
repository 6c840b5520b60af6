"""Slots, quotas and budgets: whether a run may have a machine now. All of it is read off what is live: nothing leaks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from flyball.model.ceilings import Quota, Slots
from flyball.model.facts import AnyFact, AttemptPlanned, HostPlanned
from flyball.model.machine import Capabilities
from flyball.model.resource import Offer, Size
from flyball.model.snapshot import LiveRun, Snapshot
from flyball.model.spec import Overlap
from flyball.model.units import show_bytes, show_cores, show_usd
from flyball.model.when import hour_key
from flyball.policy.charges import capabilities_of
from flyball.policy.holds_money import NANO_PER_USD, Spending
from flyball.policy.holds_tally import Tally, concerns
from flyball.policy.schedule import Turns

if TYPE_CHECKING:
    from flyball.policy.known import Known

ROUNDING_CORES = 1e-6  # sums of fractions of cores are not exact
# Kinds of holds that another provider can end; the others are the job's own wishes.
FORCEABLE = frozenset({"slots", "quota", "budget", "room", "ceiling", "capacity", "spot"})
_ONE_AT_A_TIME = frozenset({Overlap.QUEUE, Overlap.REPLACE})


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    kind: str  # "queue", "backfill", "slots", "quota", "budget", "room", "ceiling"
    reason: str


class Room:
    """What is taken and what is left, kept up to date as runs are placed within one tick.

    A slot is held from the plan of an attempt until its machine is given back, and machines count likewise.
    """

    def __init__(self, snapshot: Snapshot, known: Known, now_seconds: float) -> None:
        self._snapshot, self._known, self._now_seconds = snapshot, known, now_seconds
        self._ceilings = known.ceilings

    @cached_property
    def _tally(self) -> Tally:
        return Tally(self._snapshot, self._known)

    @cached_property
    def _spending(self) -> Spending:
        return Spending(self._snapshot, self._known, self._now_seconds)

    @cached_property
    def _turns(self) -> Turns:
        return Turns(self._snapshot)

    @cached_property
    def _launches_before(self) -> int:
        """In this hour, before this tick."""
        return self._snapshot.launches.get(hour_key(self._now_seconds), 0)

    def is_full(self, providers: Sequence[str]) -> bool:
        """Whether nothing at all has room on any of them: then runs that wait for room need not be looked at."""
        return all(
            (refusal := self._full_refusal(name)) is not None and refusal.kind == "room"
            for name in providers
            if name in self._known.supplies
        )

    def refusal(self, run: LiveRun) -> Refusal | None:
        """Why the run may not have any machine now; None: it may."""
        return (
            self._turn_refusal(run)
            or self._slots_refusal(run, None)
            or self._launches_refusal()
            or self._everywhere_refusal(run)
        )

    def provider_refusal(self, run: LiveRun, provider: str) -> Refusal | None:
        """Why it may not have anything new of that provider now, whichever offer; None: it may."""
        return (
            self._slots_refusal(run, provider)
            or self._money_refusal(run, provider)
            or self._full_refusal(provider)
        )

    def offer_refusal(self, run: LiveRun, provider: str, offer: Offer, size: Size) -> Refusal | None:
        """Why it may not have that offer now (quotas, room on a shared machine, budgets); None: it may."""
        capabilities = capabilities_of(self._known.supplies, provider)
        return (
            self.provider_refusal(run, provider)
            or self._room_refusal(provider, capabilities, size)
            or self._quota_refusal(provider, capabilities, offer)
            or self._per_hour_refusal(capabilities, offer)
        )

    def host_refusal(self, run: LiveRun, provider: str) -> Refusal | None:
        """Why it may not go on a warm machine that is there already; None: it may. No quota: nothing new is bought."""
        return self._slots_refusal(run, provider) or self._money_refusal(run, provider)

    def take(self, run: LiveRun, facts: Sequence[AnyFact]) -> None:
        """The run was placed by these facts."""
        for fact in facts:
            if isinstance(fact, AttemptPlanned):
                self._tally.place(run.job, run.run.tags, run.submitted.backfill, fact)
            elif isinstance(fact, HostPlanned):
                self._tally.place_host(fact)

    def _turn_refusal(self, run: LiveRun) -> Refusal | None:
        if run.spec.overlap in _ONE_AT_A_TIME:
            before = self._turns.waits_for(run)
            if before is not None:
                return Refusal(kind="queue", reason=before)
        at_once, backfill = run.submitted.backfill_at_once, run.submitted.backfill
        under_way = 0 if backfill is None else self._tally.attempts_of_backfill[backfill]
        if at_once is not None and under_way >= max(1, at_once):
            return Refusal(kind="backfill", reason=f"{at_once} of its backfill run at once")
        mine = run.spec.holding.runs_at_once
        if mine is not None and self._tally.attempts_of_job[run.job] >= mine:
            return Refusal(kind="slots", reason=f"{mine} of {run.job} run at once")
        return None

    def _slots_refusal(self, run: LiveRun, provider: str | None) -> Refusal | None:
        """Rules about that provider; None: those about no provider in particular."""
        if not self._ceilings.slots:
            return None
        for slots, taken in zip(self._ceilings.slots, self._tally.in_slot, strict=True):
            if (
                slots.provider == provider
                and taken >= slots.runs_max
                and concerns(slots, run.job, run.run.tags)
            ):
                return Refusal(kind="slots", reason=f"all {slots.runs_max} slots{_for_whom(slots)} are taken")
        return None

    def _launches_refusal(self) -> Refusal | None:
        most = self._ceilings.launches_per_hour_max
        if self._launches_before + self._tally.launches >= most:
            return Refusal(kind="ceiling", reason=f"{most:,} launches an hour are the most there may be")
        return None

    def _everywhere_refusal(self, run: LiveRun) -> Refusal | None:
        """When every provider it may go to refuses it, whichever the offer: nothing needs to be ranked."""
        forced = forced_provider(run, self._now_seconds)
        first = None
        for provider in run.spec.providers if forced is None else (forced,):
            refusal = self.provider_refusal(run, provider)
            if refusal is None:
                return None
            first = first or refusal
        return first

    def _money_refusal(self, run: LiveRun, provider: str) -> Refusal | None:
        if not capabilities_of(self._known.supplies, provider).bills_by_machine:
            return None
        budget_usd = run.spec.goal.usd_per_run
        if budget_usd is not None and run.spent_nano_usd >= budget_usd * NANO_PER_USD:
            return Refusal(kind="budget", reason=f"its budget of {show_usd(budget_usd)} a run is used up")
        words = self._spending.used_up(run.job, run.run.tags)
        return None if words is None else Refusal(kind="budget", reason=words)

    def _full_refusal(self, provider: str) -> Refusal | None:
        """When not even the smallest attempt goes there: nothing needs to be sized or ranked."""
        capabilities = capabilities_of(self._known.supplies, provider)
        held, whole = self._tally.provider(provider), capabilities.shared_machine
        most = capabilities.machines_max
        if most is not None and held.machines >= most and not capabilities.hosts:
            return Refusal(kind="quota", reason=f"the quota of {most} machines of {provider} is taken")
        if whole is not None and (
            held.memory_bytes >= whole.memory_bytes or held.cpu_cores >= whole.cpu_cores - ROUNDING_CORES
        ):
            return Refusal(kind="room", reason=f"no room on {provider} beside what runs there")
        return None

    def _room_refusal(self, provider: str, capabilities: Capabilities, size: Size) -> Refusal | None:
        """On a machine that all attempts share, memory and cores are each given away once."""
        whole = capabilities.shared_machine
        if whole is None:
            return None
        if not whole.holds(size):
            has = f"{show_cores(whole.cpu_cores)} cores and {show_bytes(whole.memory_bytes)}"
            return Refusal(kind="room", reason=f"more than {provider} has: {has}")
        held = self._tally.provider(provider)
        fits = (
            held.memory_bytes + size.memory_bytes <= whole.memory_bytes
            and held.cpu_cores + size.cpu_cores <= whole.cpu_cores + ROUNDING_CORES
            and held.gpus + size.gpus <= whole.gpus
        )
        return None if fits else Refusal(kind="room", reason=f"no room on {provider} beside what runs there")

    def _quota_refusal(self, provider: str, capabilities: Capabilities, offer: Offer) -> Refusal | None:
        own = Quota(
            provider=provider, vcpus_max=capabilities.vcpus_max, machines_max=capabilities.machines_max
        )
        market = offer.market.value
        for quota in (own, *self._ceilings.quotas):
            if quota.provider != provider or quota.market not in {None, market}:
                continue
            held = self._tally.provider(provider)
            if quota.market is not None:
                held = self._tally.market(provider, market)
            of = f"{provider}{'' if quota.market is None else ' ' + quota.market.replace('_', ' ')}"
            if quota.vcpus_max is not None and held.vcpus + offer.vcpus > quota.vcpus_max:
                return Refusal(
                    kind="quota", reason=f"the quota of {quota.vcpus_max:g} vCPUs of {of} is taken"
                )
            if quota.machines_max is not None and held.machines >= quota.machines_max:
                return Refusal(
                    kind="quota", reason=f"the quota of {quota.machines_max} machines of {of} is taken"
                )
        return None

    def _per_hour_refusal(self, capabilities: Capabilities, offer: Offer) -> Refusal | None:
        most = self._ceilings.usd_per_hour_max
        if most is None or not capabilities.bills_by_machine:
            return None
        if self._tally.usd_per_hour + float(offer.price_usd_per_hour) > most:
            return Refusal(kind="ceiling", reason=f"all machines together may cost {show_usd(most)} an hour")
        return None


def forced_provider(run: LiveRun, now_seconds: float) -> str | None:
    """Where a run goes that has waited for too long, by its job's own rule; None: that rule does not hold (yet).

    It has waited since it was submitted, or since its last attempt on a machine ended.
    """
    holding = run.spec.holding
    if holding.force_to is None or holding.force_after_seconds is None:
        return None
    if run.live is not None or run.held is None or run.held.kind not in FORCEABLE:
        return None
    ends = [tried.ended_at_seconds for tried in run.tried if tried.launched_at_seconds is not None]
    since = max(ends, default=run.submitted.at_seconds)
    return holding.force_to if now_seconds - since >= holding.force_after_seconds else None


def _for_whom(slots: Slots) -> str:
    parts = [f" of {slots.job}"] if slots.job is not None else []
    parts += [f" of {slots.tag}"] if slots.tag is not None else []
    parts += [f" on {slots.provider}"] if slots.provider is not None else []
    return "".join(parts)
