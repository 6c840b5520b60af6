"""Rows of a CSV or Parquet file that nobody has looked at yet: bounded, and refused in words when it is no table."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flyball.errors import InputError
from flyball.model.offers import COLUMNS

REQUIRED = ("cloud", "region", "instance_type", "vcpus", "memory_bytes", "market", "price_usd_per_hour")
MOST_BYTES, MOST_ROWS, MOST_SECONDS = 256 * 2**20, 1_000_000, 120.0
# path, rows at most, columns worth reading. Bounded: a small file may say that it unpacks to terabytes.
_PARQUET_TO_CSV = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
if sys.platform == "linux":
    resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
import polars as pl
path, most, known = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
try:
    names = [name for name in pl.read_parquet_schema(path) if name.strip().lower() in known]
    pl.read_parquet(path, columns=names, n_rows=most).write_csv(sys.stdout.buffer)
except BaseException as error:
    sys.exit(str(error).partition(chr(10))[0] or "it cannot be read")
"""


def table_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line number and cells by column name. Raises: InputError."""
    try:
        size_bytes = path.stat().st_size
        if not path.is_file():
            raise InputError(f"{path} is not a file", hint="a CSV or Parquet file")
    except OSError as error:
        raise InputError(f"{path} cannot be read", why=error.strerror or str(error)) from error
    if size_bytes > MOST_BYTES:
        raise InputError(
            f"{path} is too large", why=f"{size_bytes / 2**20:.0f} MiB, at most {MOST_BYTES // 2**20}"
        )
    with path.open("rb") as file:
        magic = file.read(4)
    return _parquet_rows(path) if magic == b"PAR1" else _csv_rows(path)


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            yield from _cells(path, reader, lambda _count: reader.line_num)
    except OSError as error:
        raise _no_table(path, str(error)) from error


def _cells(
    path: Path, reader: Iterator[list[str]], number: Callable[[int], int]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_columns(path, header)
        for count, cells in enumerate(reader):
            if count >= MOST_ROWS:
                raise InputError(f"{path} is too large", why=f"over {MOST_ROWS} rows")
            if cells:
                yield number(count), dict(zip(header, cells, strict=False))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_table(path, str(error)) from error


def _no_table(path: Path, why: str) -> InputError:
    return InputError(f"{path} is not a table that can be read", why=why, hint="CSV in UTF-8, or Parquet")


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """As CSV out of a process of its own: a Parquet file that was tampered with can make its reader abort."""
    few_threads = os.environ | {"POLARS_MAX_THREADS": "2"}  # each takes address space, which is bounded
    command = [sys.executable, "-c", _PARQUET_TO_CSV, str(path), str(MOST_ROWS + 1), *COLUMNS]
    with tempfile.TemporaryFile() as out:
        try:
            child = subprocess.run(  # noqa: S603 - our own interpreter and text; the path is an argument
                command,
                env=few_threads,
                stdout=out,
                stderr=subprocess.PIPE,
                timeout=MOST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(f"{path} takes too long to read", why=f"over {MOST_SECONDS} s") from error
        if child.returncode != 0:
            said = child.stderr.decode(errors="replace").strip().splitlines() or ["the reader gave up"]
            raise _no_table(path, short_text(said[-1], 200))
        out.seek(0)
        reader = csv.reader(io.TextIOWrapper(out, encoding="utf-8", newline=""))
        yield from _cells(path, reader, lambda count: count + 1)


def _check_columns(path: Path, names: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}",
            why=f"it has {short_text(', '.join(names)) or 'none'}",
            hint="columns as in `flyball offers --json`: " + ", ".join(REQUIRED),
        )
    if len(set(names)) < len(names):
        raise InputError(f"{path} has the same column twice")


def short_text(value: Any, most: int = 60) -> str:
    """The value in at most that many printable characters."""
    text = "" if value is None else str(value)
    shown = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(c if c.isprintable() else "?" for c in shown)
