"""What is asked of a provider (Launch), what it reports (Machine), and what it can do (Capabilities)."""

from __future__ import annotations

import enum

import msgspec

from flyball.model.outcome import Outcome
from flyball.model.receipt import Limits, Receipt
from flyball.model.resource import Offer, Size
from flyball.model.spec import SpotAsk, SuccessRules


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is like; decisions read this, never its name."""

    launch_seconds_max: float = 600.0  # an attempt that has not started by then never will
    boot_seconds: float = 40.0  # usual time from the launch call to the command
    listing_lag_seconds: float = 0.0  # a fresh launch may be missing from the listing for so long
    minimum_billed_seconds: float = 0.0
    bills_by_machine: bool = True  # False: own hardware, nothing is charged
    shared_machine: Size | None = (
        None  # all attempts share one machine of this size (local); None: one machine each
    )
    hosts: bool = False  # can keep a machine warm that takes several small attempts
    vcpus_max: float | None = None  # quota, where the provider knows it
    machines_max: int | None = None
    not_included: tuple[str, ...] = ()  # parts of the bill that its charges leave out


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Start this attempt, or (is_host) a machine that waits for attempts. `env` and `command` may hold secrets."""

    run_id: str
    attempt_id: str  # of a host: its host id
    job: str
    offer: Offer
    size: Size
    limits: Limits
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}  # beside the provider's own environment
    workdir: str | None = None
    tags: dict[str, str] = {}
    success: SuccessRules = SuccessRules()
    spot: SpotAsk = SpotAsk()
    lease_seconds: float = 900.0  # dead man's switch: it ends itself when not renewed for so long
    is_host: bool = False
    host_id: str | None = None  # run it on that warm machine


class Stage(enum.Enum):
    STARTING = "starting"  # bought, not yet running the command
    RUNNING = "running"
    ENDED = "ended"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One launch as its provider reports it, until it is released."""

    attempt_id: str
    stage: Stage
    offer_id: str = ""
    is_host: bool = False
    host_id: str | None = None
    run_id: str = ""  # from its tags; may be unknown
    job: str = ""
    price_usd_per_hour: str | None = None
    launched_at_seconds: float | None = None
    started_at_seconds: float | None = None  # of the command
    ended_at_seconds: float | None = None
    gone_at_seconds: float | None = None  # of the machine itself: it costs nothing since; None: it is there
    outcome: Outcome | None = None  # when it ended
    receipt: Receipt | None = None  # the wrapper's, if it could still tell
    notice_ends_at_seconds: float | None = None  # the provider will take it away then
    progress: float | None = None  # share of the work done, 0 to 1, as the job reports it
