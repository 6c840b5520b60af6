"""Every decision of a run with its reason and its evidence: what `why` and the report tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from flyball.app.narrate import choice_words, cores_words, outcome_words, size_words
from flyball.model.facts import AttemptEnded, AttemptStarted
from flyball.model.history import RunState
from flyball.model.plan import Plan, Quantiles
from flyball.model.receipt import Limits, Receipt
from flyball.model.units import show_bytes, show_cores, show_seconds, show_usd


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    question: str  # "which job is it?"
    answer: str
    because: tuple[str, ...] = ()


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity as forecast and as it was. `verdict`: "as expected", "less than expected", "more than expected"."""

    name: str
    expected: str
    used: str
    verdict: str


def decisions(state: RunState) -> list[Decision]:
    """In the order in which they were taken: job, forecast and size, offer, each attempt's limits and end, cost."""
    found = [_identity(state)]
    if state.plan is not None:
        found += _plan_decisions(state.plan)
    if state.submitted.spec is not None:
        from flyball.app.decisions_governed import governed_decisions

        return found + governed_decisions(state)
    ends = {end.attempt_id: end for end in state.ended}
    for number, start in enumerate(state.started, 1):
        found += _attempt(number, start, ends.get(start.attempt_id), alone=len(state.started) == 1)
    return found


def comparisons(plan: Plan, receipt: Receipt) -> list[Comparison]:
    """What was expected of this run beside what it used, where both are known."""
    forecast = plan.forecast
    pairs: Sequence[tuple[str, Quantiles | None, float | None, Callable[[float], str]]] = (
        ("peak memory", forecast.memory_bytes, receipt.memory_bytes_max, show_bytes),
        ("wall time", forecast.wall_seconds, receipt.wall_seconds, show_seconds),
        ("CPU time", forecast.cpu_core_seconds, receipt.cpu_seconds, show_seconds),
        ("cores", forecast.cpu_cores, receipt.cpu_cores_p95, show_cores),
    )
    return [
        Comparison(name=name, expected=expected_words(q, show), used=show(used), verdict=_verdict(q, used))
        for name, q, used, show in pairs
        if q is not None and used is not None
    ]


def expected_words(quantiles: Quantiles, show: Callable[[float], str]) -> str:
    """ "1.20 GiB, at most 1.45 GiB in 99 of 100": the middle, and what is rarely exceeded."""
    middle, rare = show(quantiles.p50), show(quantiles.p99)
    return middle if middle == rare else f"{middle}, at most {rare} in 99 of 100"


def _verdict(quantiles: Quantiles, used: float) -> str:
    if used > quantiles.p99:
        return "more than expected"
    # As far below the middle as the rare end is above it, at least a tenth.
    spread = max(quantiles.p99 - quantiles.p50, 0.1 * quantiles.p50)
    return "less than expected" if used < quantiles.p50 - spread else "as expected"


def limits_words(limits: Limits) -> str:
    """ "memory 2.00 GiB, 1.5 cores, 2 h"; "none" when nothing was limited."""
    parts = []
    if limits.memory_bytes is not None:
        parts.append(f"memory {show_bytes(limits.memory_bytes)}")
    if limits.cpu_cores is not None:
        parts.append(cores_words(limits.cpu_cores))
    if limits.timeout_seconds is not None:
        parts.append(f"time {show_seconds(limits.timeout_seconds)}")
    if limits.stalled_after_seconds is not None:
        parts.append(f"stalled after {show_seconds(limits.stalled_after_seconds)}")
    return ", ".join(parts) or "none"


def _identity(state: RunState) -> Decision:
    run, because = state.run, []
    if run.job_reason:
        because.append(run.job_reason)
    if state.job != run.job:
        because.append(f"renamed: it was recorded as {run.job}")
    features = run.features
    if features.input_bytes is not None:
        because.append(f"input size {show_bytes(features.input_bytes)} is used by the forecast")
    known = [
        *(f"{k}={_number(v)}" for k, v in features.numbers.items()),
        *(f"{k}={v}" for k, v in features.words.items()),
    ]
    if known:
        because.append("told apart from its other runs by " + ", ".join(known))
    if features.code_version:
        because.append(f"code version {features.code_version}")
    if run.origin != "run":
        because.append(f"imported from {run.origin}")
    return Decision(question="which job", answer=state.job, because=tuple(because))


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:g}"


def _plan_decisions(plan: Plan) -> list[Decision]:
    forecast = plan.forecast
    told = tuple(
        f"{name} {expected_words(q, show)}"
        for name, q, show in (
            ("peak memory", forecast.memory_bytes, show_bytes),
            ("wall time", forecast.wall_seconds, show_seconds),
            ("CPU time", forecast.cpu_core_seconds, show_seconds),
            ("cores", forecast.cpu_cores, show_cores),
        )
        if q is not None
    )
    known = f"from {forecast.runs} earlier run{'' if forecast.runs == 1 else 's'}"
    risk = () if plan.hit_limit_probability is None else (hit_words(plan.hit_limit_probability),)
    found = [
        Decision(question="forecast before it started", answer=known, because=(*told, *forecast.reasons)),
        Decision(question="size planned", answer=size_words(plan.size), because=(*plan.reasons, *risk)),
    ]
    if plan.choice is None:
        return found
    as_of = () if plan.catalog_as_of is None else (f"prices as of {plan.catalog_as_of}",)
    offer = Decision(
        question="cheapest offer", answer=choice_words(plan.choice), because=(plan.choice.reason, *as_of)
    )
    return [*found, offer]


def hit_words(probability: float) -> str:
    """ "2 of 100 such runs are expected to need more"."""
    percent = 100 * probability
    count = f"{percent:.0f} of 100" if percent >= 0.95 else f"{10 * percent:.0f} of 1,000"
    return (
        "fewer than 1 of 1,000 such runs is expected to need more memory"
        if percent < 0.05
        else (f"{count} such runs are expected to need more memory")
    )


def _attempt(number: int, start: AttemptStarted, end: AttemptEnded | None, *, alone: bool) -> list[Decision]:
    name = "" if alone else f", attempt {number}"
    reason = (start.reason,) if start.reason else ()
    found = [Decision(question=f"limits{name}", answer=limits_words(start.limits), because=reason)]
    if end is None:
        return [*found, Decision(question=f"ending{name}", answer=outcome_words(None))]
    receipt = end.receipt
    found.append(
        Decision(
            question=f"ending{name}",
            answer=f"{outcome_words(receipt.outcome)} after {show_seconds(receipt.wall_seconds)}",
            because=(receipt.exit_cause, *_incomplete(receipt)),
        )
    )
    cost = None if end.cost_usd is None else float(end.cost_usd)
    if cost is not None or end.cost_reason:
        because = (end.cost_reason,) if end.cost_reason else ()
        found.append(Decision(question=f"cost{name}", answer=show_usd(cost), because=because))
    return found


def _incomplete(receipt: Receipt) -> tuple[str, ...]:
    if receipt.complete:
        return ()
    return ("the wrapper died first: figures are up to its last sample, or the kernel's own counters",)
