"""What the HTTP API can do: one object that does it, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from flyball.model.status import RunStatus
from flyball.policy.costs import Costs


class CommandAsk(msgspec.Struct, frozen=True, kw_only=True):
    """A command without a definition, as `flyball run --on` takes it; texts are read as that command reads them."""

    command: tuple[str, ...]
    name: str | None = None  # of its job; None: as it is named when typed
    providers: tuple[str, ...] = ("local",)
    workdir: str | None = None
    env: Mapping[str, str] = {}
    tags: Mapping[str, str] = {}
    memory: str | None = None  # "4GiB", "4GiB..32GiB"
    cpus: str | None = None
    retries: int = 0
    timeout: str | None = None  # "30m"
    deadline: str | None = None


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One that had a machine."""

    attempt_id: str
    provider: str | None = None
    instance_type: str | None = None
    market: str | None = None
    outcome: str | None = None  # None: it has not ended
    exit_code: int | None = None
    started_at_seconds: float | None = None
    ended_at_seconds: float | None = None
    reason: str = ""  # why it was made as it was
    cost_usd: float | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was decided about a run, or happened to it."""

    at_seconds: float
    words: str


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    status: RunStatus
    command: tuple[str, ...] = ()  # without its secrets
    fills: Mapping[str, str] = {}
    tags: Mapping[str, str] = {}
    attempts: tuple[AttemptView, ...] = ()  # oldest first
    reasons: tuple[Step, ...] = ()  # likewise


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    starts: str  # in words
    paused: bool = False
    next_seconds: float | None = None  # when its schedule starts it next
    last_result: str | None = None
    last_ended_seconds: float | None = None
    providers: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}


class MachineView(msgspec.Struct, frozen=True, kw_only=True):
    """One launch that has not been given back."""

    attempt_id: str
    provider: str
    stage: str
    run_id: str | None = None  # None: nobody's, or a warm machine
    job: str | None = None
    instance_type: str | None = None
    market: str | None = None
    launched_at_seconds: float | None = None
    cost_usd: float | None = None  # so far
    is_zombie: bool = False


class Log(Protocol):
    """The output of one attempt, from its beginning."""

    def read(self) -> bytes:
        """What came since the last time; b"" while nothing did."""
        ...

    def close(self) -> None: ...


class Commands(Protocol):
    """Never called by two threads at once. Errors: InputError for what the caller can mend, Conflict, Unavailable,
    StoreError."""

    def submit_job(
        self, name: str, *, fills: Mapping[str, str], tags: Mapping[str, str], run_id: str | None
    ) -> RunStatus:
        """A run of a defined job; with a `run_id` that is recorded already, the run that is there."""
        ...

    def submit_command(self, ask: CommandAsk, *, run_id: str | None) -> RunStatus: ...

    def cancel(self, run_id: str, reason: str) -> bool:
        """Whether there was anything to cancel."""
        ...

    def retry(self, run_id: str) -> RunStatus:
        """A new run of what that one was."""
        ...

    def runs(self, *, newest: int, with_ended: bool) -> Sequence[RunStatus]:
        """Those that have not ended and, if asked for, ended ones; the newest, oldest first."""
        ...

    def run(self, run_id: str) -> RunView | None: ...

    def log(self, attempt_id: str) -> Log | None:
        """None: nothing of it is kept here."""
        ...

    def jobs(self) -> Sequence[JobView]:
        """All that are defined."""
        ...

    def pause(self, job: str, reason: str) -> None: ...

    def resume(self, job: str) -> None: ...

    def machines(self) -> Sequence[MachineView]: ...

    def costs(self, *, by: str, since_seconds: float | None) -> Costs:
        """`by` is job, tag KEY, day, provider, outcome or market. Raises: InputError for anything else."""
        ...
