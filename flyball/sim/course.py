"""How one attempt goes on its machine when nobody interferes, and the receipt its wrapper writes."""

from __future__ import annotations

import msgspec

from flyball.model.machine import Launch
from flyball.model.outcome import Outcome
from flyball.model.receipt import Host, Limits, Receipt
from flyball.policy.placement import usable_memory_bytes
from flyball.sim.truth import How, Pace, Truth, Try, pace_on
from flyball.sim.weather import NEVER


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds since the epoch."""

    started_at_seconds: float  # of the command; NEVER: it is never heard of
    ended_at_seconds: float  # NEVER: it hangs
    outcome: Outcome
    exit_code: int | None
    cause: str
    truth: Truth
    pace: Pace
    share_before: float  # of the work, that its checkpoint holds
    share_max: float  # it gets no further than this
    hangs: bool = False
    memory_bytes: int

    def share_at(self, at_seconds: float) -> float:
        """Of the run's whole work that is done."""
        worked = at_seconds - self.started_at_seconds - self.resume_seconds
        share = self.share_before + max(0.0, worked) / self.pace.wall_seconds
        return min(self.share_max, max(self.share_before, share))

    def kept_at(self, at_seconds: float) -> float:
        """Share that a next attempt need not do again if this one is ended then."""
        every = self.truth.checkpoint_every_seconds
        if every is None or at_seconds <= self.started_at_seconds:
            return self.share_before
        step = max(1e-9, every / self.pace.wall_seconds)
        return max(self.share_before, int(self.share_at(at_seconds) / step + 1e-9) * step)

    @property
    def resume_seconds(self) -> float:
        return self.truth.resume_seconds if self.share_before > 0 else 0.0


def course_of(
    order: Launch, truth: Truth, nth: Try, *, ready_at_seconds: float, share_before: float = 0.0
) -> Course:
    """What happens from the moment its machine is ready, with the limits that the wrapper enforces."""
    shared = order.limits.cpu_cores or (order.size.cpu_cores if order.host_id is not None else None)
    pace = pace_on(order.offer, truth, shared)
    limits = order.limits
    room = usable_memory_bytes(order.offer.memory_bytes)
    room = room if limits.memory_bytes is None else min(limits.memory_bytes, room)
    outcome, code, cause, share = Outcome.SUCCEEDED, nth.exit_code, "exit 0", 1.0
    hangs = False
    if nth.exit_code:
        outcome, cause, share = Outcome.FAILED, f"exit {nth.exit_code}", nth.at_share
    elif nth.how is not How.ENDS:
        outcome, cause, share, hangs = Outcome.LOST, "hangs", nth.at_share, True
    elif not nth.complete and (order.success.outputs or order.success.check or order.success.rows):
        outcome, cause = Outcome.INCOMPLETE_OUTPUT, "its output is not whole"
    if truth.memory_bytes > room and share_before < truth.out_of_memory_at <= share:
        outcome, code, share, hangs = Outcome.OUT_OF_MEMORY, 137, truth.out_of_memory_at, False
        cause = "out of memory at its limit" if limits.memory_bytes is not None else "out of memory"
    share = max(share, share_before)
    resume = truth.resume_seconds if share_before > 0 else 0.0
    working = resume + (share - share_before) * pace.wall_seconds
    end = NEVER if hangs else working
    if hangs and nth.how is How.STALLS and limits.stalled_after_seconds is not None:
        end, outcome, cause = working + limits.stalled_after_seconds, Outcome.STALLED, "nothing moved"
    if limits.timeout_seconds is not None and limits.timeout_seconds < end:
        end, outcome, code, cause = limits.timeout_seconds, Outcome.TIMED_OUT, 124, "ran too long"
    started = ready_at_seconds if nth.reports else NEVER
    return Course(
        started_at_seconds=started,
        ended_at_seconds=started + end,
        outcome=outcome,
        exit_code=code,
        cause=cause,
        truth=truth,
        pace=pace,
        share_before=share_before,
        share_max=share,
        hangs=hangs,
        memory_bytes=min(truth.memory_bytes, room),
    )


def receipt_of(course: Course, order: Launch, outcome: Outcome, cause: str, ended_at: float) -> Receipt:
    """As a wrapper writes it: for an end of its own making, or for one that somebody else made."""
    wall = max(0.0, ended_at - course.started_at_seconds)
    share = course.share_at(ended_at) - course.share_before
    cpu = course.pace.cpu_seconds * share
    if course.hangs and course.cause == "hangs":
        cpu += max(0.0, wall - course.resume_seconds - share * course.pace.wall_seconds)
    own = outcome is course.outcome
    mean = cpu / wall if wall > 0 else None
    most = min(max(1.0, course.truth.cores), float(order.offer.vcpus)) if cpu > 0 else 0.0
    offer = order.offer
    return Receipt(
        attempt_id=order.attempt_id,
        outcome=outcome,
        exit_code=course.exit_code if own else 143,
        exit_cause=cause,
        started_at_seconds=course.started_at_seconds,
        ended_at_seconds=ended_at,
        wall_seconds=wall,
        cpu_user_seconds=cpu,
        cpu_system_seconds=0.0,
        cpu_seconds=cpu,
        cpu_cores_mean=mean,
        cpu_cores_p95=most,
        cpu_cores_max=most,
        cpu_cores_wanted=mean,
        cpu_parallel_share=_parallel_share(course.truth),
        memory_bytes_max=_memory_seen(course, ended_at),
        samples=max(1, int(wall)),
        host=Host(
            arch=offer.arch.value,
            cpu_cores=float(offer.vcpus),
            memory_bytes=usable_memory_bytes(offer.memory_bytes),
            cloud=offer.cloud,
            instance_type=offer.instance_type,
            region=offer.region,
            zone=offer.zone,
        ),
        limits=Limits(memory_bytes=order.limits.memory_bytes, cpu_cores=order.limits.cpu_cores),
        sources={"memory_bytes_max": "simulated", "cpu_seconds": "simulated"},
    )


def _memory_seen(course: Course, ended_at: float) -> int:
    """Half of the peak until the peak has come."""
    peaked = course.share_at(ended_at) >= min(course.truth.out_of_memory_at, course.share_max)
    return course.memory_bytes if peaked else course.memory_bytes // 2


def _parallel_share(truth: Truth) -> float:
    core_seconds = truth.serial_seconds + truth.parallel_core_seconds
    return truth.parallel_core_seconds / core_seconds if core_seconds > 0 and truth.cores > 1 else 0.0
