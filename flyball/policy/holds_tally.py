"""What is held now: attempts and machines by job, tag, provider and market, counted from what is live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from flyball.model.ceilings import Slots
from flyball.model.facts import AttemptPlanned, HostPlanned
from flyball.model.resource import Offer
from flyball.model.snapshot import Snapshot

if TYPE_CHECKING:
    from flyball.policy.known import Known


class Held:
    """Of one provider, or of one market of it."""

    __slots__ = ("attempts", "cpu_cores", "gpus", "machines", "memory_bytes", "vcpus")

    def __init__(self) -> None:
        self.machines = self.attempts = self.vcpus = self.memory_bytes = self.gpus = 0
        self.cpu_cores = 0.0

    def add_attempt(self, planned: AttemptPlanned) -> None:
        size = planned.size
        self.attempts += 1
        self.cpu_cores += size.cpu_cores
        self.memory_bytes += size.memory_bytes
        self.gpus += size.gpus

    def add_machine(self, offer: Offer) -> None:
        self.machines += 1
        self.vcpus += offer.vcpus


class Tally:
    """Counted once a tick, and kept up to date as runs are placed in it."""

    def __init__(self, snapshot: Snapshot, known: Known) -> None:
        self._slots = known.ceilings.slots
        self._supplies = known.supplies
        self.attempts_of_job: Counter[str] = Counter()
        self.attempts_of_backfill: Counter[str] = Counter()
        self.of_provider: dict[str, Held] = {}
        self.of_market: dict[tuple[str, str], Held] = {}
        self.in_slot = [0] * len(self._slots)  # by place in the ceilings
        self.usd_per_hour = 0.0
        self.launches = 0  # of this tick
        for job, tags, planned in held_attempts(snapshot):
            self._add(job, tags, planned)
        for run in snapshot.runs.values():
            if run.live is not None and run.submitted.backfill is not None:
                self.attempts_of_backfill[run.submitted.backfill] += 1
        for host in snapshot.hosts.values():
            self._add_machine(host.planned.provider, host.planned.offer)

    def place(self, job: str, tags: Mapping[str, str], backfill: str | None, planned: AttemptPlanned) -> None:
        self._add(job, tags, planned)
        self.launches += 1
        if backfill is not None:
            self.attempts_of_backfill[backfill] += 1

    def place_host(self, planned: HostPlanned) -> None:
        self._add_machine(planned.provider, planned.offer)

    def provider(self, name: str) -> Held:
        return self.of_provider.get(name) or NOTHING

    def market(self, name: str, market: str) -> Held:
        return self.of_market.get((name, market)) or NOTHING

    def _add(self, job: str, tags: Mapping[str, str], planned: AttemptPlanned) -> None:
        self.attempts_of_job[job] += 1
        for place, slots in enumerate(self._slots):
            if slots.provider in {None, planned.provider} and concerns(slots, job, tags):
                self.in_slot[place] += 1
        held = self.of_provider.get(planned.provider)
        if held is None:
            held = self.of_provider[planned.provider] = Held()
        held.add_attempt(planned)
        if planned.host_id is None:
            self._add_machine(planned.provider, planned.offer)

    def _add_machine(self, provider: str, offer: Offer) -> None:
        self.of_provider.setdefault(provider, Held()).add_machine(offer)
        self.of_market.setdefault((provider, offer.market.value), Held()).add_machine(offer)
        supply = self._supplies.get(provider)
        if supply is None or supply.capabilities.bills_by_machine:
            self.usd_per_hour += float(offer.price_usd_per_hour)


NOTHING = Held()


def held_attempts(snapshot: Snapshot) -> Iterator[tuple[str, Mapping[str, str], AttemptPlanned]]:
    """Job, tags and plan of every attempt that is live or whose machine is not given back yet."""
    for run in snapshot.runs.values():
        if run.live is not None:
            yield run.job, run.run.tags, run.live.planned
    for left in snapshot.unreleased.values():
        yield left.job, left.tags, left.planned


def concerns(rule: Slots, job: str, tags: Mapping[str, str]) -> bool:
    """Whether a rule for a job or a tag is about that one; a rule for neither is about all."""
    return (rule.job is None or rule.job == job) and (rule.tag is None or has_tag(tags, rule.tag))


def has_tag(tags: Mapping[str, str], text: str) -> bool:
    """Of "team=data"."""
    key, _, value = text.partition("=")
    return tags.get(key) == value
