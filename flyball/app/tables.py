"""Tables that fit their terminal: columns give way, the least important first, before a line grows too wide."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flyball.app.look import Look, columns_of, pad, shorten

GAP = "  "


class Column(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    right: bool = False
    least: int = 6  # columns below which it is not cut
    cut: bool = False  # may be shortened
    keep: int = 9  # the column with the lowest number is dropped first


class Cell(msgspec.Struct, frozen=True):
    text: str
    styles: tuple[str, ...] = ()


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell | str]], look: Look, *, indent: str = ""
) -> str:
    """Titles, then one line a row. Cells are cleaned here; a column that is empty in every row is left out."""
    cells = [[_cleaned(cell, look) for cell in row] for row in rows]
    shown = [i for i in range(len(columns)) if not cells or any(row[i].text for row in cells)]
    natural = {
        i: max([columns_of(columns[i].title), *(columns_of(row[i].text) for row in cells)]) for i in shown
    }
    widths = _fitted(columns, natural, look.width - len(indent))
    lines = [_line([Cell(c.title, ("dim",)) for c in columns], columns, widths, look, indent)]
    lines += [_line(row, columns, widths, look, indent) for row in cells]
    return "\n".join(lines)


def _cleaned(cell: Cell | str, look: Look) -> Cell:
    if isinstance(cell, str):
        return Cell(look.clean(cell))
    return Cell(look.clean(cell.text), cell.styles)


def _fitted(columns: Sequence[Column], natural: dict[int, int], room: int) -> dict[int, int]:
    """Widths that fit: first the columns that may be cut shrink, then the least important ones go."""
    widths = dict(natural)
    while True:
        over = sum(widths.values()) + len(GAP) * (len(widths) - 1) - room
        for i in sorted((i for i in widths if columns[i].cut), key=lambda i: -widths[i]):
            if over <= 0:
                break
            give = min(over, max(0, widths[i] - columns[i].least))
            widths[i], over = widths[i] - give, over - give
        if over <= 0:
            return widths
        if len(widths) == 1:
            return dict.fromkeys(widths, max(1, room))
        gone = min(widths, key=lambda i: (columns[i].keep, -i))
        widths = {i: natural[i] for i in widths if i != gone}


def _line(
    cells: Sequence[Cell], columns: Sequence[Column], widths: dict[int, int], look: Look, indent: str
) -> str:
    last = max(widths)
    line = indent
    for i, width in widths.items():
        text = shorten(cells[i].text, width, look)
        blank = pad(text, width, right=columns[i].right)
        lead = blank[: len(blank) - len(text)] if columns[i].right else ""
        trail = "" if columns[i].right or i == last else blank[len(text) :]
        line += lead + look.paint(text, *cells[i].styles) + trail + ("" if i == last else GAP)
    return line.rstrip()
