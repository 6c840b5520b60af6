"""Plots of one attempt over time, as inline SVG whose letters stay readable at any width."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flyball.app.charts import LIMIT_DRAWN_WITHIN, axis_top
from flyball.app.markup import Markup, join, tag
from flyball.app.plot_frame import (
    HEIGHT,
    SECONDS,
    TOP,
    Unit,
    Values,
    figure,
    finite,
    grid,
    height_of,
    label,
    percent,
    x_labels_of,
    y_axis_of,
)

SPAN = 1000  # units across of the stretched drawing
# Four points a column (first, lowest, highest, last) draw the same picture as all of them: Jugel et al., "M4", VLDB 2014.
COLUMNS = 240


class Line(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    ys: Values
    colour: str  # a class of the style sheet: c1..c5


def thin(xs: Sequence[float], ys: Values, columns: int = COLUMNS) -> list[int]:
    """Indexes that draw the same curve: of each column the first, lowest, highest and last, and each edge of a gap."""
    if len(xs) <= 4 * columns:
        return list(range(len(xs)))
    start, span = xs[0], (xs[-1] - xs[0]) or 1.0
    keep: set[int] = {0, len(xs) - 1}
    column: list[int] = []
    current = 0
    for index, x in enumerate(xs):
        place = min(columns - 1, int((x - start) / span * columns))
        if place != current:
            keep.update(_extremes(column, ys))
            column, current = [], place
        column.append(index)
    keep.update(_extremes(column, ys))
    return sorted(keep)


def _extremes(column: Sequence[int], ys: Values) -> list[int]:
    if not column:
        return []
    known = [(y, index) for index in column if (y := ys[index]) is not None]
    if not known:
        return [column[0]]
    gap = [index for index in column if ys[index] is None][
        :1
    ]  # a column with a gap keeps one of its unknowns
    return [known[0][1], known[-1][1], min(known)[1], max(known)[1], *gap]


def line_plot(
    title: str,
    xs: Sequence[float],
    lines: Sequence[Line],
    *,
    unit: Unit,
    limit: float | None = None,
    limit_name: str = "limit",
    x_unit: Unit = SECONDS,
    x_labels: Sequence[tuple[float, str]] | None = None,
    peak: bool = True,
) -> Markup | None:
    """Lines over a common x axis with their highest point marked and the limit dashed; None when nothing is known."""
    drawn = [line for line in lines if any(finite(y) for y in line.ys)]
    if not drawn or len(xs) < 2:
        return None
    highest_of = {
        line.name: max((y, -i) for i, y in enumerate(line.ys) if y is not None and finite(y))
        for line in drawn
    }
    highest_line = max(drawn, key=lambda line: highest_of[line.name])
    highest, place = highest_of[highest_line.name][0], -highest_of[highest_line.name][1]
    limit_shown = limit if limit is not None and limit <= LIMIT_DRAWN_WITHIN * highest else None
    top = axis_top(max(highest, limit_shown or 0.0), binary=unit.binary)
    first, span = xs[0], (xs[-1] - xs[0]) or 1.0
    across = [(x - first) / span for x in xs]
    marks: list[Markup] = []
    if limit_shown is not None:
        marks.append(
            _limit_mark(limit_shown, top, f"{limit_name} {unit.show(limit_shown)}", left=across[place] > 0.5)
        )
    if peak:
        words = f"peak {unit.show(highest)} at {x_unit.show(xs[place])}"
        marks.append(_peak_mark(across[place], highest / top, highest_line.colour, words))
    marks.append(tag("line", class_="hair", x1="0", x2="0", y1=TOP, y2=TOP + HEIGHT, visibility="hidden"))
    labels = x_labels if x_labels is not None else _ticks_across(first, xs[-1], x_unit)
    told = [f"{line.name} at most {unit.show(highest_of[line.name][0])}" for line in drawn]
    above = (
        [] if limit is None or limit_shown is not None else [f"{limit_name} {unit.show(limit)} is far above"]
    )
    return figure(
        title,
        "; ".join([*told, *above]),
        shown="; ".join([*(told if len(drawn) > 1 else []), *above]),  # one line's peak is named at its mark
        legend=[(line.name, line.colour) for line in drawn] if len(drawn) > 1 else [],
        y_axis=y_axis_of(top, unit),
        inside=[
            grid(),
            _stretched([_shape(across, line, top) for line in drawn]),
            *marks,
            *x_labels_of(labels, first, span),
        ],
        data=[_data(xs, line, x_unit, unit) for line in drawn],
    )


def _shape(across: Sequence[float], line: Line, top: float) -> Markup:
    """The line, and the area below it, one piece for each stretch of known values."""
    pieces: list[list[str]] = []
    open_piece = False
    edge = ""
    area = ""
    for index in thin(across, line.ys):
        y = line.ys[index]
        if y is None or not finite(y):
            open_piece = False
            continue
        point = f"{across[index] * SPAN:.5g} {height_of(y, top):.4g}"
        if not open_piece:
            pieces.append([])
            open_piece = True
        pieces[-1].append(point)
    for piece in pieces:
        lone = "h.1" if len(piece) == 1 else ""  # a point between gaps still shows
        edge += f"M{'L'.join(piece)}{lone}"
        start, end = piece[0].split()[0], piece[-1].split()[0]
        area += f"M{start} {HEIGHT}L{'L'.join(piece)}L{end} {HEIGHT}Z"
    dense = " dense" if sum(map(len, pieces)) > 2 * COLUMNS else ""
    return join(
        [
            tag("path", class_=f"area {line.colour}", d=area),
            tag("path", class_=f"line {line.colour}{dense}", d=edge, vector_effect="non-scaling-stroke"),
        ]
    )


def _stretched(shapes: Sequence[Markup]) -> Markup:
    return tag(
        "svg", shapes, view_box=f"0 0 {SPAN} {HEIGHT}", keep_ratio="none", x="0", y=TOP, width="100%", height=HEIGHT
    )  # fmt: skip


def _ticks_across(first: float, last: float, unit: Unit) -> list[tuple[float, str]]:
    middle = (first + last) / 2
    return [
        (first, "0 s" if first == 0 else unit.show(first)),
        (middle, unit.show(middle)),
        (last, unit.show(last)),
    ]


def _limit_mark(limit: float, top: float, words: str, *, left: bool) -> Markup:
    """The dashed line, its name on the side where the peak's is not."""
    y = round(TOP + height_of(limit, top), 1)
    side, anchor = ("0", "start") if left else ("100%", "end")
    return join(
        [
            tag("line", class_="limit", x1="0", x2="100%", y1=y, y2=y),
            tag("text", words, class_="limit-label", x=side, y=y - 6, text_anchor=anchor),
        ]
    )


def _peak_mark(across: float, share: float, colour: str, words: str) -> Markup:
    y = round(TOP + HEIGHT * (1 - share), 1)
    return join(
        [
            tag("circle", class_=f"peak {colour}", cx=percent(across), cy=y, r="4"),
            label(across, max(11, y - 9), words, "peak-label"),
        ]
    )


def _data(xs: Sequence[float], line: Line, x_unit: Unit, unit: Unit) -> Markup:
    """The points for the script's cross-hair: nothing else reads them."""
    kept = thin(xs, line.ys)
    return tag(
        "span",
        class_="series",
        hidden="",
        data_name=line.name,
        data_unit=unit.name,
        data_x_unit=x_unit.name,
        data_x=" ".join(f"{xs[i]:.5g}" for i in kept),
        data_y=" ".join("-" if (y := line.ys[i]) is None or not finite(y) else f"{y:.4g}" for i in kept),
    )
