"""Launches on this computer as folders, and what state each is in.

HOME/machines/ATTEMPT/   made whole before anything starts, gone when it is given back: machine.json (what was
                         launched; touched to renew the lease), lock (held while its wrapper lives), stop,
                         release, progress, ended.json (an end before the command began), notes.json
HOME/runs/ATTEMPT/       made by the one process that may run it, and never removed: whoever finds it there
                         starts nothing. intent.json, samples.csv, log, outcome.json, output/
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from flyball.meter import record
from flyball.meter.keeper import ENDED, LOCK, MACHINE, PROGRESS
from flyball.meter.process import boot_id, is_alive, start_ticks
from flyball.model.machine import Launch, Machine, Stage
from flyball.model.outcome import Outcome
from flyball.model.receipt import Receipt

PROGRESS_BYTES_MAX = 64


class Launched(msgspec.Struct, frozen=True, kw_only=True):
    """machine.json: nothing secret, and who is to see to it that it starts."""

    run_id: str
    attempt_id: str
    job: str
    offer_id: str
    price_usd_per_hour: str
    cpu_cores: float
    memory_bytes: int
    launched_at_seconds: float
    lease_seconds: float
    tags: dict[str, str] = {}
    owner_pid: int
    owner_started_ticks: int | None
    owner_boot_id: str | None

    @classmethod
    def of(cls, order: Launch, now_seconds: float) -> Launched:
        pid = os.getpid()
        return cls(
            run_id=order.run_id,
            attempt_id=order.attempt_id,
            job=order.job,
            offer_id=order.offer.offer_id,
            price_usd_per_hour=str(order.offer.price_usd_per_hour),
            cpu_cores=order.size.cpu_cores,
            memory_bytes=order.size.memory_bytes,
            launched_at_seconds=now_seconds,
            lease_seconds=order.lease_seconds,
            tags=order.tags,
            owner_pid=pid,
            owner_started_ticks=start_ticks(pid),
            owner_boot_id=boot_id(),
        )

    def is_owned(self) -> bool:
        """Whether the process that was to start it still lives."""
        return is_alive(self.owner_pid, self.owner_started_ticks, self.owner_boot_id)

    def as_machine(self, stage: Stage, **more: Any) -> Machine:
        return Machine(
            attempt_id=self.attempt_id,
            stage=stage,
            offer_id=self.offer_id,
            run_id=self.run_id,
            job=self.job,
            price_usd_per_hour=self.price_usd_per_hour,
            launched_at_seconds=self.launched_at_seconds,
            **more,
        )


class _End(msgspec.Struct, frozen=True):
    """ended.json"""

    outcome: str
    why: str
    at_seconds: float


class MachineFolder:
    """One launch. Reading it again costs little: what cannot change any more is kept."""

    def __init__(self, machines: Path, runs: Path, attempt_id: str) -> None:
        self.attempt_id = attempt_id
        self.path, self.runs = str(machines / attempt_id), str(runs / attempt_id)
        self._launched: Launched | None = None
        self._ended: Machine | None = None
        self._started_at_seconds: float | None = None
        self._progress: tuple[int, float | None] = (0, None)

    @property
    def launched(self) -> Launched | None:
        """None when it is no launch of ours, or has been given back meanwhile."""
        if self._launched is None:
            try:
                self._launched = msgspec.json.decode(self._bytes(self.path, MACHINE), type=Launched)
            except (OSError, msgspec.MsgspecError):
                return None
        return self._launched

    def is_claimed(self) -> bool:
        """Whether some process has begun to run it, or nobody ever may."""
        return os.path.isdir(self.runs)

    def is_attended(self) -> bool:
        """Whether its wrapper lives."""
        try:
            lock = os.open(os.path.join(self.path, LOCK), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(lock)
        return False

    def wrapper_pid(self) -> int | None:
        """To be used only while it is attended."""
        try:
            return int(self._bytes(self.path, LOCK))
        except (OSError, ValueError):
            return None

    def ended(self) -> Machine | None:
        """The machine when its end is on record, else None."""
        if self._ended is None:
            self._ended = self._by_outcome() or self._by_ended()
        return self._ended

    def alive(self) -> Machine | None:
        """As starting or running, by what its wrapper has written so far."""
        launched = self.launched
        if launched is None:
            return None
        if self._started_at_seconds is None:
            intent = record.read_json(os.path.join(self.runs, record.INTENT)) or {}
            if intent.get("pid") is not None:
                self._started_at_seconds = float(intent["started_at_seconds"])
        if self._started_at_seconds is None:
            return launched.as_machine(Stage.STARTING)
        return launched.as_machine(
            Stage.RUNNING, started_at_seconds=self._started_at_seconds, progress=self.progress()
        )

    def progress(self) -> float | None:
        """As the job last wrote it, read again only when the file has changed."""
        try:
            changed = os.stat(os.path.join(self.path, PROGRESS)).st_mtime_ns
            if changed != self._progress[0]:
                text = self._bytes(self.path, PROGRESS)
                # Half a figure may be there: then the one before it holds until the next look.
                share = share_of(text.decode(errors="replace"))
                self._progress = (changed, self._progress[1] if share is None else share)
        except OSError:
            pass
        return self._progress[1]

    def _by_outcome(self) -> Machine | None:
        try:
            body = self._bytes(self.runs, record.OUTCOME)
            receipt = msgspec.convert(msgspec.json.decode(body), Receipt, strict=False)
        except (OSError, msgspec.MsgspecError):
            return None
        launched = self.launched
        if launched is None:
            return None
        return launched.as_machine(
            Stage.ENDED,
            started_at_seconds=receipt.started_at_seconds,
            ended_at_seconds=receipt.ended_at_seconds,
            outcome=receipt.outcome,
            receipt=receipt,
            progress=self.progress(),
        )

    def _by_ended(self) -> Machine | None:
        try:
            end = msgspec.json.decode(self._bytes(self.path, ENDED), type=_End)
            outcome = Outcome(end.outcome)
        except (OSError, ValueError):
            return None
        launched = self.launched
        if launched is None:
            return None
        return launched.as_machine(Stage.ENDED, ended_at_seconds=end.at_seconds, outcome=outcome)

    def _bytes(self, folder: str, name: str) -> bytes:
        with open(os.path.join(folder, name), "rb", buffering=0) as file:
            return file.read() if name != PROGRESS else file.read(PROGRESS_BYTES_MAX)


def share_of(text: str) -> float | None:
    """0.42 for "0.42", "42%" and "21/50"; None for what is no share from 0 to 1."""
    text = text.strip()
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
        elif "/" in text:
            done, whole = text.split("/")
            share = float(done) / float(whole)
        else:
            share = float(text)
    except (ValueError, ZeroDivisionError):
        return None
    return share if 0.0 <= share <= 1.0 else None


class MachineFolders:
    """All launches below one home."""

    def __init__(self, home: Path) -> None:
        self._machines, self._runs = home / "machines", home / "runs"
        self._known: dict[str, MachineFolder] = {}

    def folder(self, attempt_id: str) -> MachineFolder:
        known = self._known.get(attempt_id)
        return known or MachineFolder(self._machines, self._runs, attempt_id)

    def make(self, launched: Launched) -> bool:
        """Whether it was made now: whole at once, by one process only. Raises: OSError."""
        for parent in (self._machines, self._runs):
            if not parent.is_dir():
                parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = str(self._machines / launched.attempt_id)
        if os.path.isdir(path):
            return False
        spare = str(self._machines / f".new-{os.getpid()}-{os.urandom(6).hex()}")
        os.mkdir(spare, 0o700)
        try:
            handle = os.open(os.path.join(spare, MACHINE), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(handle, "wb", buffering=0) as file:
                file.write(msgspec.json.encode(launched))
            os.rename(spare, path)  # a folder that holds something is never replaced
        except OSError:
            shutil.rmtree(spare, ignore_errors=True)
            if os.path.isdir(path):
                return False
            raise
        return True

    def forget(self, attempt_id: str) -> None:
        """It is not listed any more. Raises: OSError."""
        gone = str(self._machines / f".gone-{os.getpid()}-{os.urandom(6).hex()}")
        try:
            os.rename(self._machines / attempt_id, gone)
        except FileNotFoundError:
            return
        finally:
            self._known.pop(attempt_id, None)
        for name in (MACHINE, LOCK):  # nearly always all there is
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(gone, name))
        try:
            os.rmdir(gone)
        except OSError:
            shutil.rmtree(gone, ignore_errors=True)

    def all(self) -> Mapping[str, MachineFolder]:
        """Every launch that has not been given back. Raises: OSError."""
        try:
            names = [name for name in os.listdir(self._machines) if not name.startswith(".")]
        except FileNotFoundError:
            names = []
        self._known = {name: self.folder(name) for name in sorted(names)}
        return self._known

    def sweep(self, now_seconds: float, older_than_seconds: float = 3600.0) -> None:
        """Removes what a crash left half made or half removed."""
        try:
            left = [entry for entry in os.scandir(self._machines) if entry.name.startswith(".")]
        except FileNotFoundError:
            return
        for entry in left:
            try:
                if entry.stat().st_mtime < now_seconds - older_than_seconds:
                    shutil.rmtree(entry.path, ignore_errors=True)
            except OSError:
                continue
