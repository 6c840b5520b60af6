"""Where facts are kept. The log is the truth; rows are its projection and can be rebuilt from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flyball.errors import Conflict
from flyball.model.facts import AnyFact
from flyball.model.history import AttemptRow, History, RunState, fold_history


class Store(Protocol):
    def append(self, facts: Sequence[AnyFact], *, after: int | None = None) -> int:
        """Record all of them or none, durable on return; gives the position of the last one.

        With `after`, refuses when the log has grown beyond that position. Raises: Conflict, StoreError.
        """
        ...

    def read(self, after: int = 0, *, limit: int | None = None) -> Sequence[AnyFact]:
        """Facts with position > after, oldest first; the first ever has position 1. Raises: StoreError."""
        ...

    def rows(self, job: str | None = None, *, newest: int | None = None) -> Sequence[AttemptRow]:
        """Attempts of one job or of all, oldest first; `newest` keeps that many of the latest.

        A name that the job had before it was renamed counts for the one it has now.
        """
        ...

    def run(self, run_id: str) -> RunState | None:
        """Everything recorded about one run; None when there is no such run."""
        ...

    def jobs(self) -> Sequence[str]:
        """Names of all jobs, the one that ran last first."""
        ...


class MemoryStore:
    """The whole promise of the port without a disk: for tests and simulations."""

    def __init__(self) -> None:
        self._facts: list[AnyFact] = []
        self._snapshot = History()

    def append(self, facts: Sequence[AnyFact], *, after: int | None = None) -> int:
        if after is not None and after != len(self._facts):
            raise Conflict(f"the log is at {len(self._facts)}, not at {after}")
        self._facts.extend(facts)
        self._snapshot = fold_history(self._snapshot, facts)
        return len(self._facts)

    def read(self, after: int = 0, *, limit: int | None = None) -> Sequence[AnyFact]:
        return tuple(self._facts[after : None if limit is None else after + limit])

    def rows(self, job: str | None = None, *, newest: int | None = None) -> Sequence[AttemptRow]:
        job = job if job is None else self._snapshot.names.get(job, job)
        found = [r for s in self._snapshot.runs.values() if job in {None, s.job} for r in s.rows()]
        found.sort(key=lambda r: (r.started_at_seconds, r.attempt_id, r.run_id))
        return tuple(found if newest is None else found[max(0, len(found) - newest) :])

    def run(self, run_id: str) -> RunState | None:
        return self._snapshot.runs.get(run_id)

    def jobs(self) -> Sequence[str]:
        last = {row.job: row.started_at_seconds for row in self.rows()}
        return tuple(sorted(last, key=lambda job: (-last[job], job)))
