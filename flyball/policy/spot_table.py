"""Expected cost of every answer at every point of a run, by dynamic programming from the deadline back.

Coordinates: `left`, the time to the deadline, in equal layers, and `slack`, what of it the work left does not need, on a
grid that is finer near 0. A machine that works keeps the slack; waiting and starting machines use it up. Beside them stands
the age of the spell of spot capacity, up or down, in the bins of `spot_memory`. Costs are seconds of on-demand machine.

Between two layers at most one event is told apart (capacity ends, capacity returns); it happens at its mean time, and the
run answers at once.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flyball.policy.spot_memory import AGE_EDGES_SECONDS, AGES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from flyball.policy.spot_chances import Chances

    Array = NDArray[np.float64]

STEPS = 120  # layers from now to the deadline; 200 change the mean cost by no more than 0.002
SLACKS = 56
WINDOW = 0.2  # part of the layers that is kept: after that much of the time left a new table is made, with finer layers
FORBIDDEN = 1e12
UP, DOWN = 0, AGES  # the youngest spells of either kind

# Rows of a table.
LAUNCH, ON_DEMAND, WAIT, KEEP_ON_DEMAND, KEEP_SPOT = (0, AGES, 3 * AGES, 5 * AGES, 7 * AGES)
ROWS = 8 * AGES


class Table:
    """Costs for one run: `costs(left, slack)` gives one number for each row."""

    __slots__ = ("_layers", "_left_top", "_slacks", "_step", "_values")

    def __init__(self, values: Any, *, left_seconds: float, slacks: list[float]) -> None:
        self._values = values  # layer, row, slack; the last layer is now
        self._layers = len(values)
        self._left_top = left_seconds
        self._step = left_seconds / STEPS
        self._slacks = slacks

    def covers(self, left_seconds: float, slack_seconds: float) -> bool:
        lowest = self._left_top - (self._layers - 1) * self._step
        return (
            lowest - 1e-6 <= left_seconds <= self._left_top + 1e-6
            and slack_seconds <= self._slacks[-1] * (1 + 1e-9) + 1e-6
        )

    def costs(self, left_seconds: float, slack_seconds: float) -> list[float]:
        """Linear between layers and slacks; clipped to the table."""
        y = min(max(self._layers - 1 - (self._left_top - left_seconds) / self._step, 0.0), self._layers - 1.0)
        j = min(max(bisect_right(self._slacks, slack_seconds + 1e-6) - 1, 0), SLACKS - 2)
        low = min(int(y), self._layers - 2)
        at, high = self._slacks[j], self._slacks[j + 1]
        v, u = y - low, min(max((slack_seconds - at) / (high - at), 0.0), 1.0)
        four = self._values[low : low + 2, :, j : j + 2]
        flat = four[0] * (1.0 - v) + four[1] * v
        costs: list[float] = (flat[:, 0] * (1.0 - u) + flat[:, 1] * u).tolist()
        return costs


def tables(
    chances: Sequence[Chances],
    *,
    left_seconds: float,
    slack_max_seconds: float,
    changeover_seconds: float,
    late_seconds: float = 0.0,
) -> list[Table]:
    """One table for each of the runs, which share the time left; `slack_max_seconds` is the largest of their slacks."""
    backward = _Backward(chances, left_seconds, slack_max_seconds, changeover_seconds, late_seconds)
    values, slacks = backward.solved(), backward.slack.tolist()
    return [Table(values[:, b], left_seconds=left_seconds, slacks=slacks) for b in range(len(chances))]


def _slack_grid(slack_max: float, changeover: float, launches_from: float) -> Array:
    """Slacks in seconds: the changeover and the least for a launch are on the grid, since costs jump there."""
    import numpy as np

    near = (
        [0.0, 0.5 * changeover, changeover, 0.5 * (changeover + launches_from)]
        if changeover >= 1.0
        else [0.0]
    )
    launches_from = max(launches_from, 1.0)
    far = np.linspace(0.0, 1.0, SLACKS - len(near)) ** 2
    return np.concatenate([near, launches_from + max(slack_max - launches_from, launches_from) * far])


class _Shift:
    """Values at `slack - by` for values given on the grid; below 0 as at 0."""

    def __init__(self, slack: Array, by: Any) -> None:
        import numpy as np

        wanted = np.maximum(slack - by, 0.0)
        self.low = np.clip(np.searchsorted(slack, wanted, side="right") - 1, 0, len(slack) - 2)
        self.part = (wanted - slack[self.low]) / (slack[self.low + 1] - slack[self.low])

    def __call__(self, values: Array) -> Array:
        low: Array = values.take(self.low, axis=-1)
        shifted: Array = low + self.part * (values.take(self.low + 1, axis=-1) - low)
        return shifted


class _Spells:
    """How capacity moves in `seconds`: without an event (ages grow), or with one, at its mean time."""

    def __init__(self, rates: Array, kinds: int, seconds: float) -> None:
        import numpy as np

        edges = np.array(AGE_EDGES_SECONDS)
        passing = np.tile(1.0 / np.diff(edges), kinds)  # the oldest age never passes: 1 / inf
        move = np.zeros((*rates.shape, rates.shape[1]))
        every = np.arange(rates.shape[1])
        move[:, every, every] = -rates - passing
        younger = every[passing > 0]
        move[:, younger, younger + 1] = passing[younger]
        halvings = 12
        still = np.eye(rates.shape[1]) + move * (seconds / 2**halvings)
        still = np.maximum(still, 0.0)
        for _ in range(halvings):
            still = still @ still
        self.still: Array = still
        self.event: Array = 1.0 - still.sum(axis=2)
        x = np.maximum(rates * seconds, 1e-6)
        self.when: Array = 1.0 / x - np.exp(-x) / -np.expm1(-x)  # part of the time that has passed


class _Backward:
    def __init__(
        self, chances: Sequence[Chances], left: float, slack_max: float, changeover: float, late: float
    ) -> None:
        import numpy as np

        self.np = np
        self.changeover = changeover
        self.step = left / STEPS
        launches_from = 2 * changeover + late
        self.slack = _slack_grid(slack_max, changeover, launches_from)
        self.price = np.array([c.price for c in chances])[:, None, None]
        self.another = np.array([c.another_up for c in chances])[:, None, None]
        self.by_step, self.by_changeover = _Shift(self.slack, self.step), _Shift(self.slack, changeover)
        self.by_half_changeover = _Shift(self.slack, changeover / 2)
        self.may_launch = self.slack >= launches_from - 1e-6
        rates = np.array([[*c.ends, *c.returns] for c in chances])
        self._prepare_steps(rates)
        self._prepare_pauses(rates[:, :, None])

    def _prepare_steps(self, rates: Array) -> None:
        """Weights of what a step leads to: rows are ages, columns no event at each age, then the events."""
        np = self.np
        site, own = _Spells(rates, 2, self.step), _Spells(rates[:, :AGES], 1, self.step)
        self.warm = _Spells(rates[:, :AGES], 1, max(self.changeover, 1e-3))
        self.event, self.when = site.event[:, :, None], site.when[:, :, None]
        ends = np.zeros((*rates.shape, 2))
        ends[:, :AGES, 0], ends[:, AGES:, 1] = site.event[:, :AGES], site.event[:, AGES:]
        early = ends * (1 - self.when)
        self.run_weights = np.concatenate([site.still, ends, early], axis=2)
        late, both = ends * self.when, early * self.when
        self.wait_weights = np.concatenate([site.still, early, early * (1 - self.when), late, both], axis=2)
        self.spot_weights = np.concatenate([own.still, ends[:, :AGES, :1], early[:, :AGES, :1]], axis=2)

    def _prepare_pauses(self, rates: Array) -> None:
        """Where there is not slack for waiting a whole step: until on demand has to start."""
        np = self.np
        self.short = int(np.searchsorted(self.slack, self.step + self.changeover))
        pause = np.clip(self.slack - self.changeover, 0.0, self.step)
        self.by_half_pause = _Shift(self.slack, pause / 2)
        self.quiet = np.exp(-rates * pause[: self.short])
        self.pause_left = 1 - pause[: self.short] / 2 / self.step

    def solved(self) -> Any:
        """Costs of the kept layers: layer, run, row, slack."""
        np = self.np
        runs = len(self.price)
        kept = math.ceil(STEPS * WINDOW) + 1
        out = np.empty((kept, runs, ROWS, SLACKS), np.float32)
        zero = np.zeros((runs, 2 * AGES, SLACKS))
        none, spot, on_demand = [zero, zero], [zero[:, :AGES]] * 2, [zero, zero]
        history = math.ceil(self.changeover / self.step) + 2
        for k in range(1, STEPS + 1):
            work = np.maximum(k * self.step - self.slack, 0.0)
            keep_spot = self._keep_spot(work, none, spot)
            spot.append(keep_spot)
            launch = self._launch(none, spot)
            wait = self._wait(k, none)
            keep_on_demand = self._keep_on_demand(work, on_demand)
            other = np.minimum(wait, launch)
            late = np.maximum(self.changeover - self.slack, 0.0)
            start = self.by_changeover(keep_on_demand) + late * (work > 0)
            on_demand.append(np.minimum(keep_on_demand, other) * (work > 0))
            none.append(np.minimum(start, other) * (work > 0))
            for layers in (none, spot, on_demand):
                del layers[: max(0, len(layers) - history)]
            if k >= STEPS + 1 - kept:
                place = k - (STEPS + 1 - kept)
                out[place, :, LAUNCH:ON_DEMAND] = np.where(self.may_launch, launch, start)[:, :AGES]
                out[place, :, ON_DEMAND:WAIT] = start
                out[place, :, WAIT:KEEP_ON_DEMAND] = wait
                out[place, :, KEEP_ON_DEMAND:KEEP_SPOT] = keep_on_demand
                out[place, :, KEEP_SPOT:ROWS] = keep_spot
        return out

    def _after(self, values: Array) -> Array:
        """Two rows: values after capacity ended, and after it returned."""
        up = values[:, UP : UP + 1]
        ended = self.another * up + (1 - self.another) * values[:, DOWN : DOWN + 1]
        return self.np.concatenate([ended, up], axis=1)

    def _billed(self, work: Array, rows: int) -> Array:
        np, event = self.np, self.event[:, :rows]
        until = np.minimum(work, self.when[:, :rows] * self.step)
        billed: Array = (1 - event) * np.minimum(work, self.step) + event * until
        return billed

    def _keep_spot(self, work: Array, none: list[Array], spot: list[Array]) -> Array:
        ended, slope = (self._after(v)[:, :1] for v in (none[-1], none[-1] - none[-2]))
        ahead = self.spot_weights @ self.np.concatenate([spot[-1], ended, slope], axis=1)
        kept: Array = (self.price * self._billed(work, AGES) + ahead) * (work > 0)
        return kept

    def _keep_on_demand(self, work: Array, on_demand: list[Array]) -> Array:
        now = on_demand[-1]
        events, slopes = self._after(now), self._after(now - on_demand[-2])
        ahead = self.run_weights @ self.np.concatenate([now, events, slopes], axis=1)
        kept: Array = (self._billed(work, 2 * AGES) + ahead) * (work > 0)
        return kept

    def _wait(self, k: int, none: list[Array]) -> Array:
        np, now = self.np, none[-1]
        here = np.concatenate([self._after(now), self._after(now - none[-2])], axis=1)
        whole: Array = self.wait_weights @ np.concatenate(
            [self.by_step(now), here, self.by_step(here)], axis=1
        )
        if self.short:
            forced = k * self.step - self.slack[: self.short] + self.changeover
            ahead = self.by_half_pause(here)[:, :, : self.short]
            ahead = (ahead[:, :2] + self.pause_left * ahead[:, 2:]).repeat(AGES, axis=1)
            whole[:, :, : self.short] = self.quiet * forced + (1 - self.quiet) * ahead
        whole[:, :AGES, self.may_launch] = FORBIDDEN  # capacity that is there is taken, or done without
        return whole

    def _launch(self, none: list[Array], spot: list[Array]) -> Array:
        """Cost of a new spot machine for capacity of each age, FORBIDDEN while none is up or it would not be safe."""
        np = self.np
        event = self.warm.event[:, :, None]
        back = self.changeover / self.step
        low = min(int(back), len(spot) - 2)
        part = min(back - low, 1.0)
        ready = self.by_changeover((1 - part) * spot[-1 - low] + part * spot[-2 - low])
        half = back / 2  # of the layers of `none`, the present one is not known yet
        low = min(max(int(half) - 1, 0), len(none) - 2)
        lost_at = none[-1 - low] + (1 + low - half) * (none[-1 - low] - none[-2 - low])
        lost = self.by_half_changeover(lost_at)
        after = self._after(lost)[:, :1]
        out = np.full((len(self.price), 2 * AGES, SLACKS), FORBIDDEN)
        cost = self.price * self.changeover * (1 - event / 2) + self.warm.still @ ready + event * after
        out[:, :AGES] = np.where(self.may_launch, cost, FORBIDDEN)
        return out  # type: ignore[no-any-return]
