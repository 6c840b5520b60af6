"""Files of counters, kept open and read in place: one system call a look, no path walks."""

from __future__ import annotations

import os

Reading = dict[str, float]  # figure -> value; a missing figure is unknown


class CounterFile:
    """One file under /proc or /sys that is read again and again."""

    __slots__ = ("_handle", "path")

    def __init__(self, path: str, *, writable: bool = False) -> None:
        """Raises OSError when it cannot be opened."""
        self.path = path
        self._handle = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)

    def text(self, size: int = 8192) -> bytes:
        """What it holds now; empty when it is gone."""
        try:
            return os.pread(self._handle, size, 0)
        except OSError:
            return b""

    def number(self) -> int | None:
        """The one number it holds; None when it is gone or holds something else ("max")."""
        text = self.text(64).strip()
        return int(text) if text.isdigit() else None

    def table(self) -> dict[bytes, int]:
        """Lines of "key value" as a table; lines of another shape are left out."""
        words = self.text().split()
        pairs = zip(words[::2], words[1::2])  # noqa: B905 - strict= came with 3.10
        return {key: int(value) for key, value in pairs if value.isdigit()}

    def write(self, text: bytes) -> bool:
        """Whether the kernel took it."""
        try:
            os.pwrite(self._handle, text, 0)
        except OSError:
            return False
        return True

    def close(self) -> None:
        os.close(self._handle)


def open_counter(path: str, *, writable: bool = False) -> CounterFile | None:
    """That file kept open, or None where there is none."""
    try:
        return CounterFile(path, writable=writable)
    except OSError:
        return None


def stall_seconds(pressure: CounterFile | None) -> float | None:
    """The "some" total of a PSI file: seconds in which at least one task waited."""
    text = pressure.text(256) if pressure else b""
    start = text.find(b"total=")
    if not text.startswith(b"some") or start < 0:
        return None
    return int(text[start + 6 :].split(None, 1)[0]) / 1e6


def known(**figures: float | None) -> Reading:
    """A reading of those that are known."""
    return {name: value for name, value in figures.items() if value is not None}
