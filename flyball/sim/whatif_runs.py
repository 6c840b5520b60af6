"""What past runs tell about what the same work would do on another machine, and what is assumed where they do not."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome
from flyball.model.processor import HYPERTHREAD_SHARE, ProcessorSeen, arch_of, processor_of
from flyball.model.resource import Arch, Size
from flyball.model.units import GIB, MIB
from flyball.sim.truth import Truth, Try

OUT_OF_MEMORY_AT = 0.5  # share of the work at which memory peaks: histories do not say
MEMORY_UNKNOWN_BYTES = GIB
# Ends that say how the job itself went; after any other the world was to blame, and it is tried anew in every world.
_OWN_ENDS = frozenset({Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.STALLED, Outcome.INCOMPLETE_OUTPUT})  # fmt: skip


class PastRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the history, and the work that it was."""

    run_id: str
    job: str
    rows: tuple[AttemptRow, ...]
    truth: Truth
    retries: int  # of its own failures, that it was allowed
    asked: Size
    asked_is_recorded: bool
    arch: Arch | None
    gpu_model: str | None = None

    @property
    def started_at_seconds(self) -> float:
        return self.rows[0].started_at_seconds

    @property
    def ended_at_seconds(self) -> float:
        return max(row.started_at_seconds + (row.wall_seconds or 0.0) for row in self.rows)


class Past(msgspec.Struct, frozen=True, kw_only=True):
    runs: tuple[PastRun, ...]  # oldest first
    left_out: dict[str, int]  # why -> runs


def past_runs(rows: Iterable[AttemptRow], gpu_models: dict[str, str]) -> Past:
    """Runs whose end is known, oldest first. `gpu_models` by machine type."""
    by_run: dict[str, list[AttemptRow]] = defaultdict(list)
    for row in rows:
        by_run[row.run_id].append(row)
    runs: list[PastRun] = []
    left_out: Counter[str] = Counter()
    for attempts in by_run.values():
        attempts.sort(key=lambda row: (row.started_at_seconds, row.attempt_id))
        found = _past_run(attempts, gpu_models)
        if isinstance(found, str):
            left_out[found] += 1
        else:
            runs.append(found)
    runs.sort(key=lambda run: (run.started_at_seconds, run.run_id))
    return Past(runs=tuple(runs), left_out=dict(left_out))


def _past_run(rows: Sequence[AttemptRow], gpu_models: dict[str, str]) -> PastRun | str:
    """The run, or why it cannot be replayed."""
    told = [row for row in rows if row.outcome in _OWN_ENDS and row.wall_seconds]
    if not told:
        return "no attempt of theirs came to an end of its own"
    basis = next((row for row in reversed(told) if row.outcome is Outcome.SUCCEEDED), None)
    basis = basis or max(told, key=lambda row: row.wall_seconds or 0.0)
    model = gpu_models.get(basis.instance_type or "")
    if basis.gpus_used and model is None:
        return "they used GPUs, and which ones is not recorded"
    seen = processor_of(cpu_model=basis.cpu_model, instance_type=basis.instance_type)
    failures = [_failure(row, basis) for row in told if row.outcome is not Outcome.SUCCEEDED]
    asked, recorded = _asked(rows, basis)
    succeeded = basis.outcome is Outcome.SUCCEEDED
    return PastRun(
        run_id=rows[0].run_id,
        job=rows[0].job,
        rows=tuple(rows),
        truth=_truth(rows, basis, seen, tuple(failures)),
        retries=len(failures) if succeeded else max(0, len(failures) - 1),
        asked=asked,
        asked_is_recorded=recorded,
        arch=arch_of(seen.name) if seen.known else None,
        gpu_model=model if basis.gpus_used else None,
    )


def _failure(row: AttemptRow, basis: AttemptRow) -> Try:
    share = (row.wall_seconds or 0.0) / (basis.wall_seconds or 1.0)
    return Try(exit_code=row.exit_code or 1, at_share=min(1.0, max(0.01, share)))


def _truth(
    rows: Sequence[AttemptRow], basis: AttemptRow, seen: ProcessorSeen, failures: tuple[Try, ...]
) -> Truth:
    """The reading that placement has of a run (policy/placement.py), in seconds of one m6i thread alone."""
    wall = max(1e-3, basis.wall_seconds or 0.0)
    cpu = min(basis.cpu_seconds or 0.0, wall * 1024)
    busy = min(wall, cpu)
    threads = max(1.0, cpu / max(busy, 1e-9), basis.cpu_cores_max or basis.cpu_cores_p95 or 1.0)
    parallel = (cpu - busy) / (threads - 1) if threads > 1 else 0.0
    vcpus = max(1.0, basis.host_cores or 2 * threads)
    peaks = [row.memory_bytes_max for row in rows if row.memory_bytes_max]
    return Truth(
        waiting_seconds=max(0.0, wall - cpu),
        serial_seconds=(busy - parallel) * _thread_speed(seen, 1.0, vcpus),
        parallel_core_seconds=parallel * threads * _thread_speed(seen, min(threads, vcpus), vcpus),
        cores=threads,
        memory_bytes=max(MIB, basis.memory_bytes_max or max(peaks, default=MEMORY_UNKNOWN_BYTES)),
        out_of_memory_at=OUT_OF_MEMORY_AT,
        tries=failures,
    )


def _thread_speed(seen: ProcessorSeen, threads: float, vcpus: float) -> float:
    shared = min(1.0, max(0.0, 2 * threads / vcpus - 1))
    return seen.speed_one_core + (seen.speed_all_cores * HYPERTHREAD_SHARE - seen.speed_one_core) * shared


def _asked(rows: Sequence[AttemptRow], basis: AttemptRow) -> tuple[Size, bool]:
    """What was asked for at first; else the machine it was on; else what it used. And whether it was recorded."""
    first = rows[0]
    memory = first.memory_limit_bytes
    recorded = memory is not None
    used = max((row.memory_bytes_max or 0 for row in rows), default=0) or MEMORY_UNKNOWN_BYTES
    if memory is None:
        memory = basis.host_memory_bytes or used
    cores = first.cpu_cores_limit or basis.host_cores or basis.cpu_cores_max or basis.cpu_cores_p95 or 1.0
    return Size(
        cpu_cores=max(1.0, math.ceil(cores)), memory_bytes=max(memory, 1), gpus=basis.gpus_used
    ), recorded
