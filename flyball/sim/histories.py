"""Runs of the past, as a store would hold them had somebody metered them."""

from __future__ import annotations

from flyball.model.facts import AnyFact, AttemptEnded, AttemptStarted, RunSubmitted
from flyball.model.job import RunSpec
from flyball.model.machine import Launch
from flyball.model.receipt import Limits
from flyball.model.resource import Offer, Size
from flyball.sim.course import course_of, receipt_of
from flyball.sim.truth import Truth


def past_run(
    run: RunSpec, truth: Truth, *, offer: Offer, size: Size, started_at_seconds: float
) -> tuple[AnyFact, ...]:
    """The facts of a run that nobody governed: one attempt on that machine within that size."""
    limits = Limits(memory_bytes=size.memory_bytes)
    attempt_id = f"{run.run_id}.1"
    order = Launch(
        run_id=run.run_id, attempt_id=attempt_id, job=run.job, offer=offer, size=size, limits=limits
    )
    course = course_of(order, truth, truth.nth(0), ready_at_seconds=started_at_seconds)
    receipt = receipt_of(course, order, course.outcome, course.cause, course.ended_at_seconds)
    ended_at_seconds = course.ended_at_seconds
    return (
        RunSubmitted(at_seconds=started_at_seconds, run=run),
        AttemptStarted(
            at_seconds=started_at_seconds,
            run_id=run.run_id,
            attempt_id=attempt_id,
            limits=limits,
            reason="as it was asked for",
        ),
        AttemptEnded(at_seconds=ended_at_seconds, run_id=run.run_id, attempt_id=attempt_id, receipt=receipt),
    )
