"""One run for each day, month or hour of a span that has passed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from flyball.errors import InputError
from flyball.model.facts import RunSubmitted
from flyball.model.spec import JobSpec
from flyball.policy.cron import zone_named
from flyball.policy.run_ids import run_id_of
from flyball.policy.schedule_run import submission, time_fills, zone_of

RUNS_MAX = 10_000
AT_ONCE = 4
_HINT = "2026-10-01..2026-10-31, 2026-01..2026-06 or 2026-10-01T00..2026-10-01T23"
_FORMS = {"%Y-%m-%d": "day", "%Y-%m": "month", "%Y-%m-%dT%H": "hour"}


def backfill(
    spec: JobSpec, span: str, *, at_once: int | None = None, now_seconds: float
) -> list[RunSubmitted]:
    """Runs for "2026-10-01..2026-10-31" (days), "2026-01..2026-06" (months), "2026-10-01T00..2026-10-01T23" (hours);
    both ends belong to it, and one date alone is one run. Oldest first.

    At most `at_once` of them run at the same time (default: what the job allows, else 4). They have no deadline.
    Raises: InputError for a span that cannot be read, goes backwards, or has more than 10,000 runs.
    """
    if at_once is not None and at_once < 1:
        raise InputError(f"{at_once} runs at once would never start", hint="--at-once 4")
    moments = list(_moments(span, spec))
    name = run_id_of(now_seconds, "backfill", spec.name, span, repr(now_seconds))
    return [
        submission(
            spec,
            run_id=run_id_of(now_seconds, "backfill", name, label),
            cause=f"backfill {span}: {label}",
            now_seconds=now_seconds,
            due_seconds=now_seconds,
            fills=time_fills(spec, at_seconds),
            group=f"for {label}",
            backfill=name,
            backfill_at_once=at_once or spec.holding.runs_at_once or AT_ONCE,
        )
        for at_seconds, label in moments
    ]


def _moments(span: str, spec: JobSpec) -> Iterator[tuple[float, str]]:
    """(when that day, month or hour begins in the job's time zone, what it is called)."""
    first_text, dots, last_text = (part.strip() for part in span.partition(".."))
    form, unit, first = _read(first_text, span)
    last_form, _, last = _read(last_text, span) if dots else (form, unit, first)
    if form != last_form:
        raise InputError(f"{span!r} begins with one kind of date and ends with another", hint=_HINT)
    if last < first:
        raise InputError(f"{span!r} ends before it begins", hint=f"{last_text}..{first_text}")
    zone = zone_named(zone_of(spec))
    at, count = first, 0
    while at <= last:
        count += 1
        if count > RUNS_MAX:
            raise InputError(f"{span!r} is more than {RUNS_MAX:,} runs", hint="a shorter span, then the rest")
        at_seconds = at.replace(tzinfo=zone).timestamp()
        if datetime.fromtimestamp(at_seconds, zone).strftime(form) == at.strftime(
            form
        ):  # else the clock jumped it
            yield at_seconds, at.strftime(form)
        if unit == "month":
            at = (at + timedelta(days=32)).replace(day=1)
        else:
            at += timedelta(days=1) if unit == "day" else timedelta(hours=1)


def _read(text: str, span: str) -> tuple[str, str, datetime]:
    for form, unit in _FORMS.items():
        try:
            at = datetime.strptime(text, form)  # noqa: DTZ007 - of the wall clock; its zone is the job's
        except ValueError:
            continue
        return form, unit, at
    raise InputError(f"{span!r} is not a span of days", why=f"{text!r} is not a date", hint=_HINT)
