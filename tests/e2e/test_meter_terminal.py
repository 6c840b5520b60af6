"""On a terminal the wrapper is not there: prompts, keys, job control, window size."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pexpect
import pytest

PYTHON = sys.executable
ROOT = Path(__file__).parents[2]
both = pytest.mark.parametrize("log", ["auto", "always"])

COUNT_INTERRUPTS = """
import os, time
print(os.get_terminal_size(), flush=True)
got = 0
while got < 2:
    try:
        print("ready", flush=True)
        time.sleep(30)
    except KeyboardInterrupt:
        got += 1
        print("got", got, flush=True)
raise SystemExit(7)
"""


def spawned(folder: Path, log: str, script: str) -> pexpect.spawn:
    """That script under the wrapper, on a terminal of 90 x 30."""
    options = ["-m", "flyball.meter", "--folder", str(folder), "--log", log, "--", PYTHON, "-c", script]
    return pexpect.spawn(PYTHON, options, timeout=15, cwd=str(ROOT), dimensions=(30, 90))


def ended(child: pexpect.spawn) -> int | None:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


@both
def test_a_debugger_prompt_works(tmp_path, log):
    child = spawned(tmp_path / "a", log, "import pdb; x = 41\npdb.set_trace()\nprint('bye', x)")
    child.expect_exact("(Pdb)")
    child.sendline("x + 1")
    child.expect_exact("42")
    child.sendline("c")
    child.expect_exact("bye 41")
    assert ended(child) == 0
    assert (tmp_path / "a/log").exists() == (log == "always")


@both
def test_ctrl_c_and_a_signal_from_elsewhere_arrive_once_each(tmp_path, log):
    child = spawned(tmp_path / "a", log, COUNT_INTERRUPTS)
    child.expect_exact("columns=90, lines=30")
    child.expect_exact("ready")
    child.sendintr()
    child.expect_exact("got 1")
    child.expect_exact("ready")
    os.kill(child.pid, signal.SIGINT)
    child.expect_exact("got 2")
    assert ended(child) == 7


@both
def test_a_new_window_size_reaches_the_command(tmp_path, log):
    script = (
        "import os, signal\nsignal.signal(signal.SIGWINCH, lambda *_: None)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})\n"
        "print('ready', flush=True)\nsignal.sigwait({signal.SIGWINCH})\nprint(os.get_terminal_size())"
    )
    child = spawned(tmp_path / "a", log, script)
    child.expect_exact("ready")
    child.setwinsize(33, 111)
    child.expect_exact("columns=111, lines=33")
    assert ended(child) == 0


@both
def test_ctrl_z_stops_both_and_fg_goes_on_with_the_terminal_as_it_was(tmp_path, log):
    shell = pexpect.spawn(
        "bash", ["--norc", "-i"], timeout=15, cwd=str(ROOT), encoding="utf-8", env={**os.environ, "PS1": "> "}
    )
    shell.expect_exact("> ")
    script = "import time; print(6 * 7, flush=True); time.sleep(1); print(8 * 8)"
    shell.sendline(f"{PYTHON} -m flyball.meter --folder {tmp_path}/a --log {log} -- {PYTHON} -c '{script}'")
    shell.expect_exact("42")
    shell.send("\x1a")
    shell.expect_exact("Stopped")
    shell.expect_exact("> ")
    shell.sendline("fg")
    shell.expect_exact("64")
    shell.expect_exact("> ")
    shell.sendline("stty -a | tr ' ;' '\\n\\n' | grep -cxE 'icanon|echo|isig'")
    shell.expect_exact("3")
    shell.close(force=True)


def test_what_a_terminal_shows_is_kept_on_request(tmp_path):
    child = spawned(
        tmp_path / "a", "always", "import sys; print('seen', sys.stdout.isatty(), sys.stdin.isatty())"
    )
    child.expect_exact("seen True True")
    assert ended(child) == 0
    assert b"seen True True" in (tmp_path / "a/log").read_bytes()
