"""Slots, quotas and budgets: whether a run may have a machine now. All of it is read off what is live: nothing leaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from flyball.model.facts import AnyFact, AttemptPlanned
from flyball.model.resource import Offer, Size
from flyball.model.snapshot import LiveRun, Snapshot

if TYPE_CHECKING:
    from flyball.policy.known import Known


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    kind: str  # "slots", "quota", "budget", "room", "ceiling"
    reason: str


class Room:
    """What is taken and what is left, kept up to date as runs are placed within one tick."""

    def __init__(self, snapshot: Snapshot, known: Known, now_seconds: float) -> None:
        self._snapshot, self._known, self._now_seconds = snapshot, known, now_seconds
        self._taken: list[AttemptPlanned] = [r.live.planned for r in snapshot.runs.values() if r.live]
        self._taken += [left.planned for left in snapshot.unreleased.values()]

    def refusal(self, run: LiveRun) -> Refusal | None:
        """Why the run may not have any machine now; None: it may."""
        if run.spec.holding.runs_at_once is not None:
            live = sum(r.live is not None for r in self._snapshot.runs.values() if r.job == run.job)
            if live >= run.spec.holding.runs_at_once:
                return Refusal(
                    kind="slots", reason=f"{run.spec.holding.runs_at_once} of {run.job} run at once"
                )
        return None

    def offer_refusal(self, run: LiveRun, provider: str, offer: Offer, size: Size) -> Refusal | None:
        """Why it may not have that offer now (quotas, room on a shared machine, budgets); None: it may."""
        shared = self._known.supplies[provider].capabilities.shared_machine
        if shared is not None:
            memory = sum(p.size.memory_bytes for p in self._taken if p.provider == provider)
            cores = sum(p.size.cpu_cores for p in self._taken if p.provider == provider)
            if memory + size.memory_bytes > shared.memory_bytes or cores + size.cpu_cores > shared.cpu_cores:
                return Refusal(kind="room", reason=f"no room on {provider} beside what runs there")
        return None

    def take(self, run: LiveRun, facts: Sequence[AnyFact]) -> None:
        """The run was placed by these facts."""
        self._taken += [fact for fact in facts if isinstance(fact, AttemptPlanned)]
