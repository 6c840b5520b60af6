"""Which offer the next attempt gets: the cheapest finished run that may be had now, and what happens when none can."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import msgspec

from flyball.model.facts import AnyFact, AttemptPlanned
from flyball.model.snapshot import LiveRun, Snapshot
from flyball.policy.failover_choice import Picked, choose
from flyball.policy.failover_errand import Errand, Stall
from flyball.policy.holds import Room
from flyball.policy.next_step import Launchable, Waiting
from flyball.policy.packing import onto_host
from flyball.policy.placement import usable_memory_bytes

if TYPE_CHECKING:
    from flyball.policy.known import Known


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    facts: tuple[AnyFact, ...]  # AttemptPlanned, and HostPlanned before it where a new warm machine is bought


_STALLS: WeakKeyDictionary[Room, Stall] = WeakKeyDictionary()  # what was found out within this tick


def place(
    run: LiveRun, step: Launchable, *, room: Room, snapshot: Snapshot, known: Known, now_seconds: float
) -> Placed | Waiting:
    """An attempt on the best offer, or why the run waits. The same kind of run is answered once a tick."""
    stall = _STALLS.get(room)
    if stall is None:
        stall = _STALLS[room] = Stall(snapshot, known, now_seconds)
    kind = stall.kind(run, step)
    if kind in stall.turned_away:
        return stall.turned_away[kind]
    if kept := stall.waits_as_before(kind):
        return kept
    errand = stall.errand(run, step)
    picked = choose(errand, stall, room)
    hosted = onto_host(errand, stall, room, picked if isinstance(picked, Picked) else None)
    if hosted is not None:
        return Placed(facts=hosted)
    if isinstance(picked, Waiting):
        if kind is not None:
            stall.turned_away[kind] = picked
            if picked.kind == "spot":
                stall.keep_waiting(kind, picked, errand.plan)
        return picked
    return Placed(facts=(_planned(errand, picked, known, now_seconds),))


def _planned(errand: Errand, picked: Picked, known: Known, now_seconds: float) -> AttemptPlanned:
    offer, sized = picked.candidate.choice.offer, errand.sized[picked.candidate.provider]
    shared = known.supplies[picked.candidate.provider].capabilities.shared_machine is not None
    return AttemptPlanned(
        at_seconds=now_seconds,
        run_id=errand.run.run_id,
        attempt_id=errand.step.attempt_id,
        provider=picked.candidate.provider,
        offer=offer,
        size=sized.size,
        limits=errand.limits(
            picked.candidate.provider,
            machine_bytes=None if shared else usable_memory_bytes(offer.memory_bytes),
        ),
        reason=f"{errand.step.reason}; {picked.reason}; {sized.reason}",
        refused=picked.refused,
    )
