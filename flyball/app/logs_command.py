"""`flyball logs`: what was kept, or with --follow what comes, attempt after attempt, until the run has ended."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flyball.app.follow import LogFollower
from flyball.client import Client
from flyball.errors import InputError
from flyball.model.facts import AttemptPlanned, LaunchRefused, RunEnded
from flyball.model.history import RunState

POLL_SECONDS = 0.2


def print_log(client: Client, state: RunState, attempt: int | None) -> None:
    """The kept output of one attempt. Raises: InputError when there is none."""
    file = log_file(client, state, attempt)
    pieces = [piece for piece in (file, *_tails(file)) if piece.exists()]
    if not pieces:
        raise InputError(
            f"no output of {state.run.run_id} was kept",
            why="it went straight to a terminal, was not wanted, or nothing has started yet",
            hint="flyball run --log -- COMMAND",
        )
    for piece in pieces:
        with piece.open("rb") as log:
            shutil.copyfileobj(log, sys.stdout.buffer)


def _tails(file: Path) -> list[Path]:
    """Of a log that is still written: what its end is kept in until then."""
    return [file.with_name(file.name + end) for end in (".tail-older", ".tail")]


def log_file(client: Client, state: RunState, attempt: int | None) -> Path:
    """Where the output of an attempt is. Raises: InputError for an attempt that there was not."""
    attempt_ids = attempts_of(state)
    number = len(attempt_ids) if attempt is None else attempt
    if not 1 <= number <= max(1, len(attempt_ids)):
        raise InputError(f"run {state.run.run_id} had {len(attempt_ids)} attempts, not {number}")
    attempt_id = attempt_ids[number - 1] if attempt_ids else f"{state.run.run_id}.1"
    return client.spool.folder(attempt_id) / "log"


def attempts_of(state: RunState) -> list[str]:
    """Ids of attempts that had a machine, oldest first."""
    refused = {fact.attempt_id for fact in state.story if isinstance(fact, LaunchRefused)}
    ids = [fact.attempt_id for fact in state.story if isinstance(fact, AttemptPlanned)]
    ids += [start.attempt_id for start in state.started]
    return [attempt_id for attempt_id in dict.fromkeys(ids) if attempt_id not in refused]


def follow_log(client: Client, run_id: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Output as it comes, until the run has ended. Raises: InputError, StoreError."""
    followed: LogFollower | None = None
    seen = 0
    while True:
        state = client.find_run(run_id)
        over = is_over(state)
        attempt_ids = attempts_of(state)
        for attempt_id in attempt_ids[seen:]:
            _drain(followed)
            followed = LogFollower(str(client.spool.folder(attempt_id) / "log"))
        seen = len(attempt_ids)
        _drain(followed)
        if over:
            return
        sleep(POLL_SECONDS)


def _drain(followed: LogFollower | None) -> None:
    if followed is not None and (data := followed.read()):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def is_over(state: RunState) -> bool:
    """Whether nothing more will come."""
    if state.submitted.spec is not None:
        return any(isinstance(fact, RunEnded) for fact in state.story)
    return bool(state.started) and len(state.ended) == len(state.started)
