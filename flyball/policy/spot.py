"""Spot, on demand, or wait: what one run should stand on for the next tick.

`decide` compares the expected cost of every answer (`spot_table`, from the chances in `spot_chances`) and then keeps the
deadline safe, whatever the chances said.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from flyball.policy.spot_chances import Chances, Prior, Rates, alike, chances, life_left_seconds, zone_rates
from flyball.policy.spot_memory import AGES, SpotMemory, age_bin
from flyball.policy.spot_table import KEEP_ON_DEMAND, KEEP_SPOT, LAUNCH, ON_DEMAND, WAIT, Table, tables

EPS = 1e-6


class Standing(enum.Enum):
    """What a run stands on, or should."""

    NOTHING = "wait"
    SPOT = "spot"
    ON_DEMAND = "on_demand"


class ZoneNow(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    usd_per_hour: float
    up: bool | None = None  # None: not known; asking tells


class SpotState(msgspec.Struct, frozen=True, kw_only=True):
    """A run between two decisions. Times to work are times on a machine that is ready."""

    now_seconds: float
    deadline_seconds: float
    work_left_seconds: float
    changeover_seconds: float  # billed time before a new machine works
    tick_seconds: float  # until the next decision
    late_seconds: float = 0.0  # how much later than planned a decision, or news of a loss, may come
    standing: Standing = Standing.NOTHING
    zone: int | None = None  # of the running spot machine
    warming_seconds: float = 0.0  # changeover still to come on the running machine
    on_demand_usd_per_hour: float
    zones: tuple[ZoneNow, ...]
    memory: SpotMemory
    prior: Prior = Prior()

    @property
    def left_seconds(self) -> float:
        return self.deadline_seconds - self.now_seconds

    @property
    def slack_seconds(self) -> float:
        """What is left beside the work, were a machine ready."""
        return self.left_seconds - self.work_left_seconds

    @property
    def may_launch_spot(self) -> bool:
        """Losing the new machine, warming included, still leaves a changeover for on demand."""
        return self.slack_seconds >= 2 * self.changeover_seconds + self.late_seconds - EPS

    @property
    def may_wait(self) -> bool:
        return self.slack_seconds - self.tick_seconds - self.late_seconds >= self.changeover_seconds - EPS


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Tables and chances for a run; good while `holds`."""

    table: Table
    chances: Chances
    each_zone: tuple[Rates, ...]
    changes: int


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`expected_usd` has each answer that was weighed."""

    standing: Standing
    zone: int | None = None


def plans(states: Sequence[SpotState]) -> list[Plan]:
    """A plan for each run; they share the time left and the changeover."""
    told = [_told(s) for s in states]
    solved = tables(
        told,
        left_seconds=states[0].left_seconds,
        slack_max_seconds=max(s.slack_seconds for s in states),
        changeover_seconds=states[0].changeover_seconds,
    )
    return [
        Plan(
            table=t,
            chances=c,
            changes=s.memory.changes,
            each_zone=tuple(zone_rates(s.memory, prior=s.prior, now_seconds=s.now_seconds)),
        )
        for s, t, c in zip(states, solved, told, strict=True)
    ]


def _told(s: SpotState) -> Chances:
    prices = [z.usd_per_hour / s.on_demand_usd_per_hour for z in s.zones]
    return chances(s.memory, prices, prior=s.prior, now_seconds=s.now_seconds)


def holds(plan: Plan | None, state: SpotState) -> bool:
    if plan is None or not plan.table.covers(
        left_seconds=state.left_seconds, slack_seconds=state.slack_seconds
    ):
        return False
    return state.memory.changes == plan.changes or alike(plan.chances, _told(state))


def decide(state: SpotState, plan: Plan) -> Decision:
    best, _ = min(weighed(state, plan), key=lambda answer: answer[1])
    return safe(state, best)


def safe(state: SpotState, wanted: Decision) -> Decision:
    if wanted.standing is Standing.SPOT:
        keeps = state.standing is Standing.SPOT and wanted.zone == state.zone
        if not keeps and not state.may_launch_spot:
            return kept(state)
        if (
            state.standing is Standing.NOTHING
            and not state.may_wait
            and state.zones[wanted.zone or 0].up is not True
        ):
            return Decision(standing=Standing.ON_DEMAND)
    if wanted.standing is Standing.NOTHING and not state.may_wait:
        return kept(state)
    return wanted


def kept(state: SpotState) -> Decision:
    if state.standing is Standing.SPOT:
        return Decision(standing=Standing.SPOT, zone=state.zone)
    return Decision(standing=Standing.ON_DEMAND)


def weighed(state: SpotState, plan: Plan) -> list[tuple[Decision, float]]:
    """Every answer with its expected cost, in seconds of on demand."""
    free = plan.table.costs(left_seconds=state.left_seconds, slack_seconds=state.slack_seconds)
    launches = [
        (Decision(standing=Standing.SPOT, zone=z), *_launching(state, plan, z, free))
        for z, zone in enumerate(state.zones)
        if zone.up is not False and z != state.zone
    ]
    if state.standing is Standing.SPOT:
        return [(kept(state), keeping(state, plan)), *((d, cost) for d, cost, _, _ in launches)]
    answers: list[tuple[Decision, float]] = []
    spell = _down_spell(state)
    if launches:
        best, _, cost, spell = min(launches, key=lambda launch: launch[1])
        answers.append((best, cost))
    if state.standing is Standing.ON_DEMAND:
        own = plan.table.costs(
            left_seconds=state.left_seconds, slack_seconds=state.slack_seconds - state.warming_seconds
        )
        answers.append((kept(state), own[KEEP_ON_DEMAND + spell]))
    else:
        answers.append((Decision(standing=Standing.ON_DEMAND), free[ON_DEMAND + spell]))
    answers.append((Decision(standing=Standing.NOTHING), free[WAIT + spell]))
    return answers


def _launching(state: SpotState, plan: Plan, z: int, free: list[float]) -> tuple[float, float, int]:
    """Cost against other zones, cost against going without, and the spell."""
    zone, memory = state.zones[z], state.memory.zones[z]
    age = memory.age_seconds(state.now_seconds) if zone.up else 0.0
    span = min(state.work_left_seconds, life_left_seconds(plan.each_zone[z], age)) + state.changeover_seconds
    alone = min(span, life_left_seconds(plan.chances.returns, 0.0))
    dearer = zone.usd_per_hour / state.on_demand_usd_per_hour - plan.chances.price
    cost = free[LAUNCH + age_bin(age)]
    return cost + dearer * span, cost + dearer * alone, age_bin(age)


def _down_spell(state: SpotState) -> int:
    site = state.memory.site
    return AGES + (age_bin(site.age_seconds(state.now_seconds)) if site.up is False else 0)


def keeping(state: SpotState, plan: Plan) -> float:
    z = state.zone or 0
    own = plan.table.costs(
        left_seconds=state.left_seconds, slack_seconds=state.slack_seconds - state.warming_seconds
    )
    age = state.memory.zones[z].age_seconds(state.now_seconds)
    span = min(state.work_left_seconds, life_left_seconds(plan.each_zone[z], age))
    dearer = state.zones[z].usd_per_hour / state.on_demand_usd_per_hour - plan.chances.price
    return own[KEEP_SPOT + age_bin(age)] + dearer * span
