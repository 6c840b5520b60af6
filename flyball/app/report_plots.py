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


class Reach(msgspec.Struct, frozen=True):
    """The highest point of a line."""

    line: Line
    y: float
    place: int  # its index

    def words(self, unit: Unit) -> str:
        return f"{self.line.name} at most {unit.show(self.y)}"


def line_plot(
    title: str,
    xs: Sequence[float],
    lines: Sequence[Line],
    *,
    unit: Unit,
    limit: float | None = None,
    limit_words: str = "",
    x_unit: Unit = SECONDS,
    x_labels: Sequence[tuple[float, str]] | None = None,
    peak: bool = True,
) -> Markup | None:
    """Lines over a common x axis with their highest point marked and the limit dashed; None when nothing is known."""
    reaches = [reach for line in lines if (reach := _reach(line)) is not None]
    if not reaches or len(xs) < 2:
        return None
    highest = max(reaches, key=lambda reach: reach.y)
    drawn_limit = limit if limit is not None and limit <= LIMIT_DRAWN_WITHIN * highest.y else None
    top = axis_top(max(highest.y, drawn_limit or 0.0), binary=unit.binary)
    first, span = xs[0], (xs[-1] - xs[0]) or 1.0
    across = [(x - first) / span for x in xs]
    marks: list[Markup] = []
    if drawn_limit is not None:
        marks.append(_limit_mark(drawn_limit, top, limit_words, left=across[highest.place] > 0.5))
    if peak:
        words = f"peak {unit.show(highest.y)} at {x_unit.show(xs[highest.place])}"
        marks.append(_peak_mark(across[highest.place], highest.y / top, highest.line.colour, words))
    several = len(reaches) > 1
    told = [reach.words(unit) for reach in reaches]
    above = [f"{limit_words} is far above"] if limit is not None and drawn_limit is None else []
    labels = x_labels if x_labels is not None else _ticks_across(first, xs[-1], x_unit)
    shapes = [_shape(across, reach.line, top) for reach in reaches]
    return figure(
        title,
        "; ".join([*told, *above]),
        shown="; ".join([*(told if several else []), *above]),  # one line's peak is named at its mark
        legend=[(reach.line.name, reach.line.colour) for reach in reaches] if several else [],
        y_axis=y_axis_of(top, unit),
        inside=[grid(), _stretched(shapes), *marks, _HAIR, *x_labels_of(labels, first, span)],
        data=[_data(xs, reach.line, x_unit, unit) for reach in reaches],
    )


# The script moves it under the pointer.
_HAIR = tag("line", class_="hair", x1="0", x2="0", y1=TOP, y2=TOP + HEIGHT, visibility="hidden")


def _reach(line: Line) -> Reach | None:
    known = [(y, -i) for i, y in enumerate(line.ys) if y is not None and finite(y)]
    if not known:
        return None
    y, place = max(known)
    return Reach(line, y, -place)


def _shape(across: Sequence[float], line: Line, top: float) -> Markup:
    """The line, and the area below it, one piece for each stretch of known values; a value holds since the one before."""
    pieces: list[list[tuple[str, str]]] = []
    open_piece = False
    edge = ""
    area = ""
    for index in thin(across, line.ys):
        y = line.ys[index]
        if y is None or not finite(y):
            open_piece = False
            continue
        point = (f"{across[index] * SPAN:.5g}", f"{height_of(y, top):.4g}")
        if not open_piece:
            pieces.append([])
            open_piece = True
        pieces[-1].append(point)
    for piece in pieces:
        start, first = piece[0]
        steps = "".join(f"V{y}H{x}" for x, y in piece[1:]) or "h.1"  # a point between gaps still shows
        edge += f"M{start} {first}{steps}"
        area += f"M{start} {HEIGHT}V{first}{steps}V{HEIGHT}Z"
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
