"""The governor as a user runs it: real processes, a home of its own, killed at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PYTHON = sys.executable


class Place:
    """A folder with a flyball.toml, and a home."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.env = {**os.environ, "FLYBALL_HOME": str(self.home), "NO_COLOR": "1", "COLUMNS": "160"}

    def define(self, text: str) -> None:
        (self.folder / "flyball.toml").write_text(text)

    def call(self, *arguments: str, timeout: float = 60, **options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PYTHON, "-m", "flyball", *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def json(self, *arguments: str):
        result = self.call(*arguments, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def start(self, *arguments: str, **options) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [PYTHON, "-m", "flyball", *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", subprocess.DEVNULL),
            stderr=options.pop("stderr", subprocess.DEVNULL),
            text=True,
            **options,
        )

    def until(self, state: str, run_id: str, seconds: float = 30) -> dict:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            for status in self.json("ps", "--all"):
                if status["run_id"] == run_id and status["state"] == state:
                    return status
            time.sleep(0.1)
        raise AssertionError(f"{run_id} is not {state}: {self.json('ps', '--all')}")


def wait_until(holds, seconds: float = 40) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def python_job(name: str, code: str, more: str = "") -> str:
    command = json.dumps([PYTHON, "-c", code])
    return f'[[job]]\nname = "{name}"\ncommand = {command}\n{more}\n'


LINE = "import sys, os; open('lines', 'a').write(os.environ['FLYBALL_JOB'] + '\\n')"


# run --on


def test_run_on_passes_output_and_exit_code_through(place):
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(5)"
    result = place.call("run", "--on", "local", "--name", "five", "--", PYTHON, "-c", code)
    assert result.returncode == 5
    assert set(result.stdout.split()) == {"out", "err"}
    assert "five failed" in result.stderr
    (status,) = place.json("ps", "--all")
    assert (status["job"], status["state"]) == ("five", "failed")
    assert "out" in place.call("logs", "last").stdout
    assert "on local" in place.call("why", "last").stdout


def test_run_on_comes_back_bigger_after_running_out_of_memory(place):
    code = "b = bytearray(120 << 20); b[::4096] = b'x' * len(b[::4096])"
    result = place.call("run", "--on", "local", "-m", "64MiB..1GiB", "--", PYTHON, "-c", code)
    assert result.returncode == 0, result.stderr
    assert "out of memory" in place.call("why", "last").stdout


def test_run_on_does_what_it_can_say_in_json(place):
    result = place.call("run", "--on", "local", "-q", "--json", "--", PYTHON, "-c", "print(1)")
    receipt = json.loads(result.stdout.splitlines()[-1])
    assert receipt["outcome"] == "succeeded"
    assert receipt["memory_bytes_max"] > 1 << 20


def test_secrets_of_a_governed_run_stay_out_of_the_store(place):
    secret = "hunter2hunter2"
    result = place.call(
        "run", "--on", "local", "-e", f"API_TOKEN={secret}", "--", PYTHON, "-c",
        "import os; print(len(os.environ['API_TOKEN']))",
    )  # fmt: skip
    assert result.stdout == "14\n"
    for file in place.home.rglob("*"):
        if file.is_file() and "private" not in file.parts and "runs" not in file.parts:
            assert secret.encode() not in file.read_bytes(), file
    for file in (place.home / "private").rglob("*"):
        assert file.stat().st_mode & 0o077 == 0


def test_ctrl_c_cancels_a_run_and_its_command(place):
    process = place.start(
        "run", "--on", "local", "--name", "long", "--", PYTHON, "-c", "import time; time.sleep(600)"
    )
    give_up = time.monotonic() + 20
    while not any(s["state"] == "running" for s in place.json("ps")) and time.monotonic() < give_up:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    (status,) = place.json("ps", "--all")
    assert status["state"] == "cancelled"
    assert place.json("machines") == []


# jobs


def test_jobs_run_after_each_other_and_the_last_one_knows_the_day(place):
    place.define(
        python_job("extract", LINE)
        + python_job("load", LINE, 'after = ["extract"]')
        + python_job("report", LINE, 'after = ["load"]')
    )
    assert place.call("apply").returncode == 0
    place.call("submit", "extract")
    result = place.call("up", "--until-idle")
    assert result.returncode == 0, result.stderr
    assert (place.folder / "lines").read_text().split() == ["extract", "load", "report"]
    assert [s["state"] for s in place.json("ps", "--all")] == ["succeeded"] * 3


def test_a_backfill_makes_one_run_a_day(place):
    place.define(python_job("daily", "import sys; open('lines', 'a').write('{day}\\n')"))
    place.call("apply")
    submitted = place.json("submit", "daily", "--for", "2026-10-01..2026-10-07", "--at-once", "2")
    assert len(submitted) == 7
    assert place.call("up", "--until-idle").returncode == 0
    assert sorted((place.folder / "lines").read_text().split()) == [f"2026-10-0{n}" for n in range(1, 8)]


def test_wait_says_how_runs_ended(place):
    place.define(python_job("good", "pass") + python_job("bad", "raise SystemExit(1)"))
    place.call("apply")
    up = place.start("up")
    good = place.call("submit", "good").stdout.strip()
    bad = place.call("submit", "bad").stdout.strip()
    assert place.call("wait", good).returncode == 0
    assert place.call("wait", bad).returncode == 1
    again = place.call("retry", bad).stdout.strip()
    assert place.call("wait", again).returncode == 1
    assert again != bad
    up.send_signal(signal.SIGTERM)
    assert up.wait(20) == 0


def test_cancel_and_pause(place):
    place.define(
        python_job("slow", "import time; time.sleep(600)") + python_job("often", LINE, 'every = "1s"')
    )
    place.call("apply")
    assert place.call("pause", "often").returncode == 0
    up = place.start("up", "--tick", "200ms")
    run_id = place.call("submit", "slow").stdout.strip()
    place.until("running", run_id)
    assert place.call("cancel", run_id).returncode == 0
    assert place.until("cancelled", run_id)
    assert not (place.folder / "lines").exists()
    place.call("resume", "often")
    give_up = time.monotonic() + 20
    while not (place.folder / "lines").exists() and time.monotonic() < give_up:
        time.sleep(0.1)
    assert (place.folder / "lines").exists()
    up.send_signal(signal.SIGTERM)
    assert up.wait(20) == 0


def test_logs_follow_until_the_run_has_ended(place):
    code = "import time\nfor n in range(5): print(n, flush=True); time.sleep(0.3)"
    place.define(python_job("count", code))
    place.call("apply")
    run_id = place.call("submit", "count").stdout.strip()
    up = place.start("up", "--until-idle")
    followed = place.call("logs", "-f", run_id)
    assert followed.stdout.split() == ["0", "1", "2", "3", "4"]
    assert up.wait(30) == 0


# killed at any moment


@pytest.mark.parametrize("seed", range(3))
def test_a_governor_that_is_killed_again_and_again_runs_everything_once(place, seed):
    rng, jobs = random.Random(seed), 12
    slow = "import time; time.sleep({wait}); " + LINE
    place.define("".join(python_job(f"j{n}", slow.replace("{wait}", str(n % 4 / 4))) for n in range(jobs)))
    place.call("apply")
    for n in range(jobs):
        place.call("submit", f"j{n}")
    for _ in range(8):
        up = place.start("up", "--until-idle")
        time.sleep(rng.uniform(0.2, 1.5))
        if up.poll() is not None:
            break
        up.kill()
        up.wait()
    assert place.call("up", "--until-idle", timeout=120).returncode == 0
    assert sorted((place.folder / "lines").read_text().split()) == sorted(f"j{n}" for n in range(jobs))
    assert all(s["state"] == "succeeded" for s in place.json("ps", "--all"))
    assert place.json("machines") == []


def test_two_governors_on_one_home_run_everything_once(place):
    jobs = 20
    place.define("".join(python_job(f"j{n}", LINE) for n in range(jobs)))
    place.call("apply")
    for n in range(jobs):
        place.call("submit", f"j{n}")
    ups = [place.start("up", "--until-idle") for _ in range(2)]
    assert [up.wait(120) for up in ups] == [0, 0]
    assert sorted((place.folder / "lines").read_text().split()) == sorted(f"j{n}" for n in range(jobs))


# what can go wrong


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        (
            python_job("a", "pass", 'after = ["b"]') + python_job("b", "pass", 'after = ["a"]'),
            "wait for each other",
        ),
        (python_job("a", "pass", 'schedule = "61 * * * *"'), "schedule"),
        (python_job("a", "pass", 'on = "mars"'), "mars"),
        (python_job("a", "pass", "budget = 0"), "budget"),
        (python_job("a", "pass", 'memory = "8GiB..2GiB"'), "memory"),
        (python_job("a", "pass", 'workdir = "gone"'), "workdir"),
        (python_job("a", "pass", 'after = ["nobody"]'), "nobody"),
        ("[[job]]\nname = 'a'\n", "command"),
        ("[[job]\n", "flyball.toml"),
    ],
)
def test_definitions_that_cannot_be_used_are_said_with_their_line_and_change_nothing(place, definition, says):
    place.define(python_job("before", "pass"))
    place.call("apply")
    place.define(definition)
    for command in ("check", "apply"):
        result = place.call(command)
        assert result.returncode == 2, result.stdout + result.stderr
        assert says in result.stderr
        assert "flyball.toml" in result.stderr
        assert "Traceback" not in result.stderr
    place.define("")
    assert [job["name"] for job in place.json("jobs", "defined")] == ["before"]


