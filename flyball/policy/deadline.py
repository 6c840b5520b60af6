"""When a run must be done."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from flyball.model.spec import JobSpec


def deadline_of(spec: JobSpec, due_seconds: float) -> float | None:
    """Epoch seconds; None when the job has no deadline. A time of day is the next one after the run was due, in the
    schedule's zone."""
    goal = spec.goal
    if goal.deadline_seconds is not None:
        return due_seconds + goal.deadline_seconds
    if goal.deadline_at is None:
        return None
    zone = ZoneInfo(goal.timezone or (spec.schedule.timezone if spec.schedule else "UTC"))
    due = datetime.fromtimestamp(due_seconds, zone)
    hour, minute = (int(part) for part in goal.deadline_at.split(":"))
    at = due.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if at.timestamp() <= due_seconds:
        at = (at + timedelta(days=1)).replace(fold=0)
    return at.timestamp()
