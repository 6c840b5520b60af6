"""The size to ask for next, from what the job's runs used, with every number explained."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from flyball.model.job import Features
from flyball.model.resource import Size
from flyball.model.units import MIB, show_bytes
from flyball.policy.cores import cores_for
from flyball.policy.evidence import Evidence, Floats
from flyball.policy.headroom import cheapest, cheapest_above
from flyball.policy.observations import Observations, Quantity, observe, too_small
from flyball.policy.outlook import Outlook

# After running out of memory: at least this much more by the number of failures, so that a few reach any size ...
GROWTH_MIN = (1.1, 1.3, 2.0)
# ... and at most this much at once beyond what runs have shown, so that one odd run does not ask for the largest
# machine there is.
GROWTH_MAX = 4.0
ABOVE_LARGEST = 1.1
ABOVE_FAILED = (
    1.1  # what is asked for after the job's last attempts ran out of memory, in units of their limit
)
ABOVE_SHOWN = 1.05  # of what runs of the same input used: peaks of one input differ by a few percent
SAME_INPUT = 0.1  # log units
# Sizes are rounded up in steps of at most 1/128 of themselves, so that close forecasts give the same size.
STEPS_PER_DOUBLING = 128


class Appetite(msgspec.Struct, frozen=True, kw_only=True):
    """What headroom is worth to the user.

    `failed_attempt_price`: a failed attempt costs three times its own memory and time by default: once to pay for
    it, once for the machine it kept from others or had to boot, once for whoever waits.
    """

    hit_limit_share_max: float | None = (
        None  # at most this share of runs may hit the limit; None: only the price
    )
    failed_attempt_price: float = 3.0


class SizeDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A size, one sentence for each number in it, and how often it is expected to be too small."""

    size: Size
    reasons: tuple[str, ...]
    hit_limit_probability: float | None = None  # None: nothing is known


def size_next(
    evidence: Evidence,
    upcoming: Features,
    *,
    appetite: Appetite,
    floor: Size,
    ceiling: Size,
    default: Size | None = None,
) -> SizeDecision:
    """What to ask for: memory priced against failing, cores as used or wanted.

    `default` (else `floor`) is given for what no run has shown. Always within floor and ceiling; `gpus` come from it.
    """
    start = default or floor
    cores, why_cores = cores_for(
        evidence, default=start.cpu_cores, floor=floor.cpu_cores, ceiling=ceiling.cpu_cores
    )
    seen = observe(evidence, Quantity.MEMORY_BYTES, upcoming)
    if seen is None:
        what = (
            "no run of this job is known yet" if not len(evidence) else "no run of this job tells its memory"
        )
        memory_bytes = _between(start.memory_bytes, floor, ceiling)
        why = f"memory {show_bytes(memory_bytes)}: {what}, the default"
        size = Size(cpu_cores=cores, memory_bytes=memory_bytes, gpus=start.gpus)
        return SizeDecision(size=size, reasons=(why, why_cores))
    expected = seen.outlook()
    wanted = math.exp(_priced(expected, appetite))
    needed = _shown_too_small(evidence, upcoming)
    memory_bytes = _between(_rounded_up(max(wanted, needed)), floor, ceiling)
    hits = expected.share_above(math.log(memory_bytes))
    why = _why(memory_bytes, seen, expected, hits, upcoming)
    if needed > wanted:
        why += "; raised above what the last attempts showed to be too small"
    if memory_bytes in {floor.memory_bytes, ceiling.memory_bytes}:
        why += f" (the {'least' if memory_bytes == floor.memory_bytes else 'most'} it may be)"
    size = Size(cpu_cores=cores, memory_bytes=memory_bytes, gpus=start.gpus)
    return SizeDecision(size=size, reasons=(why, why_cores), hit_limit_probability=hits)


def size_after_out_of_memory(
    evidence: Evidence,
    upcoming: Features,
    *,
    failed_limit_bytes: int,
    failed_attempts: int,
    appetite: Appetite,
    floor: Size,
    ceiling: Size,
) -> SizeDecision | None:
    """The size for the same run again; None when the ceiling was already too small.

    The cheapest next step among what its history says of runs that need more than the failed limit, at least 10 %
    more (30 % after two failures, double after three), at most 4 times or what the largest run used; where history
    knows of nothing larger, double.
    """
    if failed_limit_bytes >= ceiling.memory_bytes:
        return None
    growth_min = GROWTH_MIN[min(max(failed_attempts, 1), len(GROWTH_MIN)) - 1]
    wanted, largest, source = _next_step(evidence, upcoming, failed_limit_bytes, growth_min, appetite)
    growth_max_bytes = max(GROWTH_MAX * failed_limit_bytes, ABOVE_LARGEST * largest)
    bounded = min(max(wanted, growth_min * failed_limit_bytes), growth_max_bytes)
    memory_bytes = _between(max(_rounded_up(bounded), failed_limit_bytes + 1), floor, ceiling)
    cores, why_cores = cores_for(
        evidence, default=floor.cpu_cores, floor=floor.cpu_cores, ceiling=ceiling.cpu_cores
    )
    growth = 100 * (memory_bytes / failed_limit_bytes - 1)
    why = f"memory {show_bytes(memory_bytes)}: more than {show_bytes(failed_limit_bytes)} is needed, +{growth:.0f} %, {source}"
    return SizeDecision(size=Size(cpu_cores=cores, memory_bytes=memory_bytes), reasons=(why, why_cores))


