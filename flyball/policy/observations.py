"""One quantity of the past runs, with what was known before each of them and of the next."""

from __future__ import annotations

import enum

import msgspec
import numpy as np
from numpy.typing import NDArray

from flyball.model.job import Features
from flyball.policy.calendar import Season, season
from flyball.policy.evidence import Evidence, Flags, Floats
from flyball.policy.outlook import WINDOW_RUNS, Outlook, outlook

NUMBERS_MAX = 2  # besides the input size; each adds to the time a forecast takes
KNOWN_SHARE_MIN = 0.5
LEAST = 1e-6  # bytes or seconds; less is no measurement
# What ran out of memory needed more than its limit; half as much again stands in until a run has shown how much.
BEYOND_LIMIT = 1.5


class Quantity(enum.Enum):
    MEMORY_BYTES = "memory"
    WALL_SECONDS = "wall time"
    CPU_CORE_SECONDS = "CPU time"


class Observations(msgspec.Struct, frozen=True, kw_only=True):
    """Positive values of the runs that speak for the next one, oldest first."""

    values: Floats  # bytes or seconds
    inputs: Floats  # bytes; nan is unknown
    features: Floats  # one more row than values: the next run's; logarithms
    seconds: Floats
    censored: int  # of the values: stand-ins for runs that ran out of memory
    season: Season | None

    def outlook(self) -> Outlook:
        return outlook(np.log(self.values), self.features, self.seconds)


def observe(evidence: Evidence, quantity: Quantity, upcoming: Features) -> Observations | None:
    """The runs that speak for the next one; None when no run has shown this quantity.

    Finished runs do; where there are none, unfinished ones, as the least it can be.
    """
    values, censored = _values(evidence, quantity)
    usable = np.isfinite(values) & (values > LEAST) & (evidence.succeeded | censored)
    if not usable.any():
        usable = np.isfinite(values) & (values > LEAST)
    rows = np.flatnonzero(usable)
    if not len(rows):
        return None
    found = season(
        np.log(values[rows]),
        started_at_seconds=evidence.started_at_seconds[rows],
        utc_offset_seconds=evidence.utc_offset_seconds[rows],
        input_bytes=evidence.input_bytes[rows],
        next_at_seconds=upcoming.started_at_seconds,
        next_utc_offset_seconds=float(upcoming.utc_offset_seconds),
    )
    if found is not None:
        rows = rows[found.rows]
    rows = rows[-WINDOW_RUNS:]
    return Observations(
        values=values[rows],
        inputs=evidence.input_bytes[rows],
        features=_features(evidence, rows, np.log(values[rows]), upcoming),
        seconds=_seconds(evidence.wall_seconds[rows]),
        censored=int(censored[rows].sum()),
        season=found,
    )


def _values(evidence: Evidence, quantity: Quantity) -> tuple[Floats, Flags]:
    """The quantity for each attempt, and which of them are stand-ins."""
    none = np.zeros(len(evidence), dtype=np.bool_)
    match quantity:
        case Quantity.WALL_SECONDS:
            return evidence.wall_seconds, none
        case Quantity.CPU_CORE_SECONDS:
            return evidence.cpu_seconds, none
        case Quantity.MEMORY_BYTES:
            if not evidence.out_of_memory.any():
                return evidence.memory_bytes_max, none
            stands_in = _unresolved(evidence) & np.isfinite(too_small(evidence))
            values = np.where(stands_in, BEYOND_LIMIT * too_small(evidence), evidence.memory_bytes_max)
            return values, stands_in


def too_small(evidence: Evidence) -> Floats:
    """Bytes that an out-of-memory attempt showed to be too little: its limit, else what it had got."""
    limits, reached = evidence.memory_limit_bytes, evidence.memory_bytes_max
    return np.where(np.isfinite(limits), limits, reached)


def _unresolved(evidence: Evidence) -> Flags:
    """Out-of-memory attempts whose run has not succeeded since, and that are the last of their run."""
    unresolved = np.zeros(len(evidence), dtype=np.bool_)
    last = {evidence.run_ids[row]: row for row in np.flatnonzero(evidence.out_of_memory).tolist()}
    unresolved[list(last.values())] = True
    done = (
        {evidence.run_ids[row] for row in np.flatnonzero(evidence.succeeded).tolist()}
        if len(evidence.run_ids)
        else set()
    )
    unresolved[[row for run_id, row in last.items() if run_id in done]] = False
    return unresolved


def _seconds(wall_seconds: Floats) -> Floats:
    """How long each run took, the median where that is unknown; relative to it, so that none weighs nothing."""
    known = wall_seconds[np.isfinite(wall_seconds) & (wall_seconds > LEAST)]
    if not len(known):
        return np.ones(len(wall_seconds))
    typical = float(np.median(known))
    filled = np.where(np.isfinite(wall_seconds) & (wall_seconds > LEAST), wall_seconds, typical)
    return np.maximum(filled / typical, 1e-3)


def _features(evidence: Evidence, rows: NDArray[np.int64], values: Floats, upcoming: Features) -> Floats:
    """Logarithms of the input size and the numbers that go with the values most, the next run's in the last row.

    Only what is known of the next run and varied, or is new in it. Where it is unknown for a past run, the median
    stands in.
    """
    columns = []
    own_input = _with_next(evidence.input_bytes[rows], upcoming.input_bytes)
    if own_input is not None:
        columns.append(own_input)
    numbers = []
    for name, column in evidence.numbers.items():
        full = _with_next(column[rows], upcoming.numbers.get(name))
        if full is not None:
            numbers.append(full)
    if len(numbers) > NUMBERS_MAX:
        numbers.sort(key=lambda full: -_going_together(full[:-1], values))
    columns += numbers[:NUMBERS_MAX]
    return np.column_stack(columns) if columns else np.empty((len(rows) + 1, 0))


def _with_next(past: Floats, upcoming: float | None) -> Floats | None:
    known = np.isfinite(past)
    if (
        upcoming is None
        or not np.isfinite(upcoming)
        or known.sum() < KNOWN_SHARE_MIN * len(past)
        or not known.any()
    ):
        return None
    full = np.append(np.where(known, past, np.median(past[known])), float(upcoming))
    if full.min() == full.max():
        return None
    scaled: Floats = np.log(full) if full.min() > 0 else np.arcsinh(full)
    return scaled


def _going_together(column: Floats, values: Floats) -> float:
    """Absolute correlation; 0 where one of them does not vary."""
    x, y = column - column.mean(), values - values.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return abs(float(x @ y)) / scale if scale > 0 else 0.0
