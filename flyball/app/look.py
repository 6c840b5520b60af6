"""How text may look where it is shown: width, colour, characters; and text made safe to show there."""

from __future__ import annotations

import msgspec

_SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A terminal as far as we care: lines never exceed `width` columns."""

    width: int = 80
    colour: bool = False
    unicode: bool = True

    def paint(self, text: str, *styles: str) -> str:
        if not (self.colour and styles and text):
            return text
        return f"\x1b[{';'.join(_SGR[style] for style in styles)}m{text}\x1b[0m"

    def clean(self, text: str) -> str:
        """The text on one line, with no character that a terminal would obey instead of show."""
        if (
            not text.isprintable()
        ):  # control and bidirectional characters, lone surrogates of undecodable arguments
            text = "".join(c if c.isprintable() else " " if c == "\n" else _escaped(c) for c in text)
        if self.unicode or text.isascii():
            return text
        for sign, ascii_sign in _ASCII_SIGNS.items():
            text = text.replace(sign, ascii_sign)
        return "".join(c if c.isascii() else _escaped(c) for c in text)

    @property
    def ellipsis(self) -> str:
        return "…" if self.unicode else "..."

    @property
    def dot(self) -> str:
        """Between parts of one line."""
        return " · " if self.unicode else " | "

    @property
    def arrow(self) -> str:
        return "→" if self.unicode else "->"


_ASCII_SIGNS = {"→": "->", "·": "|", "…": "...", "≥": ">=", "≤": "<=", "±": "+-"}


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def columns_of(text: str) -> int:
    """Columns that the text takes in a terminal: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in {"W", "F"} else 1
        for c in text
    )


def shorten(text: str, columns: int, look: Look) -> str:
    """The text cut to that many columns, with an ellipsis where something is left out."""
    if columns_of(text) <= columns:
        return text
    mark = look.ellipsis if columns > len(look.ellipsis) else ""
    room, kept = columns - len(mark), ""
    for character in text:
        room -= columns_of(character)
        if room < 0:
            break
        kept += character
    return kept + mark


def pad(text: str, columns: int, *, right: bool = False) -> str:
    blank = " " * max(0, columns - columns_of(text))
    return blank + text if right else text + blank


def wrap(text: str, look: Look, *, first: str = "", rest: str | None = None) -> list[str]:
    """Lines of at most `look.width` columns, broken at spaces where there are any; `rest` indents all but the first."""
    indent = " " * columns_of(first) if rest is None else rest
    lines, line, empty = [], first, True
    for word in look.clean(text).split(" "):
        piece = word
        if not empty and columns_of(line) + 1 + columns_of(piece) > look.width:
            lines.append(line)
            line, empty = indent, True
        while columns_of(line) + columns_of(piece) > look.width:  # a word wider than a line
            head = _head(piece, max(1, look.width - columns_of(line)))
            lines.append(line + head)
            line, piece = indent, piece[len(head) :]
        line += piece if empty else " " + piece
        empty = False
    return [*lines, line]


def join_wrapped(parts: list[str], look: Look, *, first: str, rest: str) -> list[str]:
    """Parts put on as few lines as they fit on, with a dot between; a part is only broken when wider than a line.

    Parts are clean already and may be painted: use `Part` widths of what is seen.
    """
    lines, line, taken = [], first, columns_of(first)
    started = False
    for part in parts:
        seen = columns_of(unpainted(part))
        dot = look.dot if started else ""
        if started and taken + len(dot) + seen > look.width:
            lines.append(line)
            line, taken, started, dot = rest, columns_of(rest), False, ""
        if taken + seen > look.width and not started:
            *full, part = wrap(unpainted(part), look, first=line, rest=rest)  # noqa: PLW2901 - the rest of it
            lines.extend(full)
            line, taken, started = part, columns_of(part), True
            continue
        line, taken, started = line + dot + part, taken + len(dot) + seen, True
    return [*lines, line]


def unpainted(text: str) -> str:
    """The text without our own colours."""
    if "\x1b" not in text:
        return text
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _head(text: str, columns: int) -> str:
    taken, count = 0, 0
    for character in text:
        taken += columns_of(character)
        if taken > columns and count:
            break
        count += 1
    return text[: max(1, count)]
