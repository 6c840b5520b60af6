"""A job as it was defined: what to run, how big, when, until when, and what to do when it goes wrong."""

from __future__ import annotations

import enum

import msgspec

from flyball.model.resource import Arch


class Overlap(enum.Enum):
    """What happens when a run is due and the last one of the job has not ended."""

    SKIP = "skip"
    ALLOW = "allow"
    QUEUE = "queue"
    REPLACE = "replace"


class CatchUp(enum.Enum):
    """Which of the times that passed while nobody was there are still run."""

    LAST = "last"
    ALL = "all"
    SKIP = "skip"


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Either `cron` (five fields) or `every_seconds`."""

    cron: str | None = None
    every_seconds: float | None = None
    timezone: str = "UTC"  # IANA name; cron's fields are this zone's wall clock
    catch_up: CatchUp = CatchUp.LAST


class After(msgspec.Struct, frozen=True, kw_only=True):
    """Runs when other jobs have run."""

    jobs: tuple[str, ...]
    needs_all: bool = True  # False: any one of them
    even_failed: bool = False  # True: however they ended


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """Runs when objects appear under a prefix."""

    prefix: str  # folder or URL: s3://bucket/raw/
    suffix: str = ""  # only objects that end so
    settled_seconds: float = 60.0  # an object is complete when size and etag have not changed for that long
    marker: str | None = None  # or: a folder is complete when it holds this name, e.g. _SUCCESS
    poll_seconds: float = 60.0
    together: bool = False  # True: one run for all that came since the last; False: one run each
    existing: bool = True  # False: what was last changed before the job was defined is left alone


class SizeAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What the user says about size; what is None is planned from history.

    `memory_bytes` with `memory_bytes_max` is a range: it starts where the plan says within it, and grows after an
    out-of-memory end. `memory_bytes` alone is a limit that stays.
    """

    memory_bytes: int | None = None
    memory_bytes_max: int | None = None
    cpu_cores: float | None = None
    cpu_cores_max: float | None = None
    gpus: int = 0
    gpu_models: tuple[str, ...] = ()
    archs: tuple[Arch, ...] = ()  # empty: the one it has run on, else any
    families: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part of an attempt may take; None: no limit, or the provider's own for a launch."""

    launch_seconds: float | None = None
    run_seconds: float | None = None
    run_times_usual: float | None = None  # times the job's usual p95, once five runs are known
    stalled_seconds: float | None = None
    grace_seconds: float = 10.0


class RowCount(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that an output (CSV, JSON lines, Parquet) must have."""

    path: str
    rows_min: int = 0
    rows_max: int | None = None


class SuccessRules(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold beside exit code 0; else the attempt ends as incomplete_output."""

    outputs: tuple[str, ...] = ()  # exist, are not empty, are newer than the attempt's start
    check: tuple[str, ...] = ()  # a command that must end with 0
    check_seconds: float = 300.0
    rows: tuple[RowCount, ...] = ()


class SpotAsk(msgspec.Struct, frozen=True, kw_only=True):
    """Which market, and what an interruption costs."""

    market: str = "auto"  # "auto", "spot", "on_demand"
    checkpoint: str | None = None  # folder or URL it resumes from; None: it starts over
    changeover_seconds: float | None = None  # None: as measured, else the provider's own start time


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """`deadline_seconds` counts from when the run was due; `deadline_at` is "06:30", the next such time in `timezone`,
    else the schedule's zone."""

    deadline_seconds: float | None = None
    deadline_at: str | None = None
    late_tolerated: float = 0.0  # chance of missing it that may be taken to save money
    timezone: str | None = None
    usd_per_run: float | None = None  # a budget: beyond it nothing more is launched for the run


class Tenacity(msgspec.Struct, frozen=True, kw_only=True):
    """Retries of the job's own failures, and the ceilings on everything else."""

    retries: int = 0
    backoff_seconds: float = 10.0  # doubles with each failure, with jitter
    backoff_seconds_max: float = 600.0
    launches_max: int = 24  # of all kinds, per run


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """How a run waits for its turn."""

    runs_at_once: int | None = None  # of this job
    alert_after_seconds: float = 3600.0
    force_to: str | None = None  # a provider to go to when held for too long
    force_after_seconds: float | None = None
    priority: int = 0  # higher first


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One job. Values that may be secret (the command as typed, env) are not in it: `paper` names the private file."""

    name: str
    command: tuple[str, ...]  # redacted; {day} and the like are filled in per run
    paper: str  # hash of the private paper that holds command and env as they are
    workdir: str | None = None
    inputs: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    providers: tuple[str, ...] = ("local",)
    size: SizeAsk = SizeAsk()
    schedule: Schedule | None = None
    after: After | None = None
    arrival: Arrival | None = None
    overlap: Overlap = Overlap.SKIP
    goal: Goal = Goal()
    tenacity: Tenacity = Tenacity()
    patience: Patience = Patience()
    success: SuccessRules = SuccessRules()
    spot: SpotAsk = SpotAsk()
    holding: Holding = Holding()
    source: str = ""  # "flyball.toml:12", "jobs.py:30", "command line"
