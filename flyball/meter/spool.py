"""samples.csv: rows as they come, never more than a fixed number, whole whenever the wrapper dies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

COLUMNS = (
    "seconds", "cpu_seconds", "memory_bytes", "memory_bytes_max", "cache_bytes", "swap_bytes",
    "disk_read_bytes", "disk_write_bytes", "network_receive_bytes", "network_send_bytes",
    "processes", "threads", "pressure_cpu_seconds", "pressure_memory_seconds", "pressure_io_seconds",
    "gpu_memory_bytes", "gpu_utilization",
)  # fmt: skip
HEADER = ",".join(COLUMNS)
ROWS_MAX = 10_000
SINCE_LAST_ROW = COLUMNS.index("memory_bytes_max")

if TYPE_CHECKING:
    Row = tuple[float | None, ...]


class Spool:
    """Appends rows; halves them when there are too many, and says so by a longer period."""

    def __init__(self, path: str, *, period_seconds: float = 1.0, rows_max: int = ROWS_MAX) -> None:
        """Raises OSError when the file cannot be written."""
        self.path, self.period_seconds, self.rows_max = path, period_seconds, rows_max
        self.rows = 0
        self._handle = _append_to(path)
        os.write(self._handle, (HEADER + "\n").encode())

    def append(self, row: Row) -> None:
        """One write, so that a reader sees whole rows only. Raises OSError (disk full)."""
        os.write(self._handle, (line(row) + "\n").encode())
        self.rows += 1
        if self.rows >= self.rows_max:
            self._thin()

    def _thin(self) -> None:
        rows = thinned(read_rows(self.path))
        spare = self.path + ".thinner"
        with open(spare, "w", encoding="ascii") as file:
            file.write("\n".join([HEADER, *map(line, rows)]) + "\n")
        os.replace(spare, self.path)
        os.close(self._handle)
        self._handle = _append_to(self.path)
        self.rows = len(rows)
        self.period_seconds *= 2

    def close(self) -> None:
        os.close(self._handle)


def _append_to(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def thinned(rows: list[Row]) -> list[Row]:
    """Half of them: of each pair the later, with the larger maximum, so that no peak is lost.

    Counters only grow, so the later of two loses nothing; an odd last row stays.
    """
    halved = [_merged(rows[i], rows[i + 1]) for i in range(0, len(rows) - 1, 2)]
    return halved + rows[len(rows) - len(rows) % 2 :]


def _merged(earlier: Row, later: Row) -> Row:
    peaks = [peak for peak in (earlier[SINCE_LAST_ROW], later[SINCE_LAST_ROW]) if peak is not None]
    peak = max(peaks) if peaks else None
    return (*later[:SINCE_LAST_ROW], peak, *later[SINCE_LAST_ROW + 1 :])


def line(row: Row) -> str:
    """That row as text; unknown is empty."""
    return ",".join("" if value is None else _number(value) for value in row)


def _number(value: float) -> str:
    whole = int(value)
    return str(whole) if whole == value else f"{value:.6f}".rstrip("0")


def read_rows(path: str) -> list[Row]:
    """Its whole rows; a last one cut short by a crash or a full disk is left out. No file: none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            lines = file.read().split("\n")[1:-1]
    except OSError:
        return []
    rows = (_parsed(text) for text in lines)
    return [row for row in rows if row is not None]


def _parsed(text: str) -> Row | None:
    words = text.split(",")
    try:
        values = tuple(float(word) if word else None for word in words)
    except ValueError:
        return None
    return values if len(values) == len(COLUMNS) and values[0] is not None else None
