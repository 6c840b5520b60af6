"""Facts folded up: one flat row per attempt, which is what listings and forecasts read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from flyball.model.facts import AnyFact, AttemptEnded, AttemptStarted, JobRenamed, RunPlanned, RunSubmitted
from flyball.model.job import RunSpec
from flyball.model.outcome import Outcome
from flyball.model.plan import Plan


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):  # holds nothing that could hold it
    """One attempt, flat. Facts about the run (job, features, tags) are repeated in each of its attempts."""

    run_id: str
    attempt_id: str
    job: str
    origin: str
    started_at_seconds: float
    utc_offset_seconds: int = 0
    outcome: Outcome | None = None  # None: still running, or its wrapper has not been heard of
    exit_code: int | None = None
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    cpu_cores_p95: float | None = None
    cpu_cores_max: float | None = None
    cpu_cores_wanted: float | None = None
    cpu_cores_limit: float | None = None
    memory_bytes_max: int | None = None
    memory_limit_bytes: int | None = None
    gpus_used: int = 0
    input_bytes: int | None = None
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    code_version: str | None = None
    cpu_model: str | None = None
    instance_type: str | None = None
    host_cores: float | None = None
    host_memory_bytes: int | None = None
    tags: dict[str, str] = {}
    cost_usd: str | None = None


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    run: RunSpec
    job: str  # after renames
    submitted: RunSubmitted
    started: tuple[AttemptStarted, ...] = ()
    ended: tuple[AttemptEnded, ...] = ()
    plan: Plan | None = None
    story: tuple[AnyFact, ...] = ()  # what the governor recorded about it, in order

    def rows(self) -> tuple[AttemptRow, ...]:
        """One row per attempt, in the order they started."""
        ends = {end.attempt_id: end for end in self.ended}
        return tuple(_row(self, start, ends.get(start.attempt_id)) for start in self.started)


class History(msgspec.Struct, frozen=True, kw_only=True):
    runs: Mapping[str, RunState] = MappingProxyType({})
    names: Mapping[str, str] = MappingProxyType({})  # renamed job -> its name now


def fold_history(snapshot: History, facts: Iterable[AnyFact]) -> History:
    """Apply facts in the order recorded. Late or repeated facts change nothing."""
    runs, names = dict(snapshot.runs), dict(snapshot.names)
    for fact in facts:
        match fact:
            case RunSubmitted(run=run):
                state = RunState(run=run, job=names.get(run.job, run.job), submitted=fact)
                runs.setdefault(run.run_id, state)
            case JobRenamed():
                _rename(fact, runs, names)
            case AttemptStarted() | AttemptEnded() | RunPlanned():
                if fact.run_id in runs:
                    runs[fact.run_id] = _advance(runs[fact.run_id], fact)
            case _:
                run_id = getattr(fact, "run_id", None)
                if run_id in runs and fact not in runs[run_id].story:
                    told = runs[run_id]
                    runs[run_id] = msgspec.structs.replace(told, story=(*told.story, fact))
    return History(runs=MappingProxyType(runs), names=MappingProxyType(names))


def _advance(state: RunState, fact: AttemptStarted | AttemptEnded | RunPlanned) -> RunState:
    replace = msgspec.structs.replace
    match fact:
        case AttemptStarted(attempt_id=attempt_id):
            known = any(s.attempt_id == attempt_id for s in state.started)
            return state if known else replace(state, started=(*state.started, fact))
        case AttemptEnded(attempt_id=attempt_id):
            known = any(e.attempt_id == attempt_id for e in state.ended)
            return state if known else replace(state, ended=(*state.ended, fact))
        case RunPlanned(plan=plan):
            return state if state.plan else replace(state, plan=plan)


def _rename(fact: JobRenamed, runs: dict[str, RunState], names: dict[str, str]) -> None:
    for run_id, state in runs.items():
        if state.job == fact.old and fact.only_run_id in {None, run_id}:
            runs[run_id] = msgspec.structs.replace(state, job=fact.new)
    if fact.only_run_id is None:
        names.update({name: fact.new for name, now in names.items() if now == fact.old})
        names[fact.old] = fact.new
        names.pop(fact.new, None)  # renamed back


def _row(state: RunState, start: AttemptStarted, end: AttemptEnded | None) -> AttemptRow:
    run, features = state.run, state.run.features
    row = AttemptRow(
        run_id=run.run_id,
        attempt_id=start.attempt_id,
        job=state.job,
        origin=run.origin,
        started_at_seconds=start.at_seconds,
        utc_offset_seconds=features.utc_offset_seconds,
        cpu_cores_limit=start.limits.cpu_cores,
        memory_limit_bytes=start.limits.memory_bytes,
        input_bytes=features.input_bytes,
        numbers=features.numbers,
        words=features.words,
        code_version=features.code_version,
        tags=run.tags,
    )
    if end is None:
        return row
    receipt = end.receipt
    return msgspec.structs.replace(
        row,
        started_at_seconds=receipt.started_at_seconds,
        outcome=receipt.outcome,
        exit_code=receipt.exit_code,
        wall_seconds=receipt.wall_seconds,
        cpu_seconds=receipt.cpu_seconds,
        cpu_cores_p95=receipt.cpu_cores_p95,
        cpu_cores_max=receipt.cpu_cores_max,
        cpu_cores_wanted=receipt.cpu_cores_wanted,
        memory_bytes_max=receipt.memory_bytes_max,
        gpus_used=len(receipt.gpus or ()),
        cpu_model=receipt.host.cpu_model,
        instance_type=receipt.host.instance_type,
        host_cores=receipt.host.cpu_cores,
        host_memory_bytes=receipt.host.memory_bytes,
        cost_usd=end.cost_usd,
    )
