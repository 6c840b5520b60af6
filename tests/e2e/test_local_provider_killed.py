"""kill -9 for governors, for the process that forks wrappers, and for wrappers, at random; then somebody goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from flyball.adapters.sqlite_store import SqliteStore
from flyball.model.facts import AttemptEnded, RunEnded, RunResult
from flyball.model.outcome import Outcome
from tests.e2e.local_governor import submit

ROOT = Path(__file__).parents[2]
RUNS = 30
SCRIPT = "echo $FLYBALL_ATTEMPT >> lines; sleep 0.05"


def start(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.e2e.local_governor", str(home)], cwd=ROOT)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def wrappers(home: Path) -> list[int]:
    """Of attempts that have no outcome: the lock of such a one is held by its wrapper, or its wrapper is dead."""
    found = []
    for lock in home.glob("machines/*/lock"):
        try:
            pid = int(lock.read_text())
            if not (home / "runs" / lock.parent.name / "outcome.json").exists():
                found.append(pid)
        except (OSError, ValueError):
            continue
    return [pid for pid in found if b"zygote" in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def left_running(home: Path) -> list[bytes]:
    """Command lines of processes of this home's attempts."""
    mark = f"FLYBALL_OUTPUT={home}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and any(
                word.startswith(mark) for word in (entry / "environ").read_bytes().split(b"\0")
            ):
                found.append(_command_line(int(entry.name)))
        except OSError:
            continue
    return found


def finish(home: Path) -> None:
    """A last governor that nobody kills must come to an end."""
    last = start(home)
    try:
        assert last.wait(120) == 0
    finally:
        last.kill()
        last.wait()


def check(home: Path) -> Counter[Outcome]:
    """The invariants; gives how attempts ended."""
    with SqliteStore(home / "flyball.db") as store:
        facts = store.read()
    ended = [fact for fact in facts if isinstance(fact, RunEnded)]
    assert sorted(fact.run_id for fact in ended) == [f"r{n:03d}" for n in range(RUNS)]
    assert {fact.result for fact in ended} == {RunResult.SUCCEEDED}
    started = (home / "lines").read_text().split()
    assert len(started) == len(set(started)), "an attempt was started twice"
    attempts = [fact for fact in facts if isinstance(fact, AttemptEnded)]
    succeeded = [fact.attempt_id for fact in attempts if fact.receipt.outcome is Outcome.SUCCEEDED]
    assert sorted(attempt_id.partition(".")[0] for attempt_id in succeeded) == sorted(
        fact.run_id for fact in ended
    ), "a run succeeded twice"
    assert set(succeeded) <= set(started)
    assert left_running(home) == []
    assert list(home.glob("machines/*")) == []
    return Counter(fact.receipt.outcome for fact in attempts)


@pytest.mark.parametrize("seed", range(3))
def test_killing_governors_at_any_moment_loses_nothing_and_starts_nothing_twice(tmp_path, seed):
    rng = random.Random(seed)
    submit(tmp_path, RUNS, "sh", "-c", SCRIPT)
    for _ in range(5):
        governor = start(tmp_path)
        time.sleep(rng.uniform(0.2, 0.9))
        governor.kill()
        governor.wait()
    finish(tmp_path)
    outcomes = check(tmp_path)
    assert outcomes[Outcome.SUCCEEDED] == RUNS


@pytest.mark.parametrize("seed", range(3))
def test_killing_anything_at_any_moment_ends_every_run_once(tmp_path, seed):
    rng = random.Random(100 + seed)
    submit(tmp_path, RUNS, "sh", "-c", SCRIPT)
    governor = start(tmp_path)
    for _ in range(25):
        time.sleep(rng.uniform(0.01, 0.12))
        match rng.choice(("governor", "zygote", "wrapper", "wrapper")):
            case "governor":
                governor.kill()
                governor.wait()
            case "zygote":
                for pid in children_of(governor.pid):
                    kill(pid)
            case _:
                for pid in wrappers(tmp_path)[:1]:
                    kill(pid)
        if governor.poll() is not None:
            governor = start(tmp_path)
    governor.kill()
    governor.wait()
    finish(tmp_path)
    outcomes = check(tmp_path)
    assert set(outcomes) <= {Outcome.SUCCEEDED, Outcome.LOST}


def test_two_governors_on_one_store_and_one_home_start_each_attempt_once(tmp_path):
    submit(tmp_path, RUNS, "sh", "-c", SCRIPT)
    both = [start(tmp_path), start(tmp_path)]
    try:
        assert [governor.wait(120) for governor in both] == [0, 0]
    finally:
        for governor in both:
            governor.kill()
            governor.wait()
    assert check(tmp_path)[Outcome.SUCCEEDED] == RUNS
