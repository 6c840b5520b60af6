"""How much to ask for when too little means paying for a failed attempt and asking again."""

from __future__ import annotations

import numpy as np

from flyball.policy.evidence import Floats
from flyball.policy.outlook import Outlook

# Candidates: these shares of the chances, and steps past the largest value, so that the tail has a price too.
_SHARES = np.concatenate(
    [
        [0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.84, 0.87, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97],
        [0.975, 0.98, 0.985, 0.99, 0.9925, 0.995, 0.9975, 0.999, 1.0],
    ]
)
_BEYOND = np.array([0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5])
LAST_RESORT = 4.0  # what is asked for, in units of the largest candidate, when even that was too small
CHANCE_LEAST = 0.01  # of anything above the failed size; with less, the past has nothing more to say


def cheapest(expected: Outlook, *, failed_attempt_price: float) -> float:
    """The logarithm to ask for first, so that all attempts together are expected to cost least.

    With S(x) the chance of needing more than x, U(i), what is still to pay after size a_i failed, is
    the least over j > i of  a_j (S_i - S_j) + price a_j S_j + U(j):  a size is paid by every run that gets to it,
    `failed_attempt_price` times by those for which it is too small. The first size is the best a_j after none.
    """
    grid = expected.values[_at_shares(expected, 0.0)]
    return _first_step(expected, grid, 1.0, failed_attempt_price)


def cheapest_above(
    expected: Outlook, failed: float, *, step_least: float, failed_attempt_price: float
) -> float | None:
    """The logarithm to ask for after `failed` was too small; None where the past knows of nothing larger."""
    below = int(np.searchsorted(expected.values, failed, side="right"))
    remaining = float(expected.by_time[below:].sum())
    if remaining < CHANCE_LEAST:
        return None
    grid = np.maximum(expected.values[_at_shares(expected, 1.0 - remaining)], failed + step_least)
    return _first_step(expected, grid, remaining, failed_attempt_price)


def _at_shares(expected: Outlook, start: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    reached = np.searchsorted(np.cumsum(expected.by_time), start + (1 - start) * _SHARES)
    return np.minimum(reached, len(expected.values) - 1)


def _first_step(expected: Outlook, grid: Floats, remaining: float, price: float) -> float:
    grid = np.concatenate([grid, grid[-1] + _BEYOND])
    reached = np.append(0.0, np.cumsum(expected.by_time))
    survive = np.maximum(0.0, 1.0 - reached[np.searchsorted(expected.values, grid, side="right")])
    size = np.exp(grid - grid[0])
    again = (
        (price - 1.0) * size * survive
    )  # grows to: what failing at this size costs on top, and all after it
    again[-1] += LAST_RESORT * size[-1] * survive[-1]
    for i in range(len(grid) - 2, -1, -1):
        again[i] += (size[i + 1 :] * survive[i] + again[i + 1 :]).min()
    return float(grid[int(np.argmin(size * remaining + again))])
