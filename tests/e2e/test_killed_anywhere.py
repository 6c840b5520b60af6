"""`flyball run` killed with SIGKILL at any instant: nothing said to be recorded is lost, nothing is there twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import pytest

KILLS = 25
SEED = 20261121


def test_a_kill_at_any_instant_leaves_every_run_recorded_once_or_not_started(tmp_path):
    home, started = tmp_path / "home", tmp_path / "started"
    started.mkdir()
    env = {**os.environ, "FLYBALL_HOME": str(home)}
    rng, killed = random.Random(SEED), 0
    for number in range(KILLS):
        name = f"job-{number:02d}"
        command = [
            sys.executable,
            "-m",
            "flyball",
            "run",
            "-q",
            "--no-log",
            "--name",
            name,
            "--",
            "touch",
            str(started / name),
        ]
        wrapper = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.0, 0.25))
        wrapper.kill()
        killed += wrapper.wait() < 0
    assert killed > KILLS // 4, "the kills came too late to test anything"
    time.sleep(0.2)  # a command whose wrapper is gone is not waited for by anyone
    listed = subprocess.run(
        [sys.executable, "-m", "flyball", "runs", "-n", "1000", "--json"],
        env=env,
        capture_output=True,
        check=True,
        text=True,
    )
    rows = json.loads(listed.stdout)
    jobs = [row["job"] for row in rows]
    assert len(set(jobs)) == len(jobs)
    assert {path.name for path in started.iterdir()} <= set(jobs)
    assert {row["outcome"] for row in rows} <= {"succeeded", "lost"}
    assert list((home / "open").iterdir()) == []


@pytest.mark.parametrize("number", [1, 2])
def test_closing_a_record_twice_changes_nothing(tmp_path, number):
    env = {**os.environ, "FLYBALL_HOME": str(tmp_path / "home")}
    flyball = [sys.executable, "-m", "flyball"]
    subprocess.run([*flyball, "run", "-q", "--name", "j", "--", "true"], env=env, check=True)
    (attempt,) = (tmp_path / "home" / "runs").iterdir()
    (tmp_path / "home" / "open" / attempt.name).touch()  # as if the wrapper had died just before removing it
    for _ in range(number):
        listed = subprocess.run([*flyball, "runs", "--json"], env=env, capture_output=True, check=True)
        assert len(json.loads(listed.stdout)) == 1
    assert list((tmp_path / "home" / "open").iterdir()) == []
