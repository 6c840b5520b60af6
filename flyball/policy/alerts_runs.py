"""Alerts about runs that have not ended: held, late, unusual, or not to be launched anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.model.facts import RunHeld
from flyball.model.outcome import Outcome
from flyball.model.snapshot import LiveAttempt, LiveRun, Snapshot
from flyball.model.units import show_seconds, show_usd
from flyball.model.when import show_moment
from flyball.policy.alerts_desk import DAY_SECONDS, Desk
from flyball.policy.alerts_usual import limit_of, weekday_of

if TYPE_CHECKING:
    from flyball.policy.known import Known, Usual

LAUNCH_FAILS_SECONDS = 900.0  # refused wherever it may go for so long
OVERDUE_SHARE = 0.1  # beyond its forecast a run is expected to go on for this share of what it has taken
PROGRESS_SPREAD = 1.25  # p90 of what is left, against what the run's own speed says
_NOT_LAUNCHED = frozenset({Outcome.NO_CAPACITY, Outcome.LAUNCH_TIMED_OUT})


def about_runs(desk: Desk, snapshot: Snapshot, known: Known, now_seconds: float) -> None:
    """One pass over all live runs; whatever costs more than a comparison waits until that one says so."""
    watch = _Watch(desk, snapshot, known, now_seconds)
    stuck: list[LiveRun] = []
    for run in snapshot.runs.values():
        live, held = run.live, run.held
        if held is not None and now_seconds - held.at_seconds >= run.spec.holding.alert_after_seconds:
            watch.held_too_long(run, held)
        if run.submitted.deadline_seconds is not None:
            watch.deadline(run, run.submitted.deadline_seconds)
        if live is None:
            if _is_stuck(run, now_seconds):
                stuck.append(run)
        elif live.started_at_seconds is not None:
            watch.time(run, live.started_at_seconds)
        if live is not None or run.spent_nano_usd:
            watch.cost(run)
    if stuck:
        _launch_fails(desk, stuck, snapshot, now_seconds)


def running_usd(run: LiveRun, now_seconds: float) -> float:
    """What the live attempt's machine has cost so far, about."""
    live = run.live
    if live is None or live.launched_at_seconds is None:
        return 0.0
    hours = max(0.0, now_seconds - live.launched_at_seconds) / 3600
    return float(live.planned.offer.price_usd_per_hour) * hours


class _Watch:
    """What is looked at for each run, within one tick."""

    def __init__(self, desk: Desk, snapshot: Snapshot, known: Known, now_seconds: float) -> None:
        self._desk, self._snapshot, self._known, self._now_seconds = desk, snapshot, known, now_seconds
        self._usual: dict[str, Usual] = {}

    def usual(self, job: str) -> Usual:
        usual = self._usual.get(job)
        if usual is None:
            usual = self._usual[job] = self._known.usual(job)
        return usual

    def held_too_long(self, run: LiveRun, held: RunHeld) -> None:
        if held.kind == "spot" and run.deadline_seconds is not None:
            return  # it waits for a better price on purpose, and its deadline is looked after
        waited = show_seconds(self._now_seconds - held.at_seconds)
        words = f"{run.job} has been held for {waited}: {held.reason} (flyball why {run.run_id})"
        self._desk.say("held", run.run_id, words, job=run.job, run_id=run.run_id)

    def deadline(self, run: LiveRun, deadline: float) -> None:
        now_seconds, run_id = self._now_seconds, run.run_id
        if run.cancel_reason is not None:
            return
        if now_seconds > deadline:
            done_at = _done_at(run, self._snapshot)
            if done_at is None or done_at > deadline:
                words = f"{run.job} missed its deadline of {show_moment(deadline)} (flyball why {run_id})"
                self._desk.say("deadline_missed", run_id, words, job=run.job, run_id=run_id)
            return
        left = seconds_left(run, self._known, now_seconds)
        if left is None or now_seconds + left[1] <= deadline or _done_at(run, self._snapshot) is not None:
            return
        self._at_risk(run, deadline, left)

    def _at_risk(self, run: LiveRun, deadline: float, left: tuple[float, float]) -> None:
        """Told when one run in ten like it would be late, and again when most would be."""
        (p50, p90), run_id = left, run.run_id
        at, time_left = show_moment(deadline), show_seconds(deadline - self._now_seconds)
        about = f"{run_id} probably"
        if self._now_seconds + p50 > deadline:
            words = f"{run.job} will probably miss its deadline of {at}: {show_seconds(p50)} of work in {time_left}"
            self._desk.say("deadline_at_risk", about, words, job=run.job, run_id=run_id)
        elif not self._desk.knows("deadline_at_risk", about):
            work = f"{show_seconds(p50)}, perhaps {show_seconds(p90)} of work in {time_left}"
            words = f"{run.job} may miss its deadline of {at}: {work}"
            self._desk.say("deadline_at_risk", run_id, words, job=run.job, run_id=run_id)

    def time(self, run: LiveRun, started: float) -> None:
        """Longer than its own past says and, where the input or the day explains it, than the forecast says too."""
        usual, taken = self.usual(run.spec.name), self._now_seconds - started
        weekday = weekday_of(started, run.run.features.utc_offset_seconds)
        limit = limit_of(usual.wall_seconds_unusual, usual.wall_seconds, usual.runs, weekday)
        if limit is None or taken <= limit or self._desk.knows("unusual", f"time {run.run_id}"):
            return
        forecast = self._known.plan(run.run).forecast.wall_seconds
        if forecast is not None and taken <= forecast.p99:
            return
        about = f", usually {show_seconds(usual.wall_seconds.p50)}" if usual.wall_seconds else ""
        words = f"{run.job} has been running for {show_seconds(taken)}{about} (flyball why {run.run_id})"
        self._desk.say("unusual", f"time {run.run_id}", words, job=run.job, run_id=run.run_id)

    def cost(self, run: LiveRun) -> None:
        usual = self.usual(run.spec.name)
        if usual.cost_usd is None and not usual.cost_usd_unusual:
            return
        spent_usd = run.spent_nano_usd / 1e9 + running_usd(run, self._now_seconds)
        weekday = weekday_of(run.submitted.at_seconds, run.run.features.utc_offset_seconds)
        limit = limit_of(usual.cost_usd_unusual, usual.cost_usd, usual.runs, weekday)
        if limit is None or spent_usd <= limit:
            return
        about = f", usually {show_usd(usual.cost_usd.p50)}" if usual.cost_usd else ""
        words = f"{run.job} has cost {show_usd(spent_usd)}{about} (flyball why {run.run_id})"
        self._desk.say("unusual", f"cost {run.run_id}", words, job=run.job, run_id=run.run_id)


