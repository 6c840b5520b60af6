"""flyball's spot policy behind the interface of the spot benchmark: words are translated here, nothing is decided."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the project itself, wherever the bench is started

import numpy as np

from flyball.policy.spot import SpotState, Standing, ZoneNow, decide, holds, plans
from flyball.policy.spot_memory import SpotMemory, looked

WAIT, ON_DEMAND = -2, -1
UPS = {1: True, 0: False, -1: None}


class Flyball:
    """All runs of a batch at once: one decision each, tables for many together."""

    name = "flyball"
    safe = True

    def reset_batch(self, batch):
        runs, zones, past = batch.history.shape
        self.batch = batch
        self.tick_seconds = batch.tick_h * 3600
        self.memories = [SpotMemory.empty(zones) for _ in range(runs)]
        self.plans = [None] * runs
        for i in range(past):
            self._look(batch.history[:, :, i], (i - past) * self.tick_seconds)

    def _look(self, seen, now_seconds):
        for run, row in enumerate(seen.tolist()):
            self.memories[run] = looked(self.memories[run], [UPS[x] for x in row], now_seconds=now_seconds)

    def decide_batch(self, state):
        self._look(state.avail, state.i * self.tick_seconds)
        states = {run: self._state(state, run) for run in np.flatnonzero(state.live).tolist()}
        stale = [run for run in states if not holds(self.plans[run], states[run])]
        for run, plan in zip(stale, plans([states[r] for r in stale]) if stale else [], strict=True):
            self.plans[run] = plan
        answer = np.full(len(self.plans), WAIT)
        for run, run_state in states.items():
            answer[run] = _code(decide(run_state, self.plans[run]))
        return answer

    def _state(self, state, run):
        tick = self.tick_seconds
        machine = int(state.machine[run])
        return SpotState(
            now_seconds=state.i * tick,
            deadline_seconds=state.T * tick,
            work_left_seconds=float(state.remaining[run]) * tick,
            changeover_seconds=state.delay * tick,
            tick_seconds=tick,
            standing=Standing.NOTHING
            if machine == WAIT
            else Standing.ON_DEMAND
            if machine == ON_DEMAND
            else Standing.SPOT,
            zone=machine if machine >= 0 else None,
            warming_seconds=float(state.warming[run]) * tick,
            on_demand_usd_per_hour=state.od_price,
            zones=tuple(
                ZoneNow(name=str(z), usd_per_hour=float(p), up=UPS[int(a)])
                for z, (p, a) in enumerate(zip(state.price[run], state.avail[run], strict=True))
            ),
            memory=self.memories[run],
        )


def _code(decision):
    if decision.standing is Standing.SPOT:
        return decision.zone
    return WAIT if decision.standing is Standing.NOTHING else ON_DEMAND
