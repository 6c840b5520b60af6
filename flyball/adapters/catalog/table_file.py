"""Rows of a CSV or Parquet file that nobody has looked at yet: bounded, and refused in words when it is no table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flyball.errors import InputError
from flyball.model.offers import COLUMNS

REQUIRED = ("cloud", "region", "instance_type", "vcpus", "memory_bytes", "market", "price_usd_per_hour")
MOST_BYTES, MOST_ROWS = 256 * 2**20, 1_000_000


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
            header = [name.strip().lower() for name in next(reader, [])]
            _check_columns(path, header)
            for count, cells in enumerate(reader):
                if count >= MOST_ROWS:
                    raise InputError(f"{path} is too large", why=f"over {MOST_ROWS} rows")
                if cells:
                    yield reader.line_num, dict(zip(header, cells, strict=False))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} is not a table that can be read", why=str(error), hint="CSV in UTF-8, or Parquet"
        ) from error


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    import polars as pl

    try:
        names = list(pl.read_parquet_schema(path))
        _check_columns(path, [name.lower() for name in names])
        known = [name for name in names if name.lower() in COLUMNS]
        frame = pl.read_parquet(path, columns=known, n_rows=MOST_ROWS + 1)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputError(
            f"{path} is not a table that can be read", why=str(error), hint="CSV in UTF-8, or Parquet"
        ) from error
    if len(frame) > MOST_ROWS:
        raise InputError(f"{path} is too large", why=f"over {MOST_ROWS} rows")
    for count, cells in enumerate(frame.iter_rows(), start=1):
        yield count, {name.lower(): cell for name, cell in zip(known, cells, strict=True)}


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
