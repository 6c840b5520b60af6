"""The receipt as plain JSON values; flyball.model.receipt.Receipt is its decoded form."""

from __future__ import annotations

from typing import Any

from flyball.meter.ending import Ending

SCHEMA = 1


def receipt(
    *,
    attempt_id: str,
    end: Ending,
    pid: int | None,
    started_at_seconds: float,
    ended_at_seconds: float,
    wall_seconds: float,
    figures: dict[str, Any],
    output_bytes: int | None,
    host: dict[str, Any],
    limits: dict[str, Any],
) -> dict[str, Any]:
    """Every field of a finished attempt's receipt."""
    return {
        "schema": SCHEMA,
        "attempt_id": attempt_id,
        "outcome": end.outcome,
        "exit_code": end.exit_code,
        "signal": end.signal,
        "exit_cause": end.exit_cause,
        "pid": pid,
        "started_at_seconds": started_at_seconds,
        "ended_at_seconds": ended_at_seconds,
        "complete": True,
        "wall_seconds": wall_seconds,
        **figures,
        "output_bytes": output_bytes,
        "host": host,
        "limits": limits,
    }
