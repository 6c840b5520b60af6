"""The size of the next attempt: what the user fixed stays, ranges bound the plan, and the rest is planned."""

from __future__ import annotations

import math
import sys

import msgspec

from flyball.model.machine import Capabilities
from flyball.model.plan import Plan
from flyball.model.resource import Size
from flyball.model.spec import SizeAsk
from flyball.model.units import GIB, count_cores, show_bytes
from flyball.policy.next_step import Launchable

# For a job that nobody knows anything about: the usual smallest general-purpose machine of every cloud holds it.
FIRST_SIZE = Size(cpu_cores=2.0, memory_bytes=4 * GIB)
# Of a machine that others use too: four strangers fit beside each other, and a quarter of it is rarely too little.
FIRST_SHARE = 0.25
# Of the most that its owner allows: half of what is asked for is more than half of all jobs ever use (the median task
# type of the sizing benchmark's eight sources uses a half to a fifth), and what runs out comes back bigger.
FIRST_SHARE_OF_MOST = 0.5
ANYTHING = SizeAsk()
# What is over within a second may share a core with a few others: the longest that one waits for another is that second,
# and starting and ending it keeps a core busy for longer than its command does.
BRIEF_SECONDS, BRIEF_CORES = 1.0, 0.25


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """What is reserved for the attempt, and the limits that its wrapper enforces."""

    size: Size
    memory_limit_bytes: int
    memory_limit_bytes_max: int | None  # it may be given as much where that costs nothing; None: any
    cpu_limit: float | None  # None: idle cores of a machine may be used
    reason: str


def size_for(
    ask: SizeAsk, plan: Plan, step: Launchable, capabilities: Capabilities, *, cautious: bool = False
) -> Sized:
    """Size and limits on a provider like that. `cautious`: while nothing is known, the most that is allowed, since
    there may be no time to come back bigger.

    On a machine shared with others memory is reserved to the last byte; cores are not: whoever needs them most gets
    them, so a plan for more cores than there are takes all of them.
    """
    first = first_size(capabilities, ask, share=1.0 if cautious else FIRST_SHARE_OF_MOST)
    memory_bytes, why_memory = _memory(ask, plan, step, first)
    cores, why_cores = _cores(ask, plan, first)
    shared = capabilities.shared_machine
    if shared is not None and cores > shared.cpu_cores and not _fixed_cores(ask):
        cores, why_cores = shared.cpu_cores, f"{count_cores(shared.cpu_cores)}: all that the machine has"
    if shared is not None and ask.cpu_cores is None and _is_brief(plan) and cores > BRIEF_CORES:
        cores, why_cores = (
            BRIEF_CORES,
            f"{count_cores(BRIEF_CORES)}: over in a moment, so cores are taken in turns",
        )
    fixed = ask.memory_bytes is not None and ask.memory_bytes_max is None
    return Sized(
        size=Size(cpu_cores=cores, memory_bytes=memory_bytes, gpus=max(ask.gpus, plan.size.gpus)),
        memory_limit_bytes=memory_bytes,
        memory_limit_bytes_max=memory_bytes if fixed else ask.memory_bytes_max,
        cpu_limit=ask.cpu_cores if _fixed_cores(ask) else ask.cpu_cores_max,
        reason=f"{why_memory}; {why_cores}",
    )


def _is_brief(plan: Plan) -> bool:
    seconds = plan.forecast.wall_seconds
    return seconds is not None and seconds.p90 < BRIEF_SECONDS


def first_size(
    capabilities: Capabilities, ask: SizeAsk = ANYTHING, *, share: float = FIRST_SHARE_OF_MOST
) -> Size:
    """For what no run has shown: that share of the most that is allowed, and at least 2 cores and 4 GiB, or a quarter
    of a machine that is shared."""
    shared, first = capabilities.shared_machine, FIRST_SIZE
    if shared is not None:
        first = Size(
            cpu_cores=shared.cpu_cores * FIRST_SHARE, memory_bytes=int(shared.memory_bytes * FIRST_SHARE)
        )
    whole = shared or Size(cpu_cores=math.inf, memory_bytes=sys.maxsize)
    return Size(
        cpu_cores=max(first.cpu_cores, min(whole.cpu_cores, share * (ask.cpu_cores_max or 0.0))),
        memory_bytes=max(
            first.memory_bytes, min(whole.memory_bytes, int(share * (ask.memory_bytes_max or 0)))
        ),
    )


def _memory(ask: SizeAsk, plan: Plan, step: Launchable, first: Size) -> tuple[int, str]:
    low, high = ask.memory_bytes, ask.memory_bytes_max
    if step.memory_limit_bytes is not None:
        return step.memory_limit_bytes, f"memory {show_bytes(step.memory_limit_bytes)}: grown"
    if low is not None and high is None:
        return low, f"memory {show_bytes(low)}: as you set"
    if plan.forecast.memory_bytes is not None:
        return _between(plan.size.memory_bytes, low, high, _planned_words(plan, 0, "memory"))
    if low is not None:
        return low, f"memory {show_bytes(low)}: where your range starts; no run of this job is known yet"
    return _between(
        first.memory_bytes, low, high, f"memory {show_bytes(first.memory_bytes)}: no run is known yet"
    )


def _between(amount: int, low: int | None, high: int | None, why: str) -> tuple[int, str]:
    if low is not None and amount < low:
        return low, f"memory {show_bytes(low)}: the least you allow ({why})"
    if high is not None and amount > high:
        return high, f"memory {show_bytes(high)}: the most you allow ({why})"
    return amount, why


def _cores(ask: SizeAsk, plan: Plan, first: Size) -> tuple[float, str]:
    low, high = ask.cpu_cores, ask.cpu_cores_max
    if low is not None and high is None:
        return low, f"{count_cores(low)}: as you set"
    if plan.forecast.cpu_cores is not None:
        cores, why = plan.size.cpu_cores, _planned_words(plan, 1, "cores")
    elif low is not None:
        cores, why = low, f"{count_cores(low)}: where your range starts"
    else:
        cores, why = first.cpu_cores, f"{count_cores(first.cpu_cores)}: no run is known yet"
    if low is not None and cores < low:
        return low, f"{count_cores(low)}: the least you allow"
    if high is not None and cores > high:
        return high, f"{count_cores(high)}: the most you allow"
    return cores, why


def _fixed_cores(ask: SizeAsk) -> bool:
    return ask.cpu_cores is not None and ask.cpu_cores_max is None


def _planned_words(plan: Plan, place: int, what: str) -> str:
    return plan.reasons[place] if place < len(plan.reasons) else f"{what} as planned"
