"""What the governor decided about a run, in order, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flyball.app.decisions import Decision, limits_words
from flyball.app.event_words import market_words
from flyball.app.narrate import outcome_words, size_words
from flyball.app.when import local_time
from flyball.model import facts as f
from flyball.model.history import RunState
from flyball.model.units import show_seconds, show_usd


def governed_decisions(state: RunState) -> list[Decision]:
    """From what started it to how it ended; nothing for a run that the governor did not look after."""
    submitted = state.submitted
    if submitted.spec is None:
        return []
    found = [_submitted(submitted, state.run.features.utc_offset_seconds)]
    facts = sorted([*state.story, *state.ended], key=lambda fact: fact.at_seconds)
    for fact in facts:
        tell = _TELL.get(type(fact))
        if tell is not None:
            found.append(tell(fact, submitted.at_seconds))
    return found


def _submitted(fact: f.RunSubmitted, offset: int) -> Decision:
    because = [fact.cause] if fact.cause else []
    if fact.deadline_seconds is not None:
        because.append(f"it must be done by {local_time(fact.deadline_seconds, offset)}")
    return Decision(question="why it ran", answer=local_time(fact.at_seconds, offset), because=tuple(because))


def _attempt(attempt_id: str) -> str:
    return f"attempt {attempt_id.rpartition('.')[2]}"


def _planned(fact: f.AttemptPlanned, since: float) -> Decision:
    offer = fact.offer
    price = (
        ""
        if not offer.price_usd_per_hour
        else f" {market_words(offer.market)} at {show_usd(offer.price_usd_per_hour)}/h"
    )
    where = f"{fact.provider} {offer.instance_type}{price}"
    place = offer.zone or offer.region
    because = [fact.reason]
    if offer.price_usd_per_hour:
        because.append(f"in {place}, price from {offer.source} as of {offer.as_of}")
    because.append(f"limits: {limits_words(fact.limits)}")
    because += [f"not {text}" for text in fact.refused]
    return Decision(
        question=f"{_attempt(fact.attempt_id)}, {_after(fact, since)}",
        answer=f"{size_words(fact.size)} on {where}",
        because=tuple(because),
    )


def _after(fact: f.AnyFact, since: float) -> str:
    return f"{show_seconds(max(0.0, fact.at_seconds - since))} in"


def _refused(fact: f.LaunchRefused, since: float) -> Decision:
    return Decision(
        question=f"{_attempt(fact.attempt_id)}, {_after(fact, since)}",
        answer=f"refused by {fact.provider}: {fact.kind.replace('_', ' ')}",
        because=(fact.offer_id, fact.reason),
    )


def _held(fact: f.RunHeld, since: float) -> Decision:
    return Decision(question=f"held, {_after(fact, since)}", answer=fact.kind, because=(fact.reason,))


def _stopping(fact: f.AttemptStopping, since: float) -> Decision:
    return Decision(
        question=f"{_attempt(fact.attempt_id)}, {_after(fact, since)}",
        answer="is ended by flyball",
        because=(fact.reason,),
    )


def _notice(fact: f.NoticeReceived, since: float) -> Decision:
    left = show_seconds(max(0.0, fact.ends_at_seconds - fact.at_seconds))
    return Decision(
        question=f"{_attempt(fact.attempt_id)}, {_after(fact, since)}",
        answer="will be interrupted",
        because=(f"in {left}",),
    )


def _ended(fact: f.AttemptEnded, since: float) -> Decision:
    receipt = fact.receipt
    return Decision(
        question=f"{_attempt(fact.attempt_id)}, {_after(fact, since)}",
        answer=f"{outcome_words(receipt.outcome)} after {show_seconds(receipt.wall_seconds)}",
        because=(receipt.exit_cause,),
    )


def _released(fact: f.MachineReleased, _: float) -> Decision:
    charge = fact.charge
    because = [charge.reason]
    if charge.not_included:
        because.append("not included: " + ", ".join(charge.not_included))
    if charge.usd_on_demand_asked:
        because.append(f"on demand at the size asked for: {show_usd(charge.usd_on_demand_asked)}")
    return Decision(
        question=f"cost, {_attempt(fact.attempt_id)}", answer=show_usd(charge.usd), because=tuple(because)
    )


def _over(fact: f.RunEnded, since: float) -> Decision:
    return Decision(question=f"end, {_after(fact, since)}", answer=fact.result.value, because=(fact.reason,))


def _cancel(fact: f.CancelAsked, since: float) -> Decision:
    return Decision(question=f"cancelled, {_after(fact, since)}", answer="by request", because=(fact.reason,))


_TELL: dict[type, Callable[[Any, float], Decision]] = {
    f.AttemptPlanned: _planned,
    f.LaunchRefused: _refused,
    f.RunHeld: _held,
    f.AttemptStopping: _stopping,
    f.NoticeReceived: _notice,
    f.AttemptEnded: _ended,
    f.MachineReleased: _released,
    f.RunEnded: _over,
    f.CancelAsked: _cancel,
}
