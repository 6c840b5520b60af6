"""What the governor knows: jobs, runs that have not ended, machines that are not yet given back. Facts folded up.

Ended runs leave it, so it stays as small as what is going on, however long the log; `flyball runs` reads rows instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

import msgspec

from flyball.model.facts import (
    AlertRaised,
    AttemptPlanned,
    AttemptStopping,
    HostPlanned,
    ObjectsArrived,
    RunHeld,
    RunResult,
    RunSubmitted,
)
from flyball.model.job import RunSpec
from flyball.model.outcome import Outcome
from flyball.model.resource import Market
from flyball.model.spec import JobSpec, SizeAsk

_V = TypeVar("_V")

SNAPSHOT_VERSION = 2  # raise it when a field changes: kept snapshots of another version are folded anew
GROUPED_KEPT = 10_000  # ends that wait for others of their group, per job
ENDED_KEPT = 5000  # ended runs remembered, so that late facts about them change nothing
SLOTS_KEPT = 64


def nothing() -> Mapping[str, _V]:
    return MappingProxyType({})


class LiveAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """From the intent until it has ended."""

    planned: AttemptPlanned
    launched_at_seconds: float | None = None  # the provider took the order
    started_at_seconds: float | None = None  # the command runs
    missed_since_seconds: float | None = None
    notice_ends_at_seconds: float | None = None
    progress: float | None = None
    progress_at_seconds: float | None = None
    progress_first: float | None = None  # with its time: what the speed of this attempt is taken from
    progress_first_at_seconds: float | None = None
    stopping: AttemptStopping | None = None

    @property
    def attempt_id(self) -> str:
        return self.planned.attempt_id


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is over, as far as later decisions need it."""

    attempt_id: str
    provider: str
    offer_id: str
    market: Market
    outcome: Outcome
    memory_limit_bytes: int | None = None
    planned_at_seconds: float
    launched_at_seconds: float | None = None
    started_at_seconds: float | None = None
    ended_at_seconds: float
    progress: float | None = None
    reason: str = ""  # how it ended, in words


class LiveRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has not ended."""

    submitted: RunSubmitted
    spec: JobSpec
    live: LiveAttempt | None = None
    tried: tuple[Tried, ...] = ()
    held: RunHeld | None = None  # with the time since when it is held for that kind of reason
    cancel_reason: str | None = None
    spent_nano_usd: int = 0  # machines released so far

    @property
    def run(self) -> RunSpec:
        return self.submitted.run

    @property
    def run_id(self) -> str:
        return self.submitted.run.run_id

    @property
    def job(self) -> str:
        return self.spec.name

    @property
    def deadline_seconds(self) -> float | None:
        return self.submitted.deadline_seconds

    @property
    def progress(self) -> float:
        """Share of the work that a next attempt need not do again: only what resumes keeps any."""
        if self.spec.spot.checkpoint is None:
            return 0.0
        known = [tried.progress for tried in self.tried if tried.progress is not None]
        if self.live and self.live.progress is not None:
            known.append(self.live.progress)
        return max(known, default=0.0)


class Unreleased(msgspec.Struct, frozen=True, kw_only=True):
    """A machine whose attempt is over and that is still to be given back and charged."""

    planned: AttemptPlanned
    run_id: str
    job: str
    tags: dict[str, str] = {}
    launched_at_seconds: float | None = None
    started_at_seconds: float | None = None
    ended_at_seconds: float
    outcome: Outcome
    wall_seconds: float | None = None  # of the command, as its wrapper measured it
    asked: SizeAsk = SizeAsk()
    command_ended_at_seconds: float | None = None
    gone_at_seconds: float | None = None  # taken away or lost: it cost nothing from then on
    useful_seconds: float | None = None  # what a next attempt need not do again


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A warm machine that takes several small attempts."""

    planned: HostPlanned
    launched_at_seconds: float | None = None
    idle_since_seconds: float | None = None  # None: attempts are on it
    charged_nano_usd: int = 0  # of the attempts that were on it
    ending: str | None = None
    missed_since_seconds: float | None = None


class UpstreamEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a run of a group, which only others of that group are joined with."""

    job: str
    run_id: str
    group: str
    fills: dict[str, str] = {}
    backfill: str | None = None
    backfill_at_once: int | None = None


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """A job, and how far its triggers have got."""

    spec: JobSpec
    applied_at_seconds: float
    removed: bool = False
    paused: bool = False
    last_slot_seconds: float | None = None  # newest slot submitted or skipped
    slots: tuple[float, ...] = ()  # the newest submitted or skipped ones, so that no slot is taken twice
    fresh: Mapping[str, str] = (
        nothing()
    )  # job it runs after -> id of its newest end that no run of ours has used
    fresh_fills: Mapping[str, dict[str, str]] = nothing()  # and what {day} and the like were in it
    grouped: tuple[UpstreamEnd, ...] = ()  # the same within a group: its newest end of each job
    arrived: tuple[ObjectsArrived, ...] = ()  # that no run has been given
    batches: tuple[str, ...] = ()  # the newest ones given to runs
    last_result: RunResult | None = None
    last_ended_at_seconds: float | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider last said no to, for one offer."""

    kind: str
    at_seconds: float
    times: int  # in a row, without a launch between


class SpotSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What our own attempts have seen of one offer's spot market."""

    up_seconds: float = 0.0  # of commands that ran there
    interruptions: int = 0
    refusals: int = 0
    last_up: bool | None = None
    last_at_seconds: float


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    result: RunResult
    at_seconds: float
    job: str
    reason: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    raised: AlertRaised
    sent: tuple[str, ...] = ()  # channels


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the four functions decide from."""

    position: int = 0  # facts folded so far
    jobs: Mapping[str, JobState] = nothing()
    runs: Mapping[str, LiveRun] = nothing()
    unreleased: Mapping[str, Unreleased] = nothing()  # by attempt id
    hosts: Mapping[str, Host] = nothing()
    refusals: Mapping[str, Refusal] = nothing()  # by "provider offer_id"
    spot: Mapping[str, SpotSeen] = nothing()  # by "provider offer_id"
    spent_nano_usd: Mapping[str, int] = (
        nothing()
    )  # by "2026-11 job NAME", "2026-11 tag k=v", "2026-11", "hour 491041"
    launches: Mapping[str, int] = nothing()  # per "hour 491041"
    ended: Mapping[str, Ended] = nothing()  # the newest ones
    zombies: Mapping[str, float] = nothing()  # attempt id of nobody's machine -> when it was found
    given_back: Mapping[str, float] = nothing()  # lately: listings that lag still show them
    alerts: Mapping[str, Alert] = nothing()
    names: Mapping[str, str] = nothing()  # renamed job -> its name now

    @property
    def busy(self) -> bool:
        """Whether anything is left to run, to give back or to tell."""
        return bool(self.runs or self.unreleased or self.hosts)
