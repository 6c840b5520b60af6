"""What a run without a live attempt needs: another attempt, some patience, or its end."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from flyball.model.facts import RunResult
from flyball.model.outcome import Outcome
from flyball.model.snapshot import LiveRun, Tried
from flyball.model.units import show_bytes, show_seconds, show_usd

if TYPE_CHECKING:
    from flyball.policy.known import Known

# Ends that are nobody's fault cost no retry, but a run that meets nothing else is given up.
WORLD_FAULTS_MAX = 16
LAST_LAUNCHES = 2  # go on demand: a ceiling must not end a run that only spot kept back


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    result: RunResult
    reason: str


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    reason: str


class Launchable(msgspec.Struct, frozen=True, kw_only=True):
    """The next attempt. `memory_limit_bytes` is set when the last one ran out of memory: what this one gets."""

    attempt_id: str
    reason: str
    memory_limit_bytes: int | None = None


def next_step(run: LiveRun, known: Known, now_seconds: float) -> Finish | Waiting | Launchable:
    """Decided from the attempts so far; the first has none."""
    if run.cancel_reason is not None:
        return Finish(result=RunResult.CANCELLED, reason=run.cancel_reason)
    attempt_id = f"{run.run_id}.{len(run.tried) + 1}"
    last = run.tried[-1] if run.tried else None
    if last is None:
        return Launchable(attempt_id=attempt_id, reason="first attempt")
    if last.outcome is Outcome.SUCCEEDED:
        return Finish(result=RunResult.SUCCEEDED, reason=_after_attempts("succeeded", run))
    if last.outcome is Outcome.CANCELLED:
        return Finish(result=RunResult.CANCELLED, reason=last.reason)
    return _given_up(run) or _again(run, last, attempt_id, known, now_seconds)


def _given_up(run: LiveRun) -> Finish | None:
    """The ceilings that hold whatever the outcome was."""
    last, tenacity, goal = run.tried[-1], run.spec.tenacity, run.spec.goal
    if last.reason.startswith("bad_request"):
        return _failed(f"the provider cannot run it: {last.reason}")
    launched = [tried for tried in run.tried if tried.launched_at_seconds is not None]
    if len(launched) >= tenacity.launches_max:
        return _failed(
            f"{len(launched)} launches is the most one run gets; the last ended as {last.outcome.value}"
        )
    spent_usd = run.spent_nano_usd / 1e9
    if goal.usd_per_run is not None and spent_usd >= goal.usd_per_run:
        return _failed(f"it has cost {show_usd(spent_usd)}; its budget is {show_usd(goal.usd_per_run)}")
    faults = _in_a_row(launched)
    if faults >= WORLD_FAULTS_MAX:
        return _failed(
            f"{faults} attempts in a row ended through no fault of its own, the last as {last.outcome.value}"
        )
    return None


def launches_left(run: LiveRun) -> int:
    """Before one of its ceilings ends the run."""
    launched = [tried for tried in run.tried if tried.launched_at_seconds is not None]
    return min(run.spec.tenacity.launches_max - len(launched), WORLD_FAULTS_MAX - _in_a_row(launched))


def without_risk_at_last(run: LiveRun) -> LiveRun:
    """The run as it is to be placed: its last launches on demand, where it may choose."""
    spec = run.spec
    if spec.spot.market != "auto" or not run.tried or launches_left(run) > LAST_LAUNCHES:
        return run
    return replace(run, spec=replace(spec, spot=replace(spec.spot, market="on_demand")))


def _in_a_row(launched: Sequence[Tried]) -> int:
    """Launches since the last that could make progress, ended by the world: what resumes may be interrupted often."""
    best, count = 0.0, 0
    for tried in launched:
        progress = tried.progress or 0.0
        if tried.outcome.spends_retry or tried.outcome is Outcome.OUT_OF_MEMORY or progress > best:
            count = 0
        else:
            count += 1
        best = max(best, progress)
    return count


def _again(
    run: LiveRun, last: Tried, attempt_id: str, known: Known, now_seconds: float
) -> Finish | Waiting | Launchable:
    if last.outcome is Outcome.OUT_OF_MEMORY:
        return _after_out_of_memory(run, last, attempt_id, known)
    if not last.outcome.spends_retry:
        grown = _memory_so_far(run)
        return Launchable(
            attempt_id=attempt_id,
            reason=f"again after: {last.reason or last.outcome.value}",
            memory_limit_bytes=grown,
        )
    tenacity = run.spec.tenacity
    spent = sum(tried.outcome.spends_retry for tried in run.tried)
    if spent > tenacity.retries:
        allowed = f"; {tenacity.retries} retries allowed" if tenacity.retries else ""
        return _failed(f"{last.outcome.value}: {last.reason}{allowed}")
    at_seconds = last.ended_at_seconds + backoff_seconds(run, spent)
    if now_seconds < at_seconds:
        # The wait is counted from when it ended, so that the words stay the same until it is over.
        wait = show_seconds(at_seconds - last.ended_at_seconds)
        return Waiting(kind="backoff", reason=f"waits {wait} after: {last.reason or last.outcome.value}")
    return Launchable(
        attempt_id=attempt_id,
        reason=f"retry {spent} of {tenacity.retries} after: {last.reason or last.outcome.value}",
        memory_limit_bytes=_memory_so_far(run),
    )


def backoff_seconds(run: LiveRun, failures: int) -> float:
    """base * 2**(failures - 1), at most the maximum, times 0.5 to 1 by chance: the same for the same run and failure."""
    tenacity = run.spec.tenacity
    longest = min(tenacity.backoff_seconds_max, tenacity.backoff_seconds * 2.0 ** (failures - 1))
    return longest * Random(f"{run.run_id} {failures}").uniform(0.5, 1.0)


def _after_out_of_memory(run: LiveRun, last: Tried, attempt_id: str, known: Known) -> Finish | Launchable:
    ask, limit_bytes = run.spec.size, last.memory_limit_bytes
    if limit_bytes is None:
        return _failed("the machine itself ran out of memory")
    if ask.memory_bytes is not None and ask.memory_bytes_max is None:
        return _failed(f"out of memory at the limit of {show_bytes(limit_bytes)} that you set")
    ceiling = ask.memory_bytes_max
    misses = sum(tried.outcome is Outcome.OUT_OF_MEMORY for tried in run.tried)
    grown = known.grow(run, limit_bytes, misses) if ceiling is None or limit_bytes < ceiling else None
    if grown is None:
        return _failed(f"out of memory at {show_bytes(limit_bytes)}, the most it may have")
    memory_bytes = grown.memory_limit_bytes if ceiling is None else min(grown.memory_limit_bytes, ceiling)
    return Launchable(attempt_id=attempt_id, reason=grown.reason, memory_limit_bytes=memory_bytes)


def _memory_so_far(run: LiveRun) -> int | None:
    """What it had grown to after running out; None: it never did."""
    missed = [i for i, tried in enumerate(run.tried) if tried.outcome is Outcome.OUT_OF_MEMORY]
    if not missed:
        return None
    later = [t.memory_limit_bytes for t in run.tried[missed[-1] + 1 :] if t.memory_limit_bytes is not None]
    return max(later, default=None)


def _failed(reason: str) -> Finish:
    return Finish(result=RunResult.FAILED, reason=reason)


def _after_attempts(words: str, run: LiveRun) -> str:
    launched = sum(tried.launched_at_seconds is not None for tried in run.tried)
    return words if launched <= 1 else f"{words} at attempt {launched}"
