"""When a running attempt is stopped so that its run goes on elsewhere."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.folding import fold
from flyball.model.outcome import Outcome
from flyball.model.snapshot import SpotSeen
from flyball.model.spec import SpotAsk
from flyball.policy.moves import to_move
from flyball.policy.observing import receipt_without_wrapper
from tests.unit.test_failover import CHEAP, FIXED, NOW, known_of, plan, world

HOUR = 3600.0
CHECKPOINT = SpotAsk(checkpoint="there", changeover_seconds=60.0)
LONG = plan(seconds=10 * HOUR)


def running(offer, *, spot=CHECKPOINT, deadline=None, **seen):
    snapshot = world(spot=spot, deadline=deadline)
    name = {"run_id": "r", "attempt_id": "r.1"}
    snapshot = fold(
        snapshot,
        [
            f.AttemptPlanned(
                at_seconds=NOW, **name, provider="cloud", offer=offer, size=LONG.size, limits=f.Limits(), reason=""
            ),
            f.AttemptLaunched(at_seconds=NOW, **name),
            f.AttemptStarted(at_seconds=NOW + 60, **name, limits=f.Limits(), reason=""),
        ],
    )  # fmt: skip
    up = SpotSeen(last_up=True, last_at_seconds=NOW + HOUR - 30, **seen)
    return replace(snapshot, spot={f"cloud {CHEAP.offer_id}": up})


def notice(snapshot, *, ends):
    told = f.NoticeReceived(at_seconds=NOW + HOUR, run_id="r", attempt_id="r.1", ends_at_seconds=ends)
    return fold(snapshot, [told])


KNOWN = known_of([CHEAP, FIXED], planned=LONG)


def test_a_run_goes_back_to_spot_when_that_is_there_again_and_pays():
    (stopping,) = to_move(running(FIXED, deadline=30 * HOUR), KNOWN, NOW + HOUR)
    assert stopping.outcome is Outcome.INTERRUPTED
    assert not stopping.outcome.spends_retry
    assert stopping.reason.startswith("moved: ")


@pytest.mark.parametrize(
    ("change", "at"),
    [
        (lambda: running(FIXED, spot=SpotAsk(changeover_seconds=60.0), deadline=30 * HOUR), HOUR),
        (lambda: running(FIXED, spot=replace(CHECKPOINT, market="on_demand"), deadline=30 * HOUR), HOUR),
        (lambda: running(FIXED, deadline=11.1 * HOUR), HOUR),
        (lambda: running(FIXED, deadline=30 * HOUR), 120.0),
        (lambda: running(FIXED, deadline=30 * HOUR), 10.95 * HOUR),
        (lambda: replace(running(FIXED, deadline=30 * HOUR), spot={}), HOUR),
        (lambda: running(CHEAP, deadline=30 * HOUR), HOUR),
    ],
    ids=["starts over", "as asked", "no time", "just started", "nearly done", "nothing seen", "on spot"],
)
def test_what_stays_where_it_is(change, at):
    assert to_move(change(), KNOWN, NOW + at) == ()


def test_who_resumes_leaves_a_machine_that_will_be_taken_away():
    snapshot = notice(running(CHEAP), ends=NOW + HOUR + 120)
    (stopping,) = to_move(snapshot, KNOWN, NOW + HOUR)
    assert "taken away" in stopping.reason
    starts_over = notice(running(CHEAP, spot=SpotAsk()), ends=NOW + HOUR + 120)
    assert to_move(starts_over, KNOWN, NOW + HOUR) == ()


def test_who_will_be_done_before_the_machine_goes_stays():
    snapshot = running(CHEAP)
    for at, share in ((100.0, 0.1), (HOUR - 30, 0.99)):
        told = f.ProgressReported(at_seconds=NOW + at, run_id="r", attempt_id="r.1", share=share)
        snapshot = fold(snapshot, [told])
    assert to_move(notice(snapshot, ends=NOW + HOUR + 120), KNOWN, NOW + HOUR) == ()


def test_a_machine_left_on_notice_counts_as_taken_away():
    snapshot = notice(running(CHEAP), ends=NOW + HOUR + 120)
    snapshot = fold(snapshot, to_move(snapshot, KNOWN, NOW + HOUR))
    live = snapshot.runs["r"].live
    receipt = receipt_without_wrapper(live, Outcome.INTERRUPTED, "moved", NOW + HOUR + 5)
    ended = f.AttemptEnded(at_seconds=NOW + HOUR + 5, run_id="r", attempt_id="r.1", receipt=receipt)
    seen = fold(snapshot, [ended]).spot[f"cloud {CHEAP.offer_id}"]
    assert (seen.interruptions, seen.last_up) == (1, False)
