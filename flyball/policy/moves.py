"""Running attempts that are better off elsewhere: on a machine that is being taken away, or on demand while spot is back.

Only runs that resume are moved, and one is stopped before the next is planned: two attempts of a run are never alive
at once. A spot machine that works is always kept, also when the deadline is near: keeping it uses up no slack.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flyball.model.facts import AttemptStopping
from flyball.model.outcome import Outcome
from flyball.model.resource import Market, Offer
from flyball.model.snapshot import LiveAttempt, LiveRun, Snapshot, SpotSeen
from flyball.policy.failover_errand import Errand, Stall
from flyball.policy.failover_market import Pool, Terms, weigh
from flyball.policy.failover_ranked import Candidate, by_cost
from flyball.policy.next_step import LAST_LAUNCHES, Launchable, launches_left

if TYPE_CHECKING:
    from flyball.policy.known import Known

FRESH_SECONDS = 600.0  # a spot market seen with machines so lately is taken to have them still
SETTLED_SECONDS = (
    600.0  # an attempt is left alone for its first minutes: its changeover has to pay for something
)
SAVED_LEAST = 0.2  # of what the rest costs on demand; less is not worth a changeover and the risk
CHANGEOVERS_LEAST = 5.0  # work left, in units of the changeover
POOLS_WEIGHED = 3


def to_move(snapshot: Snapshot, known: Known, now_seconds: float) -> tuple[AttemptStopping, ...]:
    """Each counts as an interruption: it spends none of the user's retries."""
    fresh = _fresh(snapshot, now_seconds)
    stall: list[Stall] = []
    moves: list[AttemptStopping] = []
    for run in snapshot.runs.values():
        live = run.live
        if live is None or live.stopping is not None or run.spec.spot.checkpoint is None:
            continue
        if known.only is not None and run.run_id not in known.only:
            continue
        if live.notice_ends_at_seconds is not None:
            if not _ends_before_notice(live, now_seconds):
                moves.append(_moved(run, live, "its machine will be taken away", now_seconds))
        elif fresh and _could_move(run, live, now_seconds):
            if not stall:
                stall.append(Stall(snapshot, known, now_seconds))
            if _pays(run, live, stall[0], fresh):
                moves.append(_moved(run, live, "spot machines are to be had again", now_seconds))
    return tuple(moves)


def _fresh(snapshot: Snapshot, now_seconds: float) -> dict[str, SpotSeen]:
    """Spot markets that were seen with machines just now: nothing is given up on a guess."""
    return {
        key: seen
        for key, seen in snapshot.spot.items()
        if seen.last_up
        and now_seconds - seen.last_at_seconds <= FRESH_SECONDS
        and key not in snapshot.refusals
    }


def _could_move(run: LiveRun, live: LiveAttempt, now_seconds: float) -> bool:
    """Without looking at any offer: on demand by necessity, for a while, and not nearly done."""
    offer, started = live.planned.offer, live.started_at_seconds
    return (
        offer.market is Market.ON_DEMAND
        and run.spec.spot.market == "auto"
        and launches_left(run) > LAST_LAUNCHES
        and offer.price_usd_per_hour > 0
        and live.planned.host_id is None
        and started is not None
        and now_seconds - started >= SETTLED_SECONDS
    )


def _pays(run: LiveRun, live: LiveAttempt, stall: Stall, fresh: dict[str, SpotSeen]) -> bool:
    """Whether the rest on spot costs clearly less, changeover and risk counted, and the deadline stays safe."""
    errand = stall.errand(run, Launchable(attempt_id=live.attempt_id, reason="moved"))
    left_seconds = work_left_seconds(run, live, errand, stall.now_seconds)
    if left_seconds is None or errand.slow is None:
        return False
    terms = _terms(run, live, errand, stall)
    if left_seconds < CHANGEOVERS_LEAST * terms.changeover_seconds:
        return False
    if terms.spot_seconds_max(left_seconds) < left_seconds:
        return False
    pools = [
        _pool(candidate, fresh, live.planned.offer, stall.now_seconds)
        for candidate in _first(by_cost(stall.ladders(errand), market=Market.SPOT))
        if f"{candidate.provider} {candidate.choice.offer.offer_id}" in fresh
    ]
    if not pools:
        return False
    decision = weigh(
        terms,
        pools,
        work_seconds=left_seconds,
        whole_seconds=left_seconds,
        on_demand_usd_per_hour=float(live.planned.offer.price_usd_per_hour),
        now_seconds=stall.now_seconds,
        machine_on_demand=True,
    )
    staying_usd = float(live.planned.offer.price_usd_per_hour) * left_seconds / 3600
    moving_usd = min((a.expected_usd for a in decision.weighed if a.action == "spot"), default=math.inf)
    return decision.action == "spot" and moving_usd <= (1 - SAVED_LEAST) * staying_usd


