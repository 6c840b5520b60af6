"""Bringing what the folders know into the store, once, whatever died in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flyball.engine.spool import Opening, Spool, decode_receipt
from flyball.model.facts import AnyFact, AttemptEnded
from flyball.model.receipt import Receipt
from flyball.policy.cost import Cost

if TYPE_CHECKING:
    from flyball.ports.store import Store

CostOf = Callable[[Receipt], Cost]


def ended(opening: Opening, receipt: Receipt, cost: Cost) -> AttemptEnded:
    return AttemptEnded(
        at_seconds=receipt.ended_at_seconds,
        run_id=opening.run.run_id,
        attempt_id=opening.attempt_id,
        receipt=receipt,
        cost_usd=None if cost.usd is None else str(cost.usd),
        cost_reason=cost.reason,
    )


def record_leftovers(spool: Spool, store: Store, cost_of: CostOf) -> list[str]:
    """Ids of attempts whose owner had died before recording them, now recorded. Those of the living are left alone.

    Appending twice is harmless (the fold keeps the first), so a crash between append and close is too.
    """
    recorded = []
    for attempt_id in spool.unrecorded():
        try:
            if not spool.is_owned(attempt_id) and _record_leftover(spool, store, cost_of, attempt_id):
                recorded.append(attempt_id)
        except OSError:  # a full or read-only disk: it stays marked, for a later command
            continue
    return recorded


def _record_leftover(spool: Spool, store: Store, cost_of: CostOf, attempt_id: str) -> bool:
    from flyball.meter.recover import recover  # rarely needed, and a tenth of what starting flyball takes

    opening = spool.opening(attempt_id)
    recovery = recover(str(spool.folder(attempt_id))) if opening else None
    if recovery and recovery.state == "running":  # without its wrapper
        return False
    if opening and recovery and recovery.receipt:  # else it died before the command could start
        receipt = decode_receipt(recovery.receipt)
        facts: list[AnyFact] = [*opening.facts(), ended(opening, receipt, cost_of(receipt))]
        store.append(facts)
    spool.close(attempt_id)
    return bool(recovery and recovery.receipt)
