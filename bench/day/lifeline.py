"""One run from its first start to its end, whoever starts it: tries that fail, checkpoints, interruptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workload import RETRIES, DayRun

from flyball.model.machine import Launch
from flyball.model.outcome import Outcome
from flyball.model.receipt import Limits
from flyball.model.resource import Offer, Size
from flyball.model.spec import SpotAsk
from flyball.sim.course import Course, course_of

if TYPE_CHECKING:
    from world import World


class Lifeline:
    """What is left of a run to do. The law of how an attempt goes is the simulated cloud's own."""

    def __init__(self, world: World, run: DayRun) -> None:
        self.world, self.run = world, run
        self.starts = self.failures = self.interruptions = 0
        self.share = 0.0
        self.ended_at: float | None = None
        self.succeeded = False
        self.course: Course | None = None

    def begin(self, offer: Offer, ready_at: float, size: Size) -> float:
        """When this attempt ends by itself."""
        order = Launch(
            run_id=self.run.run_id, attempt_id="", job=self.run.job.name, offer=offer, size=size,
            limits=Limits(memory_bytes=size.memory_bytes, cpu_cores=size.cpu_cores),
            spot=SpotAsk(checkpoint="there" if self.run.truth.checkpoint_every_seconds else None),
        )  # fmt: skip
        truth = self.world.truth_on(self.run, offer)
        self.course = course_of(
            order, truth, truth.nth(self.starts), ready_at_seconds=ready_at, share_before=self.share
        )
        self.starts += 1
        return self.course.ended_at_seconds

    def end(self, at_seconds: float) -> bool:
        """It came to its own end; whether the run is over."""
        assert self.course is not None
        outcome = self.course.outcome
        if outcome is Outcome.SUCCEEDED:
            self.ended_at, self.succeeded = at_seconds, True
            return True
        assert outcome is Outcome.FAILED, (self.run, outcome)  # asked sizes hold
        self.share = self.course.kept_at(at_seconds)
        self.failures += 1
        if self.failures > RETRIES:
            self.ended_at = at_seconds
            return True
        return False

    def interrupt(self, at_seconds: float) -> None:
        """Its machine was taken away."""
        assert self.course is not None
        if at_seconds < self.course.started_at_seconds:
            self.starts -= 1  # the command never began
        else:
            self.share = self.course.kept_at(at_seconds)
        self.interruptions += 1
