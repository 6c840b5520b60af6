"""From the [governor] table to the ceilings that hold whatever the policies say."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from flyball.app.jobs_file_fields import Fields
from flyball.app.jobs_file_values import (
    as_choice,
    as_cores,
    as_count,
    as_seconds,
    as_share,
    as_text,
    as_usd,
    near,
)
from flyball.errors import InputError
from flyball.model.ceilings import Budget, Ceilings, Quota, Slots
from flyball.model.resource import Market

TICK_SECONDS = 5.0


def governor_of(fields: Fields, *, providers: Sequence[str], jobs: Sequence[str]) -> tuple[Ceilings, float]:
    """(ceilings, seconds between ticks)."""
    usual = Ceilings()
    ceilings = Ceilings(
        usd_per_hour_max=fields.read("usd_per_hour_max", as_usd),
        launches_per_hour_max=fields.get(
            "launches_per_hour_max", functools.partial(as_count, low=1), usual.launches_per_hour_max
        ),
        slots=tuple(_slots(table, providers, jobs) for table in _each(fields, "slots")),
        quotas=tuple(_quota(table, providers) for table in _each(fields, "quota")),
        budgets=tuple(_budget(table, jobs) for table in _each(fields, "budget")),
        lease_seconds=fields.get("lease", as_seconds, usual.lease_seconds),
        zombie_grace_seconds=fields.get("zombie_grace", as_seconds, usual.zombie_grace_seconds),
        lost_after_seconds=fields.get("lost_after", as_seconds, usual.lost_after_seconds),
    )
    tick_seconds = fields.get("tick", as_seconds, TICK_SECONDS)
    if ceilings.lease_seconds < 3 * tick_seconds:
        fields.problem(
            "lease" if "lease" in fields else "tick",
            InputError(
                "machines would end themselves between two ticks",
                why=f"the lease is {ceilings.lease_seconds:g} s, a tick {tick_seconds:g} s",
                hint='lease = "15m"',
            ),
        )
    fields.finish()
    return ceilings, tick_seconds


def _each(fields: Fields, key: str) -> list[Fields]:
    return fields.tables(key, hint=f"[[governor.{key}]]")


def _slots(fields: Fields, providers: Sequence[str], jobs: Sequence[str]) -> Slots:
    at_once = fields.read("at_once", functools.partial(as_count, low=1))
    if at_once is None and "at_once" not in fields:
        fields.problem("", InputError("how many slots are there?", hint="at_once = 4"))
    slots = Slots(
        job=_job(fields, jobs),
        tag=fields.read("tag", _tag),
        provider=fields.read("provider", lambda value: as_choice(value, providers)),
        runs_max=at_once or 1,
    )
    fields.finish()
    return slots


def _quota(fields: Fields, providers: Sequence[str]) -> Quota:
    markets = [market.value for market in Market]
    quota = Quota(
        provider=fields.read("provider", lambda value: as_choice(value, providers)) or "",
        market=fields.read("market", lambda value: as_choice(value, markets)),
        vcpus_max=fields.read("vcpus", _vcpus),
        machines_max=fields.read("machines", functools.partial(as_count, low=1)),
    )
    if "provider" not in fields:
        fields.problem(
            "", InputError("a quota of which provider?", hint=f'provider = "{(*providers, "aws")[0]}"')
        )
    if "vcpus" not in fields and "machines" not in fields:
        fields.problem("", InputError("a quota of what?", hint="vcpus = 64, or machines = 10"))
    fields.finish()
    return quota


def _budget(fields: Fields, jobs: Sequence[str]) -> Budget:
    usd = fields.read("usd_per_month", as_usd)
    if usd is None and "usd_per_month" not in fields:
        fields.problem("", InputError("a budget of how much?", hint="usd_per_month = 500"))
    budget = Budget(
        job=_job(fields, jobs),
        tag=fields.read("tag", _tag),
        usd_per_month=usd or 1.0,
        alert_share=fields.get("alert_at", as_share, 0.8),
    )
    fields.finish()
    return budget


def _job(fields: Fields, jobs: Sequence[str]) -> str | None:
    job = fields.read("job", as_text)
    if job is not None and job not in jobs:
        meant = near(job, jobs)
        why = f"did you mean {meant}?" if meant else "it holds as soon as there is one"
        fields.warning("job", InputError(f"no job {job!r} is defined here", why=why))
    return job


def _tag(value: object) -> str:
    text = as_text(value)
    if "=" not in text.strip("="):
        raise InputError(f"{text!r} is not a tag and its value", hint='"team=data"')
    return text


def _vcpus(value: object) -> float | None:
    low, high = as_cores(value)
    if high is not None:
        raise InputError(f"{value!r} is a range", hint="64")
    return low
