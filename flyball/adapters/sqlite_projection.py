"""Attempt rows and names kept beside the log: what folding the log gives, ready to be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from flyball.adapters.sqlite_schema import PROJECTION, newer_store
from flyball.errors import StoreError
from flyball.model.facts import AnyFact, JobRenamed
from flyball.model.history import (
    ROW_FACTS,
    AttemptRow,
    History,
    RunState,
    first_of_run,
    fold_history,
    run_id_of,
)

_FACTS_AT_A_TIME = 10_000

_encode_json = msgspec.json.Encoder().encode
_fact_decoder: msgspec.json.Decoder[AnyFact] = msgspec.json.Decoder(AnyFact)
_decode_fact = _fact_decoder.decode
_decode_facts = msgspec.json.Decoder(list[AnyFact]).decode
_encode_row = msgspec.msgpack.Encoder().encode


def encode(fact: AnyFact) -> bytes:
    """The fact as JSON that is known to decode again. Raises: StoreError."""
    try:
        body = _encode_json(fact)
        _decode_fact(body)  # NaN becomes null: one such fact would make the whole log unreadable
    except (msgspec.MsgspecError, UnicodeError, OverflowError) as error:
        raise StoreError(f"a {type(fact).__name__} cannot be recorded", why=str(error)) from error
    return body


def decode(bodies: Sequence[bytes], path: Path) -> list[AnyFact]:
    """Facts of the log. Raises: StoreError, which tells a newer flyball's fact from a damaged one."""
    try:
        return _decode_facts(b"[" + b",".join(bodies) + b"]")
    except msgspec.MsgspecError:
        return [_decode_one(body, path) for body in bodies]


def _decode_one(body: bytes, path: Path) -> AnyFact:
    try:
        return _decode_fact(body)
    except msgspec.ValidationError as error:
        raise newer_store(path, f"one that knows this fact ({error})") from error
    except msgspec.DecodeError as error:
        raise StoreError(
            f"the store {path} cannot be used",
            why=f"a fact is damaged ({error})",
            hint="flyball store repair",
        ) from error


def project(db: sqlite3.Connection, facts: Iterable[AnyFact], path: Path) -> None:
    """Bring names and rows up to date after `facts` were added to the log, in the same transaction."""
    touched: dict[str, None] = {}  # in order
    for fact in facts:
        if isinstance(fact, JobRenamed):
            touched.update(dict.fromkeys(_rename(db, fact)))
            continue
        first = first_of_run(fact)
        if first is not None:
            _name_run(db, first.run.run_id, first.run.job)
        # What a run waited for and how far it got is told by its facts, not by its rows.
        elif isinstance(fact, ROW_FACTS) and (run_id := run_id_of(fact)) is not None:
            touched[run_id] = None
    for run_id in touched:
        _write_rows(db, run_id, run_state(db, run_id, path))


def run_state(db: sqlite3.Connection, run_id: str, path: Path) -> RunState | None:
    named = db.execute("SELECT job FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if named is None:
        return None
    bodies = db.execute("SELECT body FROM facts WHERE run_id = ? ORDER BY position", (run_id,)).fetchall()
    state = fold_history(History(), decode([body for (body,) in bodies], path)).runs[run_id]
    return msgspec.structs.replace(state, job=named[0])


def rebuild_projection(db: sqlite3.Connection, path: Path) -> None:
    """Names and rows made anew from the log alone."""
    for table in ("attempts", "runs", "names"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the line above
    last, snapshot = 0, History()
    while True:
        found = db.execute(
            "SELECT position, body FROM facts WHERE position > ? ORDER BY position LIMIT ?",
            (last, _FACTS_AT_A_TIME),
        ).fetchall()
        if not found:
            break
        snapshot, last = fold_history(snapshot, decode([body for _, body in found], path)), found[-1][0]
    db.executemany("INSERT INTO names VALUES (?, ?)", snapshot.names.items())
    db.executemany("INSERT INTO runs VALUES (?, ?)", ((run_id, s.job) for run_id, s in snapshot.runs.items()))
    db.executemany(_INSERT_ROW, (_stored(row) for state in snapshot.runs.values() for row in state.rows()))
    db.execute("INSERT OR REPLACE INTO meta VALUES ('projection', ?)", (str(PROJECTION),))


def _name_run(db: sqlite3.Connection, run_id: str, job: str) -> None:
    now = db.execute("SELECT now FROM names WHERE old = ?", (job,)).fetchone()
    db.execute("INSERT OR IGNORE INTO runs VALUES (?, ?)", (run_id, now[0] if now else job))


def _rename(db: sqlite3.Connection, fact: JobRenamed) -> list[str]:
    """Run ids whose job is another one now."""
    which = "job = ?1 AND (?2 IS NULL OR run_id = ?2)"
    args = (fact.old, fact.only_run_id)
    moved = [run_id for (run_id,) in db.execute(f"SELECT run_id FROM runs WHERE {which}", args)]  # noqa: S608 - no input
    db.executemany("UPDATE runs SET job = ? WHERE run_id = ?", ((fact.new, run_id) for run_id in moved))
    if fact.only_run_id is None:
        db.execute("UPDATE names SET now = ? WHERE now = ?", (fact.new, fact.old))
        db.execute("INSERT OR REPLACE INTO names VALUES (?, ?)", (fact.old, fact.new))
        db.execute("DELETE FROM names WHERE old = ?", (fact.new,))  # renamed back
    return moved


_EMPTY: tuple[object, ...] = ({}, ())
_ROW_FIELDS = AttemptRow.__struct_fields__
_INSERT_ROW = "INSERT INTO attempts VALUES (?, ?, ?, ?, ?)"


def _write_rows(db: sqlite3.Connection, run_id: str, state: RunState | None) -> None:
    db.execute("DELETE FROM attempts WHERE run_id = ?", (run_id,))
    if state is not None:
        db.executemany(_INSERT_ROW, [_stored(row) for row in state.rows()])


def _stored(row: AttemptRow) -> tuple[str, float, str, str, bytes]:
    said = {
        name: value
        for name in _ROW_FIELDS
        if (value := getattr(row, name)) is not None and value not in _EMPTY
    }
    return row.job, row.started_at_seconds, row.attempt_id, row.run_id, _encode_row(said)
