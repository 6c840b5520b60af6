"""Slurm's accounting: `sacct --parsable2` with any --format that has JobID and State (man 1 sacct)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from flyball.adapters.history_files.delimited import (
    bytes_of,
    clock_seconds,
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
from flyball.model.receipt import Limits

_OUTCOMES = {
    "COMPLETED": Outcome.SUCCEEDED,
    "FAILED": Outcome.FAILED,
    "OUT_OF_MEMORY": Outcome.OUT_OF_MEMORY,
    "TIMEOUT": Outcome.TIMED_OUT,
    "DEADLINE": Outcome.TIMED_OUT,
    "CANCELLED": Outcome.CANCELLED,
    "REVOKED": Outcome.CANCELLED,
    "PREEMPTED": Outcome.INTERRUPTED,
    "NODE_FAIL": Outcome.LOST,
    "BOOT_FAIL": Outcome.LAUNCH_TIMED_OUT,
    "LAUNCH_FAILED": Outcome.LAUNCH_TIMED_OUT,
}
_JOB_ID = re.compile(r"(?P<job>\d+)(?:_(?P<task>\d+|\[.*\]))?(?:\+(?P<part>\d+))?(?:\.(?P<step>.+))?\Z")
_REQUESTED = re.compile(r"([0-9.]+)([KMGTP]?)B?([nc]?)\Z", re.IGNORECASE)
_GPUS = re.compile(r"gres/gpu(?:=|:\w+=)(\d+)")


class _Job(msgspec.Struct):
    line: int
    fields: dict[str, str]
    steps: list[dict[str, str]] = []


def read(text: str, source: Source) -> ImportedHistory:
    jobs: list[_Job] = []
    latest: dict[
        str, _Job
    ] = {}  # a requeued job comes twice (sacct --duplicates), each time with its steps below
    orphans: list[tuple[str, int, dict[str, str]]] = []
    facts: list[AnyFact] = []
    refused: list[Refused] = []
    for line, fields in rows(text, "|", {"JobID", "State"}, "the output of sacct --parsable2", source.path):
        if isinstance(fields, Refused):
            refused.append(fields)
            continue
        match, job_id = _JOB_ID.match(fields["JobID"]), fields["JobID"].partition(".")[0]
        if match is None:
            refused.append(Refused(line=line, reason=f"JobID {fields['JobID'][:40]!r} is none"))
        elif not match["step"]:
            latest[job_id] = _Job(line=line, fields=fields)
            jobs.append(latest[job_id])
        elif job_id in latest:
            latest[job_id].steps.append(fields)
        else:
            orphans.append((job_id, line, fields))
    for job_id, line, fields in orphans:
        if job_id in latest:
            latest[job_id].steps.append(fields)
        else:
            refused.append(Refused(line=line, reason=f"a step of job {job_id}, which has no line of its own"))
    for job in jobs:
        try:
            facts += facts_of(_finished(job, source))
        except (ValueError, OverflowError) as error:
            refused.append(Refused(line=job.line, reason=str(error)))
    refused.sort(key=lambda refusal: refusal.line)
    return collected(facts, refused, "job", source)


def _finished(job: _Job, source: Source) -> Finished:
    fields = job.fields
    state = (fields["State"].split() or [""])[0].rstrip("+")
    if state not in _OUTCOMES:
        raise ValueError(f"state {state[:30]!r}: it has not finished")
    raw = number(known(fields, "ElapsedRaw"))
    wall = raw if raw is not None else clock_seconds(known(fields, "Elapsed"))
    if wall is None:
        raise ValueError("its elapsed time is not known")
    started, ended = local_seconds(known(fields, "Start")), local_seconds(known(fields, "End"))
    match = _JOB_ID.match(fields["JobID"])
    task = match["task"] if match and match["task"] and match["task"].isdigit() else None
    outcome, exit_code = _outcome(state, job.steps), _exit_code(known(fields, "ExitCode"))
    cores = number(known(fields, "AllocCPUS", "NCPUS", "ReqCPUS"))
    return Finished(
        origin="slurm",
        key=tuple(fields.get(name, "") for name in ("JobID", "Cluster", "Submit", "Start", "JobName")),
        job=known(fields, "JobName") or "",
        outcome=outcome,
        exit_code=exit_code
        if exit_code or outcome is Outcome.SUCCEEDED
        else None,  # 0:0 of a time-out says nothing
        exit_cause=f"{fields['State'].lower()}, exit {fields.get('ExitCode') or '?'}",
        started_at_seconds=started,
        ended_at_seconds=ended
        if started is None and ended is not None
        else None
        if started is not None
        else source.modified_seconds,
        wall_seconds=wall,
        cpu_seconds=_cpu_seconds(job),
        memory_bytes_max=_memory_bytes(job),
        disk_read_bytes=_largest(job, "MaxDiskRead"),
        disk_write_bytes=_largest(job, "MaxDiskWrite"),
        numbers={} if task is None else {"array_task": float(task)},
        words={"partition": known(fields, "Partition") or ""},
        limits=Limits(
            memory_bytes=_requested_bytes(fields, cores),
            cpu_cores=cores or None,
            timeout_seconds=_time_limit(fields),
        ),
    )


def _outcome(state: str, steps: list[dict[str, str]]) -> Outcome:
    """The job's state; FAILED is out of memory when one of its steps says so."""
    starved = any(step["State"].startswith("OUT_OF_ME") for step in steps)
    return Outcome.OUT_OF_MEMORY if starved and state == "FAILED" else _OUTCOMES[state]


