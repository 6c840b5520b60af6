"""Simple models of one quantity, each asked before every past run what it would have said, and about the next one."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from flyball.policy.evidence import Floats

# How far past the runs seen a model may be followed: the largest times 4, the smallest by half.
ABOVE_MAX, BELOW_MIN = np.log(4.0), np.log(2.0)
SHORT_RUNS, LONG_RUNS = 4.0, 16.0  # half-lives of "as it was lately"
# Widths in log units: inputs within 2 % are the same, within 10 % alike, within 50 % a neighbourhood.
SAME, ALIKE, NEAR = 0.02, 0.1, 0.4
CURVE = 0.3  # width of the correction of a line by its misses nearby
FAINT = 1e-9  # weight of everything else, so that a lone input falls back on the mean of all

# A Gaussian process in log units: variances of level, slope, smooth and narrow part, and noise. Only their ratios
# matter: what it says about spread is replaced by its record.
_LEVEL, _SLOPE, _SMOOTH, _NARROW, _NOISE = 9.0, 0.5, 0.3, 0.1, 0.006
_SMOOTH_WIDTH, _NARROW_WIDTH = 1.0, 0.05
_FEATURE_SPAN = 8.0  # log units; beyond, the slope is not followed


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the models (rows) said of the past runs (columns) and of the next, in logarithms.

    `errors` are what they missed by, scaled to how sure a model is now; `novelty` says how far every run, and
    last of all the next one, was from the nearest before it.
    """

    past: Floats
    errors: Floats
    upcoming: Floats
    novelty: Floats


def ask(values: Floats, features: Floats) -> Said:
    """What every model says. `values`: n logarithms, oldest first. `features`: n + 1 rows, the next run's last."""
    distances = np.abs(features[:, None, :] - features[None, :, :])
    total = distances.sum(axis=2)
    predictions = _Asking(values).of_time()
    if features.shape[1]:
        predictions += _by_feature(_Asking(values), features[:, 0], distances)
    plain = np.array(predictions)
    process, errors = _gaussian_process(values, features, total)
    past = np.vstack([plain[:, :-1], process[:-1]])
    return Said(
        past=past,
        errors=np.vstack([values - plain[:, :-1], errors]),
        upcoming=np.append(plain[:, -1], process[-1]),
        novelty=_novelty(total),
    )


class _Asking:
    """Weighted means of the earlier values, one for each run and the next."""

    def __init__(self, values: Floats) -> None:
        n = len(values)
        index = np.arange(n + 1)
        self.values, self.index = values, index
        self.earlier = (index[:, None] > index[None, :n]).astype(np.float64)
        self.age = np.maximum(index[:, None] - index[None, :n], 0).astype(np.float64)

    def mean(self, weights: Floats, of: Floats | None = None) -> Floats:
        """With nothing before it, the first run's own value stands in (its error is never used)."""
        values = self.values if of is None else of
        weights = weights * self.earlier
        sums = weights.sum(axis=1)
        sums[0] = 1.0
        means: Floats = (weights @ values) / np.maximum(sums, 1e-300)
        means[0] = values[0]
        return means

    def lately(self, half_life_runs: float) -> Floats:
        fading: Floats = np.exp2(-self.age / half_life_runs)
        return fading

    def of_time(self) -> list[Floats]:
        everything = np.ones_like(self.age)
        return [self.mean(everything), self.mean(self.lately(SHORT_RUNS)), self.mean(self.lately(LONG_RUNS))]


def _by_feature(asking: _Asking, first: Floats, distances: Floats) -> list[Floats]:
    """Models of the main feature, and of it together with each other one."""
    values, n = asking.values, len(asking.values)
    near = distances[:, :n, 0]
    power, straight = _power_law(values, first), _straight_line(values, first)
    local = np.exp(-near / CURVE) + 1e-3
    alike = np.exp(-near / ALIKE)
    said = [
        power,
        straight,
        power + asking.mean(local, values - power[:-1]),
        straight + asking.mean(local, values - straight[:-1]),
        asking.mean(np.exp(-near / SAME) + FAINT),
        asking.mean(alike + FAINT),
        asking.mean((alike + FAINT) * asking.lately(SHORT_RUNS)),
        asking.mean((alike + FAINT) * asking.lately(LONG_RUNS)),
        asking.mean(np.exp(-near / NEAR) + FAINT),
    ]
    for other in range(1, distances.shape[2]):
        both = distances[:, :n, 0] + distances[:, :n, other]
        said += [asking.mean(np.exp(-both / width) + 1e-6 * alike + 1e-12) for width in (ALIKE, NEAR)]
    highest = np.maximum.accumulate(np.append(values[0], values)) + ABOVE_MAX
    lowest = np.minimum.accumulate(np.append(values[0], values)) - BELOW_MIN
    return [np.clip(one, lowest, highest) for one in said]


