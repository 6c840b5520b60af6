"""Everything flyball can do, as methods with typed results; the command line and the Python API are this and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from flyball.engine.one_run import Finished, Machinery, Request, run_here
from flyball.engine.planning import HistoryPlanner, Preferences
from flyball.engine.record import CostOf, record_leftovers
from flyball.engine.spool import Spool
from flyball.errors import InputError, StoreError
from flyball.model.facts import AnyFact, JobRenamed
from flyball.model.history import AttemptRow, RunState
from flyball.model.job import Features
from flyball.model.plan import Choice, Plan
from flyball.ports.store import Store

if TYPE_CHECKING:
    from flyball.model.resource import Size
    from flyball.model.samples import Samples
    from flyball.model.summary import JobSummary
    from flyball.policy.placement import Ranking, Wanted
    from flyball.ports.catalog import Catalog

RUNS_LOOKED_THROUGH = 100_000  # for the beginning or end of a run's id


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What a client needs from outside; wiring.py fills it in."""

    home: Path
    preferences: Preferences
    open_store: Callable[[], Store]
    load_catalog: Callable[[], Catalog]
    load_samples: Callable[[str], Samples | None]
    pack_samples: Callable[[Sequence[str]], int]
    measure_input: Callable[[str], tuple[int, int]]
    code_version: Callable[[str], str | None]
    place_of: Callable[[str], Callable[[str], str]]
    default_tags: dict[str, str]
    scratch: Callable[[], AbstractContextManager[str]]
    now_seconds: Callable[[], float]
    memory_of_machine_bytes: Callable[[], int]
    cost_of: CostOf


class Renamed(msgspec.Struct, frozen=True, kw_only=True):
    old: str
    new: str
    runs: int
    joined: bool  # `new` had a history already: the two are one now


class Tidied(msgspec.Struct, frozen=True, kw_only=True):
    attempts_packed: int
    log_bytes_removed: int


class JobView(NamedTuple):
    """A job as `flyball show` needs it."""

    summary: JobSummary
    rows: Sequence[AttemptRow]
    plan: Plan
    alternatives: Sequence[Choice]


