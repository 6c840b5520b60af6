"""Which objects have been given to a job, for ever: read off the log, kept in a small file of its own.

The log is the truth (ObjectsArrived names every object with its version); this file only makes it quick to ask. It may
be deleted: then the log is read again from its start. As nothing is offered before it has caught up with the log, and
what is offered is recorded only if nobody else has recorded anything since, no object is given twice, whatever dies in
between and however many governors there are.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from flyball.errors import StoreError
from flyball.model.facts import AnyFact, ObjectsArrived

FACTS_AT_A_TIME = 20_000  # one tick reads no more: a long log takes several
POSITION_STEP = 1000  # facts without an object between two writes
_ASKED_AT_ONCE = 500
BUSY_SECONDS = 10.0


class Read(Protocol):
    """Store.read."""

    def __call__(self, after: int = 0, *, limit: int | None = None) -> Sequence[AnyFact]: ...


class Given:
    """Raises StoreError from every method when its file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = self._open()
        self.position = self._written = self._stored_position()

    def catch_up(self, read: Read, position: int) -> bool:
        """Whether it knows the log up to there now."""
        if self.position > position:  # another log, or an older copy of it: what was given stays given
            self.position = 0
        while self.position < position:
            facts = read(self.position, limit=min(FACTS_AT_A_TIME, position - self.position))
            if not facts:
                return False
            self._take(facts)
            if len(facts) >= FACTS_AT_A_TIME:
                return self.position >= position
        return True

    def known(self, keys: Iterable[int]) -> set[int]:
        """Those of the keys that were given."""
        return self._known(self._database, keys)

    def known_here(self, keys: Iterable[int]) -> set[int]:
        """`known`, in any thread."""
        database = self._open()
        try:
            return self._known(database, keys)
        finally:
            database.close()

    def close(self) -> None:
        self._database.close()

    def _known(self, database: sqlite3.Connection, keys: Iterable[int]) -> set[int]:
        left, found = list(keys), set[int]()
        try:
            for start in range(0, len(left), _ASKED_AT_ONCE):
                some = left[start : start + _ASKED_AT_ONCE]
                query = f"SELECT key FROM given WHERE key IN ({','.join('?' * len(some))})"  # noqa: S608 - marks only
                found.update(row[0] for row in database.execute(query, some))
        except sqlite3.Error as error:
            raise self._broken(error) from error
        return found

    def _take(self, facts: Sequence[AnyFact]) -> None:
        keys = [key for fact in facts if isinstance(fact, ObjectsArrived) for key in keys_of(fact)]
        self.position += len(facts)
        if keys or self.position - self._written >= POSITION_STEP:
            try:
                with self._database:
                    self._database.executemany("INSERT OR IGNORE INTO given VALUES (?)", [(k,) for k in keys])
                    self._database.execute("UPDATE log SET position = ?", (self.position,))
            except sqlite3.Error as error:
                raise self._broken(error) from error
            self._written = self.position

    def _stored_position(self) -> int:
        try:
            return int(self._database.execute("SELECT position FROM log").fetchone()[0])
        except (sqlite3.Error, TypeError) as error:
            raise self._broken(error) from error

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=BUSY_SECONDS, check_same_thread=False)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")  # the log can tell it again
            with database:
                database.execute("CREATE TABLE IF NOT EXISTS given (key INTEGER PRIMARY KEY)")
                database.execute("CREATE TABLE IF NOT EXISTS log (position INTEGER)")
                database.execute("INSERT INTO log SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM log)")
        except (sqlite3.Error, OSError) as error:
            raise self._broken(error) from error
        return database

    def _broken(self, error: Exception) -> StoreError:
        return StoreError(
            f"{self._path} cannot be used",
            why=str(error),
            hint=f"delete it; the log tells it again: rm {self._path}",
        )


def key_of(job: str, name: str, version: str) -> int:
    """64 bits: among a million objects two agree once in 37 million."""
    digest = hashlib.blake2b(f"{job}\0{name}\0{version}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)


def keys_of(fact: ObjectsArrived) -> list[int]:
    versions = fact.versions or ("",) * len(fact.objects)
    return [key_of(fact.job, name, version) for name, version in zip(fact.objects, versions, strict=False)]
