"""How fast a processor is for one job, learnt from that job's own runs; benchmark factors are only where it starts.

Each run that succeeded says: log(core-seconds) = a + b log(input bytes) - log(prior speed) - correction + noise.
The corrections, one a processor, are pulled towards 0 as if each prior speed were known to PRIOR_SPREAD, so that one
odd run moves little and twenty runs decide. A job seen on one processor only leaves every correction at 0.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast
from flyball.model.processor import HYPERTHREAD_SHARE, ProcessorSeen, arch_of, processor_of
from flyball.model.resource import Arch
from flyball.policy.placement import Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PRIOR_SPREAD = 0.15  # of log speed: benchmark factors are wrong by 10 to 20 % for a given job
UNKNOWN_SPREAD = 0.5  # a processor we have no factor for
NOISE_FLOOR = 0.02  # runs on shared machines differ by at least 2 %
NEWEST_RUNS = 500  # older ones tell of older code
MINIMUM_CORE_SECONDS = 0.05  # below it, starting the process is what is measured


class JobSpeeds(msgspec.Struct, frozen=True, kw_only=True):
    """Factors on the prior speed of processors for one job, by processor name; those not named stay at 1."""

    corrections: Mapping[str, float] = MappingProxyType({})
    runs: int = 0
    reasons: tuple[str, ...] = ()


def learn_speeds(rows: Sequence[AttemptRow]) -> JobSpeeds:
    """From one job's attempts, oldest first. Nothing is learnt from fewer than two processors."""
    used = list(islice((row for row in reversed(rows) if _tells(row)), NEWEST_RUNS))
    seen = [_seen(row) for row in used]
    names = sorted({processor.name for processor in seen})
    if len(names) < 2:
        return JobSpeeds(runs=len(used))
    log_corrections = _solve(used, seen, names)
    corrections = {
        name: round(math.exp(value), 4) for name, value in zip(names, log_corrections, strict=True)
    }
    counts = Counter(processor.name for processor in seen)
    prior = {processor.name: processor for processor in seen}
    return JobSpeeds(
        corrections=MappingProxyType(corrections),
        runs=len(used),
        reasons=tuple(_words(prior[name], corrections[name], counts[name]) for name in names),
    )


def work_of_job(forecast: Forecast, rows: Sequence[AttemptRow]) -> Work | None:
    """The next run as the job's latest machine would see it; None until wall and CPU time are forecast."""
    if forecast.wall_seconds is None or forecast.cpu_core_seconds is None:
        return None
    last = next((row for row in reversed(rows) if row.cpu_model or row.instance_type), None)
    seen = (
        _seen(last)
        if last
        else ProcessorSeen(name="unknown", speed_one_core=1.0, speed_all_cores=1.0, known=False)
    )
    cores = forecast.cpu_cores.p90 if forecast.cpu_cores else 1.0
    return Work(
        wall_seconds=forecast.wall_seconds.p50,
        core_seconds=forecast.cpu_core_seconds.p50,
        cores=max(1.0, cores),
        memory_bytes=int(forecast.memory_bytes.p99) if forecast.memory_bytes else None,
        processor=seen.name,
        speed_one_core=seen.speed_one_core,
        speed_all_cores=seen.speed_all_cores,
        arch=_arch(seen, last.cpu_model if last else None),
        vcpus=max(last.host_cores, 1.0) if last and last.host_cores else None,
    )


def _arch(seen: ProcessorSeen, cpu_model: str | None) -> Arch | None:
    """What the job's programs were built for, as far as its processor says; None when it does not."""
    if seen.known:
        return arch_of(seen.name)
    if cpu_model and re.search(r"Intel|AMD|Xeon|x86", cpu_model, re.IGNORECASE):
        return Arch.X86_64
    return (
        Arch.ARM64
        if cpu_model and re.search(r"ARM|Neoverse|Cortex|Apple", cpu_model, re.IGNORECASE)
        else None
    )


def _tells(row: AttemptRow) -> bool:
    return (
        row.outcome is Outcome.SUCCEEDED
        and (row.cpu_seconds or 0) >= MINIMUM_CORE_SECONDS
        and bool(row.cpu_model or row.instance_type)
    )


def _seen(row: AttemptRow) -> ProcessorSeen:
    return processor_of(cpu_model=row.cpu_model, instance_type=row.instance_type)


def _prior_speed(row: AttemptRow, seen: ProcessorSeen) -> float:
    """Of one of its threads: its own core's up to half the vCPUs busy, shared with another thread above that."""
    busy = (row.cpu_cores_p95 or 1.0) / row.host_cores if row.host_cores else 0.0
    shared = min(1.0, max(0.0, 2 * busy - 1))
    return seen.speed_one_core + (seen.speed_all_cores * HYPERTHREAD_SHARE - seen.speed_one_core) * shared


def _solve(rows: Sequence[AttemptRow], seen: Sequence[ProcessorSeen], names: Sequence[str]) -> list[float]:
    """Log corrections: ridge regression, twice re-weighted so that odd runs (over 3 spreads off) count less."""
    import numpy as np

    speeds = [_prior_speed(row, processor) for row, processor in zip(rows, seen, strict=True)]
    answer = np.log([row.cpu_seconds or 1.0 for row in rows]) + np.log(speeds)
    by_name = np.array([[processor.name == name for name in names] for processor in seen], dtype=np.float64)
    plain = _explaining(rows)
    design = np.column_stack([plain, -by_name])
    known = {processor.name: processor.known for processor in seen}
    spread = np.array([PRIOR_SPREAD if known[name] else UNKNOWN_SPREAD for name in names])
    weights, noise = np.ones(len(rows)), 0.1
    solution = np.zeros(design.shape[1])
    for _ in range(4):
        pull = np.concatenate([np.full(plain.shape[1], 1e-6), (noise / spread) ** 2])
        weighted = design * weights[:, None]
        solution = np.linalg.solve(design.T @ weighted + np.diag(pull), weighted.T @ answer)
        residual = np.abs(answer - design @ solution)
        noise = max(NOISE_FLOOR, 1.4826 * float(np.median(residual)))
        weights = np.minimum(1.0, 3 * noise / np.maximum(residual, 1e-12))
    return [float(value) for value in solution[plain.shape[1] :]]


def _explaining(rows: Sequence[AttemptRow]) -> NDArray[np.float64]:
    """A column of ones, and one of the input's size where every run has one and they differ."""
    import numpy as np

    sizes = [row.input_bytes for row in rows]
    if any(not size for size in sizes) or len(set(sizes)) < 2:
        return np.ones((len(rows), 1))
    logs = np.log(np.array(sizes, dtype=np.float64))
    return np.column_stack([np.ones(len(rows)), logs - logs.mean()])


def _words(prior: ProcessorSeen, correction: float, runs: int) -> str:
    expected = f"{prior.speed_one_core:.2f}" if prior.known else "1.00 (no benchmark)"
    return (
        f"{prior.name}: {correction * prior.speed_one_core:.2f} x an m6i for this job, by {runs} run{'s' * (runs != 1)};"
        f" benchmarks said {expected}"
    )
