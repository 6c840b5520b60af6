"""A finished run as another tool recorded it, turned into the same facts as our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

import msgspec

from flyball.errors import InputError
from flyball.model.facts import AnyFact, AttemptEnded, AttemptStarted, RunSubmitted
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.receipt import Host, Limits, Receipt
from flyball.policy.command_words import without_dates
from flyball.policy.redaction import redact_map, redact_text

_TEXT_CHARS_MAX = 200
_SECONDS_MAX = 10 * 365 * 86400.0  # a run of more than ten years is a wrong figure
_CORES_MAX = 1024
_EXIT_CODE_MAX = 2**31
_BYTES_MAX = 2**60
_TIME_MAX_SECONDS = 253370764800.0  # the year 9999


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The file that is read; its time stands in where its lines have none."""

    path: str
    modified_seconds: float


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class ImportedHistory(msgspec.Struct, frozen=True, kw_only=True):
    facts: tuple[AnyFact, ...]
    refused: tuple[Refused, ...]


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What another tool knows of one attempt. None: it did not say."""

    origin: str  # nextflow, snakemake, slurm, resource-tracker
    key: tuple[str, ...]  # what makes this attempt another one than all others of that tool
    job: str
    outcome: Outcome
    exit_code: int | None = None
    exit_cause: str = ""
    started_at_seconds: float | None = None
    ended_at_seconds: float | None = None
    wall_seconds: float
    cpu_seconds: float | None = None
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    cpu_cores_max: float | None = None
    memory_bytes_max: int | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    input_bytes: int | None = None
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    limits: Limits = Limits()
    host: Host = Host()
    samples: int = 0


def facts_of(found: Finished) -> tuple[AnyFact, ...]:
    """Submitted, started, ended. Raises: ValueError for figures that cannot be."""
    _refuse_impossible(found)
    ended = found.ended_at_seconds
    started = found.started_at_seconds
    if started is None:
        started = (ended if ended is not None else 0.0) - found.wall_seconds
    ended = started + found.wall_seconds if ended is None else ended
    run_id = _run_id(found)
    run = _run_spec(found, run_id, started)
    receipt = _receipt(found, f"{run_id}.1", started, ended)
    return (
        RunSubmitted(at_seconds=started, run=run),
        AttemptStarted(
            at_seconds=started,
            run_id=run_id,
            attempt_id=f"{run_id}.1",
            limits=found.limits,
            reason=f"imported from {found.origin}",
        ),
        AttemptEnded(at_seconds=ended, run_id=run_id, attempt_id=f"{run_id}.1", receipt=receipt),
    )


def collected(facts: list[AnyFact], refused: list[Refused], what: str, source: Source) -> ImportedHistory:
    """The history read, if there was any. Raises: InputError when not one line made sense."""
    if not facts and not refused:
        raise InputError(f"{source.path} has no finished {what}", why="there is nothing below its header")
    return ImportedHistory(facts=tuple(facts), refused=tuple(refused))


def shown(text: str) -> str:
    """Text of a foreign file as it may be stored and shown: no secrets, no control characters, not endless."""
    clean = "".join(c if c.isprintable() else " " for c in text[: 2 * _TEXT_CHARS_MAX])
    return redact_text(" ".join(clean.split()))[:_TEXT_CHARS_MAX]


def job_name(text: str) -> str:
    """A job's name from a foreign one: its dates and long numbers are not part of it. Raises: ValueError."""
    name = without_dates(shown(text))
    if not name:
        raise ValueError("it has no name")
    return name


def utc_offset_seconds(at_seconds: float) -> int:
    """Of this machine's time zone then: these tools write local times without saying which zone."""
    offset = datetime.fromtimestamp(at_seconds).astimezone().utcoffset()
    return round(offset.total_seconds()) if offset else 0


def _run_id(found: Finished) -> str:
    key = json.dumps([found.origin, *found.key])
    return "i" + hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _run_spec(found: Finished, run_id: str, started: float) -> RunSpec:
    features = Features(
        started_at_seconds=started,
        utc_offset_seconds=utc_offset_seconds(started),
        input_bytes=found.input_bytes,
        numbers=found.numbers,
        words=redact_map(_clean(found.words)),
    )
    return RunSpec(run_id=run_id, job=job_name(found.job), command=(), features=features, origin=found.origin)


def _clean(words: Mapping[str, str]) -> dict[str, str]:
    return {shown(key): shown(value) for key, value in words.items() if value}


def _receipt(found: Finished, attempt_id: str, started: float, ended: float) -> Receipt:
    figures = {
        name: getattr(found, name)
        for name in (
            "cpu_seconds", "cpu_user_seconds", "cpu_system_seconds", "cpu_cores_max", "memory_bytes_max",
            "disk_read_bytes", "disk_write_bytes",
        )
    }  # fmt: skip
    known = [name for name, value in figures.items() if value is not None]
    mean = (
        found.cpu_seconds / found.wall_seconds
        if found.cpu_seconds is not None and found.wall_seconds > 0
        else None
    )
    return Receipt(
        attempt_id=attempt_id,
        outcome=found.outcome,
        exit_code=found.exit_code,
        exit_cause=shown(found.exit_cause) or found.outcome.value.replace("_", " "),
        started_at_seconds=started,
        ended_at_seconds=ended,
        wall_seconds=found.wall_seconds,
        cpu_cores_mean=mean,
        samples=found.samples,
        host=found.host,
        limits=found.limits,
        sources=dict.fromkeys(["wall_seconds", *known], f"import:{found.origin}"),
        **figures,
    )


_MOST = {
    "wall_seconds": _SECONDS_MAX,
    "cpu_seconds": _SECONDS_MAX * _CORES_MAX,
    "cpu_user_seconds": _SECONDS_MAX * _CORES_MAX,
    "cpu_system_seconds": _SECONDS_MAX * _CORES_MAX,
    "memory_bytes_max": _BYTES_MAX,
    "disk_read_bytes": _BYTES_MAX,
    "disk_write_bytes": _BYTES_MAX,
    "input_bytes": _BYTES_MAX,
    "exit_code": _EXIT_CODE_MAX,
    "started_at_seconds": _TIME_MAX_SECONDS,
    "ended_at_seconds": _TIME_MAX_SECONDS,
}
_MOST_OF_LIMITS = {"cpu_cores": _CORES_MAX, "timeout_seconds": _SECONDS_MAX, "memory_bytes": _BYTES_MAX}


def _refuse_impossible(found: Finished) -> None:
    for values, most in ((found, _MOST), (found.limits, _MOST_OF_LIMITS)):
        for name, largest in most.items():
            value = getattr(values, name)
            if value is not None and not 0 <= value <= largest:  # NaN neither
                raise ValueError(f"{name.replace('_', ' ')} of {value} cannot be")
