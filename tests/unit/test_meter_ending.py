"""How an attempt ended: the table, and where it comes from."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.meter.__main__ import Misuse, parse
from flyball.meter.ending import Clues, ending
from flyball.meter.mounts import _mount, _seen_in
from flyball.model.outcome import Outcome

EXIT = 256
clues = st.builds(
    Clues,
    status=st.integers(0, 255).map(lambda code: code * EXIT) | st.integers(1, 64),
    oom_kills=st.none() | st.integers(0, 3),
    machine_oom_kills=st.none() | st.integers(0, 3),
    memory_limit_bytes=st.none() | st.integers(1, 2**40),
    at_limit=st.booleans(),
    stopped_for=st.none() | st.sampled_from(["timeout", "stall"]),
    stop_seconds=st.just(5.0),
    passed_on=st.frozensets(st.sampled_from([signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])),
)


@given(clues)
def test_every_end_has_an_outcome_the_model_knows_and_a_cause_in_words(clue):
    end = ending(clue)
    Outcome(end.outcome)
    assert end.exit_cause
    assert end.exit_code is not None
    assert 0 <= end.exit_code <= 255


@given(clues)
def test_only_exit_0_is_success_and_exit_0_always_is_unless_we_ended_it(clue):
    end = ending(clue)
    assert (end.outcome == "succeeded") == (clue.status == 0 and clue.stopped_for is None)


@pytest.mark.parametrize(
    ("clue", "outcome", "code", "words"),
    [
        (Clues(0), "succeeded", 0, "exit 0"),
        (Clues(3 * EXIT), "failed", 3, "exit 3"),
        (Clues(9, oom_kills=0), "failed", 137, "SIGKILL"),
        (Clues(9, oom_kills=1, memory_limit_bytes=2 << 30, at_limit=True), "out_of_memory", 137, "limit of 2 GiB"),
        (Clues(9, oom_kills=1), "out_of_memory", 137, "the machine"),
        (Clues(1 * EXIT, oom_kills=1, memory_limit_bytes=1 << 20, at_limit=True), "out_of_memory", 1, "1 MiB"),
        (Clues(0, oom_kills=2), "succeeded", 0, "2 of its processes"),
        (Clues(9, oom_kills=None, machine_oom_kills=1), "out_of_memory", 137, "this machine"),
        (Clues(9, oom_kills=0, machine_oom_kills=1), "failed", 137, "SIGKILL"),
        (Clues(15, passed_on=frozenset({15})), "cancelled", 143, "SIGTERM"),
        (Clues(143 * EXIT, passed_on=frozenset({15})), "cancelled", 143, "exit 143"),
        (Clues(1 * EXIT, passed_on=frozenset({15})), "failed", 1, "exit 1"),
        (Clues(15), "failed", 143, "SIGTERM"),
        (Clues(2), "cancelled", 130, "SIGINT"),
        (Clues(15, stopped_for="timeout", stop_seconds=7200), "timed_out", 124, "7200 s"),
        (Clues(0, stopped_for="stall", stop_seconds=60), "stalled", 124, "60 s"),
        (Clues(11 + 128), "failed", 139, "SIGSEGV"),
    ],
)  # fmt: skip
def test_the_table_of_ends(clue, outcome, code, words):
    end = ending(clue)
    assert (end.outcome, end.exit_code) == (outcome, code)
    assert words in end.exit_cause


def test_a_group_is_found_under_the_mount_that_shows_it():
    line = "41 31 0:38 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw"
    mount = _mount(line)
    assert (mount.root, mount.point, mount.kind) == ("/docker/abc", "/sys/fs/cgroup", "cgroup2")
    assert _seen_in("/docker/abcdef", [mount]) == (None, None)  # a longer name is another group


@pytest.mark.parametrize(
    ("word", "count"), [("2GiB", 2 << 30), ("2Gi", 2 << 30), ("1.5GB", 1_500_000_000), ("512M", 512 << 20), ("64kb", 64_000)]
)  # fmt: skip
def test_sizes_are_read_with_their_units(word, count):
    assert parse(["--folder", "f", "--memory", word, "--", "true"]).memory_limit_bytes == count


@pytest.mark.parametrize(
    ("word", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("250ms", 0.25)]
)
def test_times_are_read_with_their_units(word, seconds):
    assert parse(["--folder", "f", "--timeout", word, "--", "true"]).timeout_seconds == seconds


@pytest.mark.parametrize("word", ["2", "2 apples", "-1GiB", "0GiB", "GiB", "1e3GiB", ""])
def test_a_size_without_a_proper_unit_is_refused(word):
    with pytest.raises(Misuse):
        parse(["--folder", "f", "--memory", word, "--", "true"])


def test_everything_after_two_dashes_is_the_commands():
    order = parse(["--folder=f", "--cpus", "1.5", "--", "sh", "--", "--folder", "g"])
    assert order.command == ("sh", "--", "--folder", "g")
    assert (order.folder, order.cpu_cores_limit) == ("f", 1.5)
