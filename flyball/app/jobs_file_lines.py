"""On which line of a TOML text each table, key and element stands: tomllib does not say."""

from __future__ import annotations

import bisect
import tomllib

Path = tuple[str | int, ...]

_BARE_KEY_ENDS = " \t.=]"
_VALUE_ENDS = ",]}\n#"


def lines_of(text: str) -> dict[Path, int]:
    """Line numbers from 1, by path: ("job", 0, "memory"). `text` must be valid TOML."""
    scan = _Scan(text.replace("\r\n", "\n"))
    try:
        scan.document()
    except IndexError:  # it ends where the scan does not expect it: what was found before is right
        pass
    return scan.lines


def nearest_line(lines: dict[Path, int], path: Path) -> int | None:
    """The line of that path, or of what it is in; None: of nothing of it."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


class _Scan:
    """One pass; it knows just enough of the grammar to tell keys, strings and brackets apart."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text, self._at = text, 0
        self._newlines = [index for index, char in enumerate(text) if char == "\n"]
        self._tables: dict[Path, int] = {}  # arrays of tables -> how many so far

    def document(self) -> None:
        table: Path = ()
        while self._skip(" \t\n"):
            if self._here() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        line, brackets = self._line(), 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        keys = self._key()
        self._at = self._text.index("]", self._at) + brackets
        path: Path = ()
        for depth, key in enumerate(keys):
            path = (*path, key)
            self.lines.setdefault(path, line)
            if brackets == 2 and depth == len(keys) - 1:
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        self.lines[path] = line
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = (*table, *self._key())
        self.lines.setdefault(path, line)
        self._at += 1  # the =
        self._value(path)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(" \t")
            start = self._at
            if self._here() in "\"'":
                self._string()
                parts.append(tomllib.loads(f"k = {self._text[start : self._at]}")["k"])
            else:
                while self._here() not in _BARE_KEY_ENDS:
                    self._at += 1
                parts.append(self._text[start : self._at])
            self._skip(" \t")
            if self._here() != ".":
                return parts
            self._at += 1

    def _value(self, path: Path) -> None:
        self._skip(" \t")
        char = self._here()
        if char in "\"'":
            self._string()
        elif char == "[":
            self._inside(path, "]")
        elif char == "{":
            self._inside(path, "}")
        else:
            while self._at < len(self._text) and self._here() not in _VALUE_ENDS:
                self._at += 1

    def _inside(self, path: Path, end: str) -> None:
        """Elements of an array, or pairs of an inline table."""
        self._at += 1
        index = 0
        while self._skip(" \t\n,") and self._here() != end:
            if end == "}":
                self._pair(path)
            else:
                self.lines[(*path, index)] = self._line()
                self._value((*path, index))
            index += 1
        self._at += 1

    def _string(self) -> None:
        quote = self._here()
        marks = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._at += len(marks)
        while not self._text.startswith(marks, self._at):
            self._at += 2 if self._here() == "\\" and quote == '"' else 1
        self._at += len(marks)
        while len(marks) == 3 and self._at < len(self._text) and self._here() == quote:
            self._at += 1  # quotes right before the end belong to the text

    def _skip(self, what: str) -> bool:
        """Over those characters and comments; whether anything is left."""
        while self._at < len(self._text):
            if self._here() == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif self._here() in what:
                self._at += 1
            else:
                return True
        return False

    def _here(self) -> str:
        return self._text[self._at]

    def _line(self) -> int:
        return bisect.bisect_left(self._newlines, self._at) + 1
