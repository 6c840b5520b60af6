"""Charts made of characters: peaks survive, gaps stay gaps, no line is wider than asked."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from flyball.app.charts import axis_top, bin_counts, highest_per_column, histogram, line_chart, sparkline
from flyball.model.units import GIB, MIB, show_bytes

values = st.lists(st.none() | st.floats(0, 1e15), min_size=1, max_size=300)


@given(values, st.integers(1, 50))
def test_the_highest_value_survives_any_thinning(ys, columns):
    xs = [float(i) for i in range(len(ys))]
    known = [y for y in ys if y is not None]
    cells = [cell for cell in highest_per_column(xs, ys, columns) if cell is not None]
    assert max(cells, default=None) == max(known, default=None)


@given(values, st.integers(20, 120), st.integers(1, 12), st.booleans(), st.none() | st.floats(0, 1e15))
def test_no_line_of_a_chart_is_wider_than_asked(ys, width, height, unicode, limit):
    xs = [float(i) for i in range(len(ys))]
    chart = line_chart(
        xs, ys, width=width, height=height, limit=limit, unicode=unicode, show=show_bytes, binary=True
    )
    if not chart:
        assert all(y is None for y in ys)
        return
    assert all(len(line) <= width for line in chart.split("\n"))
    assert len(chart.split("\n")) == height + 2
    assert unicode or chart.isascii()


def test_a_spike_between_many_samples_is_drawn_to_its_height():
    xs = [float(i) for i in range(10_000)]
    ys = [100.0 * MIB] * 10_000
    ys[7_123] = 1.0 * GIB  # given one sample in 10,000
    chart = line_chart(xs, ys, width=60, height=8, show=show_bytes, binary=True).split("\n")
    assert "█" in chart[0]  # then the top row shows it
    assert chart[0].index("█") < 60 * 0.78


def test_unknown_values_are_gaps_and_a_value_holds_since_the_one_before():
    assert highest_per_column([0, 10], [0.0, 10.0], 11)[5] == 10.0
    assert highest_per_column([0, 5, 10], [1.0, None, 1.0], 11)[1:10] == [None] * 9


def test_a_chart_looks_like_this():
    chart = line_chart(
        [0, 1, 2, 3],
        [0.5 * GIB, 1 * GIB, None, 2 * GIB],
        width=24,
        height=4,
        limit=2 * GIB,
        show=show_bytes,
        binary=True,
    )
    assert chart.split("\n") == [
        "2.00 GiB ┤╌╌╌╌╌╌╌╌╌╌╌╌╌█",
        "         │             █",
        "1.00 GiB ┤ ████        █",
        "         │█████        █",
        "         └──────────────",
        "          0 s     3.00 s",
    ]


def test_a_limit_far_above_does_not_flatten_the_curve():
    near = line_chart([0, 1], [1.0, 1.0], width=30, height=4, limit=3.0)
    far = line_chart([0, 1], [1.0, 1.0], width=30, height=4, limit=30.0)
    assert "╌" in near
    assert "╌" not in far
    assert far.startswith("  1 ┤█")


@given(st.floats(1e-9, 1e18))
def test_the_axis_ends_at_a_round_number_above_the_highest(highest):
    for binary in (False, True):
        top = axis_top(highest, binary=binary)
        assert highest * (1 - 1e-9) <= top <= 2.6 * highest
    assert axis_top(1.31 * GIB, binary=True) == 1.5 * GIB


@given(values, st.booleans())
def test_a_sparkline_has_one_sign_for_each_value(ys, unicode):
    drawn = sparkline(ys, unicode=unicode)
    assert len(drawn) == len(ys)
    assert all((sign == " ") == (y is None) for sign, y in zip(drawn, ys, strict=True))


def test_a_sparkline_shows_trends_and_hides_noise():
    assert sparkline([1, 2, 3, None, 8]) == "▁▂▃ █"
    assert sparkline([1.00, 1.01, 1.02]) == "▄▄▄"
    assert sparkline([1, 8], unicode=False) == "_#"


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=200), st.integers(1, 20))
def test_every_value_is_in_one_bin(known, bins):
    edges, counts = bin_counts(known, bins)
    assert sum(counts) == len(known)
    assert len(edges) == len(counts) + 1
    assert math.isclose(edges[-1], max(known))


def test_a_histogram_says_how_many_lie_where():
    drawn = histogram([1 * GIB] * 3 + [2 * GIB], width=40, bins=2, show=show_bytes).split("\n")
    assert drawn[0].endswith(" 3")
    assert drawn[1].endswith(" 1")
    assert all(len(line) <= 40 for line in drawn)
    assert histogram([None], width=40) == ""
