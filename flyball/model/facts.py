"""Things that happened, recorded once, in the past tense."""

from __future__ import annotations

import msgspec

from flyball.model.job import RunSpec
from flyball.model.plan import Plan
from flyball.model.receipt import Limits, Receipt


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    at_seconds: float  # since the epoch, UTC


class RunSubmitted(Fact, frozen=True, kw_only=True):
    run: RunSpec


class AttemptStarted(Fact, frozen=True, kw_only=True):
    """`reason` says why it has these limits: the user's, the plan's, or bigger after running out of memory."""

    run_id: str
    attempt_id: str
    limits: Limits
    reason: str


class AttemptEnded(Fact, frozen=True, kw_only=True):
    run_id: str
    attempt_id: str
    receipt: Receipt
    cost_usd: str | None = None  # decimal; what the machine charged for it; "0" on an own machine
    cost_reason: str = ""


class RunPlanned(Fact, frozen=True, kw_only=True):
    """The forecast and size for this run, from what was known before it started."""

    run_id: str
    plan: Plan


class JobRenamed(Fact, frozen=True, kw_only=True):
    """From here on, runs recorded under `old` belong to `new`; `only_run_id` moves a single run."""

    old: str
    new: str
    only_run_id: str | None = None


AnyFact = RunSubmitted | AttemptStarted | AttemptEnded | RunPlanned | JobRenamed
