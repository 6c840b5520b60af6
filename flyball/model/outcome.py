"""How an attempt ended."""

from __future__ import annotations

import enum


class Outcome(enum.Enum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    LAUNCH_TIMED_OUT = "launch_timed_out"
    NO_CAPACITY = "no_capacity"
    INTERRUPTED = "interrupted"
    LOST = "lost"  # the machine or the wrapper went away; the job is not to blame
    INCOMPLETE_OUTPUT = "incomplete_output"
    CANCELLED = "cancelled"

    @property
    def spends_retry(self) -> bool:
        """Whether the user's own retries pay for it (DESIGN: the job's fault, not the world's)."""
        return self in _JOBS_FAULT


_JOBS_FAULT = frozenset({Outcome.FAILED, Outcome.STALLED, Outcome.TIMED_OUT, Outcome.INCOMPLETE_OUTPUT})
