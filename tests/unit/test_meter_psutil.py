"""What the wrapper sees through psutil, where there is no /proc; checked here beside /proc."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from flyball.meter.psutil_tree import PsutilTree

HOLD = "b = bytearray(80_000_000); b[::4096] = b'x' * len(b[::4096]); print(flush=True); import sys; sys.stdin.read()"


@pytest.fixture
def parent():
    script = f"import subprocess, sys; raise SystemExit(subprocess.call([sys.executable, '-c', {HOLD!r}]))"
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.communicate(timeout=10)


def test_memory_and_processes_of_a_whole_tree_are_seen(parent):
    tree = PsutilTree(parent.pid, psutil)
    tree.look_again(others_may_start=False)
    assert len(tree.pids()) == 2
    assert 80_000_000 <= tree.memory()["memory_bytes"] <= 110_000_000
    reading: dict[str, float] = {}
    sources: dict[str, str] = {}
    tree.read(reading, sources)
    assert reading["processes"] == 2
    assert reading["cpu_seconds"] > 0
    assert set(sources.values()) == {"psutil"}
    assert "disk_read_bytes" not in reading  # unknown, not 0


def test_cpu_time_of_what_ended_is_not_lost():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    tree = PsutilTree(process.pid, psutil)
    tree.look_again(others_may_start=False)
    while (tree.cpu_seconds() or 0) < 0.1:
        time.sleep(0.02)
    process.kill()
    process.wait()
    tree.look_again(others_may_start=False)
    assert tree.pids() == []
    reading: dict[str, float] = {}
    tree.read(reading, {})
    assert reading["cpu_seconds"] >= 0.1


def test_without_psutil_everything_is_unknown():
    tree = PsutilTree(1, None)
    tree.look_again(others_may_start=False)
    reading: dict[str, float] = {}
    tree.read(reading, {})
    assert (reading, tree.memory(), tree.cpu_seconds(), tree.pids()) == ({}, {}, None, [])
