"""A job's own past in a few figures: what alerts and learnt limits compare with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome
from flyball.model.plan import Quantiles
from flyball.policy.alerts_usual import unusual_cost_usd, unusual_wall_seconds
from flyball.policy.known import Usual

NEWEST_RUNS = 100  # older ones tell of older code and data
QUANTILES_RUNS = 3
P95_RUNS = 5


def usual_of(rows: Sequence[AttemptRow]) -> Usual:
    """From the newest runs that succeeded; rows oldest first. Quantiles are values that were seen, so that one odd run
    moves none but the highest."""
    done = [row for row in rows if row.outcome is Outcome.SUCCEEDED][-NEWEST_RUNS:]
    wall = sorted(row.wall_seconds for row in done if row.wall_seconds is not None)
    cost = sorted(float(row.cost_usd) for row in done if row.cost_usd is not None)
    return Usual(
        runs=len(done),
        wall_seconds=_quantiles(wall),
        wall_seconds_p95=_at(wall, 0.95) if len(wall) >= P95_RUNS else None,
        cost_usd=_quantiles(cost),
        wall_seconds_unusual=unusual_wall_seconds(rows),
        cost_usd_unusual=unusual_cost_usd(rows),
    )


def _quantiles(values: Sequence[float]) -> Quantiles | None:
    if len(values) < QUANTILES_RUNS:
        return None
    return Quantiles(p50=_at(values, 0.5), p90=_at(values, 0.9), p99=_at(values, 0.99))


def _at(values: Sequence[float], share: float) -> float:
    """The smallest value that at least that share does not exceed."""
    return values[max(0, math.ceil(share * len(values)) - 1)]
