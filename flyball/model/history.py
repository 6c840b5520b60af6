"""Facts folded up by run, for whoever looks back: the whole of one run, and a row per attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from flyball.model.attempt_rows import Attempt, AttemptRow, row_of, row_of_host, row_of_zombie
from flyball.model.facts import (
    AnyFact,
    AttemptEnded,
    AttemptLaunched,
    AttemptPlanned,
    AttemptStarted,
    HostEnding,
    HostLaunched,
    HostPlanned,
    JobRenamed,
    LaunchRefused,
    MachineReleased,
    RunEnded,
    RunHeld,
    RunPlanned,
    RunSubmitted,
    ZombieFound,
)
from flyball.model.job import Features, RunSpec
from flyball.model.plan import Plan

__all__ = [
    "ROW_FACTS", "SHARED_MACHINES", "UNOWNED_MACHINES", "Attempt", "AttemptRow", "Chronicle", "History", "RunState",
    "fold_history", "run_id_of",
]  # fmt: skip

# Machines that no run had to itself are listed as runs of these jobs, so that nothing of what is paid is missing.
SHARED_MACHINES = "shared machines"
UNOWNED_MACHINES = "machines of nobody"
# Only these change a run's rows: what begins a run gives it none yet.
ROW_FACTS = (
    AttemptPlanned, AttemptLaunched, LaunchRefused, AttemptStarted, AttemptEnded, MachineReleased, HostLaunched,
)  # fmt: skip


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    run: RunSpec
    job: str  # after renames
    submitted: RunSubmitted
    started: tuple[AttemptStarted, ...] = ()
    ended: tuple[AttemptEnded, ...] = ()
    plan: Plan | None = None
    story: tuple[AnyFact, ...] = ()  # what the governor recorded about it, in order

    def rows(self) -> tuple[AttemptRow, ...]:
        """One row per attempt that had a machine."""
        if self.run.origin == SHARED_MACHINES:
            rows = [row_of_host(self.run, self.job, self.story)]
        elif self.run.origin == UNOWNED_MACHINES:
            rows = [row_of_zombie(self.run, self.job, self.story)]
        else:
            rows = [row_of(self.run, self.job, attempt) for attempt in self.attempts]
        return tuple(row for row in rows if row is not None)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """In the order they were first heard of, those that were refused or never started too."""
        seen: dict[str, dict[str, AnyFact]] = {}
        for fact in (*self.story, *self.started, *self.ended):
            kind = _PART_OF_ATTEMPT.get(type(fact))
            if kind is not None:
                seen.setdefault(fact.attempt_id, {}).setdefault(kind, fact)  # type: ignore[union-attr]
        return tuple(Attempt(attempt_id=attempt_id, **parts) for attempt_id, parts in seen.items())  # type: ignore[arg-type]

    @property
    def result(self) -> RunEnded | None:
        """How the governor ended it; None: it has not, or never had it."""
        return next((fact for fact in self.story if isinstance(fact, RunEnded)), None)

    @property
    def held(self) -> RunHeld | None:
        """Why it waits; None: it does not."""
        for fact in reversed(self.story):
            if isinstance(fact, RunHeld):
                return fact
            if isinstance(fact, AttemptPlanned | RunEnded):
                return None
        return None


_PART_OF_ATTEMPT = {
    AttemptPlanned: "planned",
    AttemptLaunched: "launched",
    LaunchRefused: "refused",
    AttemptStarted: "started",
    AttemptEnded: "ended",
    MachineReleased: "released",
}


class History(msgspec.Struct, frozen=True, kw_only=True):
    runs: Mapping[str, RunState] = MappingProxyType({})
    names: Mapping[str, str] = MappingProxyType({})  # renamed job -> its name now


def fold_history(snapshot: History, facts: Iterable[AnyFact]) -> History:
    """Apply facts in the order recorded. Late or repeated facts change nothing."""
    chronicle = Chronicle(snapshot)
    for fact in facts:
        chronicle.apply(fact)
    return History(runs=MappingProxyType(chronicle.runs), names=MappingProxyType(chronicle.names))


def run_id_of(fact: AnyFact) -> str | None:
    """The run that a fact is about; machines that no run has to itself count as runs of their own."""
    match fact:
        case RunSubmitted(run=run):
            return run.run_id
        case HostPlanned(host_id=host_id) | HostLaunched(host_id=host_id) | HostEnding(host_id=host_id):
            return host_id
        case ZombieFound(attempt_id=attempt_id) | MachineReleased(run_id="", attempt_id=attempt_id):
            return attempt_id
        case _:
            return getattr(fact, "run_id", None) or None


def first_of_run(fact: AnyFact) -> RunSubmitted | None:
    """What begins a run; None: it begins none."""
    match fact:
        case RunSubmitted():
            return fact
        case HostPlanned(host_id=host_id, reason=reason):
            return _machine(fact, host_id, SHARED_MACHINES, reason)
        case ZombieFound(attempt_id=attempt_id, reason=reason):
            return _machine(fact, attempt_id, UNOWNED_MACHINES, reason)
        case _:
            return None


def _machine(fact: AnyFact, run_id: str, job: str, reason: str) -> RunSubmitted:
    features = Features(started_at_seconds=fact.at_seconds)
    run = RunSpec(run_id=run_id, job=job, job_reason=reason, command=(), features=features, origin=job)
    return RunSubmitted(at_seconds=fact.at_seconds, run=run, cause=reason)


class Chronicle:
    """A history that is being added to, without copying what is there."""

    def __init__(self, history: History | None = None) -> None:
        self.runs: dict[str, RunState] = dict(history.runs) if history else {}
        self.names: dict[str, str] = dict(history.names) if history else {}
        self._told: dict[str, set[tuple[type, float]]] = {}  # kinds and times of each run's story

    def apply(self, fact: AnyFact) -> tuple[str, ...]:
        """Ids of the runs that it changed."""
        if isinstance(fact, JobRenamed):
            return self._rename(fact)
        run_id = run_id_of(fact)
        if run_id is None:
            return ()
        state = self.runs.get(run_id)
        if state is None:
            submitted = first_of_run(fact)
            if submitted is None:
                return ()
            job = submitted.run.job
            state = RunState(run=submitted.run, job=self.names.get(job, job), submitted=submitted)
            self.runs[run_id] = state
        elif isinstance(fact, RunSubmitted):
            return ()
        self.runs[run_id] = self._advanced(state, run_id, fact)
        return (run_id,)

    def _advanced(self, state: RunState, run_id: str, fact: AnyFact) -> RunState:
        replace = msgspec.structs.replace
        match fact:
            case RunSubmitted():
                return state
            case AttemptStarted(attempt_id=attempt_id):
                known = any(s.attempt_id == attempt_id for s in state.started)
                return state if known else replace(state, started=(*state.started, fact))
            case AttemptEnded(attempt_id=attempt_id):
                known = any(e.attempt_id == attempt_id for e in state.ended)
                return state if known else replace(state, ended=(*state.ended, fact))
            case RunPlanned(plan=plan):
                return state if state.plan else replace(state, plan=plan)
            case _:
                return (
                    state
                    if self._is_told(state, run_id, fact)
                    else replace(state, story=(*state.story, fact))
                )

    def _is_told(self, state: RunState, run_id: str, fact: AnyFact) -> bool:
        """Compared only with facts of its kind and time: a run may report its progress thousands of times."""
        told = self._told.get(run_id)
        if told is None:
            told = self._told[run_id] = {(type(known), known.at_seconds) for known in state.story}
        key = (type(fact), fact.at_seconds)
        if key in told:
            return fact in state.story
        told.add(key)
        return False

    def _rename(self, fact: JobRenamed) -> tuple[str, ...]:
        moved = tuple(
            run_id
            for run_id, state in self.runs.items()
            if state.job == fact.old and fact.only_run_id in {None, run_id}
        )
        for run_id in moved:
            self.runs[run_id] = msgspec.structs.replace(self.runs[run_id], job=fact.new)
        if fact.only_run_id is None:
            self.names.update({name: fact.new for name, now in self.names.items() if now == fact.old})
            self.names[fact.old] = fact.new
            self.names.pop(fact.new, None)  # renamed back
        return moved
