"""Pages and JSON of `ps`, `submit`, `wait` and the like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from flyball.app.look import Look
from flyball.app.tables import Cell, Column, table
from flyball.app.when import utc_time
from flyball.model.facts import RunSubmitted
from flyball.model.snapshot import JobState
from flyball.model.status import RunStatus
from flyball.model.units import show_seconds, show_usd
from flyball.policy.schedule import next_due_seconds

_STYLES = {
    "running": ("cyan",),
    "provisioning": ("cyan",),
    "held": ("yellow",),
    "pending": ("dim",),
    "succeeded": ("green",),
    "failed": ("red",),
    "cancelled": ("dim",),
}
_COLUMNS = (
    Column(title="run", keep=99),
    Column(title="job", cut=True, least=10, keep=20),
    Column(title="state", keep=20),
    Column(title="since", right=True, keep=9),
    Column(title="on", cut=True, least=8, keep=7),
    Column(title="done", right=True, keep=6),
    Column(title="tries", right=True, keep=3),
    Column(title="cost", right=True, keep=5),
    Column(title="why", cut=True, least=20, keep=8),
)


def ps_page(statuses: Sequence[RunStatus], look: Look, now_seconds: float) -> str:
    """One line a run, or what to do when there is none."""
    if not statuses:
        return (
            "no runs are waiting or running\n  try: flyball submit JOB, or flyball run --on local -- COMMAND"
        )
    return table(_COLUMNS, [_row(status, now_seconds) for status in statuses], look)


def _row(status: RunStatus, now_seconds: float) -> list[Cell | str]:
    since = max(0.0, now_seconds - status.since_seconds)
    where = "" if status.provider is None else status.provider
    if status.instance_type and status.provider != "local":
        where += f" {status.instance_type} {'spot' if status.market == 'spot' else ''}".rstrip()
    return [
        status.run_id,
        status.job,
        Cell(status.state, _STYLES.get(status.state, ())),
        show_seconds(since),
        where,
        "" if status.progress is None else f"{status.progress:.0%}",
        "" if status.attempts < 2 else str(status.attempts),
        "" if not status.cost_usd else show_usd(status.cost_usd),
        "" if status.state == "running" else status.reason,
    ]


def status_json(status: RunStatus) -> dict[str, Any]:
    """The fields of RunStatus, and times as text."""
    return {
        **msgspec.to_builtins(status),
        "since_at": utc_time(status.since_seconds),
        "submitted_at": utc_time(status.submitted_seconds),
    }


def submitted_json(submitted: Sequence[RunSubmitted]) -> list[dict[str, Any]]:
    return [
        {
            "run_id": each.run.run_id,
            "job": each.run.job,
            "cause": each.cause,
            "fills": each.fills,
            "deadline_at": None if each.deadline_seconds is None else utc_time(each.deadline_seconds),
        }
        for each in submitted
    ]


def defined_page(jobs: Sequence[JobState], look: Look, now_seconds: float) -> str:
    """Defined jobs: what starts them, and when next."""
    columns = (
        Column(title="job", cut=True, least=10, keep=99),
        Column(title="starts", cut=True, least=12, keep=20),
        Column(title="next", keep=15),
        Column(title="last", keep=9),
        Column(title="on", keep=5),
    )
    rows: list[list[Cell | str]] = []
    for job in jobs:
        due = next_due_seconds(job, now_seconds)
        last = "" if job.last_result is None else job.last_result.value
        rows.append(
            [
                job.spec.name,
                "paused" if job.paused else starts_words(job),
                "" if due is None else f"in {show_seconds(max(0.0, due - now_seconds))}",
                Cell(last, _STYLES.get(last, ())),
                ", ".join(job.spec.providers),
            ]
        )
    return table(columns, rows, look)


def defined_json(jobs: Sequence[JobState], now_seconds: float) -> list[dict[str, Any]]:
    """One object a defined job."""
    found = []
    for job in jobs:
        due = next_due_seconds(job, now_seconds)
        found.append(
            {
                "name": job.spec.name,
                "command": job.spec.command,
                "starts": starts_words(job),
                "paused": job.paused,
                "next_at_seconds": due,
                "next_at": None if due is None else utc_time(due),
                "last_result": None if job.last_result is None else job.last_result.value,
                "providers": job.spec.providers,
                "tags": job.spec.tags,
                "source": job.spec.source,
            }
        )
    return found


def starts_words(job: JobState) -> str:
    """ "0 6 * * 1-5 Europe/Berlin", "every 15 min", "after extract and load", "when objects arrive at s3://raw/"."""
    spec, parts = job.spec, []
    if spec.schedule is not None and spec.schedule.cron is not None:
        parts.append(f"{spec.schedule.cron} {spec.schedule.timezone}")
    elif spec.schedule is not None and spec.schedule.every_seconds is not None:
        parts.append(f"every {show_seconds(spec.schedule.every_seconds)}")
    if spec.after is not None:
        parts.append("after " + (" and " if spec.after.needs_all else " or ").join(spec.after.jobs))
    if spec.arrival is not None:
        parts.append(f"when objects arrive at {spec.arrival.prefix}")
    return "; ".join(parts) or "by hand"
