"""Every machine that is held, whoever holds it: what for, since when, and what it has cost so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from flyball.model.charge import NANO
from flyball.model.facts import AttemptPlanned, HostPlanned
from flyball.model.machine import Machine
from flyball.model.snapshot import LiveAttempt, Snapshot
from flyball.policy.charges import usd_for
from flyball.policy.charges_open import open_costs

if TYPE_CHECKING:
    from flyball.policy.known import Supply


class MachineLine(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: planned, starting, running, stopping, unreleased, shared, zombie."""

    attempt_id: str
    run_id: str = ""
    job: str = ""
    provider: str
    instance_type: str = ""
    market: str = ""
    zone: str = ""
    host_id: str | None = None  # the warm machine that it runs on
    state: str
    since_seconds: float | None = None  # its launch; of a zombie, when it was found
    age_seconds: float | None = None
    cost_usd: Decimal | None = None  # so far; None: not known
    is_listed: bool | None = None  # by its provider; None: it was not asked, or did not answer


def machines_overview(
    snapshot: Snapshot,
    listings: Mapping[str, Sequence[Machine]],
    now_seconds: float,
    supplies: Mapping[str, Supply] | None = None,
) -> tuple[MachineLine, ...]:
    """The oldest first. Without `supplies` every machine is taken to be billed, from the first second on."""
    so_far = {held.attempt_id: held.nano_usd for held in open_costs(snapshot, supplies or {}, now_seconds)}
    listed = {name: {m.attempt_id: m for m in machines} for name, machines in listings.items()}
    lines = [
        replace(
            line,
            age_seconds=None if line.since_seconds is None else max(0.0, now_seconds - line.since_seconds),
            cost_usd=NANO * so_far.get(line.attempt_id, 0),
            is_listed=line.attempt_id in listed[line.provider] if line.provider in listed else None,
        )
        for line in _owned(snapshot)
    ]
    owned = {line.attempt_id for line in lines}
    lines += [
        _zombie(provider, machine, snapshot.zombies.get(attempt_id), now_seconds)
        for provider, machines in listed.items()
        for attempt_id, machine in machines.items()
        if attempt_id not in owned
    ]
    return tuple(sorted(lines, key=lambda line: (-(line.age_seconds or 0.0), line.attempt_id)))


def _owned(snapshot: Snapshot) -> Iterator[MachineLine]:
    for run in snapshot.runs.values():
        if run.live is not None:
            yield _line(
                run.live.planned, run.live.attempt_id, state=_state(run.live), since=run.live.launched_at_seconds,
                run_id=run.run_id, job=run.job,
            )  # fmt: skip
    for attempt_id, left in snapshot.unreleased.items():
        yield _line(
            left.planned, attempt_id, state="unreleased", since=left.launched_at_seconds, run_id=left.run_id, job=left.job
        )  # fmt: skip
    for host_id, host in snapshot.hosts.items():
        yield _line(host.planned, host_id, state="shared", since=host.launched_at_seconds)


def _line(
    planned: AttemptPlanned | HostPlanned, attempt_id: str, *, state: str, since: float | None, run_id: str = "", job: str = ""
) -> MachineLine:  # fmt: skip
    offer = planned.offer
    return MachineLine(
        attempt_id=attempt_id,
        run_id=run_id,
        job=job,
        provider=planned.provider,
        instance_type=offer.instance_type,
        market=offer.market.value,
        zone=offer.zone or offer.region,
        host_id=planned.host_id if isinstance(planned, AttemptPlanned) else None,
        state=state,
        since_seconds=since,
    )


def _state(live: LiveAttempt) -> str:
    if live.stopping is not None:
        return "stopping"
    if live.started_at_seconds is not None:
        return "running"
    return "planned" if live.launched_at_seconds is None else "starting"


def _zombie(provider: str, machine: Machine, found: float | None, now_seconds: float) -> MachineLine:
    since = found if machine.launched_at_seconds is None else machine.launched_at_seconds
    age = None if since is None else max(0.0, now_seconds - since)
    price = machine.price_usd_per_hour
    parts = machine.offer_id.split("/")  # as Offer.offer_id is put together
    _, zone, instance_type, market = parts if len(parts) == 4 else ("", "", "", "")
    return MachineLine(
        attempt_id=machine.attempt_id,
        run_id=machine.run_id,
        job=machine.job,
        provider=provider,
        instance_type=instance_type,
        market=market,
        zone=zone,
        host_id=machine.host_id,
        state="zombie",
        since_seconds=since,
        age_seconds=age,
        cost_usd=None if price is None or age is None else usd_for(Decimal(price), age),
        is_listed=True,
    )
