"""How many rows a file of data has: CSV, JSON lines (both plain or gzipped) and Parquet, by the standard library alone."""

from __future__ import annotations

import csv
import os
import zlib
from collections.abc import Iterator
from typing import IO, Any

NEWLINE_BYTES = 1 << 20
FIELD_BYTES_MAX = 1 << 27  # one cell; the csv module's own limit is 128 KiB
PARQUET_TAIL_BYTES = 8  # footer length, then the magic word
MAGIC, MAGIC_ENCRYPTED = b"PAR1", b"PARE"


class CannotCount(Exception):
    """It is no such file, or damaged."""


def rows_in(path: str) -> int:
    """Rows of data: a CSV's first line is its header, empty lines of JSON lines are none. Raises CannotCount, OSError."""
    name = os.path.basename(path).lower()
    stem = name[:-3] if name.endswith(".gz") else name  # noqa: FURB188 - removesuffix came with 3.9
    if stem.endswith((".parquet", ".pq")):
        return _parquet_rows(path)
    if stem.endswith((".jsonl", ".ndjson", ".json")):
        return _lines(path)
    if stem.endswith((".csv", ".tsv", ".txt")):
        return _csv_rows(path, "\t" if stem.endswith(".tsv") else ",")
    raise CannotCount(
        f"{path}: rows are counted in .csv, .tsv, .jsonl, .ndjson, .parquet, and .gz of the first"
    )


def _opened(path: str) -> IO[bytes]:
    if path.lower().endswith(".gz"):
        import gzip

        return gzip.open(path, "rb")  # type: ignore[return-value]
    return open(path, "rb")


def _lines(path: str) -> int:
    try:
        with _opened(path) as file:
            return sum(1 for line in file if line.strip())
    except (EOFError, zlib.error) as error:
        raise CannotCount(f"{path}: it ends in the middle, or is damaged") from error


def _csv_rows(path: str, delimiter: str) -> int:
    """By the csv module, not by line ends: a quoted cell may hold some."""
    before = csv.field_size_limit(FIELD_BYTES_MAX)  # one limit for the whole process
    try:
        with _opened(path) as file:
            text = (line.decode("utf-8", errors="replace") for line in file)
            rows = sum(1 for row in csv.reader(text, delimiter=delimiter) if row)
    except (EOFError, zlib.error, csv.Error) as error:
        raise CannotCount(f"{path}: {error}") from error
    finally:
        csv.field_size_limit(before)
    return max(0, rows - 1)


def _parquet_rows(path: str) -> int:
    """`num_rows` of the footer (parquet.thrift, FileMetaData field 3)."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < PARQUET_TAIL_BYTES + len(MAGIC):
            raise CannotCount(f"{path}: too short for Parquet")
        file.seek(size - PARQUET_TAIL_BYTES)
        tail = file.read(PARQUET_TAIL_BYTES)
        if tail[4:] != MAGIC:
            why = "its footer is encrypted" if tail[4:] == MAGIC_ENCRYPTED else "it ends in the middle"
            raise CannotCount(f"{path}: {why}")
        length = int.from_bytes(tail[:4], "little")
        if length + PARQUET_TAIL_BYTES > size:
            raise CannotCount(f"{path}: its footer is damaged")
        file.seek(size - PARQUET_TAIL_BYTES - length)
        footer = file.read(length)
    try:
        rows = _Thrift(footer).field(3)
    except (IndexError, RecursionError) as error:
        raise CannotCount(f"{path}: its footer is damaged") from error
    if rows is None:
        raise CannotCount(f"{path}: its footer names no number of rows")
    return rows


class _Thrift:
    """Reads one number out of a struct in Thrift's compact protocol, stepping over all before it."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def field(self, wanted: int) -> int | None:
        """That field of the outermost struct, which must be an integer; None when it is not there."""
        for number, kind in self._fields():
            if number == wanted:
                return self._zigzag() if kind in (4, 5, 6) else None
            self._skip(kind)
        return None

    def _fields(self) -> Iterator[tuple[int, int]]:
        number = 0
        while (head := self._byte()) != 0:
            delta, kind = head >> 4, head & 0x0F
            number = number + delta if delta else self._zigzag()
            yield number, kind

    def _skip(self, kind: int) -> None:
        if kind in (1, 2):  # a boolean field is its own type
            return
        if kind == 3:
            self._move(1)
        elif kind in (4, 5, 6):
            self._varint()
        elif kind == 7:
            self._move(8)
        elif kind == 8:
            self._move(self._varint())
        elif kind in (9, 10):
            self._skip_list()
        elif kind == 11:
            self._skip_map()
        elif kind == 12:
            for _, inner in self._fields():
                self._skip(inner)
        else:
            raise IndexError(f"no such type: {kind}")

    def _skip_list(self) -> None:
        head = self._byte()
        count, kind = head >> 4, head & 0x0F
        self._skip_each(self._varint() if count == 15 else count, kind)

    def _skip_map(self) -> None:
        count = self._varint()
        kinds = self._byte() if count else 0
        for _ in range(count):
            self._skip_each(1, kinds >> 4)
            self._skip_each(1, kinds & 0x0F)

    def _skip_each(self, count: int, kind: int) -> None:
        """Inside lists and maps a boolean takes a byte."""
        if count > len(self._data):
            raise IndexError("more elements than bytes")
        for _ in range(count):
            self._move(1) if kind in (1, 2) else self._skip(kind)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _move(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError("beyond the end")

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _zigzag(self) -> int:
        value: Any = self._varint()
        return int((value >> 1) ^ -(value & 1))
