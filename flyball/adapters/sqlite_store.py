"""The store in one SQLite file: a log of facts, and rows kept in step with it in the same transaction."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from flyball.adapters import sqlite_projection as projection
from flyball.adapters.sqlite_schema import PROJECTION, connect, explained
from flyball.errors import Conflict, StoreError
from flyball.model.facts import AnyFact
from flyball.model.history import AttemptRow, RunState, run_id_of

_decode_rows = msgspec.msgpack.Decoder(list[AttemptRow]).decode

# Jumps from one job to the next in the index; GROUP BY would walk through every attempt.
_JOBS_NEWEST_FIRST = """
WITH RECURSIVE found (job) AS (
  SELECT min(job) FROM attempts
  UNION ALL
  SELECT (SELECT min(job) FROM attempts WHERE job > found.job) FROM found WHERE found.job IS NOT NULL
)
SELECT job FROM found WHERE job IS NOT NULL
ORDER BY (SELECT max(started_at_seconds) FROM attempts WHERE attempts.job = found.job) DESC, job
"""

# A former name counts for the one the job has now.
_NAME_NOW = "coalesce((SELECT now FROM names WHERE old = ?), ?)"


class SqliteStore:
    """Many processes may use one file at once; within a process, threads take turns. Do not use it across a fork."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._db = connect(self.path)
        try:
            self._refresh_projection()
        except BaseException:
            self.close()
            raise

    def append(self, facts: Sequence[AnyFact], *, after: int | None = None) -> int:
        rows = [(run_id_of(fact), projection.encode(fact)) for fact in facts]
        with self._writing() as db:
            (last,) = db.execute("SELECT coalesce(max(position), 0) FROM facts").fetchone()
            if after is not None and after != last:
                raise Conflict(f"the log is at {last}, not at {after}")
            db.executemany(
                "INSERT INTO facts VALUES (?, ?, ?)",
                [(position, *row) for position, row in enumerate(rows, start=last + 1)],
            )
            projection.project(db, facts, self.path)
        return int(last) + len(rows)

    def read(self, after: int = 0, *, limit: int | None = None) -> Sequence[AnyFact]:
        query = "SELECT body FROM facts WHERE position > ? ORDER BY position LIMIT ?"
        return tuple(projection.decode(self._column(query, after, -1 if limit is None else limit), self.path))

    def rows(self, job: str | None = None, *, newest: int | None = None) -> Sequence[AttemptRow]:
        which, args = ("", ()) if job is None else (f"WHERE job = {_NAME_NOW}", (job, job))
        query = (
            f"SELECT row FROM attempts {which}"  # noqa: S608 - the text is ours
            " ORDER BY started_at_seconds DESC, attempt_id DESC, run_id DESC LIMIT ?"
        )
        blobs = self._column(query, *args, -1 if newest is None else newest)
        blobs.reverse()
        return _decoded(blobs, self.path)

    def run(self, run_id: str) -> RunState | None:
        with self._reading() as db:
            return projection.run_state(db, run_id, self.path)

    def jobs(self) -> Sequence[str]:
        return tuple(self._column(_JOBS_NEWEST_FIRST))

    def rebuild_projection(self) -> None:
        """Make names and rows anew from the log."""
        with self._writing() as db:
            projection.rebuild_projection(db, self.path)

    def close(self) -> None:
        with (
            self._lock,
            contextlib.suppress(sqlite3.Error),
        ):  # a full disk cannot hinder the end: the WAL stays
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refresh_projection(self) -> None:
        """Rows written by an older flyball lack fields; a newer one's are left alone: they only have more."""
        with self._reading() as db:
            found = db.execute("SELECT value FROM meta WHERE key = 'projection'").fetchone()
        if found is None or int(found[0]) < PROJECTION:
            self.rebuild_projection()

    def _column(self, query: str, *args: object) -> list[Any]:
        with self._lock, explained(self.path):
            return [value for (value,) in self._db.execute(query, args).fetchall()]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One moment of the store, whatever others write meanwhile."""
        with self._lock, explained(self.path):
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                self._db.rollback()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and on the disk when it is left without an error."""
        with self._lock, explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself (full disk)
                    self._db.rollback()
                raise


@contextlib.contextmanager
def _garbage_left_alone() -> Iterator[None]:
    """No garbage collection meanwhile: looking through 10,000 new rows again and again doubles the time they take."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _decoded(blobs: list[bytes], path: Path) -> tuple[AttemptRow, ...]:
    header = b"\xdd" + len(blobs).to_bytes(
        4, "big"
    )  # msgpack: an array of that many; one call decodes them all
    try:
        return tuple(_decode_rows(header + b"".join(blobs)))
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"the store {path} cannot be used", why=f"a row is damaged ({error})", hint="flyball store repair"
        ) from error
