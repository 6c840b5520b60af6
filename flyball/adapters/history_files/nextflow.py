"""Nextflow's trace.txt (https://docs.seqera.io/nextflow/reports, "Trace file"), default, custom or raw columns."""

from __future__ import annotations

import re
from collections.abc import Mapping

from flyball.adapters.history_files.delimited import (
    bytes_of,
    duration_seconds,
    known,
    local_seconds,
    number,
    rows,
)
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
from flyball.model.receipt import Host, Limits

_NAME_AND_TAG = re.compile(r"(?P<process>.*?)(?: \((?P<tag>.*)\))?\Z", re.DOTALL)
_OUT_OF_MEMORY_EXITS = frozenset({137, 247})  # SIGKILL: what schedulers do to a task above its memory


def read(text: str, source: Source) -> ImportedHistory:
    facts: list[AnyFact] = []
    refused: list[Refused] = []
    for line, fields in rows(text, "\t", {"status"}, "a Nextflow trace", source.path):
        if isinstance(fields, Refused):
            refused.append(fields)
            continue
        try:
            facts += facts_of(_finished(fields, source))
        except (ValueError, OverflowError) as error:
            refused.append(Refused(line=line, reason=str(error)))
    return collected(facts, refused, "task", source)


def _finished(fields: Mapping[str, str], source: Source) -> Finished:
    named = _NAME_AND_TAG.match(known(fields, "name") or "")
    process = known(fields, "process") or (named["process"] if named else "")
    tag = known(fields, "tag") or (named["tag"] if named and named["tag"] else "")
    exit_code = number(known(fields, "exit"))
    started = local_seconds(known(fields, "start") or known(fields, "submit"))
    ended = local_seconds(known(fields, "complete"))
    wall = duration_seconds(known(fields, "realtime") or known(fields, "duration"))
    if wall is None:
        raise ValueError("neither realtime nor duration is known")
    share = number(known(fields, "%cpu"))
    attempt = number(known(fields, "attempt"))
    return Finished(
        origin="nextflow",
        key=_key(fields),
        job=process,
        outcome=_outcome(fields.get("status", ""), exit_code, fields),
        exit_code=None if exit_code is None else int(exit_code),
        exit_cause=f"{fields['status'].lower()}, exit {fields.get('exit', '?')}",
        started_at_seconds=started if known(fields, "start") else None if ended is not None else started,
        ended_at_seconds=ended
        if ended is not None
        else None
        if started is not None
        else source.modified_seconds,
        wall_seconds=wall,
        cpu_seconds=None if share is None else share / 100 * wall,
        memory_bytes_max=bytes_of(known(fields, "peak_rss", "rss"))
        or None,  # 0: it ended before it was measured
        disk_read_bytes=bytes_of(known(fields, "read_bytes")),
        disk_write_bytes=bytes_of(known(fields, "write_bytes")),
        numbers={} if attempt is None else {"attempt": attempt},
        words={"tag": tag},
        limits=Limits(
            memory_bytes=bytes_of(known(fields, "memory")),
            cpu_cores=number(known(fields, "cpus")),
            timeout_seconds=duration_seconds(known(fields, "time")),
        ),
        host=Host(hostname=known(fields, "hostname"), cpu_model=known(fields, "cpu_model")),
    )


def _key(fields: Mapping[str, str]) -> tuple[str, ...]:
    """A task's hash is that of its inputs and comes again with each run of the pipeline; with its times it does not."""
    names = (
        "hash",
        "task_id",
        "native_id",
        "name",
        "process",
        "tag",
        "submit",
        "start",
        "complete",
        "attempt",
    )
    return tuple(fields.get(name, "") for name in names)


def _outcome(status: str, exit_code: float | None, fields: Mapping[str, str]) -> Outcome:
    match status:
        case "COMPLETED":
            return Outcome.SUCCEEDED
        case "FAILED" if exit_code in _OUT_OF_MEMORY_EXITS and _near_its_memory(fields):
            return Outcome.OUT_OF_MEMORY
        case "FAILED":
            return Outcome.FAILED
        case "ABORTED":
            return Outcome.CANCELLED
        case "CACHED":
            raise ValueError("CACHED: an earlier run's figures, nothing ran")
        case _:
            raise ValueError(f"status {status[:20]!r}: it has not finished")


def _near_its_memory(fields: Mapping[str, str]) -> bool:
    """Whether SIGKILL can mean that its memory ran out; where peak or limit is unknown, that is the likeliest."""
    peak, limit = bytes_of(known(fields, "peak_rss", "rss")), bytes_of(known(fields, "memory"))
    return peak is None or limit is None or peak >= 0.8 * limit
