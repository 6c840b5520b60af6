"""Pages for programs: plain dicts with stable keys, units in the names, unknown as null, money as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from flyball.app.decisions import comparisons, decisions
from flyball.app.when import utc_time
from flyball.model.history import AttemptRow, RunState
from flyball.model.plan import Choice, Plan
from flyball.model.receipt import Receipt
from flyball.model.resource import Offer
from flyball.model.samples import Samples
from flyball.model.summary import JobSummary
from flyball.policy.cost import Cost

if TYPE_CHECKING:
    from flyball.client import JobView

Json = dict[str, Any]


def receipt_json(
    receipt: Receipt,
    *,
    job: str,
    run_id: str,
    cost: Cost | None = None,
    plan: Plan | None = None,
    attempts: Sequence[Receipt] = (),
    tags: dict[str, str] | None = None,
) -> Json:
    """The receipt of a run's last attempt, flat, with the run's id and job first; `plan` is the next run's.

    `attempts` are all of the run's receipts; listed in short when there was more than one.
    """
    return {
        "run_id": run_id,
        "job": job,
        **_receipt(receipt),
        "cost_usd": None if cost is None or cost.usd is None else float(cost.usd),
        "cost_reason": "" if cost is None else cost.reason,
        "tags": tags or {},
        "attempts": [_attempt_in_short(each) for each in attempts or (receipt,)],
        "plan_next": None if plan is None else plan_json(plan),
    }


def _receipt(receipt: Receipt) -> Json:
    return {
        **msgspec.to_builtins(receipt),
        "started_at": utc_time(receipt.started_at_seconds),
        "ended_at": utc_time(receipt.ended_at_seconds),
    }


def _attempt_in_short(receipt: Receipt) -> Json:
    return {
        "attempt_id": receipt.attempt_id,
        "outcome": receipt.outcome.value,
        "exit_code": receipt.exit_code,
        "exit_cause": receipt.exit_cause,
        "wall_seconds": receipt.wall_seconds,
        "memory_bytes_max": receipt.memory_bytes_max,
        "memory_limit_bytes": receipt.limits.memory_bytes,
    }


def jobs_json(rows: Sequence[JobSummary]) -> list[Json]:
    """One object a job: the fields of JobSummary."""
    return [{**msgspec.to_builtins(row), "last_at": utc_time(row.last_at_seconds)} for row in rows]


def runs_json(rows: Sequence[AttemptRow]) -> list[Json]:
    """One object an attempt: the fields of AttemptRow."""
    return [
        {
            **msgspec.to_builtins(row),
            "started_at": utc_time(row.started_at_seconds),
            "cost_usd": _number(row.cost_usd),
            "usd_on_demand_asked": _number(row.usd_on_demand_asked),
        }
        for row in rows
    ]


def job_json(view: JobView) -> Json:
    """A job with its attempts, the next plan and the offers next in rank."""
    return {
        **jobs_json([view.summary])[0],
        "plan_next": plan_json(view.plan, view.alternatives),
        "attempt_rows": runs_json(view.rows),
    }


def run_json(state: RunState, samples: Samples | None = None) -> Json:
    """A run as asked for, its attempts with their whole receipts, and the last one's samples in columns."""
    ends = {end.attempt_id: end for end in state.ended}
    attempts = []
    for start in state.started:
        end = ends.get(start.attempt_id)
        attempts.append(
            {
                "attempt_id": start.attempt_id,
                "limits": msgspec.to_builtins(start.limits),
                "reason": start.reason,
                "cost_usd": None if end is None else _number(end.cost_usd),
                "cost_reason": "" if end is None else end.cost_reason,
                "receipt": None if end is None else _receipt(end.receipt),
            }
        )
    return {
        **msgspec.to_builtins(state.run),
        "job": state.job,
        "started_at": utc_time(state.run.features.started_at_seconds),
        "outcome": state.ended[-1].receipt.outcome.value if state.ended else None,
        "attempts": attempts,
        "plan": None if state.plan is None else plan_json(state.plan),
        "samples": None if samples is None else msgspec.to_builtins(samples),
    }


def why_json(state: RunState) -> Json:
    """The decisions of a run in order, and its forecast beside what it used."""
    compared = comparisons(state.plan, state.ended[-1].receipt) if state.plan and state.ended else []
    return {
        "run_id": state.run.run_id,
        "job": state.job,
        "command": list(state.run.command),
        "decisions": [msgspec.to_builtins(decision) for decision in decisions(state)],
        "forecast_against_actual": [msgspec.to_builtins(each) for each in compared],
        "plan": None if state.plan is None else plan_json(state.plan),
    }


def plan_json(plan: Plan, alternatives: Sequence[Choice] = ()) -> Json:
    """The size asked for, the forecast behind it, the offer chosen; `alternatives` come next in rank."""
    return {
        "job": plan.job,
        "cpu_cores": plan.size.cpu_cores,
        "memory_bytes": plan.size.memory_bytes,
        "gpus": plan.size.gpus,
        "reasons": list(plan.reasons),
        "hit_limit_probability": plan.hit_limit_probability,
        "forecast": msgspec.to_builtins(plan.forecast),
        "choice": None if plan.choice is None else _choice(plan.choice),
        "alternatives": [_choice(choice) for choice in alternatives],
        "catalog_as_of": plan.catalog_as_of,
    }


def offers_json(choices: Sequence[Choice]) -> list[Json]:
    """One object an offer, the cheapest finished run first as given."""
    return [_choice(choice) for choice in choices]


def _choice(choice: Choice) -> Json:
    return {
        **offer_json(choice.offer),
        "expected_usd_per_run": choice.expected_usd,
        "expected_seconds": choice.expected_seconds,
        "reason": choice.reason,
    }


def offer_json(offer: Offer) -> Json:
    """The fields of Offer; its price as a number."""
    return {**msgspec.to_builtins(offer), "price_usd_per_hour": float(offer.price_usd_per_hour)}


def _number(decimal: str | None) -> float | None:
    return None if decimal is None else float(decimal)
