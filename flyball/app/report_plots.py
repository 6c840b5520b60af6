"""Plots as inline SVG that keep their letters readable at any width: positions across are percentages, heights pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from flyball.app.charts import LIMIT_DRAWN_WITHIN, axis_top, bin_counts
from flyball.app.markup import Markup, join, tag
from flyball.model.units import show_bytes, show_cores, show_seconds, show_usd

HEIGHT = 180  # pixels of the plotting area
TOP, BOTTOM = 22, 24  # room above for a label, below for the x axis
SPAN = 1000  # units across of the stretched drawing
# Four points a column (first, lowest, highest, last) draw the same picture as all of them: Jugel et al., "M4", VLDB 2014.
COLUMNS = 240

Values = Sequence[float | None]


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """How an axis shows its numbers; `name` tells the script the same."""

    name: str
    show: Callable[[float], str]
    binary: bool = False


def _per_second(amount_bytes: float) -> str:
    return f"{show_bytes(amount_bytes)}/s"


BYTES = Unit(name="bytes", show=show_bytes, binary=True)
BYTES_PER_SECOND = Unit(name="bytes-per-second", show=_per_second, binary=True)
CORES = Unit(name="cores", show=show_cores)
SECONDS = Unit(name="seconds", show=show_seconds)
SHARE = Unit(name="share", show=lambda share: f"{100 * share:.0f} %")
USD = Unit(name="usd", show=show_usd)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    ys: Values
    colour: str  # a class of the style sheet: c1..c5


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `low`/`high`: what was expected of it; `limit`: what it was allowed."""

    y: float | None
    label: str
    kind: str = "good"  # "good", "memory", "bad", "other"
    x: float | None = None  # None: by its place in the sequence
    low: float | None = None
    high: float | None = None
    limit: float | None = None


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
    drawn = [line for line in lines if any(_finite(y) for y in line.ys)]
    if not drawn or len(xs) < 2:
        return None
    highest_of = {
        line.name: max((y, -i) for i, y in enumerate(line.ys) if y is not None and _finite(y))
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
    return _figure(
        title,
        "; ".join([*told, *above]),
        shown="; ".join([*(told if len(drawn) > 1 else []), *above]),  # one line's peak is named at its mark
        legend=[(line.name, line.colour) for line in drawn] if len(drawn) > 1 else [],
        y_axis=_y_axis(top, unit),
        inside=[
            _grid(),
            _stretched([_shape(across, line, top) for line in drawn]),
            *marks,
            *_x_labels(labels, first, span),
        ],
        data=[_data(xs, line, x_unit, unit) for line in drawn],
    )


def dots_plot(
    title: str,
    dots: Sequence[Dot],
    *,
    unit: Unit,
    x_labels: Sequence[tuple[float, str]] = (),
    x_unit: Unit | None = None,
    says: str = "",
) -> Markup | None:
    """One dot a run, in order or at its own x, with what was expected and allowed; None when nothing is known."""
    placed = [(float(i) if dot.x is None else dot.x, dot) for i, dot in enumerate(dots)]
    known = [(x, dot) for x, dot in placed if dot.y is not None and _finite(dot.y)]
    if not known:
        return None
    highest = max(max(dot.y or 0.0, dot.high or 0.0) for _, dot in known)
    limits = [dot.limit for _, dot in known if dot.limit is not None and dot.limit <= 2 * highest]
    top = axis_top(max([highest, *limits]), binary=unit.binary)
    low_x, high_x = min(x for x, _ in placed), max(x for x, _ in placed)
    pad = 0.02 * (high_x - low_x) or 0.5
    first, span = low_x - pad, high_x - low_x + 2 * pad
    drawn = [_dot((x - first) / span, dot, top) for x, dot in known]
    labels = list(x_labels)
    if x_unit is not None:
        labels = [(low_x, x_unit.show(low_x)), ((low_x + high_x) / 2, x_unit.show((low_x + high_x) / 2))]
        labels.append((high_x, x_unit.show(high_x)))
    return _figure(
        title,
        says or f"{len(known)} runs, at most {unit.show(max(dot.y or 0.0 for _, dot in known))}",
        legend=_dot_legend([dot for _, dot in known]),
        y_axis=_y_axis(top, unit),
        inside=[_grid(), *drawn, *_x_labels(labels, first, span)],
        data=[],
    )


def bars_plot(
    title: str, values: Values, *, unit: Unit, mark: float | None = None, mark_name: str = "planned"
) -> Markup | None:
    """How values are spread: one bar a bin; a dashed line where `mark` lies. None for fewer than 3 values."""
    known = [value for value in values if value is not None and _finite(value)]
    if len(known) < 3:
        return None
    edges, counts = bin_counts(known, max(5, min(24, round(math.sqrt(len(known)) * 2))))
    low, high = edges[0], edges[-1]
    if low == high:
        low, high, edges = low * 0.9, high * 1.1 or 1.0, [low * 0.99, low * 1.01 or 0.1]
    if mark is not None and high < mark <= high + 1.5 * (high - low):
        high = mark + 0.03 * (mark - low)
    span, most = (high - low) or 1.0, axis_top(max(counts))
    bars = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        tall = count / most * HEIGHT
        bar = tag(
            "rect",
            tag("title", f"{unit.show(left)} to {unit.show(right)}: {count} run{'' if count == 1 else 's'}"),
            class_="bar tip",
            x=_percent((left - low) / span),
            width=_percent((right - left) / span * 0.94),
            y=round(TOP + HEIGHT - tall, 1),
            height=round(tall, 1),
        )
        bars.append(bar)
    marks = []
    if mark is not None and low <= mark <= high:
        at = (mark - low) / span
        marks = [
            tag("line", class_="plan-mark", x1=_percent(at), x2=_percent(at), y1=TOP, y2=TOP + HEIGHT),
            _label(at, TOP - 7, f"{mark_name} {unit.show(mark)}", "plan-label"),
        ]
    labels = [(low + span * share, unit.show(low + span * share)) for share in (0.0, 0.5, 1.0)]
    says = f"{len(known)} runs from {unit.show(min(known))} to {unit.show(max(known))}"
    count_unit = Unit(name="count", show=lambda count: f"{count:.0f}" if count == round(count) else "")
    return _figure(
        title,
        says,
        legend=[],
        y_axis=_y_axis(most, count_unit),
        inside=[_grid(), *bars, *marks, *_x_labels(labels, low, span)],
        data=[],
    )


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def _height(value: float, top: float) -> float:
    """Pixels from the top of the plotting area."""
    return HEIGHT * (1 - min(1.0, max(0.0, value / top)))


def _shape(across: Sequence[float], line: Line, top: float) -> Markup:
    """The line, and the area below it, one piece for each stretch of known values."""
    pieces: list[list[str]] = []
    open_piece = False
    edge = ""
    area = ""
    for index in thin(across, line.ys):
        y = line.ys[index]
        if y is None or not _finite(y):
            open_piece = False
            continue
        point = f"{across[index] * SPAN:.5g} {_height(y, top):.4g}"
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


def _grid() -> Markup:
    return join(
        tag("line", class_="grid" if share else "base", x1="0", x2="100%", y1=y, y2=y)
        for share in (1.0, 0.75, 0.5, 0.25, 0.0)
        for y in (TOP + HEIGHT * (1 - share),)
    )


def _y_axis(top: float, unit: Unit) -> Markup:
    texts = [
        tag("text", unit.show(top * share) if share else "0", x="100%", y=TOP + HEIGHT * (1 - share) + 4)
        for share in (1.0, 0.5, 0.0)
    ]
    return tag("svg", texts, class_="y-axis", width="76", height=TOP + HEIGHT + BOTTOM, aria_hidden="true")


def _ticks_across(first: float, last: float, unit: Unit) -> list[tuple[float, str]]:
    middle = (first + last) / 2
    return [
        (first, "0 s" if first == 0 else unit.show(first)),
        (middle, unit.show(middle)),
        (last, unit.show(last)),
    ]


def _x_labels(labels: Sequence[tuple[float, str]], first: float, span: float) -> list[Markup]:
    return [_label((at - first) / span, TOP + HEIGHT + 17, words, "x-label") for at, words in labels]


def _label(across: float, y: float, words: str, class_: str) -> Markup:
    """Text that stays inside the plot: anchored at its start on the left, at its end on the right."""
    anchor = "start" if across < 0.2 else "end" if across > 0.8 else "middle"
    return tag("text", words, class_=class_, x=_percent(across), y=round(y, 1), text_anchor=anchor)


def _limit_mark(limit: float, top: float, words: str, *, left: bool) -> Markup:
    """The dashed line, its name on the side where the peak's is not."""
    y = round(TOP + _height(limit, top), 1)
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
            tag("circle", class_=f"peak {colour}", cx=_percent(across), cy=y, r="4"),
            _label(across, max(11, y - 9), words, "peak-label"),
        ]
    )


