"""CSVs of the Python package resource-tracker 0.5: one line a sample, one file a run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import PurePath

from flyball.adapters.history_files.delimited import known, number, rows
from flyball.adapters.history_files.imported import (
    Finished,
    ImportedHistory,
    Refused,
    Source,
    collected,
    facts_of,
)
from flyball.errors import InputError
from flyball.model.outcome import Outcome
from flyball.model.receipt import Host

_MIB = 2**20
_FILE_NAMES_OF_NO_JOB = frozenset(
    {"process", "tracker", "resource_tracker", "metrics", "output", "usage", "combined"}
)


def read(text: str, source: Source) -> ImportedHistory:
    """One run. Its end is not in the file: it is taken to have succeeded, and to have ended at its last sample."""
    prefix = "process_" if "process_memory_mib" in text.split("\n", 1)[0] else ""
    if not prefix and "memory_used_mib" in text.split("\n", 1)[0]:
        raise InputError(
            f"{source.path} measures the whole machine",
            why="no process's use can be told from it",
            hint="import its ProcessTracker CSV",
        )
    needed = {"timestamp", f"{prefix}utime", f"{prefix}stime", f"{prefix}memory_mib"}
    samples: list[dict[str, float | None]] = []
    refused: list[Refused] = []
    for line, fields in rows(text, ",", needed, "a resource-tracker CSV", source.path):
        if isinstance(fields, Refused):
            refused.append(fields)
            continue
        try:
            samples.append(_sample(fields, prefix))
        except (ValueError, OverflowError) as error:
            refused.append(Refused(line=line, reason=str(error)))
    try:
        facts = list(facts_of(_finished(samples, source))) if samples else []
    except (ValueError, OverflowError) as error:
        facts, refused = [], [*refused, Refused(line=1, reason=str(error))]
    return collected(facts, refused, "sample", source)


def _sample(fields: Mapping[str, str], prefix: str) -> dict[str, float | None]:
    timestamp = number(known(fields, "timestamp"))
    if timestamp is None:
        raise ValueError("it has no timestamp")
    columns = ("utime", "stime", "cpu_usage", "memory_mib", "disk_read_bytes", "disk_write_bytes")
    return {"timestamp": timestamp, **{name: number(known(fields, prefix + name)) for name in columns}}


def _finished(samples: list[dict[str, float | None]], source: Source) -> Finished:
    times = [sample["timestamp"] or 0.0 for sample in samples]
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(times))
    first_gap = (
        gaps[len(gaps) // 2] if gaps else 0.0
    )  # each line sums up the time before it, the first one too
    user, system = _total(samples, "utime"), _total(samples, "stime")
    memory = _most(samples, "memory_mib")
    read_bytes, write_bytes = _total(samples, "disk_read_bytes"), _total(samples, "disk_write_bytes")
    return Finished(
        origin="resource-tracker",
        key=tuple(repr(sorted(sample.items(), key=lambda item: item[0])) for sample in samples),
        job=_job(source.path),
        outcome=Outcome.SUCCEEDED,
        exit_cause="not recorded by resource-tracker",
        started_at_seconds=min(times) - first_gap,
        wall_seconds=max(times) - min(times) + first_gap,
        cpu_seconds=None if user is None or system is None else user + system,
        cpu_user_seconds=user,
        cpu_system_seconds=system,
        cpu_cores_max=_most(samples, "cpu_usage"),
        memory_bytes_max=round(memory * _MIB) if memory else None,
        disk_read_bytes=None if read_bytes is None else round(read_bytes),
        disk_write_bytes=None if write_bytes is None else round(write_bytes),
        host=Host(),
        samples=len(samples),
    )


def _total(samples: list[dict[str, float | None]], name: str) -> float | None:
    """The sum of what was used between samples; None when one of them is unknown."""
    total = 0.0
    for sample in samples:
        value = sample[name]
        if value is None:
            return None
        total += value
    return total


def _most(samples: list[dict[str, float | None]], name: str) -> float | None:
    return max((value for sample in samples if (value := sample[name]) is not None), default=None)


def _job(path: str) -> str:
    """The file's name without dates; its folder's for file names that name no job (process.csv)."""
    parts = PurePath(path)
    return parts.stem if parts.stem.lower() not in _FILE_NAMES_OF_NO_JOB else parts.parent.name or parts.stem
