"""`flyball run` as a user types it: real processes, a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PYTHON = sys.executable


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def flyball(home, tmp_path):
    def call(
        *arguments: str, env: dict[str, str] | None = None, **options
    ) -> subprocess.CompletedProcess[str]:
        whole = {**os.environ, "FLYBALL_HOME": str(home), "NO_COLOR": "1", **(env or {})}
        options = {"cwd": tmp_path, "timeout": 120, "input": "", **options}
        return subprocess.run(
            [PYTHON, "-m", "flyball", *arguments],
            env=whole,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    return call


def receipt_of(result: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(result.stdout.splitlines()[-1])


ALLOCATE = "import sys; b = bytearray(int(sys.argv[1]) << 20); b[::4096] = b'x' * len(b[::4096]); import time; time.sleep(0.2)"


def test_a_command_runs_unchanged_and_two_lines_say_what_it_used(flyball):
    result = flyball(
        "run", "--", PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    )
    assert result.returncode == 3
    assert result.stdout == "out\n"
    assert result.stderr.startswith("err\n")
    assert "exit 3" in result.stderr


def test_the_receipt_has_what_scripts_read(flyball):
    receipt = receipt_of(flyball("run", "-q", "--json", "--", PYTHON, "-c", ALLOCATE, "100"))
    for key in (
        "run_id", "job", "outcome", "exit_code", "wall_seconds", "cpu_seconds",
        "memory_bytes_max", "memory_bytes_kernel_peak", "sources",
    ):  # fmt: skip
        assert key in receipt, key
    assert receipt["outcome"] == "succeeded"
    assert 100 << 20 <= receipt["memory_bytes_max"] < 130 << 20


def test_the_receipt_has_a_line_of_its_own_after_output_without_an_end(flyball):
    result = flyball("run", "-q", "--json", "--", "printf", "no newline")
    assert result.stdout.startswith("no newline\n{")
    assert receipt_of(result)["outcome"] == "succeeded"


def test_the_second_run_is_sized_from_the_first_with_a_price_and_a_reason(flyball):
    command = ("run", "--", PYTHON, "-c", ALLOCATE, "300")
    flyball(*command)
    result = flyball(*command)
    assert "next:" in result.stderr
    assert "$" in result.stderr
    why = flyball("why", "last")
    assert why.returncode == 0
    assert "1 run" in why.stdout


def test_the_peak_of_a_command_that_ends_at_its_peak_is_seen_every_time(flyball):
    script = "x = bytearray(300 << 20); x[::4096] = b'1' * len(x[::4096])"
    for _ in range(10):
        peak = receipt_of(flyball("run", "-q", "--json", "--", PYTHON, "-c", script))["memory_bytes_max"]
        assert 300 << 20 <= peak < 312 << 20


def test_running_out_of_memory_comes_back_bigger_and_every_attempt_is_kept(flyball):
    result = flyball("run", "--memory", "64MiB..2GiB", "--json", "--", PYTHON, "-c", ALLOCATE, "200")
    receipt = receipt_of(result)
    assert result.returncode == 0
    assert [a["outcome"] for a in receipt["attempts"]] == ["out_of_memory"] * (
        len(receipt["attempts"]) - 1
    ) + ["succeeded"]
    limits = [a["memory_limit_bytes"] for a in receipt["attempts"]]
    assert limits == sorted(limits)
    assert len(limits) >= 2


def test_a_limit_that_the_user_set_is_kept_and_the_end_says_so(flyball):
    result = flyball("run", "--memory", "64MiB", "--", PYTHON, "-c", ALLOCATE, "200")
    assert result.returncode == 137
    assert "out of memory" in result.stderr


def test_the_knob_asks_for_more_and_says_how_many_will_hit_it(flyball):
    for _ in range(3):
        flyball("run", "-q", "--name", "j", "--", PYTHON, "-c", ALLOCATE, "300")
    freely, careful = (
        json.loads(flyball("plan", "j", "--json", *more).stdout) for more in ((), ("--hit-limit", "0.5%"))
    )
    assert careful["memory_bytes"] > freely["memory_bytes"]
    assert careful["hit_limit_probability"] <= 0.005 < freely["hit_limit_probability"]
    assert "--hit-limit 2%" in flyball("plan", "j", "--hit-limit", "many").stderr


def test_auto_takes_the_limit_from_the_plan(flyball):
    for _ in range(2):
        flyball("run", "-q", "--name", "j", "--", PYTHON, "-c", ALLOCATE, "300")
    receipt = receipt_of(
        flyball("run", "--name", "j", "--memory", "auto", "--json", "--", PYTHON, "-c", ALLOCATE, "300")
    )
    limit = receipt["attempts"][0]["memory_limit_bytes"]
    assert 300 << 20 < limit < 1 << 30
    assert receipt["outcome"] == "succeeded"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--memory", "4"), 2, "4GiB"),
        (("--timeout", "10"), 2, "10s"),
        (("--cpus", "many"), 2, "1.5"),
        (("--tag", "team"), 2, "KEY=VALUE"),
        (("--no-such-option",), 2, "No such option"),
        (("--workdir", "nowhere"), 2, "not a folder"),
        (("--hit-limit", "0"), 2, "--hit-limit 2%"),
        (("--retries", "99"), 2, "--retries 2"),
    ],
)
def test_wrong_options_are_named_with_what_to_type_and_nothing_starts(
    flyball, tmp_path, options, code, words
):
    result = flyball("run", *options, "--", "touch", str(tmp_path / "started"))
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "started").exists()


def test_a_command_that_does_not_exist_ends_as_in_a_shell(flyball):
    result = flyball("run", "--", "no-such-command-anywhere")
    assert result.returncode == 127
    assert "Traceback" not in result.stderr


def test_a_time_out_ends_it_with_124(flyball):
    result = flyball("run", "--timeout", "300ms", "--json", "--", "sleep", "30")
    assert result.returncode == 124
    assert receipt_of(result)["outcome"] == "timed_out"


def test_an_input_that_cannot_be_read_is_a_warning_and_the_command_runs(flyball):
    result = flyball("run", "--input", "no/such/file", "--", "echo", "ran")
    assert (result.returncode, result.stdout) == (0, "ran\n")
    assert "no/such/file" in result.stderr


@pytest.mark.parametrize(
    "breakage", ["file instead of a folder", "corrupt store", "broken flyball.toml", "newer store"]
)
def test_whatever_is_wrong_with_recording_the_command_runs_and_its_result_stays(
    flyball, home, tmp_path, breakage
):
    if breakage == "file instead of a folder":
        home.write_text("in the way")
    elif breakage == "broken flyball.toml":
        (tmp_path / "flyball.toml").write_text("[plan\nnonsense")
    else:
        home.mkdir()
        flyball("run", "-q", "--", "true")
        store = home / "flyball.db"
        if breakage == "corrupt store":
            for file in home.glob("flyball.db*"):  # the log beside it too, or it heals itself
                file.write_bytes(b"this is not a database" * 1000)
        else:
            subprocess.run(
                [
                    PYTHON,
                    "-c",
                    f"import sqlite3; c = sqlite3.connect({str(store)!r}); c.execute('PRAGMA user_version = 9999'); c.commit()",
                ],
                check=True,
            )
    result = flyball("run", "--", PYTHON, "-c", "print('ran'); raise SystemExit(7)")
    assert (result.returncode, result.stdout) == (7, "ran\n")
    assert "warning" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small disk needs root on Linux"
)
@pytest.mark.parametrize("state", ["full", "full but for some kB", "read-only"])
def test_on_a_disk_that_takes_nothing_the_command_runs_and_reading_still_works(flyball, home, state):
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(home)], check=True)
    try:
        if state == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
        else:
            (home / "fill").write_bytes(bytes(256 << 10 if state == "full" else 200 << 10))
        result = flyball("run", "--", "sh", "-c", "echo ran; exit 5")
        assert (result.returncode, result.stdout) == (5, "ran\n")
        assert "warning" in result.stderr
        assert "the store" in result.stderr
        listed = flyball("jobs")
        assert "Traceback" not in result.stderr + listed.stderr
        if state != "read-only":  # with room again it goes on as if nothing had been
            subprocess.run(["mount", "-o", "remount,size=20m", str(home)], check=True)
            assert flyball("run", "-q", "--name", "later", "--", "true").stderr == ""
            assert "later" in flyball("jobs").stdout
    finally:
        subprocess.run(["umount", str(home)], check=True)


def test_a_run_whose_wrapper_was_killed_is_closed_by_the_next_command(flyball, home, tmp_path):
    marker = tmp_path / "started"
    env = {**os.environ, "FLYBALL_HOME": str(home)}
    wrapper = subprocess.Popen(
        [PYTHON, "-m", "flyball", "run", "--name", "killed", "--", "sh", "-c", f"touch {marker}; exec sleep 2"],
        env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not marker.exists():
        time.sleep(0.01)
    time.sleep(0.3)  # the start is recorded in the background
    wrapper.send_signal(signal.SIGKILL)
    wrapper.wait()
    assert json.loads(flyball("runs", "killed", "--json").stdout)[0]["outcome"] in {None, "lost"}
    time.sleep(2.2)
    (row,) = json.loads(flyball("runs", "killed", "--json").stdout)
    assert row["outcome"] == "lost"


def test_two_at_once_are_both_recorded(flyball, home):
    env = {**os.environ, "FLYBALL_HOME": str(home)}
    both = [
        subprocess.Popen([PYTHON, "-m", "flyball", "run", "-q", "--name", f"j{n}", "--", "true"], env=env)
        for n in range(6)
    ]
    assert [process.wait() for process in both] == [0] * 6
    assert sorted(row["job"] for row in json.loads(flyball("jobs", "--json").stdout)) == [
        f"j{n}" for n in range(6)
    ]


def test_values_of_variables_and_secrets_in_arguments_are_nowhere_on_disk(flyball, home):
    secret = "hunter2hunter2"
    flyball(
        "run",
        "-e",
        f"PGPASSWORD={secret}",
        "--no-log",
        "--",
        "true",
        "--password",
        secret,
        f"--url=https://me:{secret}@example.org/",
    )
    flyball("run", "--tag", "team=x", "--no-log", "--", "true", f"--token={secret}")
    for file in home.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file


def test_renaming_a_job_moves_its_history_and_later_runs_follow(flyball):
    flyball("run", "-q", "--", "true")
    old = json.loads(flyball("jobs", "--json").stdout)[0]["job"]
    assert flyball("jobs", "rename", old, "nightly").returncode == 0
    flyball("run", "-q", "--", "true")
    (job,) = json.loads(flyball("jobs", "--json").stdout)
    assert (job["job"], job["runs"]) == ("nightly", 2)


@pytest.mark.parametrize(
    "command",
    [("show", "nothing"), ("why", "nothing"), ("plan", "nothing"), ("logs", "nothing"), ("runs", "nothing")],
)
def test_an_unknown_run_or_job_is_a_clear_error(flyball, command):
    flyball("run", "-q", "--", "true")
    result = flyball(*command)
    assert result.returncode == 2
    assert "nothing" in result.stderr
    assert "Traceback" not in result.stderr


def test_logs_gives_back_the_output_byte_for_byte(flyball):
    result = flyball(
        "run", "-q", "--", PYTHON, "-c", "import sys; sys.stdout.buffer.write(bytes(range(10, 127)) * 50)"
    )
    assert flyball("logs", "last").stdout == result.stdout
