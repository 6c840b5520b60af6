"""What a day came to under one way of running it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from workload import DayRun

NANO = 1e-9


class DayOutcome(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    usd: float
    usd_by_kind: dict[str, float] = {}
    machines: int = 0
    interruptions: int = 0
    failed: int = 0  # for good, by the job's own fault
    lost: int = 0  # neither succeeded nor failed by its own fault
    with_deadline: int = 0
    late: int = 0
    out_of_memory: int = 0
    notes: tuple[str, ...] = ()

    @property
    def late_share(self) -> float:
        return self.late / self.with_deadline if self.with_deadline else 0.0


def outcome_of(
    name: str,
    ends: Iterable[tuple[DayRun, float | None, bool]],
    *,
    usd_by_kind: dict[str, float],
    machines: int,
    interruptions: int = 0,
    out_of_memory: int = 0,
    notes: tuple[str, ...] = (),
) -> DayOutcome:
    """`ends`: each run, when it ended (None: never) and whether it succeeded. What fails for good is late for nobody."""
    failed = lost = late = with_deadline = 0
    for run, ended_at, succeeded in ends:
        if succeeded and run.deadline_seconds is not None:
            with_deadline += 1
            late += ended_at is None or ended_at > run.deadline_seconds
        elif not succeeded:
            failed += run.fails_for_good and ended_at is not None
            lost += not run.fails_for_good or ended_at is None
    return DayOutcome(
        name=name, usd=sum(usd_by_kind.values()), usd_by_kind=usd_by_kind, machines=machines,
        interruptions=interruptions, failed=failed, lost=lost, with_deadline=with_deadline, late=late,
        out_of_memory=out_of_memory, notes=notes,
    )  # fmt: skip
