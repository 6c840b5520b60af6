"""What the governor does, one line a fact, for those who watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flyball.app.narrate import outcome_words, size_words
from flyball.model import facts as f
from flyball.model.resource import Market
from flyball.model.units import show_seconds, show_usd

Words = Callable[[Any], str | None]


def event_words(fact: f.AnyFact) -> str | None:
    """One line, or None for what is not worth one."""
    words = _WORDS.get(type(fact))
    return words(fact) if words else None


def _planned(fact: f.AttemptPlanned) -> str:
    """Why it is tried again, if it is; `flyball why` has the rest."""
    offer = fact.offer
    where = (
        fact.provider
        if not offer.price_usd_per_hour
        else f"{fact.provider} {offer.instance_type} {market_words(offer.market)}"
    )
    reason = fact.reason.partition("; ")[0]
    again = "" if reason == "first attempt" else f": {reason}"
    return f"{fact.attempt_id} gets {size_words(fact.size)} on {where}{again}"


def market_words(market: Market) -> str:
    return "spot" if market is Market.SPOT else "on demand"


def _ended(fact: f.AttemptEnded) -> str:
    receipt = fact.receipt
    cause = f": {receipt.exit_cause}" if receipt.exit_cause else ""
    return f"{fact.attempt_id} {outcome_words(receipt.outcome)} after {show_seconds(receipt.wall_seconds)}{cause}"


def _released(fact: f.MachineReleased) -> str | None:
    if not fact.charge.usd:
        return None
    return f"{fact.attempt_id} given back: {show_usd(fact.charge.usd)}"


def _more(reason: str, result: str) -> str:
    return "" if reason == result else f": {reason}"


_WORDS: dict[type, Words] = {
    f.JobApplied: lambda x: f"job {x.spec.name} applied",
    f.JobRemoved: lambda x: f"job {x.job} removed",
    f.JobPaused: lambda x: f"job {x.job} paused",
    f.JobResumed: lambda x: f"job {x.job} resumed",
    f.SlotSkipped: lambda x: f"job {x.job} not run: {x.reason}",
    f.ObjectsArrived: lambda x: f"job {x.job}: {len(x.objects)} objects arrived",
    f.RunSubmitted: lambda x: f"{x.run.run_id} {x.run.job} submitted: {x.cause}",
    f.RunHeld: lambda x: f"{x.run_id} held ({x.kind}): {x.reason}",
    f.CancelAsked: lambda x: f"{x.run_id} is to be cancelled: {x.reason}",
    f.RunEnded: lambda x: f"{x.run_id} {x.job} {x.result.value}" + _more(x.reason, x.result.value),
    f.AttemptPlanned: _planned,
    f.LaunchRefused: lambda x: f"{x.attempt_id} refused by {x.provider}: {x.reason}",
    f.AttemptStarted: lambda x: f"{x.attempt_id} runs",
    f.NoticeReceived: lambda x: f"{x.attempt_id} will be interrupted",
    f.MachineMissed: lambda x: f"{x.attempt_id} is missing from the listing",
    f.MachineSeen: lambda x: f"{x.attempt_id} is back in the listing",
    f.AttemptStopping: lambda x: f"{x.attempt_id} is being ended: {x.reason}",
    f.AttemptEnded: _ended,
    f.MachineReleased: _released,
    f.HostPlanned: lambda x: f"warm machine {x.host_id}: {x.reason}",
    f.HostEnding: lambda x: f"warm machine {x.host_id} ends: {x.reason}",
    f.ZombieFound: lambda x: f"a machine that nobody owns: {x.attempt_id} on {x.provider}, {x.reason}",
    f.AlertRaised: lambda x: f"ALERT {x.words}",
}
