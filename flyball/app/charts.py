"""Charts made of characters. Peaks survive thinning (each column shows its highest value); unknown values are gaps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from flyball.model.units import show_seconds

Values = Sequence[float | None]
Show = Callable[[float], str]

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_EIGHTHS_ASCII = "  ..::||#"  # one sign for two eighths
_TINY_ASCII = "_.-=*#"
LIMIT_SIGN, _LIMIT_ASCII = "╌", "-"
_BYTES_STEPS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
_PLAIN_STEPS = (1.0, 2.0, 2.5, 4.0, 5.0, 8.0, 10.0)
# A limit further up than this would press the curve into the lowest rows: it is then only named, not drawn.
LIMIT_DRAWN_WITHIN = 4.0


def show_instant(seconds: float) -> str:
    return "0 s" if seconds == 0 else show_seconds(seconds)


def sparkline(values: Values, *, unicode: bool = True) -> str:
    """One character a value, from the lowest to the highest of them; a space where it is unknown.

    Values within 5 % of each other are drawn level: otherwise noise would look like a trend.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return " " * len(values)
    signs = _EIGHTHS[1:] if unicode else _TINY_ASCII
    low, high = min(known), max(known)
    if high - low <= 0.05 * max(abs(high), abs(low)):
        level = signs[len(signs) // 2 - 1]
        return "".join(" " if v is None or not math.isfinite(v) else level for v in values)
    top = len(signs) - 1
    return "".join(
        " " if v is None or not math.isfinite(v) else signs[round((v - low) / (high - low) * top)]
        for v in values
    )


def highest_per_column(xs: Sequence[float], ys: Values, columns: int) -> list[float | None]:
    """The highest value in each of `columns` equal parts of the x axis.

    A sample speaks for the time since the one before (a mean, or a highest), so columns without a sample get the value
    of the next one; after an unknown sample, or before one, they stay None.
    """
    if not xs or columns <= 0:
        return [None] * max(0, columns)
    start, span = xs[0], (xs[-1] - xs[0]) or 1.0
    highest: list[float | None] = [None] * columns
    touched = [False] * columns
    for x, y in zip(xs, ys, strict=False):
        column = min(columns - 1, int((x - start) / span * columns))
        touched[column] = True
        if y is not None and math.isfinite(y):
            before = highest[column]
            highest[column] = y if before is None else max(before, y)
    return _bridged(highest, touched)


def _bridged(highest: list[float | None], touched: list[bool]) -> list[float | None]:
    bridged, last = list(highest), None
    for column, value in enumerate(highest):
        if not touched[column]:
            continue
        if last is not None and value is not None and highest[last] is not None:
            bridged[last + 1 : column] = [value] * (column - last - 1)
        last = column
    return bridged


_LEAST_TOP = 1e-300  # below it, steps of an axis vanish in rounding


def axis_top(highest: float, *, binary: bool = False) -> float:
    """The smallest round number at or above `highest`: 2, 4, 8... of a binary unit, or 1, 2, 2.5, 4, 5, 8 x 10**n."""
    if not highest > _LEAST_TOP or not math.isfinite(highest):
        return 1.0
    if binary:
        unit = 1024.0 ** math.floor(math.log(highest, 1024) + 1e-12)
        steps: tuple[float, ...] = tuple(s * k for s in _BYTES_STEPS for k in (1.0, 1.25, 1.5, 1.75))
    else:
        unit, steps = 10.0 ** math.floor(math.log10(highest) + 1e-12), _PLAIN_STEPS
    fitting = [step for step in steps if step * unit >= highest * (1 - 1e-12)]
    return min(fitting) * unit if fitting else unit * (1024 if binary else 10)


def line_chart(
    xs: Sequence[float],
    ys: Values,
    *,
    width: int,
    height: int,
    limit: float | None = None,
    unicode: bool = True,
    show: Show = "{:g}".format,
    show_x: Show = show_instant,
    binary: bool = False,
) -> str:
    """An area chart of `height` rows and an axis below, no line wider than `width`; "" when nothing is known."""
    known = [y for y in ys if y is not None and math.isfinite(y)]
    if not known or not xs:
        return ""
    drawn_limit = limit if limit is not None and limit <= LIMIT_DRAWN_WITHIN * max(known) else None
    top = axis_top(max([*known, drawn_limit or 0.0]), binary=binary)
    labels = _labels(top, height, show)
    gutter = max(map(len, labels)) + 1
    columns = max(4, width - gutter - 1)
    cells = highest_per_column(xs, ys, columns)
    limit_row = None if drawn_limit is None else min(height - 1, math.floor(drawn_limit / top * height))
    rows = [
        f"{labels[row]:>{gutter - 1}} {_edge(labels[row], unicode)}"
        + _row(cells, row, height, top, limit_row=limit_row, unicode=unicode)
        for row in reversed(range(height))
    ]
    return "\n".join(
        line.rstrip() for line in [*rows, *_x_axis(xs, gutter, columns, show_x, unicode=unicode)]
    )


def _labels(top: float, height: int, show: Show) -> list[str]:
    """One for each row, lowest first: the top of the row it stands at."""
    labels = [""] * height
    labels[height - 1] = show(top)
    if height >= 4 and height % 2 == 0:
        labels[height // 2 - 1] = show(top / 2)
    return labels


def _edge(label: str, unicode: bool) -> str:
    if not unicode:
        return "+" if label else "|"
    return "┤" if label else "│"


def _row(
    cells: list[float | None], row: int, height: int, top: float, *, limit_row: int | None, unicode: bool
) -> str:
    signs = _EIGHTHS if unicode else _EIGHTHS_ASCII
    blank = (LIMIT_SIGN if unicode else _LIMIT_ASCII) if row == limit_row else " "
    drawn = ""
    for value in cells:
        eighths = 0 if value is None else _eighths(value, height, top) - row * 8
        drawn += blank if eighths <= 0 else signs[min(8, eighths)]
    return drawn


def _eighths(value: float, height: int, top: float) -> int:
    """Filled eighths of a column; anything above 0 shows."""
    if value <= 0:
        return 0
    return max(1, min(height * 8, round(value / top * height * 8)))


def _x_axis(xs: Sequence[float], gutter: int, columns: int, show_x: Show, *, unicode: bool) -> list[str]:
    corner, line = ("└", "─") if unicode else ("+", "-")
    first, last = show_x(xs[0]), show_x(xs[-1])
    gap = columns - len(first) - len(last)
    labels = first + " " * gap + last if gap >= 1 else last[:columns].rjust(columns)
    return [" " * gutter + corner + line * columns, " " * (gutter + 1) + labels]


def bin_counts(values: Sequence[float], bins: int) -> tuple[list[float], list[int]]:
    """(bins + 1 edges, counts) from the lowest to the highest value; one bin when all are equal."""
    low, high = min(values), max(values)
    if high <= low:
        return [low, high], [len(values)]
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    return [low + (high - low) * i / bins for i in range(bins)] + [high], counts


def histogram(
    values: Values, *, width: int, bins: int = 8, unicode: bool = True, show: Show = "{:g}".format
) -> str:
    """One bar a bin, with its bounds and its count; "" when nothing is known."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return ""
    edges, counts = bin_counts(known, bins)
    labels = [
        show(edges[0]) if edges[0] == edges[-1] else f"{show(a)} to {show(b)}" for a, b in pairwise(edges)
    ]
    gutter, tail = max(map(len, labels)), len(str(max(counts)))
    room = max(1, width - gutter - tail - 2)
    bar = "█" if unicode else "#"
    return "\n".join(
        f"{label:>{gutter}} {bar * _bar_columns(count, max(counts), room)} {count}"
        for label, count in zip(labels, counts, strict=True)
    )


def _bar_columns(count: int, most: int, room: int) -> int:
    return 0 if count == 0 else max(1, round(count / most * room))
