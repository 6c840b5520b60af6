"""Snakemake's benchmark files: one line for each repeat, the columns of snakemake/benchmark.py, short or extended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath

from flyball.adapters.history_files.delimited import clock_seconds, known, number, rows
from flyball.adapters.history_files.imported import (
    Finished,
    ImportedHistory,
    Refused,
    Source,
    collected,
    facts_of,
)
from flyball.model.facts import AnyFact
from flyball.model.outcome import Outcome
from flyball.model.receipt import Limits

_MIB = 2**20  # its "MB" are bytes / 1024 / 1024


def read(text: str, source: Source) -> ImportedHistory:
    facts: list[AnyFact] = []
    refused: list[Refused] = []
    for line, fields in rows(text, "\t", {"s"}, "a Snakemake benchmark", source.path):
        if isinstance(fields, Refused):
            refused.append(fields)
            continue
        try:
            facts += facts_of(_finished(fields, line, source))
        except (ValueError, OverflowError) as error:
            refused.append(Refused(line=line, reason=str(error)))
    return collected(facts, refused, "benchmark", source)


def _finished(fields: Mapping[str, str], line: int, source: Source) -> Finished:
    wall = number(known(fields, "s")) if known(fields, "s") else clock_seconds(known(fields, "h:m:s"))
    if wall is None:
        raise ValueError("its running time is not known")
    rule, wildcards = known(fields, "rule_name", "rule"), _dictionary(known(fields, "wildcards"))
    name = _path_without_folders(source.path)
    words = {key: str(value) for key, value in wildcards.items()} or ({} if not rule else {"benchmark": name})
    return Finished(
        origin="snakemake",
        key=(name, str(line), *(f"{column}={value}" for column, value in sorted(fields.items()))),
        job=rule or _rule_from_path(source.path),
        outcome=Outcome.SUCCEEDED,  # Snakemake writes a benchmark only for a job that succeeded
        exit_code=0,
        exit_cause="exit 0",
        ended_at_seconds=source.modified_seconds,
        wall_seconds=wall,
        cpu_seconds=_cpu_seconds(fields, wall),
        memory_bytes_max=_mib(known(fields, "max_pss"))
        or _mib(known(fields, "max_rss"))
        or None,  # 0: not sampled
        disk_read_bytes=_mib(known(fields, "io_in")),
        disk_write_bytes=_mib(known(fields, "io_out")),
        input_bytes=_input_bytes(known(fields, "input_size_mb")),
        words=words,
        limits=Limits(cpu_cores=number(known(fields, "threads"))),
    )


def _cpu_seconds(fields: Mapping[str, str], wall: float) -> float | None:
    """cpu_time where there is one (since 5.26); else mean_load, percent of one core."""
    stated, load = number(known(fields, "cpu_time")), number(known(fields, "mean_load"))
    return stated or (load / 100 * wall if load else None)  # 0: it ended before the first sample


def _mib(text: str | None) -> int | None:
    value = number(text)
    return None if value is None else round(value * _MIB)


def _rule_from_path(path: str) -> str:
    """benchmarks/align/sample1.tsv -> align; benchmarks/align.tsv -> align."""
    parts = PurePath(path).parts
    folder = parts[-2] if len(parts) > 1 else ""
    plain = {"", "/", ".", "..", "benchmark", "benchmarks", "logs", "results", "tmp"}
    return folder if folder.lower() not in plain else _path_without_folders(path)


def _path_without_folders(path: str) -> str:
    name = PurePath(path).name
    for suffix in (".txt", ".tsv", ".csv", ".benchmark", ".bench", ".bwa"):
        name = name.removesuffix(suffix)
    return name


def _dictionary(text: str | None) -> dict[str, object]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _input_bytes(text: str | None) -> int | None:
    """The sum over its input files; older ones write a plain number."""
    sizes = _dictionary(text)
    if sizes:
        known_sizes = [size for size in sizes.values() if isinstance(size, int | float)]
        return round(sum(known_sizes) * _MIB) if len(known_sizes) == len(sizes) else None
    try:
        return _mib(text)
    except ValueError:
        return None
