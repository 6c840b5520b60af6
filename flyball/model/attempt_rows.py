"""One flat row per attempt, which is what listings, forecasts and costs read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from flyball.model import facts as f
from flyball.model.charge import Charge
from flyball.model.job import RunSpec
from flyball.model.outcome import Outcome


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):  # holds nothing that could hold it
    """One attempt, flat. Facts about the run (job, features, tags) are repeated in each of its attempts."""

    run_id: str
    attempt_id: str
    job: str
    origin: str
    started_at_seconds: float  # of the command; of what never started, when it was launched or given up
    utc_offset_seconds: int = 0
    outcome: Outcome | None = None  # None: still running, or its wrapper has not been heard of
    exit_code: int | None = None
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    cpu_cores_p95: float | None = None
    cpu_cores_max: float | None = None
    cpu_cores_wanted: float | None = None
    cpu_cores_limit: float | None = None
    memory_bytes_max: int | None = None
    memory_limit_bytes: int | None = None
    gpus_used: int = 0
    input_bytes: int | None = None
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    code_version: str | None = None
    cpu_model: str | None = None
    instance_type: str | None = None
    host_cores: float | None = None
    host_memory_bytes: int | None = None
    tags: dict[str, str] = {}
    cost_usd: str | None = None  # None: not known, or not yet

    # Of attempts that the governor placed; None for those that ran where they were typed.
    provider: str | None = None
    market: str | None = None  # "spot", "on_demand"
    offer_id: str | None = None
    zone: str | None = None  # or its region
    planned_at_seconds: float | None = None
    launched_at_seconds: float | None = None
    released_at_seconds: float | None = None  # None: its machine is still held
    billed_seconds: float | None = None
    boot_seconds: float | None = None
    idle_seconds: float | None = None
    usd_on_demand_asked: str | None = None
    price_as_of: str | None = None
    not_included: tuple[str, ...] = ()


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded about one attempt, the first of each kind."""

    attempt_id: str
    planned: f.AttemptPlanned | None = None
    launched: f.AttemptLaunched | None = None
    refused: f.LaunchRefused | None = None
    started: f.AttemptStarted | None = None
    ended: f.AttemptEnded | None = None
    released: f.MachineReleased | None = None


def row_of(run: RunSpec, job: str, attempt: Attempt) -> AttemptRow | None:
    """None for what was only planned, or refused: there was no machine."""
    started, ended, planned = attempt.started, attempt.ended, attempt.planned
    if started is None and (planned is None or not (attempt.launched or ended)):
        return None
    if attempt.refused is not None and started is None and attempt.launched is None:
        return None
    features = run.features
    fields: dict[str, Any] = {
        "run_id": run.run_id,
        "attempt_id": attempt.attempt_id,
        "job": job,
        "origin": run.origin,
        "started_at_seconds": _started_at(attempt),
        "utc_offset_seconds": features.utc_offset_seconds,
        "input_bytes": features.input_bytes,
        "numbers": features.numbers,
        "words": features.words,
        "code_version": features.code_version,
        "tags": run.tags,
    }
    limits = started.limits if started is not None else planned.limits if planned is not None else None
    if limits is not None:
        fields |= {"cpu_cores_limit": limits.cpu_cores, "memory_limit_bytes": limits.memory_bytes}
    if ended is not None:
        fields |= _of_receipt(ended)
    if planned is not None:
        fields |= _of_plan(planned)
        if not fields.get("instance_type"):
            fields["instance_type"] = planned.offer.instance_type
        if attempt.launched is not None:
            fields["launched_at_seconds"] = attempt.launched.at_seconds
    if attempt.released is not None:
        fields |= of_charge(attempt.released.charge, attempt.released.at_seconds)
    return AttemptRow(**fields)


def _started_at(attempt: Attempt) -> float:
    if attempt.started is not None:
        if attempt.ended is not None:
            return attempt.ended.receipt.started_at_seconds
        return attempt.started.at_seconds
    given_up = attempt.launched or attempt.ended or attempt.planned
    assert given_up is not None
    return given_up.at_seconds


