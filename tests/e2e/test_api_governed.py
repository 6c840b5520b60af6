"""The governor from Python: define, submit, wait, cancel."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flyball
from flyball.errors import InputError

JOBS = """
import sys
from datetime import timedelta

import flyball


@flyball.job(retries=1, timeout=timedelta(minutes=1))
def greet(who: str = "nobody") -> None:
    print(f"hello {who}")


@flyball.job("after-greet", after=["greet"], command=[sys.executable, "-c", "open('after', 'w').write('{day}')"])
def unused() -> None:
    raise AssertionError("its command runs, not the function")
"""


def flyball_command(*arguments: str, folder) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flyball", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLYBALL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


def test_jobs_defined_in_python_are_applied_submitted_and_waited_for(folder):
    applied = flyball_command("apply", "jobs.py", folder=folder)
    assert applied.returncode == 0, applied.stderr
    run_id = flyball.submit("greet")
    assert flyball.status(run_id).state == "pending"
    assert flyball.wait([run_id], timeout="50ms") is None
    assert flyball_command("up", "--until-idle", "-f", "jobs.py", folder=folder).returncode == 0
    (status,) = flyball.wait([run_id])
    assert (status.state, status.attempts) == ("succeeded", 1)
    assert flyball_command("logs", run_id, folder=folder).stdout == "hello nobody\n"
    assert len((folder / "after").read_text()) == len("2026-11-21")


def test_a_run_is_cancelled_before_it_has_started(folder):
    flyball_command("apply", "jobs.py", folder=folder)
    run_id = flyball.submit("greet")
    assert flyball.cancel(run_id)
    assert flyball_command("up", "--until-idle", "-f", "jobs.py", folder=folder).returncode == 0
    assert flyball.status(run_id).state == "cancelled"
    assert not flyball.cancel(run_id)


def test_what_is_not_there_is_said(folder):
    with pytest.raises(InputError, match="no job 'greeet'"):
        flyball.submit("greeet")
    with pytest.raises(InputError, match="no run 'x'"):
        flyball.status("x")


def test_the_decorator_leaves_the_function_as_it_is():
    @flyball.job(every="1h")
    def double(number: int) -> int:
        return 2 * number

    assert double(21) == 42
