"""A run between two decisions about spot, the answers it can get, and which of them keep its deadline safe."""

from __future__ import annotations

from typing import Literal

import msgspec

from flyball.policy.spot_chances import Prior
from flyball.policy.spot_memory import NOTHING_SEEN, SpotMemory

EPS_SECONDS = 1e-6
PATIENCE_SECONDS = 3600.0

Action = Literal["spot", "on_demand", "wait"]


class ZoneNow(msgspec.Struct, frozen=True, kw_only=True):
    """`up` None: not known, asking tells."""

    zone: str
    usd_per_hour: float
    up: bool | None = None


class SpotState(msgspec.Struct, frozen=True, kw_only=True):
    """Work is time on a machine that is ready; the changeover is billed time before a new machine is."""

    now_seconds: float
    deadline_seconds: float | None = None
    work_left_seconds: float
    work_seconds: float  # all of it: what a run that cannot resume has left when its machine is lost
    resumable: bool = True
    changeover_seconds: float
    tick_seconds: float  # until the next decision
    late_seconds: float = 0.0  # how much later than planned a decision, or news of a loss, may come
    machine: Literal["none", "spot", "on_demand"] = "none"
    zone: str | None = None  # of the spot machine
    warming_seconds: float = 0.0  # changeover still to come on the present machine
    idle_seconds: float = 0.0  # since the run had a machine, or was submitted
    patience_seconds: float = (
        PATIENCE_SECONDS  # without a deadline: how long it waits for spot before it buys
    )
    on_demand_usd_per_hour: float
    zones: tuple[ZoneNow, ...]
    memory: SpotMemory
    prior: Prior = Prior()

    @property
    def work_if_lost_seconds(self) -> float:
        return self.work_left_seconds if self.resumable else self.work_seconds

    @property
    def left_seconds(self) -> float:
        return float("inf") if self.deadline_seconds is None else self.deadline_seconds - self.now_seconds

    @property
    def slack_seconds(self) -> float:
        """Time left that the work left does not need, were a machine ready."""
        return self.left_seconds - self.work_left_seconds

    @property
    def may_launch_spot(self) -> bool:
        """Whatever happens to the new machine, on demand can still make it.

        Lost while it warms: a changeover is gone. Lost later: the work done is kept by a run that resumes; one that starts
        over may have used all of its work's time, and needs all of it again.
        """
        again = 0.0 if self.resumable else self.work_seconds
        need = self.work_if_lost_seconds + again + 2 * self.changeover_seconds + self.late_seconds
        return self.left_seconds >= need - EPS_SECONDS

    @property
    def may_wait(self) -> bool:
        need = self.work_if_lost_seconds + self.changeover_seconds + self.tick_seconds + self.late_seconds
        return self.left_seconds >= need - EPS_SECONDS

    @property
    def may_keep_spot(self) -> bool:
        """A run that resumes may always keep a live machine: while it works, slack stays as it is.

        One that starts over may while a loss at its very end still leaves time for all of it, or when it is too late for
        that anyway.
        """
        if self.resumable:
            return True
        again = self.work_seconds + self.changeover_seconds + self.late_seconds
        to_end = self.warming_seconds + self.work_left_seconds
        return self.left_seconds >= again + to_end - EPS_SECONDS or self.left_seconds < again - EPS_SECONDS

    @property
    def offers(self) -> tuple[ZoneNow, ...]:
        """Zones worth a thought: cheaper than on demand, or where the machine is."""
        return tuple(
            z for z in self.zones if z.usd_per_hour < self.on_demand_usd_per_hour or z.zone == self.zone
        )

    def price_share(self, zone: ZoneNow) -> float:
        return zone.usd_per_hour / self.on_demand_usd_per_hour

    def age_seconds(self, zone: ZoneNow) -> float:
        """For how long the zone has been up without a break, as far as it was seen."""
        memory = self.memory.zones.get(zone.zone, NOTHING_SEEN)
        known = zone.zone == self.zone or zone.up
        return memory.age_seconds(self.now_seconds) if known and memory.up else 0.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do for the next tick, with the expected cost of the run from here on."""

    action: Action
    zone: str | None = None
    expected_usd: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do for the next tick.

    A spot request that is refused leaves the present machine as it is: start the new one before the old one goes.
    """

    action: Action
    zone: str | None = None
    weighed: tuple[Answer, ...]
    slack_seconds: float
    forced: str = ""  # why the cheapest answer was not taken

    @property
    def reason(self) -> str:
        """One sentence with the numbers."""
        costs = ", ".join(f"{_name(a.action, a.zone)} ${a.expected_usd:.2f}" for a in self.weighed)
        slack = "no deadline" if self.slack_seconds == float("inf") else f"slack {_hours(self.slack_seconds)}"
        why = f"{self.forced}; " if self.forced else ""
        return f"{_name(self.action, self.zone)}: {why}expected to the end: {costs}; {slack}"


def safe(state: SpotState, weighed: tuple[Answer, ...]) -> Decision:
    """The cheapest answer that cannot cost the deadline."""
    by_cost = sorted(weighed, key=lambda answer: answer.expected_usd)
    taken = next((answer for answer in by_cost if _is_safe(state, answer)), None)
    if taken is None:
        taken = Answer(action="on_demand", expected_usd=by_cost[0].expected_usd)
    forced = (
        "" if taken is by_cost[0] else f"{_name(by_cost[0].action, by_cost[0].zone)} could miss the deadline"
    )
    return Decision(
        action=taken.action,
        zone=taken.zone,
        weighed=tuple(by_cost),
        slack_seconds=state.slack_seconds,
        forced=forced,
    )


def _is_safe(state: SpotState, answer: Answer) -> bool:
    if answer.action == "wait":
        return state.may_wait
    if answer.action == "on_demand":
        return True
    if state.machine == "spot" and answer.zone == state.zone:
        return state.may_keep_spot
    certain = any(z.zone == answer.zone and z.up for z in state.zones)  # else the tick may pass with nothing
    return state.may_launch_spot and (state.machine != "none" or certain or state.may_wait)


def _name(action: Action, zone: str | None) -> str:
    return f"spot in {zone}" if action == "spot" else action.replace("_", " ")


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    sign, minutes = ("-" if minutes < 0 else ""), abs(minutes)
    return f"{sign}{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{sign}{minutes} min"
