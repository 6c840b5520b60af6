"""JSON of the HTTP API: what it takes and gives, as its OpenAPI document describes it.

Units are in the names, times are seconds since the epoch (UTC), unknown is null, money is a number of dollars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from flyball.policy.costs import Costs, Line
from flyball.web.commands import RunView

TEXT_MAX = 100_000


class Problem(BaseModel):
    """RFC 9457, with what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    what: str
    why: str = ""
    next: str = ""


class Submission(BaseModel):
    """A run of a defined job (`job`), or of a command (`command`): one of the two."""

    model_config = ConfigDict(extra="forbid", str_max_length=TEXT_MAX)

    job: str | None = Field(None, description="name of a defined job", min_length=1)
    params: dict[str, str] = Field(
        default_factory=dict, description="what {day} and the like stand for in it"
    )
    tags: dict[str, str] = Field(default_factory=dict)
    command: list[str] | None = Field(None, description="program and arguments; no shell", min_length=1)
    name: str | None = Field(None, description="the job that the command's run belongs to", min_length=1)
    on: list[str] = Field(
        default_factory=lambda: ["local"], description="providers for the command", min_length=1
    )
    workdir: str | None = None
    env: dict[str, str] = Field(default_factory=dict, description="beside the provider's own; kept privately")
    memory: str | None = Field(None, examples=["4GiB", "4GiB..32GiB"])
    cpus: str | None = Field(None, examples=["2"])
    retries: int = Field(0, ge=0, le=100)
    timeout: str | None = Field(None, examples=["30m"])
    deadline: str | None = Field(None, examples=["2h"])


class Why(BaseModel):
    model_config = ConfigDict(extra="forbid", str_max_length=1000)

    reason: str = ""


class Run(BaseModel):
    run_id: str
    job: str
    state: str = Field(description="pending, held, provisioning, running, succeeded, failed, cancelled")
    since_seconds: float = Field(description="in this state since then")
    reason: str
    cause: str
    submitted_seconds: float
    deadline_seconds: float | None
    attempt_id: str | None
    attempts: int
    provider: str | None
    instance_type: str | None
    market: str | None
    progress: float | None
    cost_usd: float


class Attempt(BaseModel):
    attempt_id: str
    provider: str | None
    instance_type: str | None
    market: str | None
    outcome: str | None
    exit_code: int | None
    started_at_seconds: float | None
    ended_at_seconds: float | None
    reason: str
    cost_usd: float | None


class Step(BaseModel):
    at_seconds: float
    words: str


class RunInFull(BaseModel):
    run: Run
    command: list[str]
    params: dict[str, str]
    tags: dict[str, str]
    attempts: list[Attempt]
    reasons: list[Step]


class Runs(BaseModel):
    runs: list[Run]


class Cancelled(BaseModel):
    run_id: str
    cancelled: bool = Field(description="false: it had ended already")


class Job(BaseModel):
    name: str
    starts: str
    paused: bool
    next_seconds: float | None
    last_result: str | None
    last_ended_seconds: float | None
    providers: list[str]
    tags: dict[str, str]


class Jobs(BaseModel):
    jobs: list[Job]


class Machine(BaseModel):
    attempt_id: str
    provider: str
    stage: str
    run_id: str | None
    job: str | None
    instance_type: str | None
    market: str | None
    launched_at_seconds: float | None
    cost_usd: float | None
    is_zombie: bool


class Machines(BaseModel):
    machines: list[Machine]


class CostLine(BaseModel):
    key: str
    runs: int
    attempts: int
    cost_usd: float
    unsuccessful_usd: float = Field(description="of attempts that ended otherwise than well")
    boot_and_idle_usd: float
    on_demand_asked_usd: float = Field(description="on demand at the size asked for, of what can be compared")
    saved_usd: float
    cost_unknown: int = Field(description="attempts that ended at a cost that nobody knows")
    still_held: int


class CostPage(BaseModel):
    by: str
    since_seconds: float | None
    lines: list[CostLine]
    total: CostLine
    not_included: list[str]
    prices_as_of: str | None


def run_json(view: RunView) -> Mapping[str, Any]:
    return {
        "run": view.status,
        "command": view.command,
        "params": view.fills,
        "tags": view.tags,
        "attempts": view.attempts,
        "reasons": view.reasons,
    }


def costs_json(costs: Costs) -> Mapping[str, Any]:
    return {
        "by": costs.by,
        "since_seconds": costs.since_seconds,
        "lines": [_line(line) for line in costs.lines],
        "total": _line(costs.total),
        "not_included": costs.not_included,
        "prices_as_of": costs.prices_as_of,
    }


def _line(line: Line) -> Mapping[str, Any]:
    return {
        "key": line.key,
        "runs": line.runs,
        "attempts": line.attempts,
        "cost_usd": float(line.usd),
        "unsuccessful_usd": float(line.usd_unsuccessful),
        "boot_and_idle_usd": float(line.usd_boot_and_idle),
        "on_demand_asked_usd": float(line.usd_on_demand_asked),
        "saved_usd": float(line.usd_saved),
        "cost_unknown": line.cost_unknown,
        "still_held": line.still_held,
    }


def encoded(value: Mapping[str, Any] | Sequence[Any] | msgspec.Struct) -> bytes:
    return msgspec.json.encode(value)
