"""The run that a schedule, another job, arrived objects or a backfill starts: its id, its fills, its deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from flyball.errors import InputError
from flyball.model.facts import RunSubmitted
from flyball.model.job import Features, RunSpec
from flyball.model.spec import JobSpec
from flyball.policy.cron import zone_named
from flyball.policy.deadline import deadline_of
from flyball.policy.patterns import pattern
from flyball.policy.run_ids import run_id_of

TIME_FILLS = ("day", "yesterday", "month", "hour", "slot")
OBJECT_FILLS = ("object", "objects")


_BRACED = pattern(r"\{(\w+)\}")


def filled(text: str, fills: Mapping[str, str]) -> str:
    """{day} and the like replaced by what they stand for in this run; other braces stay, also those in a filled value."""
    return _BRACED.sub(lambda match: fills.get(match[1], match[0]), text) if "{" in text else text


def zone_of(spec: JobSpec) -> str:
    """The time zone that the job's days and hours are in."""
    return spec.goal.timezone or (spec.schedule.timezone if spec.schedule else "UTC")


def time_fills(spec: JobSpec, at_seconds: float) -> dict[str, str]:
    """What {day} and the like stand for in a run that is due then, in the job's time zone."""
    local = _local(zone_of(spec), at_seconds)
    return {
        "day": local.strftime("%Y-%m-%d"),
        "yesterday": (local.replace(tzinfo=None) - timedelta(days=1)).strftime("%Y-%m-%d"),
        "month": local.strftime("%Y-%m"),
        "hour": local.strftime("%H"),
        "slot": local.isoformat(timespec="seconds"),
    }


def submission(
    spec: JobSpec,
    *,
    run_id: str,
    cause: str,
    now_seconds: float,
    due_seconds: float,
    fills: Mapping[str, str],
    slot_seconds: float | None = None,
    after_runs: Sequence[str] = (),
    batch: str | None = None,
    group: str | None = None,
    backfill: str | None = None,
    backfill_at_once: int | None = None,
    input_bytes: int | None = None,
    input_objects: int | None = None,
) -> RunSubmitted:
    """A run of that job. One of a backfill has no deadline: it is late from the start."""
    offset = _local(zone_of(spec), now_seconds).utcoffset()
    run = RunSpec(
        run_id=run_id,
        job=spec.name,
        job_reason="named in its definition",
        command=spec.command,
        workdir=spec.workdir,
        inputs=tuple(filled(text, fills) for text in spec.inputs),
        features=Features(
            started_at_seconds=now_seconds,
            utc_offset_seconds=int(offset.total_seconds()) if offset else 0,
            input_bytes=input_bytes,
            input_objects=input_objects,
        ),
        tags=spec.tags,
    )
    return RunSubmitted(
        at_seconds=now_seconds,
        run=run,
        spec=spec,
        cause=cause,
        due_seconds=due_seconds,
        slot_seconds=slot_seconds,
        after_runs=tuple(after_runs),
        batch=batch,
        deadline_seconds=deadline_of(spec, due_seconds) if backfill is None else None,
        fills=dict(fills),
        backfill=backfill,
        backfill_at_once=backfill_at_once,
        group=group,
    )


def scheduled_run_id(job: str, slot_seconds: float) -> str:
    """The same for the same job and slot, whoever submits it and however often."""
    return run_id_of(slot_seconds, "slot", job, repr(slot_seconds))


def show_slot(spec: JobSpec, slot_seconds: float) -> str:
    """ "2026-11-21 06:00 Europe/Berlin"."""
    local = _local(zone_of(spec), slot_seconds)
    return f"{local:%Y-%m-%d %H:%M}{f':{local:%S}' if local.second else ''} {zone_of(spec)}"


def _local(timezone: str, at_seconds: float) -> datetime:
    """On the wall clock there; in UTC where this machine does not know the zone, so that nothing stops."""
    try:
        zone = zone_named(timezone)
    except InputError:
        zone = zone_named("UTC")
    return datetime.fromtimestamp(at_seconds, zone)
