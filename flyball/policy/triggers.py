"""Which runs are due because other jobs have ended or objects have arrived."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flyball.model.facts import AnyFact, ObjectsArrived
from flyball.model.snapshot import JobState, LiveRun, Snapshot, UpstreamEnd
from flyball.model.spec import Overlap
from flyball.policy.run_ids import run_id_of
from flyball.policy.schedule import cancelled, live_by_job
from flyball.policy.schedule_run import submission, time_fills

RUNS_PER_TICK_MAX = 1000  # of one job; the rest is still there in the next tick
OBJECTS_CHARS_MAX = 100_000  # of {objects}: one word of a command holds at most 128 KiB on Linux


def triggered_runs(snapshot: Snapshot, now_seconds: float) -> tuple[AnyFact, ...]:
    """RunSubmitted for jobs whose conditions are met.

    Nothing that happened is lost to `overlap`: with "skip" it waits for the running one and is then started once, for
    the newest ends, or for the oldest objects (with `together`: for all that came meanwhile).
    """
    facts: list[AnyFact] = []
    live: dict[str, list[LiveRun]] | None = None
    for state in snapshot.jobs.values():
        if not (state.fresh or state.grouped or state.arrived) or state.paused or state.removed:
            continue
        if live is None:
            live = live_by_job(snapshot)
        running = live.get(state.spec.name, [])
        facts += _after_others(state, running, snapshot, now_seconds)
        facts += _arrived(state, running, now_seconds)
    return tuple(facts)


def cycle_in(after: Mapping[str, Sequence[str]]) -> tuple[str, ...] | None:
    """Jobs that wait for each other, the first again at the end; None: there are none. `after`: job -> what it waits for."""
    done: set[str] = set()
    for start in after:
        path: dict[str, Iterator[str]] = {}
        job: str | None = start
        while job is not None:
            if job not in done and job not in path:
                path[job] = iter(after.get(job, ()))
            deepest = next(reversed(path), None)
            if deepest is None:
                break
            job = next(path[deepest], None)
            if job is None:
                done.add(deepest)
                path.popitem()
                job = next(reversed(path), None)
            elif job in path:
                names = list(path)
                return (*names[names.index(job) :], job)
    return None


def _after_others(
    state: JobState, live: Sequence[LiveRun], snapshot: Snapshot, now_seconds: float
) -> Iterator[AnyFact]:
    after = state.spec.after
    if after is None:
        return
    free = {job: _end(state, job) for job in after.jobs if job in state.fresh}
    yield from _groups(state, free, snapshot, now_seconds)
    if not free or (after.needs_all and len(free) < len(after.jobs)):
        return
    if state.spec.overlap is Overlap.SKIP and live:
        return
    if state.spec.overlap is Overlap.REPLACE:
        yield from cancelled(live, "replaced: what it follows has run again", now_seconds)
    yield _run_after(state, list(free.values()), snapshot, now_seconds)


def _groups(
    state: JobState, free: dict[str, UpstreamEnd], snapshot: Snapshot, now_seconds: float
) -> Iterator[AnyFact]:
    """One run for each group that is complete. An end that is in no group serves the first group that lacks it."""
    after = state.spec.after
    groups: dict[str, dict[str, UpstreamEnd]] = {}
    for end in state.grouped:
        groups.setdefault(end.group, {})[end.job] = end
    started = 0
    for ends in groups.values():
        if after is None or started == RUNS_PER_TICK_MAX:
            return
        found = [ends.get(job) or free.get(job) for job in after.jobs]
        complete = [end for end in found if end is not None]
        if after.needs_all and len(complete) < len(after.jobs):
            continue
        for end in complete:
            if not end.group:
                free.pop(end.job)
        started += 1
        yield _run_after(state, complete, snapshot, now_seconds)


def _end(state: JobState, job: str) -> UpstreamEnd:
    return UpstreamEnd(job=job, run_id=state.fresh[job], group="", fills=state.fresh_fills.get(job, {}))


def _run_after(
    state: JobState, ends: Sequence[UpstreamEnd], snapshot: Snapshot, now_seconds: float
) -> AnyFact:
    spec = state.spec
    fills = time_fills(spec, now_seconds)
    for end in reversed(ends):  # the first named job's count where they differ
        fills |= end.fills
    run_ids = [end.run_id for end in ends]
    at_seconds = max((snapshot.ended[i].at_seconds for i in run_ids if i in snapshot.ended), default=0.0)
    grouped = next((end for end in ends if end.group), None)
    return submission(
        spec,
        run_id=run_id_of(at_seconds or now_seconds, "after", spec.name, *sorted(run_ids)),
        cause="after " + ", ".join(f"{end.job} (run {end.run_id})" for end in ends),
        now_seconds=now_seconds,
        due_seconds=now_seconds,
        fills=fills,
        after_runs=run_ids,
        group=grouped.group if grouped else None,
        backfill=grouped.backfill if grouped else None,
        backfill_at_once=grouped.backfill_at_once if grouped else None,
    )


def _arrived(state: JobState, live: Sequence[LiveRun], now_seconds: float) -> Iterator[AnyFact]:
    arrival, overlap = state.spec.arrival, state.spec.overlap
    if arrival is None:
        return
    one_at_a_time = overlap in {Overlap.SKIP, Overlap.REPLACE}
    if overlap is Overlap.SKIP and live:
        return
    shares = list(_together(state.arrived)) if arrival.together else [(one,) for one in state.arrived]
    for batches in shares[: 1 if one_at_a_time else RUNS_PER_TICK_MAX]:
        if overlap is Overlap.REPLACE:
            yield from cancelled(live, "replaced: objects have arrived", now_seconds)
        yield _run_for(state, batches, now_seconds)


def _together(arrived: Sequence[ObjectsArrived]) -> Iterator[tuple[ObjectsArrived, ...]]:
    """All of them, in as few runs as {objects} has room for."""
    share: list[ObjectsArrived] = []
    chars = 0
    for batch in arrived:
        more = sum(len(name) + 1 for name in batch.objects)
        if share and chars + more > OBJECTS_CHARS_MAX:
            yield tuple(share)
            share, chars = [], 0
        share.append(batch)
        chars += more
    if share:
        yield tuple(share)


def _run_for(state: JobState, batches: Sequence[ObjectsArrived], now_seconds: float) -> AnyFact:
    spec = state.spec
    objects = [name for batch in batches for name in batch.objects]
    sizes = [batch.size_bytes for batch in batches]
    names = "+".join(batch.batch for batch in batches)
    folders = spec.arrival is not None and spec.arrival.marker is not None
    return submission(
        spec,
        run_id=run_id_of(min(batch.at_seconds for batch in batches), "arrived", spec.name, names),
        cause=f"{objects[0]} arrived" + (f", and {len(objects) - 1} more" if len(objects) > 1 else ""),
        now_seconds=now_seconds,
        due_seconds=now_seconds,
        fills={**time_fills(spec, now_seconds), "object": objects[0], "objects": "\n".join(objects)},
        batch=names,
        group=names if len(batches) == 1 else run_id_of(0.0, names),
        input_bytes=None if None in sizes else sum(size for size in sizes if size is not None),
        input_objects=None if folders else len(objects),
    )