class Client:
    def __init__(self, world: World) -> None:
        self._world = world
        self.spool = Spool(world.home)

    @cached_property
    def store(self) -> Store:
        """The store, with runs recorded whose wrapper had died before it could. Raises: StoreError."""
        store = self._world.open_store()
        with suppress(StoreError):  # what cannot be written now can still be read
            record_leftovers(self.spool, store, self._world.cost_of)
        return store

    @cached_property
    def catalog(self) -> Catalog:
        return self._world.load_catalog()

    @property
    def home(self) -> Path:
        return self._world.home

    @property
    def default_tags(self) -> dict[str, str]:
        return self._world.default_tags

    @property
    def preferences(self) -> Preferences:
        return self._world.preferences

    def measure_input(self, text: str) -> tuple[int, int]:
        """(bytes, objects) of a path, a URL or a "@FILE" of them. Raises: InputError, Unavailable."""
        return self._world.measure_input(text)

    def place_of(self, folder: str) -> Callable[[str], str]:
        """Names a script, given as in that folder, by where it lives: the same from every folder and clone."""
        return self._world.place_of(folder)

    def code_version(self, folder: str) -> str | None:
        """The commit that a folder is at, None outside a repository."""
        return self._world.code_version(folder)

    def run(
        self, request: Request, tell: Callable[[str], None], prepare: Callable[[], None] = lambda: None
    ) -> Finished:
        """Run it on this machine and wait. Raises: CannotLimit, InputError before it has started."""
        open_store = cache(
            self._world.open_store
        )  # by whoever needs it first, in the background if it can be
        machinery = Machinery(
            spool=self.spool,
            scratch=self._world.scratch,
            open_store=open_store,
            planner=self._planner(open_store),
            cost_of=self._world.cost_of,
            now_seconds=self._world.now_seconds,
            memory_of_machine_bytes=self._world.memory_of_machine_bytes,
            tell=tell,
            prepare=prepare,
        )
        return run_here(request, machinery)

    def jobs(self) -> list[JobSummary]:
        """One line a job, the one that ran last first."""
        from flyball.policy.summary import summarise

        return summarise(self.store.rows())

    def kept_plan(self, job: str) -> Plan | None:
        """What was planned after the job's last run, without planning anew; None when nothing was."""
        return self._planner(lambda: self.store).kept_plan(job)

    def job(self, name: str) -> JobSummary:
        """Raises: InputError for a job without runs."""
        from flyball.policy.summary import summarise

        return summarise(self.rows_of(name))[0]

    def rows_of(self, job: str, *, newest: int | None = None) -> Sequence[AttemptRow]:
        """Attempts of a job, oldest first. Raises: InputError for a job without runs."""
        rows = self.store.rows(job, newest=newest)
        if not rows:
            raise self._unknown("job", job, self.store.jobs())
        return rows

    def rows(self, *, newest: int | None = None) -> Sequence[AttemptRow]:
        return self.store.rows(newest=newest)

    def find_run(self, text: str) -> RunState:
        """The run of that id, of the only id that begins or ends so, or the newest for "last". Raises: InputError."""
        exact = self.store.run(text)
        if exact is not None:
            return exact
        ids = list(dict.fromkeys(row.run_id for row in self.store.rows(newest=RUNS_LOOKED_THROUGH)))
        matches = ids[-1:] if text == "last" else [i for i in ids if i.startswith(text) or i.endswith(text)]
        if len(matches) > 1:
            raise InputError(f"{len(matches)} runs are called {text!r}", hint=", ".join(matches[-5:]))
        state = self.store.run(matches[0]) if matches else None
        if state is None:
            raise self._unknown("run", text, ids[-5:])
        return state

    def find(self, text: str) -> RunState | str:
        """A run, or the name of a job. Raises: InputError when it is neither."""
        if text in self.store.jobs():
            return text
        try:
            return self.find_run(text)
        except InputError as error:
            if error.why.startswith("no runs"):
                raise
            raise InputError(
                f"{text!r} is neither a run nor a job", hint="flyball jobs, flyball runs"
            ) from None

    def job_view(self, name: str) -> JobView:
        """Raises: InputError for a job without runs."""
        from flyball.policy.summary import summarise

        rows = self.rows_of(name)
        plan, alternatives = self.plan(name, self.features_like_last(name))
        return JobView(summary=summarise(rows)[0], rows=rows, plan=plan, alternatives=alternatives)

    def plans_of(self, rows: Sequence[AttemptRow], *, newest: int = 500) -> dict[str, Plan]:
        """Run id -> what was planned for it, for the newest runs of `rows`."""
        ids = list(dict.fromkeys(row.run_id for row in rows))[-newest:]
        states = (self.store.run(run_id) for run_id in ids)
        return {state.run.run_id: state.plan for state in states if state and state.plan}

    def features_like_last(self, job: str) -> Features:
        """What is known about a next run like the last one, if it started now. Raises: InputError."""
        last = self.find_run(self.rows_of(job, newest=1)[-1].run_id).run.features
        return msgspec.structs.replace(last, started_at_seconds=self._world.now_seconds())

    def samples_of(self, state: RunState) -> Samples | None:
        """Use over time of the run's last attempt; None when nothing was sampled."""
        return self._world.load_samples(state.started[-1].attempt_id) if state.started else None

    def plan(self, job: str, features: Features) -> tuple[Plan, Sequence[Choice]]:
        """The plan for the next run of a job, and the offers that were next in rank. Raises: InputError."""
        self.rows_of(job, newest=1)
        return self._planner(lambda: self.store).plan_with_alternatives(job, features)

    def offers(self, need: Size, wanted: Wanted, *, job: str | None = None) -> Ranking:
        """Offers that hold the need, by expected dollars per finished run of `job`, else of an hour. Raises: InputError."""
        from flyball.policy.placement import rank
        from flyball.policy.speed import learn_speeds, work_of_job

        if job is None:
            return rank(self.catalog.offers(), need=need, wanted=wanted)
        rows = self.rows_of(job)
        plan, _ = self.plan(job, self.features_like_last(job))
        return rank(
            self.catalog.offers(),
            need=need,
            work=work_of_job(plan.forecast, rows),
            wanted=wanted,
            speed_corrections=learn_speeds(rows).corrections,
        )

    def tidy(self, *, logs_older_than_seconds: float | None = None) -> Tidied:
        """Samples of ended attempts go from CSV into Parquet; logs go only when an age is given. Raises: StoreError."""
        open_now = {*self.spool.unrecorded(), *self.spool.held()}
        ended = [attempt_id for attempt_id in self.spool.attempts() if attempt_id not in open_now]
        removed = 0
        if logs_older_than_seconds is not None:
            before_seconds = self._world.now_seconds() - logs_older_than_seconds
            removed = sum(self.spool.remove_log(attempt_id, before_seconds) for attempt_id in ended)
        return Tidied(attempts_packed=self._world.pack_samples(ended), log_bytes_removed=removed)

    def rename(self, old: str, new: str, *, only_run_id: str | None = None) -> Renamed:
        """Runs of `old` belong to `new` from here on, also those to come. Raises: InputError."""
        if not new.strip():
            raise InputError("the new name is empty", hint=f"flyball jobs rename {old} NAME")
        moved = {row.run_id for row in self.rows_of(old)} & (
            {only_run_id} if only_run_id else {*self._ids(old)}
        )
        joined = new in self.store.jobs()
        fact = JobRenamed(at_seconds=self._world.now_seconds(), old=old, new=new, only_run_id=only_run_id)
        self.store.append([fact])
        return Renamed(old=old, new=new, runs=len(moved), joined=joined)

    def record(self, facts: Sequence[AnyFact]) -> int:
        """Number of runs among `facts` that the store did not know; only those are recorded."""
        ids = {run_id for fact in facts if (run_id := _run_id(fact))}
        fresh_ids = {run_id for run_id in ids if self.store.run(run_id) is None}
        self.store.append([fact for fact in facts if _run_id(fact) in fresh_ids])
        return len(fresh_ids)

    def _ids(self, job: str) -> set[str]:
        return {row.run_id for row in self.store.rows(job)}

    def _planner(self, store: Callable[[], Store]) -> HistoryPlanner:
        return HistoryPlanner(
            store=store,
            catalog=lambda: self.catalog,
            preferences=self._world.preferences,
            cache_folder=self.home / "plans",
            now_seconds=self._world.now_seconds,
        )

    @staticmethod
    def _unknown(kind: str, name: str, known: Sequence[str]) -> InputError:
        if not known:
            return InputError(
                f"no {kind} {name!r}", why="no runs are recorded yet", hint="flyball run -- COMMAND"
            )
        import difflib

        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or list(known[:3])
        return InputError(
            f"no {kind} {name!r} is recorded", why=f"there are {', '.join(near)}", hint=f"flyball {kind}s"
        )


def _run_id(fact: AnyFact) -> str | None:
    run = getattr(fact, "run", None)
    return run.run_id if run is not None else getattr(fact, "run_id", None)
