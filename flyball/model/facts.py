"""Things that happened, recorded once, in the past tense."""

from __future__ import annotations

import enum

import msgspec

from flyball.model.charge import Charge
from flyball.model.job import RunSpec
from flyball.model.outcome import Outcome
from flyball.model.plan import Plan
from flyball.model.receipt import Limits, Receipt
from flyball.model.resource import Offer, Size
from flyball.model.spec import JobSpec


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    at_seconds: float  # since the epoch, UTC


# Jobs


class JobApplied(Fact, frozen=True, kw_only=True):
    """A definition; the latest of a name counts for runs submitted after it."""

    spec: JobSpec


class JobRemoved(Fact, frozen=True, kw_only=True):
    """It is not started any more; its runs and history stay."""

    job: str


class JobPaused(Fact, frozen=True, kw_only=True):
    """Nothing starts it by itself until it is resumed; runs submitted by hand go on."""

    job: str
    reason: str = ""


class JobResumed(Fact, frozen=True, kw_only=True):
    job: str


class JobRenamed(Fact, frozen=True, kw_only=True):
    """From here on, runs recorded under `old` belong to `new`; `only_run_id` moves a single run."""

    old: str
    new: str
    only_run_id: str | None = None


class SlotSkipped(Fact, frozen=True, kw_only=True):
    """A time at which the job was due and was not run, and why."""

    job: str
    slot_seconds: float
    reason: str


class ObjectsArrived(Fact, frozen=True, kw_only=True):
    """Complete objects under a job's prefix that no run has been given yet; `batch` names them for ever."""

    job: str
    batch: str  # the same objects in the same versions give the same name
    objects: tuple[str, ...]
    versions: tuple[str, ...] = ()  # of each object: by name and version it is known for ever as given
    size_bytes: int | None = None  # of all of them


# Runs


class RunSubmitted(Fact, frozen=True, kw_only=True):
    """`spec` None: run by the wrapper alone, where it was typed; the governor leaves it be."""

    run: RunSpec
    spec: JobSpec | None = None
    cause: str = ""  # "by hand", "schedule 2026-11-21 06:00 Europe/Berlin", "after clean (run x)"
    due_seconds: float | None = None  # the slot, or when it was submitted
    slot_seconds: float | None = None  # of its schedule
    after_runs: tuple[str, ...] = ()  # whose end started it
    batch: str | None = None  # of arrived objects
    deadline_seconds: float | None = None  # epoch
    fills: dict[str, str] = {}  # what {day} and the like stand for
    retry_of: str | None = None
    backfill: str | None = (
        None  # id of the backfill it belongs to; at most `backfill_at_once` of them run at once
    )
    backfill_at_once: int | None = None
    group: str | None = None  # a day of a backfill, arrived objects: what its end starts belongs to it too


class RunPlanned(Fact, frozen=True, kw_only=True):
    """The forecast and size for this run, from what was known before it started."""

    run_id: str
    plan: Plan


class RunHeld(Fact, frozen=True, kw_only=True):
    """It waits: `kind` is "slots", "quota", "budget", "capacity", "backoff", "spot", "room", "queue"..., recorded when
    kind or reason changes."""

    run_id: str
    kind: str
    reason: str


class CancelAsked(Fact, frozen=True, kw_only=True):
    run_id: str
    reason: str = ""