def _before(values: Floats) -> Floats:
    """Sums of what came before each run, and before the next."""
    return np.append(0.0, np.cumsum(values))


def _power_law(values: Floats, feature: Floats) -> Floats:
    """Least squares of the logarithms, each run from those before it; a light ridge towards no slope."""
    x, y = feature[:-1], values
    count = np.maximum(np.arange(len(values) + 1), 1)
    mean_x, mean_y = _before(x) / count, _before(y) / count
    xx = _before(x * x) - count * mean_x**2
    xy = _before(x * y) - count * mean_x * mean_y
    said: Floats = mean_y + np.clip(xy / (xx + 0.1), -0.5, 2.0) * (feature - mean_x)
    said[0] = values[0]
    return said


def _straight_line(values: Floats, feature: Floats) -> Floats:
    """A fixed part and a part per unit of the feature, relative errors counting; gives logarithms."""
    x = np.exp(np.clip(feature - feature[:-1].max(), -50.0, 50.0))
    y = np.exp(values - values.max())
    weight = 1 / y**2
    total = _before(weight) + 1e-12
    mean_x, mean_y = _before(weight * x[:-1]) / total, _before(weight * y) / total
    xx = _before(weight * x[:-1] ** 2) / total - mean_x**2
    xy = _before(weight * x[:-1] * y) / total - mean_x * mean_y
    line = mean_y + np.maximum(xy, 0.0) / (np.maximum(xx, 0.0) + 1e-4 * mean_x**2 + 1e-12) * (x - mean_x)
    floor = np.minimum.accumulate(np.append(y[0], y)) / 4
    said: Floats = np.log(np.maximum(line, floor)) + values.max()
    said[0] = values[0]
    return said


def _gaussian_process(values: Floats, features: Floats, distances: Floats) -> tuple[Floats, Floats]:
    """What it says of each run from those before it, and its errors in units of how sure it is of the next.

    One Cholesky factor holds all of it: of a covariance L L', row i of L predicts run i from runs 0..i-1, and L[i, i]
    is the deviation of that prediction. Appending the values as one more row makes the factor's last row their
    standardised errors.
    """
    n = len(values)
    centred = np.clip(features - np.median(features[:n], axis=0), -_FEATURE_SPAN, _FEATURE_SPAN)[:, :1]
    cover = np.empty((n + 2, n + 2))
    cover[:-1, :-1] = (
        _LEVEL
        + _SLOPE * (centred @ centred.T)
        + _SMOOTH * np.exp(-distances / _SMOOTH_WIDTH)
        + _NARROW * np.exp(-distances / _NARROW_WIDTH)
    )
    index = np.arange(n + 1)
    cover[index, index] += _NOISE
    shifted = values - values[0]
    cover[-1, :n], cover[-1, n] = shifted, 0.0
    cover[:, -1] = cover[-1, :]
    cover[-1, -1] = 1.0 + float(shifted @ shifted) * 10 / _NOISE  # large enough for the factor to exist
    factor: NDArray[np.float64] = np.linalg.cholesky(cover)
    standard, deviation = factor[-1, :n], np.diag(factor)[: n + 1]
    upcoming = float(factor[n, :n] @ standard)
    said = np.append(shifted - deviation[:n] * standard, upcoming) + values[0]
    return said, standard * deviation[n]


def _novelty(distances: Floats) -> Floats:
    """The distance of each run to the nearest before it; infinite for the first."""
    earlier = np.tril(np.ones(distances.shape, dtype=np.bool_), -1)
    nearest: Floats = np.where(earlier, distances, np.inf).min(axis=1)
    return nearest
