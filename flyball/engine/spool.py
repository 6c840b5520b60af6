"""Folders of attempts: made before the command starts, closed once everything about it is in the store.

    HOME/runs/<attempt_id>/   run.json (ours), intent.json, samples.csv, log, outcome.json (the wrapper's)
    HOME/open/<attempt_id>    the process that will record how this attempt ended; the store does not know yet

A crash at any instant leaves either no marker (nothing had started, or all is recorded) or a marker and the folder
to record it from.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from flyball.meter.process import boot_id, is_alive, start_ticks
from flyball.model.facts import AttemptStarted, RunSubmitted
from flyball.model.job import RunSpec
from flyball.model.receipt import Limits, Receipt


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided before an attempt started."""

    run: RunSpec
    attempt_id: str
    at_seconds: float
    limits: Limits
    reason: str

    def facts(self) -> tuple[RunSubmitted, AttemptStarted]:
        return (
            RunSubmitted(at_seconds=self.at_seconds, run=self.run),
            AttemptStarted(
                at_seconds=self.at_seconds,
                run_id=self.run.run_id,
                attempt_id=self.attempt_id,
                limits=self.limits,
                reason=self.reason,
            ),
        )


class _Owner(msgspec.Struct, frozen=True):
    pid: int
    started_ticks: int | None
    boot_id: str | None


class Spool:
    """The folders below one home."""

    def __init__(self, home: Path) -> None:
        self._runs, self._open = home / "runs", home / "open"
        self._machines = home / "machines"  # adapters/local_machines.py

    def folder(self, attempt_id: str) -> Path:
        return self._runs / attempt_id

    def open(self, opening: Opening) -> Path:
        """The attempt's folder, with run.json in it and its marker set. Raises: OSError."""
        folder = self.folder(opening.attempt_id)
        folder.mkdir(parents=True, mode=0o700)
        self._open.mkdir(exist_ok=True)
        (folder / "run.json").write_bytes(msgspec.json.encode(opening))
        pid = os.getpid()
        owner = _Owner(pid=pid, started_ticks=start_ticks(pid), boot_id=boot_id())
        (self._open / opening.attempt_id).write_bytes(msgspec.json.encode(owner))
        return folder

    def close(self, attempt_id: str) -> None:
        """The store knows how it ended; doing it again changes nothing."""
        (self._open / attempt_id).unlink(missing_ok=True)

    def is_owned(self, attempt_id: str) -> bool:
        """Whether the process that opened it still lives: then it is its business to record the end."""
        try:
            owner = msgspec.json.decode((self._open / attempt_id).read_bytes(), type=_Owner)
        except (OSError, msgspec.DecodeError):
            return False
        return is_alive(owner.pid, owner.started_ticks, owner.boot_id)

    def unrecorded(self) -> list[str]:
        """Attempts whose end the store may not know, oldest first; the ones now running are among them."""
        try:
            return sorted(path.name for path in self._open.iterdir())
        except FileNotFoundError:
            return []

    def held(self) -> list[str]:
        """Attempts of a governor on this machine that it has not given back yet; some of them run."""
        try:
            return sorted(path.name for path in self._machines.iterdir())
        except FileNotFoundError:
            return []

    def attempts(self) -> list[str]:
        """Every attempt that has a folder, oldest first."""
        try:
            return sorted(path.name for path in self._runs.iterdir())
        except FileNotFoundError:
            return []

    def remove_log(self, attempt_id: str, before_seconds: float) -> int:
        """Bytes of kept output removed: all of it when it was last written before that time, else 0."""
        log = self.folder(attempt_id) / "log"
        try:
            status = log.stat()
            if status.st_mtime >= before_seconds:
                return 0
            log.unlink()
        except FileNotFoundError:
            return 0
        return status.st_size

    def opening(self, attempt_id: str) -> Opening | None:
        """What run.json says; None when it was never written whole: then the command never started."""
        try:
            return msgspec.json.decode((self.folder(attempt_id) / "run.json").read_bytes(), type=Opening)
        except (OSError, msgspec.DecodeError):
            return None


def decode_receipt(raw: dict[str, object]) -> Receipt:
    """The wrapper's outcome as a value. Raises: msgspec.ValidationError for one that no wrapper of ours wrote."""
    return msgspec.convert(raw, Receipt, strict=False)
