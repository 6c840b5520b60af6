"""A fresh store with every fact that a damaged one still gives up. The damaged file is kept."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec

from flyball.adapters.sqlite_schema import APPLICATION_ID, SCHEMA, explained
from flyball.adapters.sqlite_store import SqliteStore
from flyball.errors import StoreError
from flyball.model.facts import AnyFact, RunSubmitted

_MISSES_MAX = 100_000  # positions tried one by one behind a damaged page; about 2 s
_FACTS_PER_APPEND = 1000
_FACT_START = re.compile(
    rb'\{"type":"(?:' + b"|".join(kind.__name__.encode() for kind in get_args(AnyFact)) + rb')",'
)
_FACT_BYTES_MAX = 1 << 20

_fact_decoder: msgspec.json.Decoder[AnyFact] = msgspec.json.Decoder(AnyFact)
_decode_fact = _fact_decoder.decode


class Repaired(msgspec.Struct, frozen=True, kw_only=True):
    facts: int
    lost: int | None  # None: the damage hides how many there were
    kept_as: str  # the damaged file's path now; it is untouched

    def __str__(self) -> str:
        lost = "it cannot be told how many are lost" if self.lost is None else f"{self.lost:,} lost"
        return f"{self.facts:,} facts saved, {lost}; the old store is kept as {self.kept_as}"


def rebuild(path: Path | str) -> Repaired:
    """What could be saved into a fresh store at `path`. Raises: StoreError.

    End other flyball processes first: what they record meanwhile goes to the file that is moved aside.
    """
    path = Path(path)
    with explained(path):
        if not path.is_file():
            raise StoreError(f"there is no store at {path}", hint="flyball doctor")
        found, last, whole = _from_tables(path)
        facts = list(found.values()) if whole else _with_scanned(found, path)
        fresh = _written(facts, path)
        kept_as = _moved_aside(path)
        fresh.replace(path)
    lost = last - len(facts) if last is not None else None
    return Repaired(facts=len(facts), lost=lost if lost is None or lost >= 0 else None, kept_as=str(kept_as))


def _from_tables(path: Path) -> tuple[dict[int, AnyFact], int | None, bool]:
    """Facts by position as far as SQLite can read them, the last position, and whether that was all."""
    found: dict[int, AnyFact] = {}
    last_known, whole = None, True
    with contextlib.closing(sqlite3.connect(path, timeout=30.0)) as db:
        try:
            _refuse_other_versions(db, path)
            last_known = db.execute("SELECT coalesce(max(position), 0) FROM facts").fetchone()[0]
        except sqlite3.DatabaseError:
            whole = False
        at, misses = 0, 0
        while misses < _MISSES_MAX and (last_known is None or at < last_known):
            try:
                query = "SELECT position, body FROM facts WHERE position > ? ORDER BY position"
                for position, body in db.execute(query, (at,)):
                    at, misses = position, 0
                    found[position] = _decode_fact(body)
                break
            except msgspec.MsgspecError:
                whole = False
            except sqlite3.DatabaseError:
                at, misses, whole = at + 1, misses + 1, False
                if not found and misses > 1 and last_known is None:
                    break  # not even the first page can be read
    return found, last_known, whole


def _refuse_other_versions(db: sqlite3.Connection, path: Path) -> None:
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if schema > SCHEMA and application == APPLICATION_ID:
        raise StoreError(
            f"the store {path} was written by a newer flyball",
            why="repairing it here would lose what this one does not know",
            hint="pip install --upgrade flyball",
        )


def _with_scanned(found: dict[int, AnyFact], path: Path) -> list[AnyFact]:
    """The facts found by position, and those whose text lies somewhere in the file, in the order of their time."""
    known = {msgspec.json.encode(fact) for fact in found.values()}
    facts = list(found.values())
    for file in (path, path.with_name(path.name + "-wal")):
        for fact in _scanned(file):
            body = msgspec.json.encode(fact)
            if body not in known:
                known.add(body)
                facts.append(fact)
    return sorted(facts, key=lambda fact: (fact.at_seconds, not isinstance(fact, RunSubmitted)))


def _scanned(file: Path) -> Iterator[AnyFact]:
    if not file.is_file() or file.stat().st_size == 0:
        return
    scan = json.JSONDecoder().raw_decode
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in _FACT_START.finditer(data):
            for reach_bytes in (1 << 13, _FACT_BYTES_MAX):
                text = data[match.start() : match.start() + reach_bytes].decode("utf-8", "replace")
                try:
                    _, end = scan(text)
                    yield _decode_fact(text[:end])
                    break
                except (ValueError, RecursionError):  # MsgspecError is a ValueError
                    continue


def _written(facts: list[AnyFact], path: Path) -> Path:
    fresh = path.with_name(f"{path.name}.repairing-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with SqliteStore(fresh) as store:
        for begin in range(0, len(facts), _FACTS_PER_APPEND):
            store.append(facts[begin : begin + _FACTS_PER_APPEND])
    return fresh  # closing folded its -wal into it


def _moved_aside(path: Path) -> Path:
    n = 1
    while (aside := path.with_name(f"{path.name}.damaged-{n}")).exists():
        n += 1
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    path.rename(aside)
    return aside
