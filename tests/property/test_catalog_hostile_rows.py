from __future__ import annotations

import csv
import io
import math
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.adapters.catalog.cache import load_catalog
from flyball.adapters.catalog.imported import import_catalog
from flyball.adapters.catalog.table_file import REQUIRED
from flyball.errors import InputError
from flyball.model.offers import COLUMNS
from flyball.model.resource import Size
from flyball.policy.placement import rank

NOW = datetime(2026, 11, 21, tzinfo=UTC)
GOOD = {
    "cloud": "aws",
    "region": "eu-west-1",
    "instance_type": "m6i.large",
    "vcpus": "2",
    "memory_bytes": "8GiB",
    "market": "spot",
    "price_usd_per_hour": "0.04",
}
cells = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "",
            "nan",
            "-inf",
            "1e999",
            "0",
            "-1",
            "0x10",
            "1_000",
            "١٢",
            "1GiB",
            "99999999999999999999",
            "\x00",
            "=1+1",
            '"',
            "spot",
            "2026-13-45",
        ]
    ),
    st.floats().map(repr),
    st.integers().map(str),
)
rows = st.dictionaries(st.sampled_from(COLUMNS), cells, max_size=6).map(lambda changes: GOOD | changes)
many_at_once = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def believable(catalog) -> bool:
    """Every offer is one that a machine could be bought by, and the whole can be ranked."""
    table = catalog.offers()
    numbers = table.numbers
    fine = all(
        (numbers[name] > 0).all()
        for name in ("price_usd_per_hour", "vcpus", "memory_bytes", "speed_one_core")
    )
    ranked = rank(table, need=Size(cpu_cores=1, memory_bytes=1))
    return (
        fine
        and not catalog.problems
        and all(math.isfinite(c.expected_usd) and c.expected_usd > 0 for c in ranked[::400])
    )


def imported(path, tmp_path):
    """What the import says; None when it refuses the file, which it must then name."""
    try:
        return import_catalog(path, tmp_path / "cache", NOW)
    except InputError as error:
        refusal = str(error)
    assert str(path) in refusal
    return None


@many_at_once
@given(st.lists(rows, min_size=1, max_size=8))
def test_whatever_the_cells_say_rows_are_used_or_refused_and_what_is_for_sale_stays_believable(
    tmp_path, given_rows
):
    path = tmp_path / "rows.csv"
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(given_rows)
    path.write_text(text.getvalue(), encoding="utf-8", errors="surrogatepass", newline="")
    if result := imported(path, tmp_path):
        assert result.accepted + result.refused == len(given_rows)
        assert all(refusal.reason for refusal in result.refusals)
    assert believable(load_catalog(tmp_path / "cache"))


@many_at_once
@given(st.binary(max_size=400), st.booleans())
def test_whatever_the_bytes_are_the_answer_is_a_result_or_an_input_error(tmp_path, content, has_header):
    path = tmp_path / "bytes.csv"
    path.write_bytes((",".join(REQUIRED).encode() + b"\n" if has_header else b"") + content)
    result = imported(path, tmp_path)
    assert not result or not result.accepted or believable(load_catalog(tmp_path / "cache"))


@settings(many_at_once, max_examples=15)  # each starts a process
@given(st.data())
def test_a_damaged_parquet_file_is_refused_and_never_crashes(tmp_path, data):
    path = tmp_path / "rows.parquet"
    pl.DataFrame([GOOD] * 3).write_parquet(path)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    result = imported(path, tmp_path)
    assert not result or result.accepted + result.refused <= 3


@pytest.mark.parametrize("kind", [pl.Int64, pl.Float32, pl.Decimal(10, 4), pl.String])
def test_a_price_may_have_any_number_type(tmp_path, kind):
    frame = pl.DataFrame(
        [
            GOOD
            | {"price_usd_per_hour": 1.0, "vcpus": 16, "memory_bytes": 2**36, "instance_type": "m6i.4xlarge"}
        ]
    )
    path = tmp_path / "typed.parquet"
    frame.with_columns(pl.col("price_usd_per_hour").cast(kind)).write_parquet(path)
    result = import_catalog(path, tmp_path / "cache", NOW)
    assert (result.accepted, result.refusals) == (1, ())
