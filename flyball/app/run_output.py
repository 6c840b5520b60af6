"""What `flyball run` says when the command has ended."""

from __future__ import annotations

import sys

import msgspec

from flyball.app.narrate import run_summary
from flyball.app.terminal import look
from flyball.engine.one_run import Finished


def summary(finished: Finished) -> str:
    """Used against available, stalls, cost here; then what the next run should get and what that would cost."""
    last, shown = finished.attempts[-1], look(sys.stderr)
    return run_summary(
        last.receipt,
        job=finished.run.job,
        run_id=finished.run.run_id,
        cost=last.cost,
        plan=finished.plan_next,
        width=shown.width,
        colour=shown.colour,
        unicode=shown.unicode,
        attempts=len(finished.attempts),
    )


def receipt_line(finished: Finished) -> str:
    """The last attempt's receipt as one line of JSON, with the run's name, cost, attempts and plans around it."""
    last = finished.attempts[-1]
    line = {
        "run_id": finished.run.run_id,
        "job": finished.run.job,
        **msgspec.to_builtins(last.receipt),
        "cost_usd": None if last.cost.usd is None else float(last.cost.usd),
        "attempts": [
            {
                "attempt_id": attempt.receipt.attempt_id,
                "outcome": attempt.receipt.outcome.value,
                "exit_code": attempt.receipt.exit_code,
                "wall_seconds": attempt.receipt.wall_seconds,
                "memory_bytes_max": attempt.receipt.memory_bytes_max,
                "memory_limit_bytes": attempt.receipt.limits.memory_bytes,
                "reason": attempt.reason,
            }
            for attempt in finished.attempts
        ],
        "plan": finished.plan,
        "plan_next": finished.plan_next,
        "warnings": finished.warnings,
    }
    return msgspec.json.encode(line).decode()