def _exit_code(text: str | None) -> int | None:
    """ "1:0" is exit 1; "0:9" ended by signal 9."""
    code, _, signal = (text or "").partition(":")
    if not code.isdigit():
        return None
    return (
        128 + int(signal[:3])
        if code == "0" and signal.isdigit() and signal != "0" and int(signal) < 65
        else int(code[:6])
    )


def _cpu_seconds(job: _Job) -> float | None:
    """TotalCPU is what was used; CPUTime is what was allocated and says nothing. 00:00:00: nothing was gathered."""
    seconds = clock_seconds(known(job.fields, "TotalCPU"))
    return seconds or None


def _memory_bytes(job: _Job) -> int | None:
    """The largest MaxRSS of its steps: Slurm's is that of one task, so a step of several tasks tells too little."""
    peaks = []
    for step in job.steps or [job.fields]:
        if step["JobID"].endswith(".extern"):
            continue
        tasks, peak = number(known(step, "NTasks")), bytes_of(known(step, "MaxRSS"), unit_bytes=1)
        if tasks is not None and tasks > 1:
            return None
        if peak:
            peaks.append(peak)
    return max(peaks, default=None)


def _largest(job: _Job, column: str) -> int | None:
    found = [bytes_of(known(step, column), unit_bytes=1) for step in job.steps or [job.fields]]
    return max((value for value in found if value is not None), default=None)


def _requested_bytes(fields: Mapping[str, str], cores: float | None) -> int | None:
    """Of "4000M", "4Gn" (a node) or "4Gc" (a core, before 21.08); MB without a unit; "0" is the whole node."""
    match = _REQUESTED.match(known(fields, "ReqMem") or "")
    if not match or float(match[1]) == 0:
        return None
    amount = bytes_of(f"{match[1]}{match[2]}", unit_bytes=2**20) or 0
    if match[3].lower() == "c":
        return round(amount * cores) if cores else None
    nodes = number(known(fields, "AllocNodes", "NNodes")) or 1
    return amount if nodes == 1 else None


def _time_limit(fields: Mapping[str, str]) -> float | None:
    raw = (
        number(known(fields, "TimelimitRaw"))
        if known(fields, "TimelimitRaw") not in {"UNLIMITED", "Partition_Limit"}
        else None
    )
    if raw is not None:
        return raw * 60
    stated = known(fields, "Timelimit")
    return None if stated in {None, "UNLIMITED", "Partition_Limit"} else clock_seconds(stated)
