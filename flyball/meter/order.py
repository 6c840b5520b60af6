"""What the wrapper is asked to run, and the one refusal it may give before anything has started."""

from __future__ import annotations

from typing import NamedTuple


class Order(NamedTuple):
    """One command, where its record goes, and how far it may go."""

    attempt_id: str
    command: tuple[str, ...]
    folder: str
    memory_limit_bytes: int | None = None
    cpu_cores_limit: float | None = None
    timeout_seconds: float | None = None
    stalled_after_seconds: float | None = None
    grace_seconds: float = 10.0  # between SIGTERM and SIGKILL
    workdir: str | None = None
    env: dict[str, str] | None = None  # None: inherit
    log: str = "auto"  # "auto": what is no terminal; "always": a terminal too; "never"
    end_background: bool = True  # what outlives the command is ended
    group: str = ""  # name of its control group; empty: by its attempt id


class CannotLimit(Exception):
    """A limit was asked for that this machine cannot hold; nothing was started."""

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.hint = what, why, hint

    def __str__(self) -> str:
        why = f": {self.why}" if self.why else ""
        return self.what + why + (f"\n  try: {self.hint}" if self.hint else "")
