"""Limits on what the governor may do, whatever its policies say: the [governor] table of flyball.toml."""

from __future__ import annotations

import msgspec


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """At most `runs_max` attempts at once of all that match; None matches everything."""

    job: str | None = None
    tag: str | None = None  # "team=data"
    provider: str | None = None
    runs_max: int


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What may be held of one provider at once."""

    provider: str
    market: str | None = None  # "spot", "on_demand"; None: both together
    vcpus_max: float | None = None
    machines_max: int | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Dollars a calendar month (UTC) of all that matches; what runs is counted with what it has cost so far."""

    job: str | None = None
    tag: str | None = None
    usd_per_month: float
    alert_share: float = 0.8  # an alert when so much of it is spent


class Ceilings(msgspec.Struct, frozen=True, kw_only=True):
    """Checked by the loop itself before anything is launched."""

    usd_per_hour_max: float | None = None  # of all machines held at once
    launches_per_hour_max: int = 2000
    slots: tuple[Slots, ...] = ()
    quotas: tuple[Quota, ...] = ()
    budgets: tuple[Budget, ...] = ()
    lease_seconds: float = (
        900.0  # machines end themselves when the governor has not been heard of for so long
    )
    zombie_grace_seconds: float = 120.0
    lost_after_seconds: float = 300.0  # a missing machine is given up when it has been missing for so long
