"""The distribution of what the next run may use, from what simple models said of the past and missed by."""

from __future__ import annotations

import msgspec
import numpy as np

from flyball.policy.evidence import Floats
from flyball.policy.trends import ask

WINDOW_RUNS = 160  # newest runs that are looked at; what is older speaks for them less and less
HALF_LIFE_RUNS = 200.0
RUNS_UNSCORED = 3  # first runs, that no model could know

# Which past errors speak for the next run: those of runs of like size (log units) and like novelty.
SIZE_WIDTH, SIZE_ELSEWHERE = 0.2, 0.05
NOVELTY_WIDTH, NOVELTY_ELSEWHERE = 1.0, 0.05
NOVELTY_LEAST, NOVELTY_MOST = 0.003, 1.0  # from "the same input" to "nothing like it"

# A model weighs (its mean error)^-power. With more runs the better ones are told apart more surely.
POWER_FIRST, POWER_PER_RUN, POWER_MOST = 4.0, 0.1, 16.0
ERROR_ASSUMED = 0.3  # of one run, before any was seen
NEGLIGIBLE = 0.02  # of the best model's weight

# Before a job has shown how it varies: a Laplace spread of a quarter, as heavy as one run.
SPREAD_ASSUMED, RUNS_ASSUMED = 0.25, 1.0
_LEVELS = (np.arange(21) + 0.5) / 21
_LAPLACE = np.where(_LEVELS < 0.5, np.log(2 * _LEVELS), -np.log(2 * (1 - _LEVELS))) * SPREAD_ASSUMED
# Each error stands for a small range around it.
_BLUR, _BLUR_WEIGHTS = np.array([-0.018, 0.0, 0.018]), np.array([0.3, 0.4, 0.3])


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """Possible logarithms, ascending, with their chances counted by run and by time spent running."""

    values: Floats
    by_run: Floats  # sums to 1
    by_time: Floats  # sums to 1: a long run's error costs more
    runs: int  # finished runs looked at

    def quantile(self, share: float) -> float:
        """The logarithm below which that share of runs is expected to stay."""
        reached = int(np.searchsorted(np.cumsum(self.by_run), share - 1e-12))
        return float(self.values[min(reached, len(self.values) - 1)])

    def share_above(self, value: float) -> float:
        """Expected share of runs that use more than that logarithm."""
        start = int(np.searchsorted(self.values, value, side="right"))
        return min(1.0, float(self.by_run[start:].sum()))


def outlook(values: Floats, features: Floats, seconds: Floats) -> Outlook:
    """What the next run may use, from the logarithms of at least one past run, oldest first.

    `features` has one more row than `values`: the next run's. `seconds` is how long each run took.
    """
    values, features, seconds = values[-WINDOW_RUNS:], features[-WINDOW_RUNS - 1 :], seconds[-WINDOW_RUNS:]
    n = len(values)
    said = ask(values, features)
    first = min(RUNS_UNSCORED, 1 + n // 4)
    if n <= first:
        centre = np.array([said.upcoming.max()])
        nothing = np.zeros((1, 0))
        return _gather(centre, nothing, np.ones(1), by_run=nothing, by_time=nothing, runs=n)
    past, errors = said.past[:, first:], said.errors[:, first:]
    alike = _alike(said.novelty, first) * np.exp2(-np.arange(n - first, 0, -1) / HALF_LIFE_RUNS)
    weights = _model_weights(values[first:], past, alike * seconds[first:])
    used = weights > NEGLIGIBLE * weights.max()
    past, errors, upcoming = past[used], errors[used], said.upcoming[used]
    near = np.exp(-np.abs(past - upcoming[:, None]) / SIZE_WIDTH) + SIZE_ELSEWHERE
    models, by_run = weights[used] / weights[used].sum(), near * alike
    return _gather(upcoming, errors, models, by_run=by_run, by_time=by_run * seconds[first:], runs=n)


def _alike(novelty: Floats, first: int) -> Floats:
    """How much each run's error says of the next: what was new then says much of what is new now."""
    log = np.log(np.clip(novelty, NOVELTY_LEAST, NOVELTY_MOST))
    alike: Floats = np.exp(-np.abs(log[first:-1] - log[-1]) / NOVELTY_WIDTH) + NOVELTY_ELSEWHERE
    return alike


def _model_weights(values: Floats, past: Floats, weights: Floats) -> Floats:
    """By record: the mean error in bytes or seconds, shrunk towards what one unknown run would show."""
    weights = weights * np.exp(values - values.max())
    n = len(values)
    error = (np.abs(values - past) @ weights) / weights.sum()
    error = (error * n + ERROR_ASSUMED) / (n + 1)
    power = min(POWER_FIRST + POWER_PER_RUN * n, POWER_MOST)
    weight: Floats = (error.min() / error) ** power
    return weight


def _gather(
    centres: Floats, errors: Floats, models: Floats, *, by_run: Floats, by_time: Floats, runs: int
) -> Outlook:
    """All models' errors around what they say of the next run, and the assumed spread for what is yet unseen."""
    points = (centres[:, None] + errors)[:, :, None] + _BLUR
    assumed = centres[:, None] + _LAPLACE
    values = np.concatenate([points.ravel(), assumed.ravel()])
    order = np.argsort(values)
    run, time = (_chances(models, weights)[order] for weights in (by_run, by_time))
    return Outlook(values=values[order], by_run=run, by_time=time, runs=runs)


def _chances(models: Floats, weights: Floats) -> Floats:
    """The chance of every point: fewer effective runs leave more to the assumed spread."""
    if weights.shape[1]:
        weights = weights / weights.sum(axis=1, keepdims=True)
        effective = 1 / (weights**2).sum(axis=1)
        assumed = RUNS_ASSUMED / (effective + RUNS_ASSUMED)
    else:
        assumed = np.ones(len(models))
    seen = (models * (1 - assumed))[:, None, None] * weights[:, :, None] * _BLUR_WEIGHTS
    unseen = np.repeat(models * assumed / len(_LAPLACE), len(_LAPLACE))
    chances = np.concatenate([seen.ravel(), unseen])
    normal: Floats = chances / chances.sum()
    return normal