def _dot(across: float, dot: Dot, top: float) -> Markup:
    x, y = _percent(across), round(TOP + _height(dot.y or 0.0, top), 1)
    parts: list[Markup] = []
    if dot.low is not None and dot.high is not None:
        low, high = (round(TOP + _height(v, top), 1) for v in (dot.low, dot.high))
        parts.append(tag("line", class_="expected", x1=x, x2=x, y1=low, y2=high))
    if dot.limit is not None and dot.limit <= top:
        at = round(TOP + _height(dot.limit, top), 1)
        parts.append(tag("circle", class_="allowed", cx=x, cy=at, r="1.6"))
    radius = "3.4" if dot.kind == "good" else "4.6"
    parts.append(tag("circle", tag("title", dot.label), class_=f"dot {dot.kind} tip", cx=x, cy=y, r=radius))
    return join(parts)


_KINDS = {"good": "succeeded", "memory": "out of memory", "bad": "failed", "other": "other"}


def _dot_legend(dots: Sequence[Dot]) -> list[tuple[str, str]]:
    kinds = [kind for kind in _KINDS if any(dot.kind == kind for dot in dots)]
    legend = [(_KINDS[kind], kind) for kind in kinds] if kinds != ["good"] else []
    if any(dot.high is not None for dot in dots):
        legend.append(("forecast, half to 99 of 100", "expected"))
    if any(dot.limit is not None for dot in dots):
        legend.append(("memory limit", "allowed"))
    return legend


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
        data_y=" ".join("-" if (y := line.ys[i]) is None or not _finite(y) else f"{y:.4g}" for i in kept),
    )


def _figure(
    title: str,
    says: str,
    *,
    shown: str | None = None,
    legend: Sequence[tuple[str, str]],
    y_axis: Markup,
    inside: Sequence[Markup],
    data: Sequence[Markup],
) -> Markup:
    """The plot with its caption; `says` is what it shows in words, `shown` as much of it as is worth printing."""
    keys = [tag("span", tag("i", class_=f"key {colour}"), name, class_="legend") for name, colour in legend]
    plot = tag(
        "svg",
        tag("title", title),
        tag("desc", says),
        inside,
        class_="plot",
        role="img",
        aria_label=f"{title}: {says}",
        width="100%",
        height=TOP + HEIGHT + BOTTOM,
    )
    return tag(
        "figure",
        tag(
            "figcaption",
            tag("b", title),
            tag("span", says if shown is None else shown, class_="says"),
            tag("span", keys, class_="keys") if keys else None,
        ),
        tag("div", y_axis, tag("div", plot, data, class_="plot-box"), class_="plot-row"),
    )
