"""Whether an ended attempt is followed by another, and with which memory limit."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from flyball.model.outcome import Outcome
from flyball.model.units import show_bytes

# A range that starts 1,000 times too small is reached in 10 doublings; more attempts mean that something else is wrong.
ATTEMPTS_MAX_PER_RUN = 12


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What the user allows one run: retries of its own failures, and how much memory it may be given."""

    retries: int = 0
    memory_ceiling_bytes: int | None = None  # None: an out-of-memory end is final


class Again(msgspec.Struct, frozen=True, kw_only=True):
    memory_limit_bytes: int | None
    reason: str


class Final(msgspec.Struct, frozen=True, kw_only=True):
    reason: str


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """A bigger memory limit, and the evidence for it."""

    memory_limit_bytes: int
    reason: str


def after(
    outcomes: tuple[Outcome, ...],
    *,
    allowance: Allowance,
    memory_limit_bytes: int | None,
    grow: Callable[[int], Grown | None],
) -> Again | Final:
    """What follows the last of `outcomes`. `grow` says what comes after a limit that was too small (None: nothing)."""
    last = outcomes[-1]
    if len(outcomes) >= ATTEMPTS_MAX_PER_RUN:
        return Final(reason=f"{len(outcomes)} attempts is the most one run gets")
    if last is Outcome.OUT_OF_MEMORY:
        return _after_out_of_memory(allowance, memory_limit_bytes, grow)
    if not last.spends_retry:
        return Final(reason=last.value)
    spent = sum(outcome.spends_retry for outcome in outcomes)
    if spent > allowance.retries:
        return Final(
            reason=f"{last.value}; {allowance.retries} retries allowed" if allowance.retries else last.value
        )
    return Again(
        memory_limit_bytes=memory_limit_bytes,
        reason=f"retry {spent} of {allowance.retries} after: {last.value}",
    )


def _after_out_of_memory(
    allowance: Allowance, limit_bytes: int | None, grow: Callable[[int], Grown | None]
) -> Again | Final:
    if limit_bytes is None:
        return Final(reason="the machine itself ran out of memory")
    ceiling = allowance.memory_ceiling_bytes
    if ceiling is None:
        return Final(reason=f"out of memory at the limit of {show_bytes(limit_bytes)} that you set")
    grown = grow(limit_bytes) if limit_bytes < ceiling else None
    if grown is None:
        return Final(reason=f"out of memory at {show_bytes(limit_bytes)}, the most it may have")
    return Again(memory_limit_bytes=min(grown.memory_limit_bytes, ceiling), reason=grown.reason)
