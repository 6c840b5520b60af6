"""The store against what happens to files: killed writers, many writers, full disks, damage, other versions."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flyball.adapters.sqlite_repair import rebuild
from flyball.adapters.sqlite_store import SqliteStore
from flyball.errors import FlyballError, StoreError
from flyball.model.facts import AttemptLaunched, RunSubmitted
from flyball.model.job import Features, RunSpec

WRITER = """
import sys
from flyball.adapters.sqlite_store import SqliteStore
from flyball.errors import Conflict, FlyballError
from flyball.model.facts import AttemptStarted, RunSubmitted
from flyball.model.job import Features, RunSpec
from flyball.model.receipt import Limits

def pair(run_id, padding=0):
    spec = RunSpec(run_id=run_id, job="j", command=("x" * padding,), features=Features(started_at_seconds=1.0))
    begin = AttemptStarted(at_seconds=1.0, run_id=run_id, attempt_id=run_id + ".1", limits=Limits(), reason="")
    return [RunSubmitted(at_seconds=1.0, run=spec), begin]
"""


def start_writer(body: str, *args: object, **popen: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER + body, *map(str, args)], stdout=subprocess.PIPE, text=True, **popen
    )


def spec(run_id: str, *, words: str = "x", at: float = 1.0) -> RunSubmitted:
    features = Features(started_at_seconds=1.0)
    run = RunSpec(run_id=run_id, job="j", command=(words,), features=features)
    return RunSubmitted(at_seconds=at, run=run)


def filled(path: Path, runs: int) -> list[str]:
    facts = [spec(f"r{n:04d}", words=f"café {n} " * 40, at=1.0 + n) for n in range(runs)]
    with SqliteStore(path) as store:
        for begin in range(0, runs, 10):
            store.append(facts[begin : begin + 10])
    return [fact.run.run_id for fact in facts]


def run_ids(path: Path) -> list[str]:
    with SqliteStore(path) as store:
        return [fact.run.run_id for fact in store.read() if isinstance(fact, RunSubmitted)]


def test_a_writer_killed_at_any_instant_loses_nothing_it_had_reported(tmp_path: Path) -> None:
    path, rng, reported = tmp_path / "s.sqlite", random.Random(20261121), []
    loop = """
store, n = SqliteStore(sys.argv[1]), 0
while True:
    run_id = f"{sys.argv[2]}-{n}"
    store.append(pair(run_id))
    print(run_id, flush=True)
    n += 1
"""
    for kill in range(12):
        writer = start_writer(loop, path, kill)
        assert writer.stdout is not None
        first = writer.stdout.readline()  # it is writing now
        time.sleep(rng.uniform(0.0, 0.05))
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate()
        reported += (first + rest).split()
    with SqliteStore(path) as store:
        facts = list(store.read())
        recorded = [fact.run.run_id for fact in facts if isinstance(fact, RunSubmitted)]
        assert len(set(recorded)) == len(recorded)
        assert set(reported) <= set(recorded)
        assert len(recorded) - len(reported) <= 12  # recorded, but killed before it could say so
        assert len(facts) == 2 * len(recorded)  # never half of a pair
        assert {row.run_id for row in store.rows("j")} == set(recorded)
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_four_writers_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    loop = """
store = SqliteStore(sys.argv[1])
for n in range(60):
    store.append(pair(f"{sys.argv[2]}-{n}"))
"""
    writers = [start_writer(loop, path, name) for name in "abcd"]  # also racing to create the file
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    for writer in writers:
        writer.communicate()
    expected = {f"{name}-{n}" for name in "abcd" for n in range(60)}
    assert sorted(run_ids(path)) == sorted(expected)
    with SqliteStore(path) as store:
        assert len(store.rows("j")) == 240


def test_of_racers_for_one_position_exactly_one_wins_each_time(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    race = """
store, won = SqliteStore(sys.argv[1]), 0
for position in range(0, 80, 2):
    try:
        while len(store.read(limit=position)) < position:
            pass
        store.append(pair(f"{sys.argv[2]}-{position}"), after=position)
        won += 1
    except Conflict:
        pass
print(won)
"""
    racers = [start_writer(race, path, name) for name in "abc"]
    wins = [int(racer.communicate()[0]) for racer in racers]
    assert sum(wins) == 40
    winners = [int(run_id.split("-")[1]) for run_id in run_ids(path)]
    assert winners == list(range(0, 80, 2))


def test_a_full_disk_is_an_error_that_says_so_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    filled(path, 3)
    body = """
import resource
store = SqliteStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
for n in range(1000):
    try:
        store.append(pair(f"big-{n}", padding=5000))
    except FlyballError as error:
        print(n, type(error).__name__, error)
        print(len(store.read()))
        break
