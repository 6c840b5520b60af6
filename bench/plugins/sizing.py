"""flyball's sizing behind the interface of the sizing benchmark: words are translated here, nothing is decided.

FLYBALL_HIT_LIMIT_SHARE_MAX=0.05 sets the user's knob ("at most 5 % of runs may hit the limit"); the classes with a
name for it have it set.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the project itself, wherever the bench is started

from flyball.model.job import Features
from flyball.model.resource import Size
from flyball.policy.evidence import Evidence
from flyball.policy.sizing import Appetite, size_after_out_of_memory, size_next

FLOOR = Size(cpu_cores=0.25, memory_bytes=1)


class Flyball:
    """Priced freely."""

    name = "flyball"
    hit_limit_share_max = (
        float(os.environ["FLYBALL_HIT_LIMIT_SHARE_MAX"])
        if "FLYBALL_HIT_LIMIT_SHARE_MAX" in os.environ
        else None
    )

    def __init__(self):
        self.failed_attempts = 0

    def predict(self, history, upcoming):
        self.failed_attempts = 0
        asked = upcoming["user_alloc"]
        decision = size_next(
            _evidence(history),
            _features(upcoming),
            appetite=Appetite(hit_limit_share_max=self.hit_limit_share_max),
            floor=FLOOR,
            ceiling=_ceiling(upcoming),
            default=Size(cpu_cores=1, memory_bytes=int(asked)) if math.isfinite(asked) else None,
        )
        return decision.size.memory_bytes

    def retry(self, history, upcoming, failed_allocation):
        self.failed_attempts += 1
        decision = size_after_out_of_memory(
            _evidence(history),
            _features(upcoming),
            failed_limit_bytes=int(failed_allocation),
            failed_attempts=self.failed_attempts,
            appetite=Appetite(hit_limit_share_max=self.hit_limit_share_max),
            floor=FLOOR,
            ceiling=_ceiling(upcoming),
        )
        return decision.size.memory_bytes if decision else upcoming["node_bytes"]


class FlyballAtMost5(Flyball):
    name = "flyball, at most 5 %"
    hit_limit_share_max = 0.05


class FlyballCareful(Flyball):
    name = "flyball, at most 4 %"
    hit_limit_share_max = 0.04


class FlyballAtMost2(Flyball):
    name = "flyball, at most 2 %"
    hit_limit_share_max = 0.02


def _evidence(history):
    return Evidence.of_finished_runs(
        memory_bytes_max=history.peak,
        wall_seconds=history.runtime,
        started_at_seconds=history.ts,
        cpu_seconds=history.cpu / 100 * history.runtime,
        input_bytes=history.input,
        numbers={"input_objects": history.n_inputs, "memory_bytes_asked": history.user_alloc},
    )


def _features(upcoming):
    numbers = {"input_objects": upcoming["n_inputs"], "memory_bytes_asked": upcoming["user_alloc"]}
    ts, input_bytes = upcoming["ts"], upcoming["input_bytes"]
    return Features(
        started_at_seconds=ts,
        input_bytes=int(input_bytes) if math.isfinite(input_bytes) else None,
        numbers={name: float(number) for name, number in numbers.items() if math.isfinite(number)},
    )


def _ceiling(upcoming):
    return Size(cpu_cores=448, memory_bytes=int(upcoming["node_bytes"]))
