"""flyball's spot policy behind the interface of the spot benchmark: words are translated here, nothing is decided."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the project itself, wherever the bench is started

import numpy as np

from flyball.policy.spot import decide, holds, plans
from flyball.policy.spot_memory import SpotMemory, looked
from flyball.policy.spot_state import SpotState, ZoneNow

WAIT, ON_DEMAND = -2, -1
MACHINES = {WAIT: "none", ON_DEMAND: "on_demand"}
UPS = {1: True, 0: False, -1: None}


class Flyball:
    """All runs of a batch at once: one decision each, tables for many together."""

    name = "flyball"
    safe = True

    def reset_batch(self, batch):
        runs, zones, past = batch.history.shape
        self.work = batch.work
        self.tick_seconds = batch.tick_h * 3600
        self.zones = [str(z) for z in range(zones)]
        self.memories = [SpotMemory.of(self.zones)] * runs
        self.plans = [None] * runs
        self.asked = {}
        for i in range(past):
            self._look(batch.history[:, :, i].tolist(), (i - past) * self.tick_seconds)

    def _look(self, seen, now_seconds):
        for run, row in enumerate(seen):
            looks = {zone: up == 1 for zone, up in zip(self.zones, row, strict=True) if up >= 0}
            self.memories[run] = looked(self.memories[run], looks, now_seconds=now_seconds)

    def decide_batch(self, state):
        seen = state.avail.tolist()
        self._hear_of_refusals(state)
        self._look(seen, state.i * self.tick_seconds)
        states = {run: self._state(state, run, seen[run]) for run in np.flatnonzero(state.live).tolist()}
        stale = [run for run, s in states.items() if not (self.plans[run] and holds(self.plans[run], s))]
        for run, plan in zip(stale, plans([states[run] for run in stale]), strict=True):
            self.plans[run] = plan
        answer = np.full(len(self.plans), WAIT)
        for run, run_state in states.items():
            answer[run] = _code(decide(run_state, self.plans[run]))
        self.asked = {run: int(zone) for run, zone in enumerate(answer) if zone >= 0}
        return answer

    def _hear_of_refusals(self, state):
        """A zone that was asked for a machine and gave none was down."""
        for run, zone in self.asked.items():
            if state.live[run] and state.machine[run] != zone and not state.preempted[run]:
                refusal = {self.zones[zone]: False}
                self.memories[run] = looked(
                    self.memories[run], refusal, now_seconds=(state.i - 1) * self.tick_seconds
                )

    def _state(self, state, run, seen):
        tick, machine = self.tick_seconds, int(state.machine[run])
        return SpotState(
            now_seconds=state.i * tick,
            deadline_seconds=state.T * tick,
            work_left_seconds=float(state.remaining[run]) * tick,
            work_seconds=self.work * tick,
            changeover_seconds=state.delay * tick,
            tick_seconds=tick,
            machine=MACHINES.get(machine, "spot"),
            zone=str(machine) if machine >= 0 else None,
            warming_seconds=float(state.warming[run]) * tick,
            on_demand_usd_per_hour=state.od_price,
            zones=tuple(
                ZoneNow(zone=zone, usd_per_hour=price, up=UPS[up])
                for zone, price, up in zip(self.zones, state.price[run].tolist(), seen, strict=True)
            ),
            memory=self.memories[run],
        )


def _code(decision):
    if decision.action == "spot":
        return int(decision.zone)
    return WAIT if decision.action == "wait" else ON_DEMAND
