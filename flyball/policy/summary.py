"""Rows of attempts folded into one line a job."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome
from flyball.model.summary import JobSummary

RECENT_RUNS = 12  # as many as a sparkline in a table holds without crowding out the figures


def summarise(rows: Sequence[AttemptRow], *, recent: int = RECENT_RUNS) -> list[JobSummary]:
    """One summary a job, the job that ran last first. `rows` are oldest first, as the store gives them."""
    jobs: dict[str, list[AttemptRow]] = {}
    for row in rows:
        try:
            jobs[row.job].append(row)
        except KeyError:
            jobs[row.job] = [row]
    found = [_summary(job, attempts, recent) for job, attempts in jobs.items()]
    found.sort(key=lambda summary: (-summary.last_at_seconds, summary.job))
    return found


def _summary(job: str, attempts: list[AttemptRow], recent: int) -> JobSummary:
    # Rows of one run may lie between another's: the last attempt of each run, in the order in which runs started.
    last_attempts = list({row.run_id: row for row in attempts}.values())
    latest = last_attempts[-recent:] if recent else []
    newest = attempts[-1]
    good_seconds = sorted(
        row.wall_seconds
        for row in last_attempts
        if row.outcome is Outcome.SUCCEEDED and row.wall_seconds is not None
    )
    costs = [float(row.cost_usd) for row in attempts if row.cost_usd is not None]
    return JobSummary(
        job=job,
        runs=len(last_attempts),
        runs_failed=sum(row.outcome not in _NOT_FAILED for row in last_attempts),
        attempts=len(attempts),
        attempts_out_of_memory=sum(row.outcome is Outcome.OUT_OF_MEMORY for row in attempts),
        first_at_seconds=attempts[0].started_at_seconds,
        last_at_seconds=newest.started_at_seconds,
        last_utc_offset_seconds=newest.utc_offset_seconds,
        last_run_id=newest.run_id,
        recent_outcomes=tuple(row.outcome for row in latest),
        recent_memory_bytes=tuple(row.memory_bytes_max for row in latest),
        recent_wall_seconds=tuple(row.wall_seconds for row in latest),
        wall_seconds_p50=good_seconds[len(good_seconds) // 2] if good_seconds else None,
        memory_bytes_max=max(
            (row.memory_bytes_max for row in attempts if row.memory_bytes_max), default=None
        ),
        cost_usd=sum(costs) if costs else None,
        attempts_cost_unknown=sum(row.cost_usd is None and row.outcome is not None for row in attempts),
    )


_NOT_FAILED = frozenset({Outcome.SUCCEEDED, None})
