"""Waiting for signals, both ways; streams that share one open file."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from flyball.meter.streams import same_open_file

# Each in a process with one thread, as the wrapper is: another thread would take the signal instead.
TOLD_ONCE = """
before = signal.getsignal(signal.SIGUSR1), signal.pthread_sigmask(signal.SIG_BLOCK, ())
wait = kind()
assert wait.wait(0) is None
os.kill(os.getpid(), signal.SIGUSR1)
assert wait.wait(5) == Got(signal.SIGUSR1, from_terminal=False)
assert wait.wait(0) is None
wait.close()
assert (signal.getsignal(signal.SIGUSR1), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before
print("as it should be")
"""
END_OF_A_CHILD = """
wait = kind()
pid = os.posix_spawn("/bin/true", ["true"], {})
got = wait.wait(10)
assert got is not None and got.number == signal.SIGCHLD
assert os.waitpid(pid, 0) == (pid, 0)
wait.close()
print("as it should be")
"""


@pytest.mark.parametrize("kind", ["SignalWait", "HandlerWait"])
@pytest.mark.parametrize(
    "script", [TOLD_ONCE, END_OF_A_CHILD], ids=["a signal is told once", "the end of a child wakes it"]
)
def test_waiting_for_signals_both_ways(kind, script):
    imports = f"import os, signal\nfrom flyball.meter.waiting import Got, {kind} as kind\n"
    result = subprocess.run(
        [sys.executable, "-c", imports + script], capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.stderr) == ("as it should be\n", "")


def test_a_copy_of_a_stream_is_the_same_open_file_and_a_second_opening_is_not(tmp_path):
    path = tmp_path / "out"
    with path.open("wb", buffering=0) as one, path.open("wb", buffering=0) as other:
        copy = os.dup(one.fileno())
        assert same_open_file(one.fileno(), copy)
        assert not same_open_file(one.fileno(), other.fileno())
        one.write(b"abc")
        assert same_open_file(one.fileno(), copy)
        assert os.lseek(one.fileno(), 0, os.SEEK_CUR) == 3  # looking moved nothing
        os.close(copy)


def test_two_ends_of_different_pipes_are_different(tmp_path):
    first, second = os.pipe(), os.pipe()
    assert not same_open_file(first[1], second[1])
    assert same_open_file(first[1], first[1])
    for end in (*first, *second):
        os.close(end)
