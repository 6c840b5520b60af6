"""A run in one line, as it is now."""

from __future__ import annotations

import msgspec


class RunStatus(msgspec.Struct, frozen=True, kw_only=True):
    run_id: str
    job: str
    state: str  # pending, held, provisioning, running, succeeded, failed, cancelled
    since_seconds: float  # epoch: in this state since then
    reason: str = ""
    cause: str = ""  # what started the run
    submitted_seconds: float
    deadline_seconds: float | None = None
    attempt_id: str | None = None  # the live one, else the last
    attempts: int = 0  # launched so far
    provider: str | None = None
    instance_type: str | None = None
    market: str | None = None
    progress: float | None = None
    cost_usd: float = 0.0  # of what was given back

    @property
    def is_over(self) -> bool:
        return self.state in {"succeeded", "failed", "cancelled"}