def test_a_workdir_that_is_gone_fails_the_run_with_the_reason(place):
    (place.folder / "work").mkdir()
    place.define(python_job("a", "pass", 'workdir = "work"'))
    place.call("apply")
    (place.folder / "work").rmdir()
    run_id = place.call("submit", "a").stdout.strip()
    assert place.call("up", "--until-idle").returncode == 0
    (status,) = place.json("ps", "--all")
    assert status["state"] == "failed"
    assert "work" in status["reason"]
    assert run_id == status["run_id"]


def test_a_deadline_that_cannot_be_met_is_told_and_the_run_goes_on(place):
    place.define(python_job("a", "import time; time.sleep(1.5)", 'deadline = "1s"'))
    place.call("apply")
    place.call("submit", "a")
    up = place.call("up", "--until-idle")
    assert "ALERT" in up.stderr
    (status,) = place.json("ps", "--all")
    assert status["state"] == "succeeded"


def test_a_store_that_goes_away_under_a_governor_is_waited_for(place):
    place.define(python_job("a", LINE, 'every = "1s"'))
    place.call("apply")
    up = place.start("up", "--tick", "100ms", stderr=subprocess.PIPE)
    give_up = time.monotonic() + 20
    while not (place.folder / "lines").exists() and time.monotonic() < give_up:
        time.sleep(0.1)
    up.send_signal(signal.SIGSTOP)
    for file in place.home.glob("flyball.db*"):
        file.rename(file.with_name("away-" + file.name))
    up.send_signal(signal.SIGCONT)
    time.sleep(2)
    for file in place.home.glob("away-*"):
        file.replace(file.with_name(file.name.removeprefix("away-")))
    time.sleep(1)
    up.send_signal(signal.SIGTERM)
    _, said = up.communicate(timeout=30)
    assert "Traceback" not in said
    assert place.call("ps", "--all").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="FULL DISK UNTESTED: only root may mount a tmpfs")
