"""Plots of many runs: one dot each with what was expected of it, and how their figures are spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from flyball.app.charts import axis_top, bin_counts
from flyball.app.markup import Markup, join, tag
from flyball.app.plot_frame import (
    HEIGHT,
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


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `low`/`high`: what was expected of it; `limit`: what it was allowed."""

    y: float | None
    label: str
    kind: str = "good"  # "good", "memory", "bad", "other"
    x: float | None = None  # None: by its place in the sequence
    low: float | None = None
    high: float | None = None
    limit: float | None = None


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
    known = [(x, dot) for x, dot in placed if dot.y is not None and finite(dot.y)]
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
    return figure(
        title,
        says or f"{len(known)} runs, at most {unit.show(max(dot.y or 0.0 for _, dot in known))}",
        legend=_dot_legend([dot for _, dot in known]),
        y_axis=y_axis_of(top, unit),
        inside=[grid(), *drawn, *x_labels_of(labels, first, span)],
        data=[],
    )


def bars_plot(
    title: str, values: Values, *, unit: Unit, mark: float | None = None, mark_name: str = "planned"
) -> Markup | None:
    """How values are spread: one bar a bin; a dashed line where `mark` lies. None for fewer than 3 values."""
    known = [value for value in values if value is not None and finite(value)]
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
            x=percent((left - low) / span),
            width=percent((right - left) / span * 0.94),
            y=round(TOP + HEIGHT - tall, 1),
            height=round(tall, 1),
        )
        bars.append(bar)
    marks = []
    if mark is not None and low <= mark <= high:
        at = (mark - low) / span
        marks = [
            tag("line", class_="plan-mark", x1=percent(at), x2=percent(at), y1=TOP, y2=TOP + HEIGHT),
            label(at, TOP - 7, f"{mark_name} {unit.show(mark)}", "plan-label"),
        ]
    labels = [(low + span * share, unit.show(low + span * share)) for share in (0.0, 0.5, 1.0)]
    says = f"{len(known)} runs from {unit.show(min(known))} to {unit.show(max(known))}"
    count_unit = Unit(name="count", show=lambda count: f"{count:.0f}" if count == round(count) else "")
    return figure(
        title,
        says,
        legend=[],
        y_axis=y_axis_of(most, count_unit),
        inside=[grid(), *bars, *marks, *x_labels_of(labels, low, span)],
        data=[],
    )


def _dot(across: float, dot: Dot, top: float) -> Markup:
    x, y = percent(across), round(TOP + height_of(dot.y or 0.0, top), 1)
    parts: list[Markup] = []
    if dot.low is not None and dot.high is not None:
        low, high = (round(TOP + height_of(v, top), 1) for v in (dot.low, dot.high))
        parts.append(tag("line", class_="expected", x1=x, x2=x, y1=low, y2=high))
    if dot.limit is not None and dot.limit <= top:
        at = round(TOP + height_of(dot.limit, top), 1)
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
