"""The frame of every report: head, style, script, header, cards. Nothing on the page is loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from flyball import __version__
from flyball.app.decisions import Decision
from flyball.app.markup import Content, Markup, asset, tag
from flyball.model.outcome import Outcome

_TONES = {
    Outcome.SUCCEEDED: "good",
    Outcome.CANCELLED: "warn",
    Outcome.INTERRUPTED: "warn",
    Outcome.LOST: "warn",
}

TableCell = str | tuple[str, str]  # words, or words and a class of the style sheet

# A governor: spindle, two arms, two balls.
_LOGO = tag(
    "svg",
    tag(
        "path",
        d="M16 3v26M16 6L6 18M16 6l10 12M6 18l10 7M26 18l-10 7M11 29h10",
        fill="none",
        stroke="currentColor",
    ),
    tag("circle", cx="6", cy="18", r="4", fill="currentColor"),
    tag("circle", cx="26", cy="18", r="4", fill="currentColor"),
    class_="logo",
    view_box="0 0 32 32",
    stroke_width="2",
    stroke_linecap="round",
    aria_hidden="true",
)


def page(title: str, *, header: Content, body: Content) -> str:
    """One whole HTML document whose policy forbids it to load or send anything."""
    style, script = _asset("report.css"), _asset("report.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{title} - flyball"),
        tag("style", style),
    )
    footer = tag(
        "footer",
        f"flyball {__version__}. Units are binary (1 GiB = 1,073,741,824 bytes). Times are local to the run.",
    )
    main = tag("main", header, body, footer)
    return f"<!doctype html>\n{tag('html', head, tag('body', main, tag('script', script)), lang='en')}\n"


def header(title: str, sub: str, badge: Content = None) -> Markup:
    titles = tag("div", tag("h1", title), tag("div", sub, class_="sub"), class_="titles")
    return tag("header", _LOGO, titles, badge, class_="top")


def badge(words: str, outcome: Outcome | None) -> Markup:
    return tag("span", words, class_=f"badge {tone(outcome)}")


def tone(outcome: Outcome | None) -> str:
    """The style sheet's class for an ending."""
    return "" if outcome is None else _TONES.get(outcome, "bad")


def card(title: str | None, *content: Content, class_: str = "card") -> Markup:
    return tag("section", None if title is None else tag("h2", title), content, class_=class_)


def tiles(*each: Markup | None) -> Markup:
    return tag("div", [tile for tile in each if tile is not None], class_="tiles")


def tile(name: str, value: str, note: str = "", *, share: float | None = None) -> Markup:
    """A figure in large letters; `share` (0..1) draws how full what it is measured against was."""
    bar = None
    if share is not None:
        part = "part full" if share >= 0.95 else "part"
        bar = tag(
            "svg",
            tag("rect", class_="whole", width="100%", height="6", rx="3"),
            tag("rect", class_=part, width=f"{100 * min(1.0, max(0.004, share)):.3g}%", height="6", rx="3"),
            class_="share",
            width="100%",
            height="6",
            aria_hidden="true",
        )
    return tag(
        "div",
        tag("div", name, class_="name"),
        tag("div", value, class_="value"),
        tag("div", note, class_="note") if note else None,
        bar,
        class_="tile",
    )


def plots(figures: Sequence[Markup | None]) -> Markup | None:
    """Cards with one plot each, beside each other where there is room."""
    drawn = [tag("section", figure, class_="card") for figure in figures if figure is not None]
    return tag("div", drawn, class_="plots") if drawn else None


def html_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[TableCell]],
    *,
    numbers: frozenset[int] = frozenset(),
) -> Markup:
    """Cells are text, or (text, class); columns in `numbers` are set to the right."""
    head = tag(
        "tr", [tag("th", title, class_=_number(i, numbers), scope="col") for i, title in enumerate(titles)]
    )
    body = [
        tag("tr", [_cell(cell, _number(i, numbers)) for i, cell in enumerate(row)])
        for row in rows
    ]  # fmt: skip
    return tag("div", tag("table", tag("thead", head), tag("tbody", body)), class_="wide")


def _number(column: int, numbers: frozenset[int]) -> str | None:
    return "number" if column in numbers else None


def _cell(cell: TableCell, class_: str | None) -> Markup:
    words, more = cell if isinstance(cell, tuple) else (cell, "")
    return tag("td", words, class_=" ".join(filter(None, (class_, more))) or None)


def decision_list(decisions: Sequence[Decision]) -> Markup:
    return tag(
        "dl",
        [
            tag(
                "div",
                tag("dt", f"{decision.question}: ", tag("span", decision.answer, class_="answer")),
                *(tag("dd", reason) for reason in decision.because),
            )
            for decision in decisions
        ],
    )


@lru_cache
def _asset(name: str) -> Markup:
    return asset(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode("ascii")