"""
    said, _ = start_writer(body, path).communicate()
    written, kind, message = said.split(maxsplit=2)
    assert kind == "StoreError"
    assert str(path) in message
    assert "try:" in message
    assert int(said.split()[-1]) == 3 + 2 * int(written)
    assert len(run_ids(path)) == 3 + int(written)


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own needs root")
def test_a_truly_full_file_system_is_named_as_the_reason(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(tmp_path)], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        path, recorded = tmp_path / "s.sqlite", []
        store = SqliteStore(path)

        def fill() -> None:
            for n in range(1000):
                store.append([spec(f"r{n}", words="x" * 5000)])
                recorded.append(f"r{n}")

        with pytest.raises(StoreError, match="the disk is full") as caught:
            fill()
        assert "FLYBALL_HOME" in caught.value.hint
        store.close()
        assert run_ids(path) == recorded
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a read-only mount needs root")
def test_a_read_only_store_can_be_read_and_says_why_it_is_not_written(tmp_path: Path) -> None:
    filled(tmp_path / "s.sqlite", 2)
    mounted = subprocess.run(["mount", "--bind", "-o", "ro", str(tmp_path), str(tmp_path)], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        with SqliteStore(tmp_path / "s.sqlite") as store:
            assert len(store.read()) == 2
            with pytest.raises(StoreError, match="read-only"):
                store.append([spec("r9")])
        with pytest.raises(StoreError, match="cannot be used"):
            SqliteStore(tmp_path / "new" / "s.sqlite")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_folder_or_file_in_the_way_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.sqlite").mkdir()
    for path in (tmp_path / "file" / "s.sqlite", tmp_path / "folder.sqlite"):
        with pytest.raises(StoreError, match="cannot be used"):
            SqliteStore(path)


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE theirs (a)")
    db.close()
    before = other.read_bytes()
    with pytest.raises(StoreError, match="not a flyball store"):
        SqliteStore(other)
    assert other.read_bytes() == before
    text = tmp_path / "text.sqlite"
    text.write_text("hello " * 1000)
    with pytest.raises(StoreError, match="flyball store repair"):
        SqliteStore(text)


def test_a_newer_store_says_which_flyball_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    filled(path, 1)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '7.3.0' WHERE key = 'flyball'")
        db.execute("PRAGMA user_version = 2")
    db.close()
    for use in (SqliteStore, rebuild):
        with pytest.raises(StoreError, match="newer flyball") as caught:
            use(path)
        assert "upgrade" in caught.value.hint
    with pytest.raises(StoreError, match=r"flyball 7\.3\.0"):
        SqliteStore(path)


def test_a_fact_this_flyball_does_not_know_is_told_from_damage(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    filled(path, 1)
    for body, words in [
        (b'{"type":"RunTeleported","at_seconds":1}', "newer flyball"),
        (b'{"type":"Run', "damaged"),
    ]:
        with sqlite3.connect(path) as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (2, 'r0000', ?)", (body,))
        db.close()
        with SqliteStore(path) as store:
            launched = AttemptLaunched(at_seconds=2.0, run_id="r0000", attempt_id="r0000.1")
            for use in (store.read, lambda: store.run("r0000"), lambda: store.append([launched])):  # noqa: B023
                with pytest.raises(StoreError, match=words):
                    use()


def test_what_could_not_be_read_back_is_refused_before_it_is_recorded(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "s.sqlite") as store:
        nan = RunSpec(run_id="r2", job="j", command=(), features=Features(started_at_seconds=float("nan")))
        for bad in (spec("r1", words="\udcff"), RunSubmitted(at_seconds=1.0, run=nan)):
            with pytest.raises(StoreError, match="cannot be recorded"):
                store.append([spec("good"), bad])
        assert list(store.read()) == []
        assert store.append([spec("good")]) == 1


@pytest.mark.parametrize("seed", range(6))
def test_repair_saves_every_fact_outside_the_damage_and_keeps_the_old_file(tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "s.sqlite", random.Random(seed)
    ids = filled(path, 400)
    data = bytearray(path.read_bytes())
    pages = len(data) // 16384
    page = rng.randrange(pages) if seed else 0  # page 0 holds the header: nothing opens any more
    data[page * 16384 : (page + 1) * 16384] = rng.randbytes(16384)
    path.write_bytes(data)
    repaired = rebuild(path)
    saved = run_ids(path)
    in_one_page = 16384 // 400
    assert len(ids) - in_one_page <= len(saved) == repaired.facts
    assert saved == [run_id for run_id in ids if run_id in set(saved)]
    assert Path(repaired.kept_as).read_bytes() == bytes(data)
    assert f"{repaired.facts} facts saved" in str(repaired)
    with SqliteStore(path) as store:
        store.append([spec("after")])


def test_repairing_a_healthy_store_changes_no_fact(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    ids = filled(path, 20)
    repaired = rebuild(path)
    assert (repaired.facts, repaired.lost) == (20, 0)
    assert run_ids(path) == ids
    with pytest.raises(FlyballError, match="no store"):
        rebuild(tmp_path / "nowhere.sqlite")


def test_a_file_cut_short_is_repaired_up_to_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    ids = filled(path, 1500)
    size = path.stat().st_size
    os.truncate(path, size // 2)
    rebuild(path)
    saved = run_ids(path)
    assert len(saved) > 300
    assert saved == [run_id for run_id in ids if run_id in set(saved)]
