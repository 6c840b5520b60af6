"""Reading a table of definitions key by key, so that all its mistakes are found at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from flyball.app.jobs_file_lines import Path, lines_of, nearest_line
from flyball.app.jobs_file_values import near, shown
from flyball.errors import InputError

_T = TypeVar("_T")
_D = TypeVar("_D")


class Notes:
    """Mistakes and doubts about one file, each with its line."""

    def __init__(self, file: str, text: str | None = None, lines: Mapping[Path, int] | None = None) -> None:
        self.file = file
        self._problems: list[tuple[int, str]] = []
        self._warnings: list[tuple[int, str]] = []
        self._lines = dict(lines) if lines is not None else lines_of(text or "")

    def problem(self, path: Path, where: str, error: InputError) -> None:
        self._problems.append((self.line(path) or 0, self._words(path, where, error)))

    def warning(self, path: Path, where: str, error: InputError) -> None:
        self._warnings.append((self.line(path) or 0, self._words(path, where, error)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """By line."""
        return tuple(words for _, words in sorted(self._warnings))

    def line(self, path: Path) -> int | None:
        return nearest_line(self._lines, path)

    def place(self, path: Path) -> str:
        """ "flyball.toml:12", by the file's whole name."""
        line = self.line(path)
        return self.file if line is None else f"{self.file}:{line}"

    def raise_all(self) -> None:
        """Raises: InputError with everything that is wrong, when anything is."""
        if not self._problems:
            return
        count = len(self._problems)
        what = "1 mistake" if count == 1 else f"{count} mistakes"
        body = "".join(f"\n{words}" for _, words in sorted(self._problems))
        raise InputError(
            f"{what} in {self.file}{body}", hint="flyball check, when mended; docs/jobs.md has every key"
        )

    def _words(self, path: Path, where: str, error: InputError) -> str:
        line = self.line(path)
        name = self.file.rsplit("/", 1)[-1]
        place = name if line is None else f"{name}:{line}"
        return ": ".join(part for part in (place, where, str(error)) if part).replace(
            "\n  try:", "\n    try:"
        )


class Fields:
    """One table. What is wrong becomes a note, and the value None."""

    def __init__(self, raw: Mapping[str, Any], *, path: Path, where: str, notes: Notes) -> None:
        self.path, self.where, self.notes = path, where, notes
        self._raw = raw
        self._known: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._raw

    def raw(self, key: str) -> Any:
        self._known.add(key)
        return self._raw.get(key)

    def read(self, key: str, convert: Callable[[Any], _T]) -> _T | None:
        """What `convert` makes of it; None when it is not there or wrong."""
        value = self.raw(key)
        if key not in self._raw:
            return None
        try:
            return convert(value)
        except InputError as error:
            self.problem(key, error)
            return None

    def get(self, key: str, convert: Callable[[Any], _T], default: _D) -> _T | _D:
        found = self.read(key, convert)
        return default if found is None else found

    def table(self, key: str) -> Fields | None:
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.problem(key, InputError(f"{shown(value)} is not a table", hint=f"{key} = {{ ... }}"))
            return None
        where = f"{self.where}: {key}" if self.where else key
        return Fields(value, path=(*self.path, key), where=where, notes=self.notes)

    def tables(self, key: str, *, hint: str) -> list[Fields]:
        value = self.raw(key)
        if value is None:
            return []
        if not isinstance(value, Sequence) or not all(isinstance(one, Mapping) for one in value):
            self.problem(key, InputError("it is a list of tables", hint=hint))
            return []
        where = f"{self.where}: {key}" if self.where else key
        return [
            Fields(one, path=(*self.path, key, index), where=where, notes=self.notes)
            for index, one in enumerate(value)
        ]

    def problem(self, key: str, error: InputError) -> None:
        what = f"{key}: {error.what}" if key else error.what
        self.notes.problem(
            (*self.path, key) if key else self.path,
            self.where,
            InputError(what, why=error.why, hint=error.hint),
        )

    def warning(self, key: str, error: InputError) -> None:
        what = f"{key}: {error.what}"
        self.notes.warning((*self.path, key), self.where, InputError(what, why=error.why, hint=error.hint))

    def only_with(self, key: str, others: Sequence[str]) -> None:
        """That key says nothing without one of the others."""
        if key in self._raw and not any(other in self._raw for other in others):
            names = " or ".join(others)
            self.problem(
                key, InputError(f"it says nothing without {names}", hint=f"add {names}, or leave it out")
            )

    def finish(self) -> None:
        """Notes every key that nobody asked for."""
        for key in self._raw:
            if key not in self._known:
                meant = near(key, sorted(self._known))
                why = f"did you mean {meant}?" if meant else "docs/jobs.md has every key"
                self.notes.problem(
                    (*self.path, key), self.where, InputError(f"there is no key {key!r}", why=why)
                )