def test_a_full_disk_stops_nothing_for_good(place):
    """Nothing new is started while nothing can be recorded; once there is room, everything is run, once."""
    place.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place.home)], check=True)
    try:
        place.define(python_job("a", LINE, 'every = "1s"'))
        place.call("apply")
        up = place.start("up", "--tick", "100ms", stderr=subprocess.PIPE)
        lines = place.folder / "lines"
        wait_until(lines.exists)
        fill = place.home / "fill"
        with pytest.raises(OSError, match="No space"):
            fill.write_bytes(bytes(8 << 20))
        time.sleep(3)
        refused = place.call("submit", "a")
        assert (refused.returncode, "disk is full" in refused.stderr) == (125, True), refused.stderr
        before = len(lines.read_text().split())
        fill.unlink()
        wait_until(lambda: len(lines.read_text().split()) > before + 1)
        up.send_signal(signal.SIGTERM)
        _, said = up.communicate(timeout=60)
        assert "Traceback" not in said
        assert "the disk is full" in said
        ended = place.json("ps", "--all", "-n", "100")
        assert {s["state"] for s in ended} <= {"succeeded", "running", "provisioning"}
        assert len(lines.read_text().split()) <= len(ended)
    finally:
        subprocess.run(["umount", "-l", str(place.home)], check=True)
