"""The tables of the SQLite store, how its file is opened, and what its errors mean to the user."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from flyball import __version__
from flyball.errors import StoreError

SCHEMA = 1  # of the log: a flyball that knows less must not write here
PROJECTION = 2  # of the rows: raise it when AttemptRow gains or changes a field, and stores rebuild theirs
APPLICATION_ID = 0x666C7962  # "flyb"
BUSY_SECONDS = 30.0  # writers wait this long for each other; one append holds the lock for milliseconds

# Receipts are about 2 kB; in pages of 16 kB a fact lies in one piece, so that it can be salvaged from a damaged file.
_PAGE_BYTES = 16384

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE facts (position INTEGER PRIMARY KEY, run_id TEXT, body BLOB NOT NULL);
CREATE INDEX facts_of_run ON facts (run_id, position) WHERE run_id IS NOT NULL;
CREATE TABLE runs (run_id TEXT PRIMARY KEY, job TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX runs_of_job ON runs (job);
CREATE TABLE names (old TEXT PRIMARY KEY, now TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE attempts (
  job TEXT NOT NULL, started_at_seconds REAL NOT NULL, attempt_id TEXT NOT NULL, run_id TEXT NOT NULL, row BLOB NOT NULL,
  PRIMARY KEY (job, started_at_seconds, attempt_id, run_id)
) WITHOUT ROWID;
CREATE INDEX attempts_by_time ON attempts (started_at_seconds, attempt_id, run_id);
CREATE INDEX attempts_of_run ON attempts (run_id);
"""

_WHY_BY_CODE = {
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", "flyball store repair"),
    sqlite3.SQLITE_NOTADB: ("the file is damaged, or is not a store", "flyball store repair"),
    sqlite3.SQLITE_FULL: (
        "the disk is full",
        "free some space, or set FLYBALL_HOME to a folder on another disk",
    ),
    sqlite3.SQLITE_READONLY: ("it is read-only", "set FLYBALL_HOME to a folder that you may write"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "set FLYBALL_HOME to a folder that you may write"),
    sqlite3.SQLITE_PERM: ("no permission", "set FLYBALL_HOME to a folder that you may write"),
    sqlite3.SQLITE_BUSY: (
        f"another process has held it for {BUSY_SECONDS:.0f} s",
        "end that process, or try again",
    ),
    sqlite3.SQLITE_IOERR: ("the disk refuses to read or write", "check the disk and its free space"),
}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what SQLite and the file system say into StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        code = primary_code(error)
        why, hint = _WHY_BY_CODE.get(code, (str(error), "flyball store repair"))
        raise StoreError(f"the store {path} cannot be used", why=f"{why} ({error})", hint=hint) from error
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be used",
            why=error.strerror or str(error),
            hint="set FLYBALL_HOME to a folder that you may write",
        ) from error


def primary_code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def connect(path: Path) -> sqlite3.Connection:
    """An open store, made when there was none; read-only where its folder cannot be written. Raises: StoreError."""
    with explained(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return _connect(path)
            except sqlite3.OperationalError as error:
                # Switching a new file to WAL does not wait for its lock by itself.
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return _checked(_open(path), path)
    except sqlite3.OperationalError as error:
        denied = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
        if primary_code(error) not in denied or not path.is_file():
            raise
    # Without a -wal file nobody is writing and the file is whole: it can be read where nothing can be written.
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    return _checked(_open(f"{path.absolute().as_uri()}?{mode}"), path)


def _open(target: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(
        target,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=isinstance(target, str),
    )


def _checked(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        _check(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA synchronous=FULL")  # in WAL: each commit is on the disk before append returns
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    if schema == 0:
        _create(db, path)
    elif schema > SCHEMA:
        raise _newer(db, path)


def _create(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] and not _is_ours(db):
        raise StoreError(
            f"{path} is not a flyball store",
            why="it holds other tables",
            hint="set FLYBALL_HOME to another folder",
        )
    db.execute(f"PRAGMA page_size={_PAGE_BYTES}")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("BEGIN IMMEDIATE")
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    if schema == 0:  # else another process was faster
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                db.execute(statement)
        db.execute(
            "INSERT INTO meta VALUES ('flyball', ?), ('projection', ?)", (__version__, str(PROJECTION))
        )
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={SCHEMA}")
    db.execute("COMMIT")


def _is_ours(db: sqlite3.Connection) -> bool:
    return bool(db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID)


def _newer(db: sqlite3.Connection, path: Path) -> StoreError:
    try:
        (version,) = db.execute("SELECT value FROM meta WHERE key = 'flyball'").fetchone()
    except (sqlite3.Error, TypeError):
        version = "newer than this one"
    return newer_store(path, f"flyball {version}")


def newer_store(path: Path, writer: str) -> StoreError:
    return StoreError(
        f"the store {path} was written by a newer flyball",
        why=f"it needs {writer}; this is {__version__}",
        hint="pip install --upgrade flyball",
    )