def _first(candidates: Iterator[Candidate]) -> list[Candidate]:
    found = []
    for candidate in candidates:
        found.append(candidate)
        if len(found) >= 4 * POOLS_WEIGHED:
            break
    return found


def work_left_seconds(run: LiveRun, live: LiveAttempt, errand: Errand, now_seconds: float) -> float | None:
    """That 9 of 10 such runs need yet on the machine they are on: by its own progress, else by the forecast."""
    progress, first = live.progress, live.progress_first
    if (
        progress is not None
        and first is not None
        and live.progress_at_seconds is not None
        and live.progress_first_at_seconds is not None
        and progress - first >= 0.05
    ):
        seconds = (live.progress_at_seconds - live.progress_first_at_seconds) / (progress - first)
        since = now_seconds - live.progress_at_seconds
        return max(0.0, (1.0 - progress) * seconds - min(since, 0.05 * seconds))
    wall = errand.plan.forecast.wall_seconds
    if wall is None or live.started_at_seconds is None:
        return None
    before = max((tried.progress or 0.0 for tried in run.tried), default=0.0)
    return max(0.0, wall.p90 * (1.0 - before) - (now_seconds - live.started_at_seconds))


def _terms(run: LiveRun, live: LiveAttempt, errand: Errand, stall: Stall) -> Terms:
    deadline, provider = run.deadline_seconds, live.planned.provider
    changeover_seconds = stall.changeover_seconds(errand, provider) + (run.spec.patience.grace_seconds)
    return Terms(
        left_seconds=math.inf if deadline is None else deadline - stall.now_seconds,
        changeover_seconds=changeover_seconds,
        # The machine goes before the new one is asked for: if that is refused, a changeover is gone for nothing.
        late_seconds=stall.late_seconds(provider) + changeover_seconds,
        resumes=True,
    )


def _pool(candidate: Candidate, fresh: dict[str, SpotSeen], present: Offer, now_seconds: float) -> Pool:
    offer = candidate.choice.offer
    key = f"{candidate.provider} {offer.offer_id}"
    slower = present.speed_one_core / offer.speed_one_core
    return Pool(
        name=key,
        usd_per_hour=float(offer.price_usd_per_hour) * slower,
        interruptions_per_hour=candidate.interruptions_per_hour,
        up=True,
        since_seconds=min(now_seconds, fresh[key].last_at_seconds),
    )


def _ends_before_notice(live: LiveAttempt, now_seconds: float) -> bool:
    """By its own progress it will be done before the machine goes."""
    progress, first = live.progress, live.progress_first
    at, first_at, notice = (
        live.progress_at_seconds,
        live.progress_first_at_seconds,
        live.notice_ends_at_seconds,
    )
    if (
        notice is None
        or progress is None
        or first is None
        or at is None
        or first_at is None
        or progress <= first
    ):
        return False
    done_at = at + (1.0 - progress) * (at - first_at) / (progress - first)
    return max(done_at, now_seconds) < notice


def _moved(run: LiveRun, live: LiveAttempt, why: str, now_seconds: float) -> AttemptStopping:
    return AttemptStopping(
        at_seconds=now_seconds,
        run_id=run.run_id,
        attempt_id=live.attempt_id,
        outcome=Outcome.INTERRUPTED,
        reason=f"moved: {why}",
    )
