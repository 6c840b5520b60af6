"""What starts a job: its schedule, other jobs, objects that arrive."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from flyball.app.jobs_file_fields import Fields
from flyball.app.jobs_file_values import as_choice, as_flag, as_seconds, as_text, as_texts, shown
from flyball.errors import InputError
from flyball.model.spec import After, Arrival, CatchUp, Overlap, Schedule
from flyball.policy.cron import parse_cron, zone_named
from flyball.policy.redaction import redact_text

EVERY_SECONDS_MIN = 1.0
_SCHEMES = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "http", "https", "file")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)\Z", re.DOTALL)
_ARRIVAL_KEYS = "prefix, suffix, settled, marker, every, together, existing"


def timezone_of(fields: Fields) -> str | None:
    """As it is written; None when it is not."""
    zone = fields.raw("timezone")
    return zone if isinstance(zone, str) else None


def schedule_of(fields: Fields) -> Schedule | None:
    """None when the clock does not start it."""
    cron, every = fields.read("schedule", _cron), fields.read("every", _every)
    zone = fields.get("timezone", _zone, "UTC")
    catch_up = fields.get("catch_up", _member(CatchUp), CatchUp.LAST)
    fields.only_with("catch_up", ["schedule", "every"])
    if "schedule" in fields and "every" in fields:
        fields.problem(
            "every", InputError("a job has either a schedule or an interval", hint="leave one out")
        )
    if cron is None and every is None:
        return None
    return Schedule(cron=cron, every_seconds=every, timezone=zone, catch_up=catch_up)


def overlap_of(fields: Fields, schedule: Schedule | None, arrival: Arrival | None) -> Overlap:
    """Unless it is said: runs that catch up go one after the other, runs of single objects side by side, and of all
    others there is one at a time."""
    given: Overlap | None = fields.read("overlap", _member(Overlap))
    everything = schedule is not None and schedule.catch_up is CatchUp.ALL
    if everything and given in {Overlap.SKIP, Overlap.REPLACE}:
        why = 'catch_up = "all" starts several at once, and this would drop all but one'
        fields.problem(
            "overlap", InputError(f"{given.value!r} contradicts catch_up", why=why, hint='"queue"')
        )
    if given is not None:
        return given
    if everything:
        return Overlap.QUEUE
    return Overlap.ALLOW if arrival is not None and not arrival.together else Overlap.SKIP


def after_of(fields: Fields) -> After | None:
    fields.only_with("needs", ["after"])
    fields.only_with("even_failed", ["after"])
    jobs = fields.read("after", as_texts)
    needs = fields.get("needs", functools.partial(as_choice, names=["all", "any"]), "all")
    even_failed = fields.get("even_failed", as_flag, False)
    if jobs is None:
        return None
    if not jobs:
        fields.problem("after", InputError("it names no job", hint='after = ["extract"]'))
        return None
    return After(jobs=tuple(dict.fromkeys(jobs)), needs_all=needs == "all", even_failed=even_failed)


def arrival_of(fields: Fields, folder: Path) -> Arrival | None:
    """A prefix alone, or a table."""
    if isinstance(fields.raw("on_arrival"), str):
        prefix = fields.read("on_arrival", lambda value: _prefix(value, folder))
        return None if prefix is None else Arrival(prefix=prefix)
    table = fields.table("on_arrival")
    if table is None:
        return None
    usual = Arrival(prefix="")
    prefix = table.read("prefix", lambda value: _prefix(value, folder))
    if "prefix" not in table:
        table.problem(
            "", InputError("it needs a prefix", why=f"keys are {_ARRIVAL_KEYS}", hint='prefix = "s3://raw/"')
        )
    if "marker" in table and "suffix" in table:
        table.problem(
            "suffix", InputError("with a marker, whole folders arrive", hint="leave out suffix or marker")
        )
    if "marker" in table and "settled" in table:
        table.problem(
            "settled", InputError("with a marker, nothing needs to settle", hint="leave out one of them")
        )
    arrival = Arrival(
        prefix=prefix or "",
        suffix=table.get("suffix", as_text, usual.suffix),
        settled_seconds=table.get("settled", as_seconds, usual.settled_seconds),
        marker=table.read("marker", _name),
        poll_seconds=table.get("every", as_seconds, usual.poll_seconds),
        together=table.get("together", as_flag, usual.together),
        existing=table.get("existing", as_flag, usual.existing),
    )
    table.finish()
    return None if prefix is None else arrival


def _cron(value: Any) -> str:
    expression = as_text(value)
    parse_cron(expression)
    return expression


def _every(value: Any) -> float:
    seconds = as_seconds(value)
    if seconds < EVERY_SECONDS_MIN:
        raise InputError(f"{shown(value)} is too often", why="once a second is the most", hint='"1m"')
    return seconds


def _zone(value: Any) -> str:
    name = as_text(value)
    zone_named(name)
    return name


def _name(value: Any) -> str:
    name = as_text(value)
    if "/" in name:
        raise InputError(f"{name!r} is not a file's name", hint='"_SUCCESS"')
    return name


def _member(kind: Any) -> Any:
    return lambda value: kind(as_choice(value, [member.value for member in kind]))


def _prefix(value: Any, folder: Path) -> str:
    text = as_text(value)
    if redact_text(text) != text:
        raise InputError(
            "it holds what looks like a secret",
            why="it is kept in the record",
            hint="credentials in the environment",
        )
    match = _URL.match(text)
    if match is None:
        path = (folder / Path(text).expanduser()).absolute()
        return f"{path}/" if text.endswith("/") else str(path)
    if match[1].lower() not in _SCHEMES or not match[2].strip("/"):
        raise InputError(
            f"{text!r} cannot be watched", why=f"there are a folder, {', '.join(_SCHEMES)}", hint="s3://raw/"
        )
    return match[2] if match[1].lower() == "file" else text
