"""Spot, on demand, or wait, for a run that has no machine. Times are seconds on a machine that is ready.

The promise: if on demand starts within the changeover time and the run needs no longer than forecast for 9 of 10, the
deadline is kept, whatever spot does.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from flyball.policy.spot import Plan, decide, plans
from flyball.policy.spot_chances import Prior
from flyball.policy.spot_memory import SpotMemory, ZoneMemory
from flyball.policy.spot_state import Decision, SpotState, ZoneNow

DECISION_SECONDS = 60.0  # until the next decision at the latest, and what a decision may come late
PLANS_KEPT = 256
LEFT_STEP, SLACK_STEP, PRICE_STEP, LIFE_STEP = 1.1, 1.3, 1.1, 2.0  # runs nearer than that share a table
PATIENCE_SHARE = 0.5  # without a deadline a run waits for spot for at most so much of its own time
PATIENCE_SECONDS_MAX = 3600.0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for this run whatever machine it gets."""

    left_seconds: float  # to the deadline; inf: there is none
    changeover_seconds: float
    late_seconds: float  # news of a lost machine may come so late
    resumes: bool
    idle_seconds: float = 0.0  # without a machine

    def spot_seconds_max(self, on_demand_seconds: float) -> float:
        """The longest that the run may take on a spot machine, so that losing it at the worst time still leaves
        enough for on demand; below 0: no spot machine is safe."""
        spare = self.left_seconds - 2 * self.changeover_seconds - self.late_seconds
        if self.resumes:
            return spare if on_demand_seconds <= spare else -1.0
        return spare - on_demand_seconds

    def late_chance(
        self, *, on_demand_seconds: float, spot_seconds: float, interruptions_per_hour: float
    ) -> float:
        """That a run which takes so long on a spot machine misses its deadline there, interruptions being Poisson.

        What starts over is only hurt by an interruption that comes too late for on demand to do all of it again; what
        resumes by any, once there is no time for a second changeover. 1 for what ends too late in any case.
        """
        if self.changeover_seconds + spot_seconds > self.left_seconds:
            return 1.0
        rate = interruptions_per_hour / 3600
        harmless = self.left_seconds - 2 * self.changeover_seconds - self.late_seconds - on_demand_seconds
        if self.resumes:
            return 0.0 if harmless >= 0 else -math.expm1(-rate * spot_seconds)
        return max(0.0, math.exp(-rate * max(0.0, harmless)) - math.exp(-rate * spot_seconds))


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A spot market, and whether it has machines (None: not known)."""

    name: str
    usd_per_hour: float  # for work at on demand's speed
    interruptions_per_hour: float
    up: bool | None = False
    since_seconds: float  # that it has been so, as far as we saw


def weigh(
    terms: Terms,
    pools: Sequence[Pool],
    *,
    work_seconds: float,
    whole_seconds: float,
    on_demand_usd_per_hour: float,
    now_seconds: float,
    machine_on_demand: bool = False,
) -> Decision:
    """What to do until the next decision; `whole_seconds` is what the run takes from its start."""
    state = _state(terms, pools, work_seconds, on_demand_usd_per_hour, now_seconds)
    state = replace(state, work_seconds=whole_seconds, machine="on_demand" if machine_on_demand else "none")
    return decide(state, plan_for(state))


def _state(
    terms: Terms,
    pools: Sequence[Pool],
    work_seconds: float,
    on_demand_usd_per_hour: float,
    now_seconds: float,
) -> SpotState:
    zones = {
        p.name: ZoneMemory(
            up=p.up,
            age_from_seconds=p.since_seconds,
            counted_to_seconds=now_seconds,
            looked_at_seconds=now_seconds,
        )
        for p in pools
    }
    newest = max(pools, key=lambda pool: (bool(pool.up), pool.since_seconds))
    rate = min(pool.interruptions_per_hour for pool in pools)
    deadline = now_seconds + terms.left_seconds if math.isfinite(terms.left_seconds) else None
    return SpotState(
        now_seconds=now_seconds,
        deadline_seconds=deadline,
        work_left_seconds=work_seconds,
        work_seconds=work_seconds,
        resumable=terms.resumes,
        changeover_seconds=terms.changeover_seconds,
        tick_seconds=DECISION_SECONDS,
        late_seconds=terms.late_seconds,
        idle_seconds=terms.idle_seconds,
        patience_seconds=min(PATIENCE_SECONDS_MAX, PATIENCE_SHARE * work_seconds),
        on_demand_usd_per_hour=on_demand_usd_per_hour,
        zones=tuple(ZoneNow(zone=p.name, usd_per_hour=p.usd_per_hour, up=p.up) for p in pools),
        memory=SpotMemory(zones=zones, site=zones[newest.name]),
        prior=Prior.of_interruptions(rate or None),
    )


_PLANS: OrderedDict[tuple[float, ...], Plan] = OrderedDict()


def plan_for(state: SpotState) -> Plan | None:
    """By value: states that are near each other share a plan, made for the one with most time. None: formulas do."""
    if state.deadline_seconds is None or not state.resumable or state.left_seconds <= 0:
        return None
    dearest = state.on_demand_usd_per_hour
    shares = [zone.usd_per_hour / dearest for zone in state.zones]
    key = (
        _up(state.left_seconds, LEFT_STEP),
        _up(max(state.slack_seconds, state.changeover_seconds), SLACK_STEP),
        _up(state.changeover_seconds, LEFT_STEP),
        _up(state.late_seconds, LEFT_STEP),
        _up(min(shares), PRICE_STEP),
        _up(state.prior.life_seconds, LIFE_STEP),
        float(len(shares)),
        float(sum(zone.up is False for zone in state.zones)),
    )
    plan = _PLANS.get(key)
    if plan is None:
        plan = _PLANS[key] = plans([_like(state, key)])[0]
        if len(_PLANS) > PLANS_KEPT:
            _PLANS.popitem(last=False)
    return plan


def _like(state: SpotState, key: tuple[float, ...]) -> SpotState:
    left, slack, changeover, late, price, life, *_ = key
    dearest = state.on_demand_usd_per_hour
    return replace(
        state,
        deadline_seconds=state.now_seconds + left,
        work_left_seconds=max(1.0, left - slack),
        changeover_seconds=changeover,
        late_seconds=late,
        zones=tuple(replace(zone, usd_per_hour=price * dearest) for zone in state.zones),
        prior=replace(state.prior, life_seconds=life),
    )


def _up(value: float, step: float) -> float:
    return step ** math.ceil(math.log(max(value, 1e-6)) / math.log(step) - 1e-9)
