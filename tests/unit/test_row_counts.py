"""Rows are counted as the programs that wrote the files count them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.meter.row_counts import CannotCount, rows_in

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)
ROWS = st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


@settings(derandomize=True, max_examples=60, deadline=None)
@given(rows=ROWS, packed=st.booleans())
def test_every_row_of_a_csv_counts_once_whatever_its_cells_hold(folder, rows, packed):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["a", "b"], *rows])
    path = folder / ("x.csv.gz" if packed else "x.csv")
    body = text.getvalue().encode()
    path.write_bytes(gzip.compress(body) if packed else body)
    assert rows_in(str(path)) == len(rows)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(rows=ROWS, ends=st.booleans())
def test_every_object_of_json_lines_counts_once(folder, rows, ends):
    path = folder / "x.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + ("\n\n" if ends else ""))
    assert rows_in(str(path)) == len(rows)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(
    rows=st.integers(0, 2000),
    columns=st.integers(1, 40),
    group=st.integers(1, 500),
    statistics=st.booleans(),
)
def test_parquet_counts_what_its_writer_wrote(folder, rows, columns, group, statistics):
    names = {f"c{n}": pl.Series([n + 0.5] * rows, dtype=pl.Float64) for n in range(columns)}
    frame = pl.DataFrame({**names, "text": pl.Series(["x"] * rows, dtype=pl.String)})
    path = folder / "x.parquet"
    frame.write_parquet(path, row_group_size=group, statistics=statistics)
    assert rows_in(str(path)) == rows


def test_parquet_with_nested_columns_counts_too(folder):
    path = folder / "nested.parquet"
    pl.DataFrame({"a": [[1, 2], []], "b": [{"x": 1, "y": "z"}, None], "c": [True, None]}).write_parquet(path)
    assert rows_in(str(path)) == 2


@settings(derandomize=True, max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_parquet_file_is_never_more_than_not_countable(folder, data):
    path = folder / "whole.parquet"
    pl.DataFrame({"a": list(range(100))}).write_parquet(path)
    body = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    broken = folder / "broken.parquet"
    broken.write_bytes(body[: data.draw(st.integers(0, len(body)))])
    try:
        rows = rows_in(str(broken))
    except CannotCount:
        rows = 0
    assert isinstance(rows, int)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x.avro", b"Obj"),
        ("x.parquet", b""),
        ("x.parquet", b"PAR1" + b"x" * 50),
        ("x.parquet", b"PAR1" + b"\xff\xff\xff\x7fPAR1"),
        ("x.csv.gz", gzip.compress(b"a\n1\n" * 1000)[:20]),
        ("x.jsonl.gz", gzip.compress(b"{}\n" * 1000)[:20]),
        ("x.csv.gz", b"no gzip at all"),
        ("x.csv.gz", gzip.compress(os.urandom(2000))[:500] + b"?" * 1000),
    ],
)
def test_what_cannot_be_counted_says_so(tmp_path, name, body):
    (tmp_path / name).write_bytes(body)
    with pytest.raises((CannotCount, OSError)):
        rows_in(str(tmp_path / name))


@pytest.mark.parametrize(("body", "rows"), [("", 0), ("a,b\n", 0), ("a\n1\n\n2", 2), ('a\n"x\ny"\n', 1)])
def test_a_csv_has_one_line_that_is_no_row(tmp_path, body, rows):
    (tmp_path / "x.csv").write_text(body)
    assert rows_in(str(tmp_path / "x.csv")) == rows
