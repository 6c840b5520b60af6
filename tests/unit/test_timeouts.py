"""Which attempts are ended, and how they count."""

from __future__ import annotations

import pytest
from money_setting import T0, after, job, known, launched, one_attempt, planned, started, submitted

from flyball.model import facts as f
from flyball.model.machine import Capabilities
from flyball.model.outcome import Outcome
from flyball.model.receipt import Limits
from flyball.model.spec import Patience
from flyball.policy.known import Usual
from flyball.policy.timeouts import run_limit_seconds, to_stop

KNOWN = known()


@pytest.mark.parametrize(
    ("patience", "usual", "limit"),
    [
        (Patience(), Usual(runs=50, wall_seconds_p95=100), None),
        (Patience(run_seconds=30), Usual(), 30),
        (Patience(run_times_usual=3), Usual(runs=5, wall_seconds_p95=100), 300),
        (Patience(run_times_usual=3), Usual(runs=4, wall_seconds_p95=100), None),  # too few to know
        (Patience(run_times_usual=3), Usual(runs=50), None),
        (Patience(run_seconds=200, run_times_usual=3), Usual(runs=5, wall_seconds_p95=100), 200),
        (Patience(run_seconds=400, run_times_usual=3), Usual(runs=5, wall_seconds_p95=100), 300),
        (Patience(run_times_usual=3), Usual(runs=5, wall_seconds_p95=0.05), 60),  # no limit within the noise
        (Patience(run_seconds=5, run_times_usual=3), Usual(runs=5, wall_seconds_p95=0.05), 5),
    ],
)
def test_a_run_is_limited_by_the_fixed_time_and_the_usual_one_whichever_is_less(patience, usual, limit):
    assert run_limit_seconds(job(patience=patience), usual) == limit


def stops(snapshot, now, kind=KNOWN):
    return [(fact.outcome, fact.reason) for fact in to_stop(snapshot, kind, now)]


def test_a_cancelled_run_is_stopped_once():
    snapshot = one_attempt(started(), f.CancelAsked(at_seconds=T0 + 50, run_id="r1", reason="enough"))
    facts = to_stop(snapshot, KNOWN, T0 + 60)
    assert [(fact.attempt_id, fact.outcome, fact.reason) for fact in facts] == [
        ("r1.1", Outcome.CANCELLED, "enough")
    ]
    assert to_stop(after(*facts, since=snapshot), KNOWN, T0 + 61) == ()


def limited(seconds=100.0, grace=10.0):
    limits = Limits(timeout_seconds=seconds, grace_seconds=grace)
    return after(submitted(), planned(limits=limits), launched(), started())  # from T0 + 40


def test_a_wrapper_that_lets_a_run_go_on_beyond_its_limit_is_overruled():
    assert stops(limited(), T0 + 40 + 170) == []  # its grace, and a minute
    assert stops(limited(), T0 + 40 + 171) == [
        (Outcome.TIMED_OUT, "longer than 1 min 40 s, and its wrapper did not end it")
    ]


def test_an_attempt_without_a_limit_of_its_own_has_its_jobs():
    spec = job(patience=Patience(run_seconds=100))
    assert [outcome for outcome, _ in stops(one_attempt(started(), spec=spec), T0 + 500)] == [
        Outcome.TIMED_OUT
    ]


def test_an_attempt_that_has_not_started_is_not_timed_out_as_a_run():
    assert stops(one_attempt(spec=job(patience=Patience(run_seconds=1))), T0 + 5000) == []


def test_a_machine_that_is_still_listed_long_after_it_was_to_be_taken_is_given_up():
    notice = f.NoticeReceived(at_seconds=T0 + 100, run_id="r1", attempt_id="r1.1", ends_at_seconds=T0 + 220)
    snapshot = one_attempt(started(), notice)
    lagging = known(sim=Capabilities(listing_lag_seconds=90))
    assert stops(snapshot, T0 + 340) == []
    assert [outcome for outcome, _ in stops(snapshot, T0 + 341)] == [Outcome.INTERRUPTED]
    assert stops(snapshot, T0 + 341, lagging) == []
    assert [outcome for outcome, _ in stops(snapshot, T0 + 431, lagging)] == [Outcome.INTERRUPTED]


def test_an_attempt_that_does_not_stop_is_ended_so_that_its_machine_is_given_back():
    snapshot = after(*to_stop(limited(), KNOWN, T0 + 300), since=limited())
    assert to_stop(snapshot, KNOWN, T0 + 610) == ()
    (end,) = to_stop(snapshot, KNOWN, T0 + 611)
    assert isinstance(end, f.AttemptEnded)
    assert end.receipt.outcome is Outcome.TIMED_OUT
    assert end.receipt.exit_cause.endswith("it did not stop when it was asked to")
    gone = after(end, since=snapshot)
    assert list(gone.unreleased) == ["r1.1"]


def test_what_runs_well_is_left_alone():
    assert stops(one_attempt(started()), T0 + 1e6) == []
    assert to_stop(after(submitted()), KNOWN, T0 + 1e6) == ()
