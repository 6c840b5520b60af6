"""Which offer the next attempt gets: the cheapest that fits and was not just refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from flyball.model.facts import AnyFact, AttemptPlanned
from flyball.model.receipt import Limits
from flyball.model.resource import Size
from flyball.model.snapshot import LiveRun, Snapshot
from flyball.model.units import GIB
from flyball.policy.holds import Room
from flyball.policy.next_step import Launchable, Waiting

if TYPE_CHECKING:
    from flyball.policy.known import Known


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    facts: tuple[AnyFact, ...]  # AttemptPlanned, and HostPlanned before it where a new warm machine is bought


def place(
    run: LiveRun, step: Launchable, *, room: Room, snapshot: Snapshot, known: Known, now_seconds: float
) -> Placed | Waiting:
    """Thin version: first offer of the first provider that fits."""
    plan = known.plan(run.run)
    memory = step.memory_limit_bytes or run.spec.size.memory_bytes or plan.size.memory_bytes or GIB
    size = Size(cpu_cores=run.spec.size.cpu_cores or plan.size.cpu_cores, memory_bytes=memory)
    for name in run.spec.providers:
        supply = known.supplies[name]
        for offer in sorted(supply.offers, key=lambda o: o.price_usd_per_hour):
            if f"{name} {offer.offer_id}" in snapshot.refusals or offer.memory_bytes < memory:
                continue
            if room.offer_refusal(run, name, offer, size) is None:
                planned = AttemptPlanned(
                    at_seconds=now_seconds,
                    run_id=run.run_id,
                    attempt_id=step.attempt_id,
                    provider=name,
                    offer=offer,
                    size=size,
                    limits=Limits(memory_bytes=memory, grace_seconds=run.spec.patience.grace_seconds),
                    reason=step.reason,
                )
                return Placed(facts=(planned,))
    return Waiting(kind="capacity", reason="nothing on sale fits")