class RunResult(enum.Enum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunEnded(Fact, frozen=True, kw_only=True):
    """Final: nothing more is launched for it."""

    run_id: str
    job: str
    result: RunResult
    reason: str


# Attempts


class AttemptPlanned(Fact, frozen=True, kw_only=True):
    """Intent: it is recorded before the provider is asked."""

    run_id: str
    attempt_id: str
    provider: str
    offer: Offer
    size: Size  # reserved for it
    limits: Limits
    reason: str
    host_id: str | None = None  # on a warm machine that takes several
    refused: tuple[str, ...] = ()  # what was better ranked and not taken, with the reason


class AttemptLaunched(Fact, frozen=True, kw_only=True):
    """The provider took the order, or was seen to have taken it."""

    run_id: str
    attempt_id: str


class LaunchRefused(Fact, frozen=True, kw_only=True):
    """The provider said no; there is no machine and no charge. `kind`: no_capacity, quota, unavailable, bad_request."""

    run_id: str
    attempt_id: str
    provider: str
    offer_id: str
    kind: str
    reason: str


class AttemptStarted(Fact, frozen=True, kw_only=True):
    """`reason` says why it has these limits: the user's, the plan's, or bigger after running out of memory."""

    run_id: str
    attempt_id: str
    limits: Limits
    reason: str


class ProgressReported(Fact, frozen=True, kw_only=True):
    run_id: str
    attempt_id: str
    share: float  # of the run's whole work, 0 to 1


class NoticeReceived(Fact, frozen=True, kw_only=True):
    """The provider will take the machine away at `ends_at_seconds`."""

    run_id: str
    attempt_id: str
    ends_at_seconds: float


class MachineMissed(Fact, frozen=True, kw_only=True):
    """It is not in the listing any more; believed only when that lasts. Of a host: run_id is ""."""

    run_id: str
    attempt_id: str


class MachineSeen(Fact, frozen=True, kw_only=True):
    """It had been missed, and is back."""

    run_id: str
    attempt_id: str


class AttemptStopping(Fact, frozen=True, kw_only=True):
    """flyball ends it: cancelled, too long, or moved to a better market. `outcome` is how it will count."""

    run_id: str
    attempt_id: str
    outcome: Outcome
    reason: str


class AttemptEnded(Fact, frozen=True, kw_only=True):
    run_id: str
    attempt_id: str
    receipt: Receipt
    cost_usd: str | None = None  # decimal; what the machine charged for it; "0" on an own machine
    cost_reason: str = ""
    gone_at_seconds: float | None = None  # its machine had ended by then; None: it is still to be given back


class MachineReleased(Fact, frozen=True, kw_only=True):
    """Given back; `charge` is final as far as prices tell. Of a host: run_id is ""."""

    run_id: str
    attempt_id: str
    charge: Charge
    job: str = ""
    tags: dict[str, str] = {}


# Warm machines that take several small attempts


class HostPlanned(Fact, frozen=True, kw_only=True):
    host_id: str
    provider: str
    offer: Offer
    reason: str


class HostLaunched(Fact, frozen=True, kw_only=True):
    host_id: str


class HostEnding(Fact, frozen=True, kw_only=True):
    """No more attempts go to it; it is released when the last has ended."""

    host_id: str
    reason: str
    gone_at_seconds: float | None = None  # it had ended by then; None: it is still to be given back


# The world


class ZombieFound(Fact, frozen=True, kw_only=True):
    """A machine that no live attempt owns; it is released."""

    provider: str
    attempt_id: str
    reason: str


class AlertRaised(Fact, frozen=True, kw_only=True):
    """`key` says what it is about, so that the same thing is not told twice."""

    key: str
    kind: str  # run_failed, deadline_missed, deadline_at_risk, unusual, held, zombie, budget, catalog_stale, launch
    words: str
    job: str = ""
    run_id: str = ""


class AlertSent(Fact, frozen=True, kw_only=True):
    key: str
    channel: str


AnyFact = (
    RunSubmitted
    | AttemptStarted
    | AttemptEnded
    | RunPlanned
    | JobRenamed
    | JobApplied
    | JobRemoved
    | JobPaused
    | JobResumed
    | SlotSkipped
    | ObjectsArrived
    | RunHeld
    | CancelAsked
    | RunEnded
    | AttemptPlanned
    | AttemptLaunched
    | LaunchRefused
    | ProgressReported
    | NoticeReceived
    | MachineMissed
    | MachineSeen
    | AttemptStopping
    | MachineReleased
    | HostPlanned
    | HostLaunched
    | HostEnding
    | ZombieFound
    | AlertRaised
    | AlertSent
)
