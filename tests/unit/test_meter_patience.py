"""When a command has had enough time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flyball.meter.order import Order
from flyball.meter.patience import KILL, TERMINATE, Patience


def patience(**limits: float) -> Patience:
    return Patience(Order("a", ("true",), "folder", **limits), 100.0)


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_without_limits_nobody_is_ever_stopped(waits):
    never = patience()
    assert [never.due(100.0 + wait) for wait in waits] == [None] * len(waits)


@given(st.lists(st.floats(100, 160), min_size=1, max_size=40), st.floats(1, 20), st.floats(0, 10))
def test_it_is_asked_once_and_killed_only_after_the_grace_period(times, timeout, grace):
    judge = patience(timeout_seconds=timeout, grace_seconds=grace)
    asked_at = None
    for now in sorted(times):
        due = judge.due(now)
        if due == TERMINATE:
            assert asked_at is None
            assert now >= 100 + timeout
            asked_at = now
        elif due == KILL:
            assert asked_at is not None
            assert now >= asked_at + grace
        assert judge.next_at(now) >= now or judge.due(now) is not None


def test_work_and_output_both_put_off_the_stall():
    judge = patience(stalled_after_seconds=5)
    judge.note_activity(100.0, (0.0, 0.0), 0.0)
    judge.note_activity(104.0, (0.5, 0.0), 0.0)  # worked
    assert judge.due(108.9) is None
    judge.note_activity(108.0, (0.5, 0.0), 107.0)  # only wrote
    assert judge.due(111.9) is None
    judge.note_activity(112.0, (0.5004, 0.0), 107.0)  # a timer's worth of CPU is no work
    assert judge.due(112.0) == TERMINATE
    assert (judge.stopped_for, judge.stop_seconds) == ("stall", 5)


def test_time_in_which_the_wrapper_was_stopped_is_forgiven():
    judge = patience(stalled_after_seconds=5)
    judge.forgive(1000.0)
    assert judge.due(1004.0) is None
    assert judge.due(1005.0) == TERMINATE
