"""What the next run is expected to use: quantiles of time, CPU time, memory and cores, with the evidence in words."""

from __future__ import annotations

import math

import numpy as np

from flyball.model.job import Features
from flyball.model.plan import Forecast, Quantiles
from flyball.model.units import show_bytes, show_cores, show_seconds
from flyball.policy.cores import cores_used
from flyball.policy.evidence import Evidence
from flyball.policy.observations import Observations, Quantity, observe

CORES_WINDOW_RUNS = 32


def forecast(evidence: Evidence, upcoming: Features) -> Forecast:
    """Quantiles over what the next run may use; None for what no run has shown."""
    found = {quantity: _quantiles(evidence, quantity, upcoming) for quantity in Quantity}
    cores = _cores(evidence)
    reasons = [words for _, words in found.values() if words]
    if cores is not None:
        reasons.append(
            f"cores: {show_cores(cores.p50)} in half of the last runs, up to {show_cores(cores.p90)} in 9 of 10"
        )
    return Forecast(
        runs=int(evidence.succeeded.sum()),
        wall_seconds=found[Quantity.WALL_SECONDS][0],
        cpu_core_seconds=found[Quantity.CPU_CORE_SECONDS][0],
        memory_bytes=found[Quantity.MEMORY_BYTES][0],
        cpu_cores=cores,
        reasons=tuple(reasons) or ("no run of this job is known yet",),
    )


def _quantiles(evidence: Evidence, quantity: Quantity, upcoming: Features) -> tuple[Quantiles | None, str]:
    seen = observe(evidence, quantity, upcoming)
    if seen is None:
        return None, ""
    expected = seen.outlook()
    p50, p90, p99 = (math.exp(expected.quantile(share)) for share in (0.5, 0.9, 0.99))
    return Quantiles(p50=p50, p90=p90, p99=p99), _why(quantity, seen, p50, p90)


def _why(quantity: Quantity, seen: Observations, p50: float, p90: float) -> str:
    """ "wall time: 41 min expected, 9 of 10 below 52 min, from 41 runs by input size"."""
    show = show_bytes if quantity is Quantity.MEMORY_BYTES else show_seconds
    runs = f"{len(seen.values)} run" + ("" if len(seen.values) == 1 else "s")
    by = " by input size or numbers" if seen.features.shape[1] else ""
    calendar = f", those {seen.season.words}" if seen.season is not None else ""
    return f"{quantity.value}: {show(p50)} expected, 9 of 10 below {show(p90)}, from {runs}{by}{calendar}"


def _cores(evidence: Evidence) -> Quantiles | None:
    used = cores_used(evidence)[evidence.succeeded]
    used = used[np.isfinite(used)][-CORES_WINDOW_RUNS:]
    if not len(used):
        return None
    p50, p90, p99 = (float(value) for value in np.quantile(used, (0.5, 0.9, 0.99)))
    return Quantiles(p50=p50, p90=p90, p99=p99)
