"""Runs that the governor looks after: submitting, following, cancelling them. What the commands and the API call."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from flyball.errors import Conflict, InputError
from flyball.model.facts import (
    AnyFact,
    CancelAsked,
    JobPaused,
    JobResumed,
    RunSubmitted,
)
from flyball.model.folding import fold
from flyball.model.history import RunState
from flyball.model.job import Features, RunSpec
from flyball.model.snapshot import JobState, Snapshot
from flyball.model.spec import JobSpec
from flyball.model.status import RunStatus
from flyball.policy.backfill import backfill
from flyball.policy.deadline import deadline_of
from flyball.policy.run_ids import run_id_at
from flyball.policy.schedule_run import filled, time_fills
from flyball.policy.status import status_of_ended, status_of_live
from flyball.ports.clock import Clock
from flyball.ports.store import Store

FACTS_AT_A_TIME = 20_000
ATTEMPTS_TO_APPEND = 50  # against other writers; each loses only to one that succeeded


class Governed:
    """A view on the store that can also ask for things; the governor acts on them with its next tick."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        load_snapshot: Callable[[], Snapshot] = Snapshot,
        measure_inputs: Callable[[Sequence[str], str | None], tuple[int | None, int | None]] = lambda _, __: (
            None,
            None,
        ),
        code_version: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.store, self._clock = store, clock
        self._load_snapshot = load_snapshot
        self._measure_inputs, self._code_version = measure_inputs, code_version
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot:
        """As of now. Raises: StoreError."""
        snapshot = self._load_snapshot() if self._snapshot is None else self._snapshot
        while facts := self.store.read(snapshot.position, limit=FACTS_AT_A_TIME):
            snapshot = fold(snapshot, facts)
        self._snapshot = snapshot
        return snapshot

    # asking

    def submit(
        self,
        spec: JobSpec,
        *,
        cause: str = "by hand",
        fills: Mapping[str, str] | None = None,
        run_id: str | None = None,
        retry_of: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> RunSubmitted:
        """The run, recorded. The same `run_id` again gives the run that is there. Raises: InputError, StoreError."""
        if run_id is not None and (known := self.store.run(run_id)) is not None:
            return known.submitted
        now_seconds = self._clock.now_seconds()
        run_id = run_id or run_id_at(now_seconds, chance=int.from_bytes(os.urandom(4), "big"))
        submitted = RunSubmitted(
            at_seconds=now_seconds,
            run=self._run_spec(spec, run_id, now_seconds, fills or {}, tags or {}),
            spec=spec,
            cause=cause,
            due_seconds=now_seconds,
            deadline_seconds=deadline_of(spec, now_seconds),
            fills={**time_fills(spec, now_seconds), **(fills or {})},
            retry_of=retry_of,
        )
        self.store.append([submitted])
        return submitted

    def _run_spec(
        self,
        spec: JobSpec,
        run_id: str,
        now_seconds: float,
        fills: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> RunSpec:
        all_fills = {**time_fills(spec, now_seconds), **fills}
        inputs = tuple(filled(text, all_fills) for text in spec.inputs)
        input_bytes, objects = self._measure_inputs(inputs, spec.workdir)
        numbers = {key: float(value) for key, value in fills.items() if _is_number(value)}
        return RunSpec(
            run_id=run_id,
            job=spec.name,
            job_reason="named in its definition",
            command=spec.command,
            workdir=spec.workdir,
            inputs=inputs,
            features=Features(
                started_at_seconds=now_seconds,
                input_bytes=input_bytes,
                input_objects=objects,
                numbers=numbers,
                words={key: value for key, value in fills.items() if key not in numbers},
                code_version=self._code_version(spec.workdir or "."),
            ),
            tags={**spec.tags, **tags},
        )

    def submit_job(
        self, name: str, *, fills: Mapping[str, str] | None = None, run_id: str | None = None
    ) -> RunSubmitted:
        """A run of a defined job, now. Raises: InputError, StoreError."""
        return self.submit(self.job(name).spec, fills=fills, run_id=run_id)

    def backfill(
        self, name: str, span: str, *, at_once: int | None = None, fills: Mapping[str, str] | None = None
    ) -> list[RunSubmitted]:
        """A run for each day, month or hour of "2026-10-01..2026-10-31". Raises: InputError, StoreError."""
        spec, now_seconds = self.job(name).spec, self._clock.now_seconds()
        runs = backfill(spec, span, at_once=at_once, now_seconds=now_seconds)
        submitted = [replace(run, fills={**run.fills, **(fills or {})}) for run in runs]
        self.store.append(submitted)
        return submitted

    def cancel(self, run_id: str, reason: str = "cancelled by hand") -> bool:
        """Whether there was anything to cancel. Raises: InputError, StoreError."""
        if run_id not in self.snapshot.runs:
            self._must_exist(run_id)
            return False
        self.store.append([CancelAsked(at_seconds=self._clock.now_seconds(), run_id=run_id, reason=reason)])
        return True

    def retry(self, run_id: str) -> RunSubmitted:
        """A new run of what that run was. Raises: InputError when it was not the governor's, or has not ended."""
        state = self._must_exist(run_id)
        submitted = state.submitted
        if submitted.spec is None:
            raise InputError(
                f"run {run_id} was not submitted to the governor",
                hint="run its command again with flyball run",
            )
        if run_id in self.snapshot.runs:
            raise InputError(f"run {run_id} has not ended", hint=f"flyball cancel {run_id}")
        return self.submit(
            submitted.spec,
            cause=f"retry of {run_id}",
            fills=submitted.fills,
            retry_of=run_id,
            tags=state.run.tags,
        )

    def pause(self, job: str, reason: str = "") -> None:
        """Nothing starts it by itself from here on. Raises: InputError, StoreError."""
        self.job(job)
        self.store.append([JobPaused(at_seconds=self._clock.now_seconds(), job=job, reason=reason)])

    def resume(self, job: str) -> None:
        """Raises: InputError, StoreError."""
        self.job(job)
        self.store.append([JobResumed(at_seconds=self._clock.now_seconds(), job=job)])

    def change(self, decide: Callable[[Snapshot, float], Sequence[AnyFact]]) -> Sequence[AnyFact]:
        """What `decide` finds to record, recorded before anybody else has changed anything. Raises: StoreError."""
        for _ in range(ATTEMPTS_TO_APPEND):
            snapshot = self.snapshot
            facts = decide(snapshot, self._clock.now_seconds())
            try:
                if facts:
                    self.store.append(facts, after=snapshot.position)
            except Conflict:
                continue
            return facts
        raise Conflict("others write to the store all the time", hint="try again")

    # looking

    def job(self, name: str) -> JobState:
        """Raises: InputError for a job that is not defined."""
        jobs = self.snapshot.jobs
        name = self.snapshot.names.get(name, name)
        state = jobs.get(name)
        if state is None or state.removed:
            import difflib

            defined = [known for known, job in jobs.items() if not job.removed]
            near = difflib.get_close_matches(name, defined, n=3, cutoff=0.5) or defined[:5]
            raise InputError(
                f"no job {name!r} is defined",
                why=f"there are {', '.join(near)}" if near else "none is",
                hint="flyball apply",
            )
        return state

    def jobs(self) -> list[JobState]:
        return sorted((j for j in self.snapshot.jobs.values() if not j.removed), key=lambda j: j.spec.name)

    def live(self) -> list[RunStatus]:
        """Runs that have not ended, oldest first."""
        found = [status_of_live(run) for run in self.snapshot.runs.values()]
        return sorted(found, key=lambda status: (status.submitted_seconds, status.run_id))

    def ended(self, *, newest: int, since_seconds: float = 0.0) -> list[RunStatus]:
        """The newest ones, oldest first."""
        over = [
            (e.at_seconds, run_id)
            for run_id, e in self.snapshot.ended.items()
            if e.at_seconds >= since_seconds
        ]
        states = (self.store.run(run_id) for _, run_id in sorted(over)[-newest:])
        return [status for state in states if state and (status := status_of_ended(state))]

    def status(self, run_id: str) -> RunStatus | None:
        """None for a run that is not the governor's."""
        run = self.snapshot.runs.get(run_id)
        if run is not None:
            return status_of_live(run)
        return status_of_ended(self._must_exist(run_id))

    def wait(
        self, run_ids: Sequence[str], *, until_seconds: float | None, poll_seconds: float = 0.2
    ) -> list[RunStatus] | None:
        """How they ended; None when `until_seconds` came first."""
        while True:
            snapshot = self.snapshot
            if not any(run_id in snapshot.runs for run_id in run_ids):
                return [status for run_id in run_ids if (status := self.status(run_id))]
            if until_seconds is not None and self._clock.now_seconds() >= until_seconds:
                return None
            self._clock.sleep(poll_seconds)

    def _must_exist(self, run_id: str) -> RunState:
        state = self.store.run(run_id)
        if state is None:
            raise InputError(f"no run {run_id!r} is recorded", hint="flyball ps --all, flyball runs")
        return state


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