def _of_receipt(ended: f.AttemptEnded) -> dict[str, Any]:
    receipt = ended.receipt
    return {
        "outcome": receipt.outcome,
        "exit_code": receipt.exit_code,
        "wall_seconds": receipt.wall_seconds,
        "cpu_seconds": receipt.cpu_seconds,
        "cpu_cores_p95": receipt.cpu_cores_p95,
        "cpu_cores_max": receipt.cpu_cores_max,
        "cpu_cores_wanted": receipt.cpu_cores_wanted,
        "memory_bytes_max": receipt.memory_bytes_max,
        "gpus_used": len(receipt.gpus or ()),
        "cpu_model": receipt.host.cpu_model,
        "instance_type": receipt.host.instance_type,
        "host_cores": receipt.host.cpu_cores,
        "host_memory_bytes": receipt.host.memory_bytes,
        "cost_usd": ended.cost_usd,
    }


def _of_plan(planned: f.AttemptPlanned | f.HostPlanned) -> dict[str, Any]:
    offer = planned.offer
    return {
        "provider": planned.provider,
        "market": offer.market.value,
        "offer_id": offer.offer_id,
        "zone": offer.zone or offer.region,
        "planned_at_seconds": planned.at_seconds,
    }


def of_charge(charge: Charge, released_at_seconds: float) -> dict[str, Any]:
    asked = charge.usd_on_demand_asked
    return {
        "cost_usd": f"{charge.usd:f}" if charge.is_known else None,
        "released_at_seconds": released_at_seconds,
        "billed_seconds": charge.billed_seconds,
        "boot_seconds": charge.boot_seconds,
        "idle_seconds": charge.idle_seconds,
        "usd_on_demand_asked": None if asked is None else f"{asked:f}",
        "price_as_of": charge.price_as_of or None,
        "not_included": charge.not_included,
    }


def row_of_host(run: RunSpec, job: str, story: tuple[f.AnyFact, ...]) -> AttemptRow | None:
    """A warm machine: what it cost beyond what its attempts paid."""
    planned = next((fact for fact in story if isinstance(fact, f.HostPlanned)), None)
    launched = next((fact for fact in story if isinstance(fact, f.HostLaunched)), None)
    released = next((fact for fact in story if isinstance(fact, f.MachineReleased)), None)
    if planned is None or launched is None:
        return None
    fields = _of_plan(planned) | {
        "started_at_seconds": launched.at_seconds,
        "launched_at_seconds": launched.at_seconds,
        "instance_type": planned.offer.instance_type,
    }
    if released is not None:
        fields |= of_charge(released.charge, released.at_seconds) | {
            "outcome": Outcome.SUCCEEDED,
            "wall_seconds": released.charge.billed_seconds,
        }
    return AttemptRow(run_id=run.run_id, attempt_id=run.run_id, job=job, origin=run.origin, **fields)


def row_of_zombie(run: RunSpec, job: str, story: tuple[f.AnyFact, ...]) -> AttemptRow | None:
    """A machine that nobody owned: each time it was found and given back, added up."""
    found: f.ZombieFound | None = None
    first: f.ZombieFound | None = None
    charges: list[f.MachineReleased] = []
    for fact in story:
        if isinstance(fact, f.ZombieFound):
            found = found or fact
            first = first or fact
        elif isinstance(fact, f.MachineReleased) and found is not None:
            found = None
            if fact.charge.usd or not fact.charge.is_known:
                charges.append(fact)
    if first is None or not charges:
        return None
    usd = sum((fact.charge.usd for fact in charges), Decimal(0))
    seconds = sum(fact.charge.billed_seconds for fact in charges)
    last = charges[-1]
    fields = of_charge(last.charge, last.at_seconds) | {
        "cost_usd": f"{usd:f}" if all(fact.charge.is_known for fact in charges) else None,
        "billed_seconds": seconds,
        "idle_seconds": seconds,
        "wall_seconds": seconds,
    }
    return AttemptRow(
        run_id=run.run_id,
        attempt_id=run.run_id,
        job=job,
        origin=run.origin,
        started_at_seconds=first.at_seconds,
        outcome=Outcome.LOST,
        provider=first.provider,
        **fields,
    )
