"""How many cores to ask for, from those used and those wanted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flyball.model.units import count_cores, show_cores
from flyball.policy.evidence import Evidence, Floats

WINDOW_RUNS = 32
HALF_LIFE_RUNS = 8.0
SHARE_SERVED = 0.9  # of runs that get all the cores they use; too few slow a run down, they do not end it
STARVED = 1.15  # wanted this many times what was used
STARVED_RUNS = 8  # newest runs whose unmet wish is met in full
GROWTH_MAX = 4.0  # at once, over the most that was ever used or allowed
SECONDS_LEAST = 1e-6  # shorter is no measurement
SPARE = 0.1  # of a core: so little over a step is sampling noise


def cores_for(evidence: Evidence, *, default: float, floor: float, ceiling: float) -> tuple[float, str]:
    """Cores, and why. A starved run counts with what it wanted, not with the little that it got."""
    used = cores_used(evidence)
    rows = _telling(evidence, used)
    if not len(rows):
        cores = min(max(default, floor), ceiling)
        what = "no run of this job tells its cores" if len(evidence) else "no run of this job is known yet"
        return cores, f"{count_cores(cores)}: {what}, the default"
    used = used[rows]
    wanted = np.fmax(evidence.cores_wanted[rows], used)
    weights = np.exp2(-np.arange(len(rows) - 1, -1, -1) / HALF_LIFE_RUNS)
    usual = _quantile(wanted, weights, SHARE_SERVED)
    starved = np.flatnonzero(wanted > STARVED * used)
    starved = starved[starved >= len(rows) - STARVED_RUNS]
    unmet = float(wanted[starved].max()) if len(starved) else 0.0
    most = float(np.nanmax(np.append(used, evidence.cores_limit[rows])))
    need = min(max(usual, unmet), max(GROWTH_MAX * most, floor))
    cores = min(max(_rounded_up(need), floor), ceiling)
    who = "the only run" if len(rows) == 1 else f"9 of 10 of the last {len(rows)} runs"
    why = f"{count_cores(cores)}: {who} used or wanted up to {show_cores(usual)}"
    if len(starved):
        got = float(used[starved[int(np.argmax(wanted[starved]))]])
        why += f"; one was held back, it wanted {show_cores(unmet)} and got {show_cores(got)}"
    return cores, why


def cores_used(evidence: Evidence) -> Floats:
    """Cores busy: the 95th percentile over the run where that was sampled, and never less than the mean."""
    seconds = np.where(evidence.wall_seconds > SECONDS_LEAST, evidence.wall_seconds, np.nan)
    mean = evidence.cpu_seconds / seconds
    return np.fmax(evidence.cores_p95, mean)


def _telling(evidence: Evidence, used: Floats) -> NDArray[np.int64]:
    """The newest runs whose cores are known; unfinished ones only where none has finished."""
    known = np.isfinite(used)
    whole = known & ~evidence.unfinished
    return np.flatnonzero(whole if whole.any() else known)[-WINDOW_RUNS:]


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    """The smallest value that at least that share of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, share)), len(values) - 1)])


def _rounded_up(cores: float) -> float:
    """Whole cores, quarters below one; a tenth over is not worth the next step."""
    if cores <= 1.0 + SPARE:
        return min(1.0, max(0.25, math.ceil((cores - SPARE / 4) * 4) / 4))
    return float(math.ceil(cores - SPARE))
