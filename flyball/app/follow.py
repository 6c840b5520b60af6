"""The output of an attempt as it grows: what `logs -f` and `run --on` pass on."""

from __future__ import annotations

import os
from typing import BinaryIO

from flyball.meter.logfile import OLDER, TAIL

_CHUNK_BYTES = 1 << 16


class LogFollower:
    """Reads a bounded log while it is written: first its head, then the pieces of its tail as they are taken in turn."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._head: BinaryIO | None = None
        self._tail: BinaryIO | None = None
        self.bytes_seen = 0

    def read(self) -> bytes:
        """What came since the last time; b"" while nothing did."""
        found = self._from_head()
        while True:
            piece = self._from_tail()
            found += piece
            if piece:
                continue
            first = self._tail is None
            if not self._next_tail():
                return found
            if first:
                found += self._rest_of_head()

    def close(self) -> None:
        for file in (self._head, self._tail):
            if file is not None:
                file.close()
        self._head = self._tail = None

    def _from_head(self) -> bytes:
        if self._tail is not None:
            return b""  # at the end the tail is joined to it: that was read already
        if self._head is None:
            try:
                self._head = open(self._path, "rb")  # noqa: SIM115, PTH123 - it stays open
            except FileNotFoundError:
                return b""
        return self._read(self._head)

    def _rest_of_head(self) -> bytes:
        """What was written to it between our last look and the first piece of the tail."""
        assert self._tail is not None
        rest = b"" if self._head is None else self._read(self._head)
        if os.fstat(self._tail.fileno()).st_nlink == 0:  # joined meanwhile: it came with the head
            self._tail.seek(0, os.SEEK_END)
        return rest

    def _from_tail(self) -> bytes:
        return b"" if self._tail is None else self._read(self._tail)

    def _next_tail(self) -> bool:
        """Whether there is a piece that we do not read yet; the one we read may have been renamed: it was read whole."""
        here = None if self._tail is None else os.fstat(self._tail.fileno()).st_ino
        names = (self._path + OLDER, self._path + TAIL) if here is None else (self._path + TAIL,)
        for name in names:
            try:
                file = open(name, "rb")  # noqa: SIM115, PTH123
            except FileNotFoundError:
                continue
            if os.fstat(file.fileno()).st_ino == here:
                file.close()
                continue
            if self._tail is not None:
                self._tail.close()
            self._tail = file
            return True
        return False

    def _read(self, file: BinaryIO) -> bytes:
        found = b""
        while piece := file.read(_CHUNK_BYTES):
            found += piece
        self.bytes_seen += len(found)
        return found
