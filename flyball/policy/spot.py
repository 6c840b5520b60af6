"""Spot, on demand, or wait: what one run should stand on for the next tick.

Every answer gets its expected cost, from a table made for the run (`spot_table`) or, without a deadline or for a run that
starts over, from formulas (`spot_expected`); the cheapest that cannot cost the deadline is taken (`spot_state.safe`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flyball.policy import spot_expected
from flyball.policy.spot_chances import Chances, alike, chance_up, chances, life_left_seconds
from flyball.policy.spot_memory import AGES, NOTHING_SEEN, age_bin
from flyball.policy.spot_state import Action, Answer, Decision, SpotState, ZoneNow, safe
from flyball.policy.spot_table import KEEP_ON_DEMAND, KEEP_SPOT, LAUNCH, ON_DEMAND, WAIT, Table, tables

HOUR = 3600.0

_Weighed = tuple[Action, str | None, float]  # cost in seconds of on demand


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Chances, and the table made for them (None: formulas do); good while `holds`."""

    chances: Chances
    changes: int  # of what was seen, when the chances were taken
    table: Table | None


def decide(state: SpotState, plan: Plan | None = None) -> Decision:
    """What to do for the next tick. Without a plan that holds one is made, which takes some 20 ms for a run with a table."""
    if plan is None or not holds(plan, state):
        plan = plans([state])[0]
    if plan.table is None:
        return safe(state, spot_expected.weighed(state, plan.chances))
    return safe(state, _weighed(state, plan.chances, plan.table))


def holds(plan: Plan, state: SpotState) -> bool:
    """Whether a plan still does: its table reaches here, and what was seen since changed no chance by much."""
    if (plan.table is not None) != _needs_table(state):
        return False
    if plan.table is not None and not plan.table.covers(*_point(state)):
        return False
    return state.memory.changes == plan.changes or alike(plan.chances, _chances(state))


def plans(states: Sequence[SpotState]) -> list[Plan]:
    """A plan for each run; tables of runs with the same time left and changeover are made together."""
    told = [_chances(state) for state in states]
    alike_runs: dict[tuple[float, float, float], list[int]] = {}
    for place, state in enumerate(states):
        if _needs_table(state):
            left, _ = _point(state)
            alike_runs.setdefault((left, state.changeover_seconds, state.late_seconds), []).append(place)
    made: dict[int, Table] = {}
    for (left, changeover, late), places in alike_runs.items():
        solved = tables(
            [told[place] for place in places],
            left_seconds=left,
            slack_max_seconds=max(_point(states[place])[1] for place in places),
            changeover_seconds=changeover,
            late_seconds=late,
        )
        made.update(zip(places, solved, strict=True))
    return [
        Plan(chances=told[place], changes=state.memory.changes, table=made.get(place))
        for place, state in enumerate(states)
    ]


def _needs_table(state: SpotState) -> bool:
    return (
        state.deadline_seconds is not None
        and state.resumable
        and state.left_seconds > 0
        and bool(state.offers)
    )


def _point(state: SpotState) -> tuple[float, float]:
    """Time left and slack, as the table is asked for them: more slack than this is as good as this."""
    slack = min(state.slack_seconds, 3 * state.work_left_seconds + 24 * HOUR)
    return state.work_left_seconds + slack, slack


def _chances(state: SpotState) -> Chances:
    prices = {zone.zone: state.price_share(zone) for zone in state.offers}
    return chances(state.memory, prices, prior=state.prior, now_seconds=state.now_seconds)


def _weighed(state: SpotState, chances: Chances, table: Table) -> tuple[Answer, ...]:
    left, slack = _point(state)
    usd = state.on_demand_usd_per_hour / HOUR
    free = table.costs(left, slack)  # of leaving the present machine, if there is one
    launches = [
        _Launch(state, chances, zone, free)
        for zone in state.offers
        if zone.up is not False and zone.zone != state.zone
    ]
    if state.machine == "spot":
        own = table.costs(left, slack - state.warming_seconds)
        answers: list[_Weighed] = [("spot", launch.zone.zone, launch.against_others) for launch in launches]
        answers += _keeping(state, chances, own, free)
    else:
        known = [launch for launch in launches if launch.zone.up]
        best = min(known, key=lambda launch: launch.against_others, default=None)
        own = free if state.machine == "none" else table.costs(left, slack - state.warming_seconds)
        buying = ON_DEMAND if state.machine == "none" else KEEP_ON_DEMAND
        spells = [(_down_spell(state), 0.0)]  # as if what is up were not there
        if best:
            spells.append((best.spell, best.dearer))  # or is taken later, at its price
        bought = min(own[buying + spell] + dearer for spell, dearer in spells)
        wait = min(free[WAIT + spell] + dearer for spell, dearer in spells)
        answers = [("on_demand", None, bought), ("wait", None, wait)]
        refused = wait if state.machine == "none" else bought
        asked = [best] if best else launches
        answers += [("spot", launch.zone.zone, launch.expected(refused)) for launch in asked]
    return tuple(Answer(action=action, zone=zone, expected_usd=cost * usd) for action, zone, cost in answers)


class _Launch:
    """A new spot machine in a zone: cost in seconds of on demand.

    What a dearer zone costs more lasts for the machine's life when it is compared with another zone, and until some zone
    returns when it is compared with going without.
    """

    __slots__ = ("against_others", "chance", "cost", "dearer", "spell", "zone")

    def __init__(self, state: SpotState, chances: Chances, zone: ZoneNow, free: list[float]) -> None:
        age = state.age_seconds(zone)
        life = life_left_seconds(chances.each_zone[zone.zone], age)
        billed = min(state.work_left_seconds, life) + state.changeover_seconds
        dearer = state.price_share(zone) - chances.price
        self.zone, self.spell = zone, age_bin(age)
        self.cost = free[LAUNCH + self.spell]
        self.against_others = self.cost + dearer * billed
        self.dearer = dearer * min(billed, life_left_seconds(chances.returns, 0.0))
        self.chance = 1.0
        if zone.up is None:
            seen = state.memory.zones.get(zone.zone, NOTHING_SEEN)
            self.chance = chance_up(seen, prior=state.prior, now_seconds=state.now_seconds)

    def expected(self, refused: float) -> float:
        return self.chance * (self.cost + self.dearer) + (1 - self.chance) * refused


def _keeping(state: SpotState, chances: Chances, own: list[float], free: list[float]) -> list[_Weighed]:
    """The present spot machine; and on demand, where that has become as cheap an hour."""
    zone = next(zone for zone in state.offers if zone.zone == state.zone)
    age = state.age_seconds(zone)
    dearer = state.price_share(zone) - chances.price
    span = min(state.work_left_seconds, life_left_seconds(chances.each_zone[zone.zone], age))
    answers: list[_Weighed] = [("spot", state.zone, own[KEEP_SPOT + age_bin(age)] + dearer * span)]
    if state.price_share(zone) >= 1.0:
        answers.append(("on_demand", None, free[ON_DEMAND + age_bin(age)]))
    return answers


def _down_spell(state: SpotState) -> int:
    site = state.memory.site
    return AGES + (age_bin(site.age_seconds(state.now_seconds)) if site.up is False else 0)
