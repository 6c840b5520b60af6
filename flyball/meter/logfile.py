"""A log of bounded size: its beginning and its end, with a line between that says what is missing."""

from __future__ import annotations

import os
import threading

HEAD_BYTES = 1 << 20
TAIL_BYTES = 8 << 20


class BoundedLog:
    """Keeps the first MiB and the last 8 MiB of what is written. The tail lives in two files taken in turn,
    so that a killed wrapper leaves it on disk and memory use does not grow."""

    def __init__(self, path: str, *, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        """Raises OSError when the file cannot be made."""
        self.path = path
        self._head_left, self._tail_bytes = head_bytes, tail_bytes
        self._handle = _create(path)
        self._tail: int | None = None
        self._in_tail = 0
        self._lock = threading.Lock()
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Never raises: after the first error it stays as it is and says so in `error`."""
        with self._lock:
            if self.error is not None:
                return
            try:
                self._write(data)
            except OSError as error:
                self.error = error

    def _write(self, data: bytes | memoryview) -> None:
        if self._head_left:
            head, data = data[: self._head_left], data[self._head_left :]
            _write_all(self._handle, head)
            self._head_left -= len(head)
        if not data:
            return
        if self._tail is None:
            self._tail = _create(self.path + TAIL)
        _write_all(self._tail, data)
        self._in_tail += len(data)
        if self._in_tail >= self._tail_bytes:
            os.close(self._tail)
            os.replace(self.path + TAIL, self.path + OLDER)
            self._tail, self._in_tail = _create(self.path + TAIL), 0

    def close(self, written_bytes: int | None = None) -> None:
        """Joins both ends into one file."""
        with self._lock:
            os.close(self._handle)
            if self._tail is not None:
                os.close(self._tail)
            try:
                join(self.path, tail_bytes=self._tail_bytes, written_bytes=written_bytes)
            except OSError as error:
                self.error = self.error or error


TAIL, OLDER = ".tail", ".tail-older"


def join(path: str, *, tail_bytes: int = TAIL_BYTES, written_bytes: int | None = None) -> None:
    """Appends the kept tail to the log, after a marker when something between is missing. Raises OSError."""
    pieces = [piece for piece in (path + OLDER, path + TAIL) if os.path.exists(piece)]
    if not pieces:
        return
    kept = b"".join(_read(piece) for piece in pieces)
    tail = kept[-tail_bytes:]
    head_bytes = os.path.getsize(path)
    complete = len(tail) == len(kept) and (written_bytes is None or head_bytes + len(tail) == written_bytes)
    with open(path, "ab") as log:
        if not complete or (len(pieces) == 2 and written_bytes is None):
            missing = "" if written_bytes is None else f"{written_bytes - head_bytes - len(tail)} "
            log.write(f"\n[flyball: {missing}bytes left out here]\n".encode())
        log.write(tail)
    for piece in pieces:
        os.unlink(piece)


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)


def _write_all(handle: int, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
