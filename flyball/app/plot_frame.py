"""What plots share: pixels, units, axes, labels, captions. Positions across are percentages, heights pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from flyball.app.markup import Markup, join, tag
from flyball.model.units import show_bytes, show_cores, show_seconds, show_usd

HEIGHT = 180  # pixels of the plotting area
TOP, BOTTOM = 22, 24  # room above for a label, below for the x axis

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


def finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def height_of(value: float, top: float) -> float:
    """Pixels from the top of the plotting area."""
    return HEIGHT * (1 - min(1.0, max(0.0, value / top)))


def grid() -> Markup:
    return join(
        tag("line", class_="grid" if share else "base", x1="0", x2="100%", y1=y, y2=y)
        for share in (1.0, 0.75, 0.5, 0.25, 0.0)
        for y in (TOP + HEIGHT * (1 - share),)
    )


def y_axis_of(top: float, unit: Unit) -> Markup:
    texts = [
        tag("text", unit.show(top * share) if share else "0", x="100%", y=TOP + HEIGHT * (1 - share) + 4)
        for share in (1.0, 0.5, 0.0)
    ]
    return tag("svg", texts, class_="y-axis", width="76", height=TOP + HEIGHT + BOTTOM, aria_hidden="true")


def x_labels_of(labels: Sequence[tuple[float, str]], first: float, span: float) -> list[Markup]:
    return [label((at - first) / span, TOP + HEIGHT + 17, words, "x-label") for at, words in labels]


def label(across: float, y: float, words: str, class_: str) -> Markup:
    """Text that stays inside the plot: anchored at its start on the left, at its end on the right."""
    anchor = "start" if across < 0.2 else "end" if across > 0.8 else "middle"
    return tag("text", words, class_=class_, x=percent(across), y=round(y, 1), text_anchor=anchor)


def figure(
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
