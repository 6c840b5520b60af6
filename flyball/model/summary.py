"""A job in one line: what its runs used lately, how they ended, what comes next."""

from __future__ import annotations

import msgspec

from flyball.model.outcome import Outcome


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`recent_...` hold one entry for each of the last runs (its last attempt), oldest first, all of one length."""

    job: str
    runs: int
    runs_failed: int  # whose last attempt did not succeed
    attempts: int
    attempts_out_of_memory: int = 0
    first_at_seconds: float
    last_at_seconds: float
    last_utc_offset_seconds: int = 0
    last_run_id: str
    recent_outcomes: tuple[Outcome | None, ...] = ()
    recent_memory_bytes: tuple[int | None, ...] = ()
    recent_wall_seconds: tuple[float | None, ...] = ()
    wall_seconds_p50: float | None = None  # of all runs that succeeded
    memory_bytes_max: int | None = None  # of all runs
    cost_usd: float | None = None  # known costs added up; None when no attempt's cost is known
    attempts_cost_unknown: int = 0
    next_plan: str | None = None  # "2 cores, 1.5 GiB -> aws c7g.large spot, $0.0004 a run"