# How long is left


def _done_at(run: LiveRun, snapshot: Snapshot) -> float | None:
    """When its command succeeded, for one that only waits to be ended: news of that may have come late."""
    last = run.tried[-1] if run.tried and run.live is None else None
    if last is None or last.outcome is not Outcome.SUCCEEDED:
        return None
    left = snapshot.unreleased.get(last.attempt_id)
    if left is not None and left.wall_seconds is not None and left.started_at_seconds is not None:
        return left.started_at_seconds + left.wall_seconds
    return last.ended_at_seconds


def seconds_left(run: LiveRun, known: Known, now_seconds: float) -> tuple[float, float] | None:
    """p50 and p90 of the time until it is done, were nothing in its way; None: nobody knows.

    By the attempt's own speed where it reports progress, else by the forecast, less what is done or saved.
    """
    live = run.live
    if live is not None and live.started_at_seconds is not None:
        by_speed = _left_by_speed(live, now_seconds)
        if by_speed is not None:
            return by_speed, by_speed * PROGRESS_SPREAD
    wall = known.plan(run.run).forecast.wall_seconds
    if wall is None:
        return None
    if live is not None and live.started_at_seconds is not None:
        taken = now_seconds - live.started_at_seconds
        saved = (
            1.0 - max((t.progress or 0.0 for t in run.tried), default=0.0)
            if run.spec.spot.checkpoint
            else 1.0
        )
        overdue = taken * OVERDUE_SHARE
        return max(wall.p50 * saved - taken, 0.0), max(wall.p90 * saved - taken, overdue)
    todo = 1.0 - run.progress
    boot = _boot_seconds(run, known)
    if live is not None and live.launched_at_seconds is not None:
        boot = max(0.0, boot - (now_seconds - live.launched_at_seconds))
    return boot + wall.p50 * todo, boot + wall.p90 * todo


def _left_by_speed(live: LiveAttempt, now_seconds: float) -> float | None:
    """By what this attempt has reported twice or more; None: it has not."""
    at, first_at, share, first = (
        live.progress_at_seconds,
        live.progress_first_at_seconds,
        live.progress,
        live.progress_first,
    )
    if at is None or first_at is None or share is None or first is None or share <= first or at <= first_at:
        return None
    left = (1.0 - share) * (at - first_at) / (share - first)
    return max(0.0, left - (now_seconds - at))


def _boot_seconds(run: LiveRun, known: Known) -> float:
    providers = (run.live.planned.provider,) if run.live else run.spec.providers
    return min(
        (known.supplies[p].capabilities.boot_seconds for p in providers if p in known.supplies), default=0.0
    )


# Launches


def _is_stuck(run: LiveRun, now_seconds: float) -> bool:
    """It wants a machine and was told no, or nobody had one, for too long."""
    last, held = run.tried[-1] if run.tried else None, run.held
    refused = last is not None and last.outcome in _NOT_LAUNCHED
    if not refused and (held is None or held.kind != "capacity"):
        return False
    since = held.at_seconds if held is not None and not refused else run.submitted.at_seconds
    for tried in reversed(run.tried):
        if tried.outcome not in _NOT_LAUNCHED:
            since = max(since, tried.ended_at_seconds)
            break
    return now_seconds - since >= LAUNCH_FAILS_SECONDS


def _launch_fails(desk: Desk, stuck: list[LiveRun], snapshot: Snapshot, now_seconds: float) -> None:
    """Of a whole provider when nothing was launched there lately; else of the job, which asks for what is scarce."""
    since, day = now_seconds - LAUNCH_FAILS_SECONDS, int(now_seconds // DAY_SECONDS)
    launched = [
        (r.live.planned.provider, r.live.launched_at_seconds) for r in snapshot.runs.values() if r.live
    ]
    launched += [(u.planned.provider, u.launched_at_seconds) for u in snapshot.unreleased.values()]
    working = {provider for provider, at in launched if at is not None and at >= since}
    for run in stuck:
        last = run.tried[-1] if run.tried else None
        why = (last.reason or last.outcome.value) if last else run.held.reason if run.held else ""
        where = " and ".join(run.spec.providers)
        if working.isdisjoint(run.spec.providers):
            words = f"nothing could be launched on {where} for {show_seconds(LAUNCH_FAILS_SECONDS)}: {why}"
            desk.say("launch", f"{where} {day}", words)
        else:
            words = (
                f"{run.job} could not be launched on {where} for {show_seconds(LAUNCH_FAILS_SECONDS)}: {why}"
            )
            desk.say("launch", f"job {run.job} {day}", words, job=run.job, run_id=run.run_id)
