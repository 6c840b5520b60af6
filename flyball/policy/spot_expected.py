"""Expected dollars to the end where no table is needed: runs without a deadline, and runs that start over when interrupted.

Interruptions are taken as Poisson at the machine's own rate: one over the time that it is expected to live yet.
"""

from __future__ import annotations

import math

from flyball.policy.spot_chances import Chances, life_left_seconds
from flyball.policy.spot_state import Answer, SpotState, ZoneNow

EXPONENT_MAX = 50.0  # e**50 hours are for ever


def busy_seconds_resuming(
    rate_per_second: float, *, work_seconds: float, changeover_seconds: float, warming_seconds: float
) -> float:
    """Billed time to the end of a run that keeps its work: w + (1 + r w) (e**(r d) - 1) / r from a new machine on.

    A changeover d is tried until a machine survives it, (e**(r d) - 1) / r; of the r w interruptions during the work each
    asks for one more. With `warming_seconds` of the first changeover left, its first try is that short.
    """
    again = _until_survived(rate_per_second, changeover_seconds)
    first = _one_try(rate_per_second, warming_seconds, then=again)
    return first + work_seconds + rate_per_second * work_seconds * again


def busy_seconds_starting_over(
    rate_per_second: float, *, whole_seconds: float, left_seconds: float | None = None
) -> float:
    """Billed time to the end of a run that begins again after each loss: (e**(r t) - 1) / r for t in one go.

    With `left_seconds` of the present try to go: that try, and the whole again if it is lost.
    """
    again = _until_survived(rate_per_second, whole_seconds)
    return _one_try(rate_per_second, whole_seconds if left_seconds is None else left_seconds, then=again)


def weighed(state: SpotState, chances: Chances) -> tuple[Answer, ...]:
    """Every answer with its expected dollars. Waiting is weighed while there is patience, and worth it."""
    buying = state.on_demand_usd_per_hour / 3600
    whole = state.changeover_seconds + state.work_seconds
    present = state.machine == "on_demand"
    ahead = state.work_left_seconds + (state.warming_seconds if present else state.changeover_seconds)
    if not (state.resumable or present):
        ahead = whole
    answers = [Answer(action="on_demand", expected_usd=buying * ahead)]
    fresh = [_spot_usd(state, chances, zone, age_seconds=0.0, fresh=True) for zone in state.offers]
    for zone in state.offers:
        keeps = state.machine == "spot" and zone.zone == state.zone
        if zone.up is not False or keeps:
            usd = _spot_usd(state, chances, zone, age_seconds=state.age_seconds(zone), fresh=not keeps)
            answers.append(Answer(action="spot", zone=zone.zone, expected_usd=usd))
    asked = len(answers) > 1
    waits = (
        state.deadline_seconds is not None
        or state.idle_seconds + state.tick_seconds <= state.patience_seconds
    )
    if fresh and waits and not asked and state.machine == "none":
        answers.append(Answer(action="wait", expected_usd=min(fresh)))
    return tuple(answers)


def _spot_usd(state: SpotState, chances: Chances, zone: ZoneNow, *, age_seconds: float, fresh: bool) -> float:
    """Spot until done; a run that starts over may be bought on demand after a loss, if that is cheaper."""
    rate = 1.0 / life_left_seconds(chances.each_zone[zone.zone], age_seconds)
    usd = zone.usd_per_hour / 3600
    if state.resumable:
        return usd * busy_seconds_resuming(
            rate,
            work_seconds=state.work_left_seconds,
            changeover_seconds=state.changeover_seconds,
            warming_seconds=state.changeover_seconds if fresh else state.warming_seconds,
        )
    whole = state.changeover_seconds + state.work_seconds
    left = whole if fresh else state.warming_seconds + state.work_left_seconds
    again = usd * _until_survived(rate, whole)
    bought = state.on_demand_usd_per_hour / 3600 * whole
    return usd * _one_try(rate, left, then=min(again, bought) / usd)


def _until_survived(rate: float, seconds: float) -> float:
    return math.expm1(min(rate * seconds, EXPONENT_MAX)) / rate


def _one_try(rate: float, seconds: float, *, then: float) -> float:
    """Time of one try, and `then` more if it is lost."""
    lost = -math.expm1(-rate * seconds)
    return lost / rate + lost * then
