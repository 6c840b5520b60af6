"""Where facts are kept. The log is the truth; rows are its projection and can be rebuilt from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flyball.errors import Conflict
from flyball.model.facts import AnyFact, JobRenamed
from flyball.model.history import ROW_FACTS, AttemptRow, Chronicle, RunState


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
        self._chronicle = Chronicle()
        self._rows: dict[str, tuple[AttemptRow, ...]] = {}  # by run
        self._runs_of: dict[str, dict[str, None]] = {}  # ids by job, in the order they came

    def append(self, facts: Sequence[AnyFact], *, after: int | None = None) -> int:
        if after is not None and after != len(self._facts):
            raise Conflict(f"the log is at {len(self._facts)}, not at {after}")
        self._facts.extend(facts)
        touched: dict[str, None] = {}
        for fact in facts:
            changed = self._chronicle.apply(fact)
            if isinstance(fact, (JobRenamed, *ROW_FACTS)):
                touched.update(dict.fromkeys(changed))
        for run_id in touched:
            self._project(run_id)
        return len(self._facts)

    def _project(self, run_id: str) -> None:
        state = self._chronicle.runs[run_id]
        before = self._rows.get(run_id)
        if before and before[0].job != state.job:
            self._runs_of[before[0].job].pop(run_id)
        rows = self._rows[run_id] = state.rows()
        if rows:
            self._runs_of.setdefault(state.job, {})[run_id] = None

    def read(self, after: int = 0, *, limit: int | None = None) -> Sequence[AnyFact]:
        return tuple(self._facts[after : None if limit is None else after + limit])

    def rows(self, job: str | None = None, *, newest: int | None = None) -> Sequence[AttemptRow]:
        if job is None:
            found = [row for rows in self._rows.values() for row in rows]
        else:
            job = self._chronicle.names.get(job, job)
            found = [row for run_id in self._runs_of.get(job, ()) for row in self._rows[run_id]]
        found.sort(key=lambda r: (r.started_at_seconds, r.attempt_id, r.run_id))
        return tuple(found if newest is None else found[max(0, len(found) - newest) :])

    def run(self, run_id: str) -> RunState | None:
        return self._chronicle.runs.get(run_id)

    def jobs(self) -> Sequence[str]:
        last = {row.job: row.started_at_seconds for row in self.rows()}
        return tuple(sorted(last, key=lambda job: (-last[job], job)))
