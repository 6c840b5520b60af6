"""Commands and environments as they are, one file each, readable by this user only: HOME/private/NAME.json."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Collection
from pathlib import Path

import msgspec

from flyball.errors import StoreError
from flyball.ports.papers import Paper

NAME = re.compile(r"[0-9a-f]{32}")
_encode = msgspec.json.Encoder(order="deterministic").encode


class FolderPapers:
    """Papers never change: a name is the hash of its content, and a file that does not match its name is damaged."""

    def __init__(self, home: Path) -> None:
        self._folder = Path(home) / "private"
        self._read: dict[str, Paper] = {}  # a job of 1,000 runs asks for the same one each time

    def keep(self, paper: Paper) -> str:
        """Its name; durable on return. Keeping it again renews its age. Raises: StoreError."""
        try:
            body = _encode(paper)
        except (UnicodeEncodeError, TypeError) as error:
            raise StoreError("the command or its environment cannot be kept", why=str(error)) from error
        name = hashlib.sha256(body).hexdigest()[:32]
        path = self._path(name)
        try:
            if _content(path) == body:
                os.utime(path)  # it is in use anew: see remove_unused
            else:
                self._write(path, body)
        except OSError as error:
            raise StoreError(
                f"the private file of a command cannot be written to {self._folder}",
                why=error.strerror or str(error),
                hint="set FLYBALL_HOME to a folder that you may write",
            ) from error
        return name

    def get(self, name: str) -> Paper | None:
        """None when it is gone, damaged, or no name of a paper."""
        if name in self._read:
            return self._read[name]
        body = _content(self._path(name)) if NAME.fullmatch(name) else None
        if body is None or hashlib.sha256(body).hexdigest()[:32] != name:
            return None
        try:
            self._read[name] = msgspec.json.decode(body, type=Paper)
        except msgspec.MsgspecError:
            return None
        return self._read[name]

    def remove_unused(
        self, names_in_use: Collection[str], *, older_than_seconds: float, now_seconds: float
    ) -> int:
        """How many were removed: kept last before that age, and in no run or job that may still need them.

        The age keeps what was just kept for a run that is not recorded yet.
        """
        removed = 0
        for path in self._folder.glob("*"):
            with contextlib.suppress(OSError):
                if path.stem not in names_in_use and path.stat().st_mtime < now_seconds - older_than_seconds:
                    path.unlink()
                    self._read.pop(path.stem, None)
                    removed += 1
        return removed

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _write(self, path: Path, body: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}-{os.urandom(4).hex()}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_folder(self._folder)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems refuse to sync a folder
            os.fsync(handle)
    finally:
        os.close(handle)