def _next_step(
    evidence: Evidence, upcoming: Features, failed_bytes: int, growth_min: float, appetite: Appetite
) -> tuple[float, float, str]:
    """The step wanted, the largest run's bytes (0: no run), and where the step comes from."""
    seen = observe(evidence, Quantity.MEMORY_BYTES, upcoming)
    largest = float(seen.values.max()) if seen is not None else 0.0
    if seen is not None:
        step = cheapest_above(
            seen.outlook(),
            math.log(failed_bytes),
            step_least=math.log(growth_min),
            failed_attempt_price=appetite.failed_attempt_price,
        )
        if step is not None:
            wanted, source = math.exp(step), f"the cheapest step by what {_runs(len(seen.values))} used"
            shown, like = _shown_by_same_input(evidence, upcoming, failed_bytes)
            if shown > wanted:
                return shown, largest, f"what {_runs(like)} of this input size used"
            return wanted, largest, source
    return max(2.0 * failed_bytes, ABOVE_LARGEST * largest), largest, "no run has shown how much more"


def _shown_by_same_input(evidence: Evidence, upcoming: Features, failed_bytes: int) -> tuple[float, int]:
    """(bytes, runs): what half of the finished runs of this input size and above the failed limit used, and a little."""
    if not upcoming.input_bytes:
        return 0.0, 0
    own = math.log(upcoming.input_bytes)
    with np.errstate(divide="ignore", invalid="ignore"):
        like = np.abs(np.log(evidence.input_bytes) - own) < SAME_INPUT
    used = evidence.memory_bytes_max[like & evidence.succeeded & (evidence.memory_bytes_max > failed_bytes)]
    return (ABOVE_SHOWN * float(np.median(used)), len(used)) if len(used) else (0.0, 0)


def _priced(expected: Outlook, appetite: Appetite) -> float:
    """The cheapest first size, or more where more than the allowed share would hit it."""
    priced = cheapest(expected, failed_attempt_price=appetite.failed_attempt_price)
    if appetite.hit_limit_share_max is None:
        return priced
    share = min(max(appetite.hit_limit_share_max, 0.0), 1.0)
    return max(priced, expected.quantile(1.0 - share))


def _shown_too_small(evidence: Evidence, upcoming: Features) -> float:
    """Bytes above what attempts since the last success ran out of, or had used when they ended otherwise."""
    finished = np.flatnonzero(evidence.succeeded)
    since = slice(int(finished[-1]) + 1 if len(finished) else 0, None)
    inputs: Floats = evidence.input_bytes[since]
    own = math.nan if upcoming.input_bytes is None else float(upcoming.input_bytes)
    comparable = ~(inputs > own * math.exp(SAME_INPUT))  # unknown is comparable
    limits = too_small(evidence)[since][evidence.out_of_memory[since] & comparable]
    used = evidence.memory_bytes_max[since][evidence.unfinished[since] & comparable]
    shown = np.append(ABOVE_FAILED * limits[np.isfinite(limits)], used[np.isfinite(used)])
    return float(shown.max()) if len(shown) else 0.0


def _rounded_up(amount_bytes: float) -> int:
    step = max(1, int(2 ** math.floor(math.log2(amount_bytes))) // STEPS_PER_DOUBLING)
    step = max(step, MIB) if amount_bytes > 64 * MIB else step
    return math.ceil(amount_bytes / step) * step


def _between(memory_bytes: int, floor: Size, ceiling: Size) -> int:
    return min(max(memory_bytes, floor.memory_bytes), ceiling.memory_bytes)


def _why(memory_bytes: int, seen: Observations, expected: Outlook, hits: float, upcoming: Features) -> str:
    """ "memory 1.42 GiB: peak 1.31 GiB in 41 runs of this input size, +8 %; about 1 % of runs would hit it"."""
    which, values = "", seen.values
    if seen.features.shape[1] and upcoming.input_bytes:
        like = np.abs(np.log(np.maximum(seen.inputs, 1.0) / max(upcoming.input_bytes, 1))) < SAME_INPUT
        which, values = (
            (" of this input size", values[like]) if like.any() else (" of other input sizes", values)
        )
    if seen.season is not None:
        which += f", {'heavy ones' if seen.season.heavy else 'like those'} {seen.season.words}"
    if which.startswith(" of other"):
        likely = math.exp(expected.quantile(0.5))
        basis = f"{show_bytes(likely)} expected from {_runs(len(values))}{which}"
    else:
        likely = float(values.max())
        basis = f"peak {show_bytes(likely)} in {_runs(len(values))}{which}"
    headroom = 100 * (memory_bytes / likely - 1)
    known = f", {seen.censored} of them out of memory" if seen.censored else ""
    rare = ", rarer peaks cost less to run again" if headroom < -0.5 else ""
    return (
        f"memory {show_bytes(memory_bytes)}: {basis}{known}, {headroom:+.0f} %{rare}; "
        f"{_share(hits)} of runs are expected to hit it"
    )


def _share(share: float) -> str:
    return (
        "under 0.1 %" if share < 0.001 else f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
    )


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
