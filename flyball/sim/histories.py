"""Runs of the past as a store holds them: in memory, found by job without looking at all the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from flyball.errors import Conflict
from flyball.model.facts import AnyFact, AttemptEnded, AttemptStarted, JobRenamed, RunSubmitted
from flyball.model.history import AttemptRow, RunState, fold_history
from flyball.model.history import History as Folded
from flyball.model.job import RunSpec
from flyball.model.machine import Launch
from flyball.model.receipt import Limits
from flyball.model.resource import Offer, Size
from flyball.sim.course import course_of, receipt_of
from flyball.sim.truth import Truth, Try


class HistoryStore:
    """A Store whose work does not grow with what it holds: each run is folded by itself, when it is asked for.

    In it, jobs are not renamed.
    """

    def __init__(self) -> None:
        self._facts: list[AnyFact] = []
        self._of_run: dict[str, list[AnyFact]] = {}
        self._runs_of: dict[str, list[str]] = defaultdict(list)
        self._states: dict[str, RunState] = {}  # folded, and not told anything since
        self._rows: dict[str, tuple[AttemptRow, ...]] = {}

    def append(self, facts: Sequence[AnyFact], *, after: int | None = None) -> int:
        if after is not None and after != len(self._facts):
            raise Conflict(f"the log is at {len(self._facts)}, not at {after}")
        self._facts.extend(facts)
        for fact in facts:
            assert not isinstance(fact, JobRenamed)
            run_id = fact.run.run_id if isinstance(fact, RunSubmitted) else getattr(fact, "run_id", None)
            if isinstance(fact, RunSubmitted) and run_id not in self._of_run:
                self._of_run[fact.run.run_id] = []
                self._runs_of[fact.run.job].append(fact.run.run_id)
            if run_id in self._of_run:
                self._of_run[run_id].append(fact)
                self._states.pop(run_id, None)
                if isinstance(fact, AttemptStarted | AttemptEnded):
                    self._rows.pop(run_id, None)
        return len(self._facts)

    def read(self, after: int = 0, *, limit: int | None = None) -> Sequence[AnyFact]:
        return tuple(self._facts[after : None if limit is None else after + limit])

    def run(self, run_id: str) -> RunState | None:
        if run_id not in self._of_run:
            return None
        state = self._states.get(run_id)
        if state is None:
            state = self._states[run_id] = fold_history(Folded(), self._of_run[run_id]).runs[run_id]
        return state

    def rows(self, job: str | None = None, *, newest: int | None = None) -> Sequence[AttemptRow]:
        run_ids = self._of_run if job is None else self._runs_of.get(job, ())
        found = [row for run_id in run_ids for row in self._rows_of(run_id)]
        found.sort(key=lambda row: (row.started_at_seconds, row.attempt_id, row.run_id))
        return tuple(found if newest is None else found[max(0, len(found) - newest) :])

    def jobs(self) -> Sequence[str]:
        last = {row.job: row.started_at_seconds for row in self.rows()}
        return tuple(sorted(last, key=lambda job: (-last[job], job)))

    def _rows_of(self, run_id: str) -> tuple[AttemptRow, ...]:
        rows = self._rows.get(run_id)
        if rows is None:
            state = self.run(run_id)
            rows = self._rows[run_id] = state.rows() if state else ()
        return rows


def past_run(
    run: RunSpec, truth: Truth, *, offer: Offer, size: Size, started_at_seconds: float
) -> tuple[AnyFact, ...]:
    """The facts of a run that nobody governed: one attempt on that machine within that size."""
    limits = Limits(memory_bytes=size.memory_bytes)
    attempt_id = f"{run.run_id}.1"
    order = Launch(
        run_id=run.run_id, attempt_id=attempt_id, job=run.job, offer=offer, size=size, limits=limits
    )
    course = course_of(
        order, truth, truth.nth(0) if truth.tries else Try(), ready_at_seconds=started_at_seconds
    )
    receipt = receipt_of(course, order, course.outcome, course.cause, course.ended_at_seconds)
    named = {"run_id": run.run_id, "attempt_id": attempt_id}
    return (
        RunSubmitted(at_seconds=started_at_seconds, run=run),
        AttemptStarted(at_seconds=started_at_seconds, **named, limits=limits, reason="as it was asked for"),
        AttemptEnded(at_seconds=course.ended_at_seconds, **named, receipt=receipt),
    )
