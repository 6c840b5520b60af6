"""What a job's past says, as columns: the part of its history that forecasts read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Ends that say nothing about what the job needs: it may not even have begun.
_SILENT = frozenset({None, Outcome.LAUNCH_TIMED_OUT, Outcome.NO_CAPACITY})


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One entry per attempt, oldest first, in read-only columns; nan is unknown.

    `succeeded` attempts show a whole run. `out_of_memory` ones say "more than the limit". `unfinished` ones (failed,
    timed out, interrupted, ...) show what was used so far: a lower bound.
    """

    started_at_seconds: Floats
    utc_offset_seconds: Floats
    wall_seconds: Floats
    cpu_seconds: Floats
    cores_p95: Floats
    cores_wanted: Floats
    cores_limit: Floats
    memory_bytes_max: Floats
    memory_limit_bytes: Floats
    input_bytes: Floats
    numbers: Mapping[str, Floats]
    succeeded: Flags
    out_of_memory: Flags
    unfinished: Flags
    run_ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.wall_seconds)

    @classmethod
    def from_rows(cls, rows: Sequence[AttemptRow]) -> Evidence:
        """The columns of rows in the order they started; rows still running are left out."""
        rows = [row for row in rows if row.outcome not in _SILENT]
        outcomes = [row.outcome for row in rows]
        succeeded = _flags(outcome is Outcome.SUCCEEDED for outcome in outcomes)
        out_of_memory = _flags(outcome is Outcome.OUT_OF_MEMORY for outcome in outcomes)
        return cls(
            started_at_seconds=_column([row.started_at_seconds for row in rows]),
            utc_offset_seconds=_column([row.utc_offset_seconds for row in rows]),
            wall_seconds=_column([row.wall_seconds for row in rows]),
            cpu_seconds=_column([row.cpu_seconds for row in rows]),
            cores_p95=_column([row.cpu_cores_p95 for row in rows]),
            cores_wanted=_column([row.cpu_cores_wanted for row in rows]),
            cores_limit=_column([row.cpu_cores_limit for row in rows]),
            memory_bytes_max=_column([row.memory_bytes_max for row in rows]),
            memory_limit_bytes=_column([row.memory_limit_bytes for row in rows]),
            input_bytes=_column([row.input_bytes for row in rows]),
            numbers=_numbers(rows),
            succeeded=succeeded,
            out_of_memory=out_of_memory,
            unfinished=~(succeeded | out_of_memory),
            run_ids=[row.run_id for row in rows],
        )

    @classmethod
    def of_finished_runs(
        cls,
        *,
        memory_bytes_max: Floats,
        wall_seconds: Floats,
        started_at_seconds: Floats | None = None,
        cpu_seconds: Floats | None = None,
        input_bytes: Floats | None = None,
        numbers: Mapping[str, Floats] | None = None,
    ) -> Evidence:
        """Evidence from columns of runs that all ended well; what is not given is unknown."""
        unknown = np.full(len(memory_bytes_max), np.nan)
        none = np.zeros(len(memory_bytes_max), dtype=np.bool_)
        return cls(
            started_at_seconds=unknown if started_at_seconds is None else started_at_seconds,
            utc_offset_seconds=np.zeros(len(unknown)),
            wall_seconds=wall_seconds,
            cpu_seconds=unknown if cpu_seconds is None else cpu_seconds,
            cores_p95=unknown,
            cores_wanted=unknown,
            cores_limit=unknown,
            memory_bytes_max=memory_bytes_max,
            memory_limit_bytes=unknown,
            input_bytes=unknown if input_bytes is None else input_bytes,
            numbers=numbers or {},
            succeeded=~none,
            out_of_memory=none,
            unfinished=none,
            run_ids=(),
        )


def _column(values: Sequence[float | None]) -> Floats:
    column = np.array(values, dtype=np.float64)  # numpy reads None as nan
    column.flags.writeable = False
    return column


def _flags(values: Iterable[bool]) -> Flags:
    column = np.fromiter(values, dtype=np.bool_)
    column.flags.writeable = False
    return column


def _numbers(rows: Sequence[AttemptRow]) -> dict[str, Floats]:
    names = sorted({name for row in rows for name in row.numbers})
    return {name: _column([row.numbers.get(name) for row in rows]) for name in names}
