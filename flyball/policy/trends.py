"""Simple models of one quantity, each asked before every past run what it would have said, and about the next one."""

from __future__ import annotations

import msgspec
import numpy as np

from flyball.policy.evidence import Floats

# How far past the runs seen a model may be followed: the largest times 4, the smallest by half.
ABOVE_MAX, BELOW_MIN = np.log(4.0), np.log(2.0)
SHORT_RUNS, LONG_RUNS = 4.0, 16.0  # half-lives of "as it was lately"
# Widths in log units: inputs within 2 % are the same, within 10 % alike, within 50 % a neighbourhood.
SAME, ALIKE, NEAR = 0.02, 0.1, 0.4
CURVE, CURVE_FLOOR = (
    0.3,
    1e-3,
)  # width of the correction of a line by its misses nearby, and the weight of others
FAINT = 1e-9  # weight of everything else, so that a lone input falls back on the mean of all

# A Gaussian process in log units: variances of level, slope, smooth and narrow part, and noise. Only their ratios
# matter: what it says about spread is replaced by its record.
_LEVEL, _SLOPE, _SMOOTH, _NARROW, _NOISE = 9.0, 0.5, 0.3, 0.1, 0.006
_SMOOTH_WIDTH, _NARROW_WIDTH = 1.0, 0.05
ERROR_MOST = 5.0  # log units, 150 times
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
    distances = [np.abs(column[:, None] - column[None, :]) for column in features.T]
    total = sum(distances, np.zeros((len(features), len(features))))
    past = _only_earlier(total)
    predictions = _by_time(values)
    if distances:
        predictions += _by_feature(values, features[:, 0], [_only_earlier(one) for one in distances])
    plain = np.array(predictions)
    process, errors = _gaussian_process(values, features, total)
    return Said(
        past=np.vstack([plain[:, :-1], process[:-1]]),
        errors=np.vstack([values - plain[:, :-1], errors]),
        upcoming=np.append(plain[:, -1], process[-1]),
        novelty=past.min(axis=1),
    )


def _only_earlier(distances: Floats) -> Floats:
    """Rows are all runs and the next, columns all runs: infinitely far from those that came later."""
    n = len(distances) - 1
    earlier: Floats = distances[:, :n].copy()
    earlier[np.triu_indices(n)] = np.inf
    return earlier


def _fading(n: int, half_life_runs: float) -> Floats:
    """Weights of runs by age. In a mean only their ratios matter, so that one vector serves all moments."""
    fading: Floats = np.exp2((np.arange(n) - n) / half_life_runs)
    return fading


def _by_time(values: Floats) -> list[Floats]:
    """The mean of all earlier runs, and of those lately."""
    n = len(values)
    return [
        _mean(_before(weight * values), _before(weight), values[0])
        for weight in (np.ones(n), _fading(n, SHORT_RUNS), _fading(n, LONG_RUNS))
    ]


def _mean(sums: Floats, weights: Floats, first: float) -> Floats:
    """With nothing before it, the first run's own value stands in (its error is never used)."""
    mean: Floats = sums / np.maximum(weights, 1e-300)
    mean[0] = first
    return mean


def _near_mean(kernel: Floats, weight: Floats, values: Floats, first: float) -> Floats:
    """The mean of the earlier values, those that the kernel holds to be near counting most."""
    sums = kernel @ np.column_stack([weight * values, weight])
    return _mean(sums[:, 0] + FAINT * _before(weight * values), sums[:, 1] + FAINT * _before(weight), first)


def _by_feature(values: Floats, first: Floats, distances: list[Floats]) -> list[Floats]:
    """Models of the main feature, and of it together with each other one."""
    n, near, start = len(values), distances[0], values[0]
    same, alike, around, curve = (np.exp(-near / width) for width in (SAME, ALIKE, NEAR, CURVE))
    all_runs = np.ones(n)
    power, straight = _power_law(values, first), _straight_line(values, first)
    said = [
        power,
        straight,
        power + _near_mean(curve + CURVE_FLOOR * np.isfinite(near), all_runs, values - power[:-1], 0.0),
        straight + _near_mean(curve + CURVE_FLOOR * np.isfinite(near), all_runs, values - straight[:-1], 0.0),
        _near_mean(same, all_runs, values, start),
        _near_mean(alike, all_runs, values, start),
        _near_mean(alike, _fading(n, SHORT_RUNS), values, start),
        _near_mean(alike, _fading(n, LONG_RUNS), values, start),
        _near_mean(around, all_runs, values, start),
    ]
    for other in distances[1:]:
        both = near + other
        said += [
            _near_mean(np.exp(-both / width) + 1e-6 * alike, all_runs, values, start)
            for width in (ALIKE, NEAR)
        ]
    return [_bounded(one, values) for one in said]


def _bounded(said: Floats, values: Floats) -> Floats:
    """Not further past the runs seen before each than a model may be followed."""
    seen = np.append(values[0], values)
    bounded: Floats = np.clip(
        said, np.minimum.accumulate(seen) - BELOW_MIN, np.maximum.accumulate(seen) + ABOVE_MAX
    )
    return bounded


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
    factor = np.asarray(np.linalg.cholesky(cover), dtype=np.float64)
    standard, deviation = factor[-1, :n], np.diag(factor)[: n + 1]
    upcoming = float(factor[n, :n] @ standard)
    said = np.append(shifted - deviation[:n] * standard, upcoming) + values[0]
    return _bounded(said, values), np.clip(standard * deviation[n], -ERROR_MOST, ERROR_MOST)
