"""Which runs the clock starts: catch-up, overlap, clocks that jump, and what a tick costs when nothing is due."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.model.facts import (
    CancelAsked,
    JobApplied,
    JobPaused,
    JobResumed,
    RunEnded,
    RunResult,
    RunSubmitted,
    SlotSkipped,
)
from flyball.model.folding import fold
from flyball.model.snapshot import Snapshot
from flyball.model.spec import CatchUp, Goal, JobSpec, Overlap, Schedule
from flyball.policy.schedule import SLOTS_BACK_MAX, Turns, due_runs, next_due_seconds, waits_for_turn
from flyball.policy.schedule_run import scheduled_run_id

HOUR, DAY = 3600.0, 86_400.0


def berlin(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()


def job(name: str = "j", *, every: float | None = None, cron: str | None = None, **options) -> JobSpec:
    catch_up = options.pop("catch_up", CatchUp.LAST)
    zone = options.pop("timezone", "Europe/Berlin")
    schedule = Schedule(cron=cron, every_seconds=every, timezone=zone, catch_up=catch_up)
    return JobSpec(name=name, command=("true",), paper="p", schedule=schedule, **options)


def applied(at: float, *specs: JobSpec) -> Snapshot:
    return fold(Snapshot(), [JobApplied(at_seconds=at, spec=spec) for spec in specs])


def tick(snapshot: Snapshot, now: float) -> tuple[Snapshot, list[RunSubmitted], list[SlotSkipped]]:
    facts = due_runs(snapshot, now)
    started = [fact for fact in facts if isinstance(fact, RunSubmitted)]
    return fold(snapshot, facts), started, [fact for fact in facts if isinstance(fact, SlotSkipped)]


def ended(run: RunSubmitted, at: float) -> RunEnded:
    return RunEnded(
        at_seconds=at, run_id=run.run.run_id, job=run.run.job, result=RunResult.SUCCEEDED, reason=""
    )


# when


def test_a_slot_is_run_once_at_its_time_with_its_day_filled_in():
    spec = job(cron="0 6 * * 1-5", goal=Goal(deadline_at="08:30"))
    snapshot = applied(berlin("2026-11-20T12:00"), spec)  # a Friday
    snapshot, started, _ = tick(snapshot, berlin("2026-11-23T05:59:59"))
    assert started == []
    snapshot, (run,), skipped = tick(snapshot, berlin("2026-11-23T06:00:07"))
    assert skipped == []
    assert run.run.run_id == scheduled_run_id("j", berlin("2026-11-23T06:00"))
    assert run.fills["day"] == "2026-11-23"
    assert run.fills["yesterday"] == "2026-11-22"
    assert (run.fills["hour"], run.fills["slot"]) == ("06", "2026-11-23T06:00:00+01:00")
    assert run.cause == "schedule 2026-11-23 06:00 Europe/Berlin"
    assert run.due_seconds == berlin("2026-11-23T06:00")
    assert run.deadline_seconds == berlin("2026-11-23T08:30")
    assert run.run.features.utc_offset_seconds == 3600
    assert tick(snapshot, berlin("2026-11-23T06:00:20"))[1] == []


def test_an_interval_is_counted_from_when_the_job_was_defined():
    snapshot = applied(1000.0, job(every=900.0))
    assert tick(snapshot, 1899.0)[1] == []
    snapshot, (run,), _ = tick(snapshot, 1907.0)
    assert run.slot_seconds == 1900.0
    assert next_due_seconds(snapshot.jobs["j"], 1907.0) == 2800.0


def test_a_changed_schedule_counts_from_when_it_was_changed_and_another_change_does_not():
    snapshot = applied(0.0, job(every=900.0))
    snapshot, _, _ = tick(snapshot, 900.0)
    snapshot = fold(snapshot, [JobApplied(at_seconds=1000.0, spec=job(every=900.0, tags={"team": "x"}))])
    assert next_due_seconds(snapshot.jobs["j"], 1000.0) == 1800.0
    snapshot = fold(snapshot, [JobApplied(at_seconds=1000.0, spec=job(every=600.0))])
    assert next_due_seconds(snapshot.jobs["j"], 1000.0) == 1600.0


def test_a_paused_job_is_not_started_and_catches_up_as_after_a_downtime():
    snapshot = applied(0.0, job(every=HOUR))
    snapshot = fold(snapshot, [JobPaused(at_seconds=10.0, job="j")])
    assert due_runs(snapshot, 5 * HOUR) == ()
    assert next_due_seconds(snapshot.jobs["j"], 5 * HOUR) is None
    snapshot = fold(snapshot, [JobResumed(at_seconds=5 * HOUR, job="j")])
    _, started, skipped = tick(snapshot, 5 * HOUR + 1)
    assert [run.slot_seconds for run in started] == [5 * HOUR]
    assert [skip.slot_seconds for skip in skipped] == [4 * HOUR]


# catching up


def test_after_a_downtime_the_last_slot_is_run_and_the_others_are_skipped_in_one_go():
    snapshot = applied(0.0, job(every=60.0))
    snapshot, (run,), (skipped,) = tick(snapshot, 30 * DAY + 1)
    assert run.slot_seconds == 30 * DAY
    assert "since 1970-01-01 01:00 Europe/Berlin" in skipped.reason
    assert due_runs(snapshot, 30 * DAY + 2) == ()


def test_all_slots_are_run_in_order_and_a_hundred_at_a_time():
    spec = job(cron="0 * * * *", timezone="UTC", catch_up=CatchUp.ALL, overlap=Overlap.QUEUE)
    snapshot = applied(0.0, spec)
    slots: list[float] = []
    for late in range(5):
        snapshot, started, skipped = tick(snapshot, 250 * HOUR + late)
        assert skipped == []
        assert len(started) <= 100
        slots += [run.slot_seconds for run in started if run.slot_seconds]
    assert slots == [n * HOUR for n in range(1, 251)]


@pytest.mark.parametrize("how", [{"cron": "* * * * *"}, {"every": 60.0}])
def test_there_is_an_end_to_how_far_back_all_goes(how):
    snapshot = applied(0.0, job(catch_up=CatchUp.ALL, overlap=Overlap.ALLOW, timezone="UTC", **how))
    slots, skips = [], []
    for late in range(12):
        snapshot, started, skipped = tick(snapshot, 90 * DAY + late)
        slots += [run.slot_seconds for run in started]
        skips += skipped
    assert slots == [90 * DAY - n * 60 for n in reversed(range(SLOTS_BACK_MAX))]
    assert len(skips) == 1


def test_skip_leaves_out_what_is_more_than_two_minutes_late():
    snapshot = applied(0.0, job(every=HOUR, catch_up=CatchUp.SKIP))
    _, started, (skipped,) = tick(snapshot, HOUR + 121)
    assert started == []
    assert skipped.slot_seconds == HOUR
    assert len(tick(snapshot, HOUR + 119)[1]) == 1


# overlap


def two_slots(overlap: Overlap) -> tuple[Snapshot, RunSubmitted]:
    snapshot = applied(0.0, job(every=HOUR, overlap=overlap))
    snapshot, (first,), _ = tick(snapshot, HOUR)
    return snapshot, first


def test_skip_leaves_out_the_slot_while_a_run_goes_on():
    snapshot, first = two_slots(Overlap.SKIP)
    snapshot, started, (skipped,) = tick(snapshot, 2 * HOUR)
    assert started == []
    assert skipped.reason == f"run {first.run.run_id} has not ended"
    snapshot = fold(snapshot, [ended(first, 2.5 * HOUR)])
    assert len(tick(snapshot, 3 * HOUR)[1]) == 1


def test_allow_starts_another_beside_it():
    snapshot, _ = two_slots(Overlap.ALLOW)
    snapshot, started, _ = tick(snapshot, 2 * HOUR)
    assert len(started) == 1
    assert all(waits_for_turn(run, snapshot) is None for run in snapshot.runs.values())


def test_queue_lets_them_wait_for_the_one_before():
    snapshot, first = two_slots(Overlap.QUEUE)
    snapshot, (second,), _ = tick(snapshot, 2 * HOUR)
    snapshot, (third,), _ = tick(snapshot, 3 * HOUR)
    turns = Turns(snapshot)
    waits = [turns.waits_for(snapshot.runs[run.run.run_id]) for run in (first, second, third)]
    assert waits == [
        None,
        f"run {first.run.run_id} of j comes first",
        f"run {second.run.run_id} of j comes first",
    ]
    snapshot = fold(snapshot, [ended(first, 3 * HOUR)])
    assert waits_for_turn(snapshot.runs[second.run.run_id], snapshot) is None


def test_replace_cancels_the_one_that_goes_on_and_waits_until_it_is_gone():
    snapshot, first = two_slots(Overlap.REPLACE)
    facts = due_runs(snapshot, 2 * HOUR)
    assert [type(fact) for fact in facts] == [CancelAsked, RunSubmitted]
    snapshot = fold(snapshot, facts)
    second = scheduled_run_id("j", 2 * HOUR)
    assert snapshot.runs[first.run.run_id].cancel_reason == f"replaced by run {second}"
    assert waits_for_turn(snapshot.runs[second], snapshot) == f"run {first.run.run_id} of j comes first"
    assert [type(f) for f in due_runs(snapshot, 3 * HOUR)] == [
        CancelAsked,
        RunSubmitted,
    ]  # of the second only


# clocks, crashes, other governors


def test_a_clock_that_goes_back_starts_nothing_twice():
    snapshot = applied(0.0, job(every=HOUR, overlap=Overlap.ALLOW))
    snapshot, _, _ = tick(snapshot, 10 * HOUR)
    for now in (9 * HOUR, 9.5 * HOUR, 10 * HOUR, 10.9 * HOUR):
        snapshot, started, _ = tick(snapshot, now)
        assert started == []
    assert len(tick(snapshot, 11 * HOUR)[1]) == 1


def test_a_clock_that_was_years_ahead_does_not_silence_a_job_for_years():
    now = 1.79e9
    snapshot = applied(now, job(cron="0 * * * *", overlap=Overlap.ALLOW, catch_up=CatchUp.ALL))
    snapshot, before, _ = tick(snapshot, now + 2 * HOUR)
    for late in range(20):  # the wrong clock
        snapshot, started, _ = tick(snapshot, now + 3650 * DAY + late)
        assert len(started) <= 100
    assert len(before) == 2
    snapshot, again, _ = tick(snapshot, now + 2 * HOUR + 5)
    assert again == []
    seen = []
    for minutes in range(0, 4 * 60, 1):
        snapshot, started, _ = tick(snapshot, now + 2 * HOUR + minutes * 60)
        seen += [run.slot_seconds for run in started]
    assert len(seen) == 4
    assert len(set(seen)) == 4


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    steps=st.lists(st.floats(-2 * HOUR, 30 * HOUR, allow_nan=False), min_size=1, max_size=30),
    catch_up=st.sampled_from(CatchUp),
    overlap=st.sampled_from(Overlap),
    how=st.sampled_from([{"cron": "*/20 * * * *"}, {"cron": "0 2 * * *"}, {"every": 1234.5}]),
    stays=st.booleans(),
)
def test_whatever_the_clock_does_each_slot_is_dealt_with_once_and_in_order(
    steps, catch_up, overlap, how, stays
):
    now = berlin("2026-10-24T12:00")  # the night in which Berlin's clock goes back
    snapshot, latest = applied(now, job(catch_up=catch_up, overlap=overlap, **how)), now
    slots: list[float] = []
    for step in steps:
        now, before = now + step, snapshot
        snapshot, started, skipped = tick(snapshot, now)
        assert due_runs(before, now) == due_runs(before, now)  # whoever decides decides the same
        slots += sorted(fact.slot_seconds for fact in [*started, *skipped])
        if not stays:
            snapshot = fold(snapshot, [ended(run, now) for run in started])
        if now > latest and started and catch_up is not CatchUp.ALL:
            assert len(started) == 1
        latest = max(latest, now)
        if overlap is Overlap.SKIP:
            assert len(snapshot.runs) <= 1
    assert len(set(slots)) == len(slots)
    assert slots == sorted(slots)
    assert all(slot <= latest for slot in slots)


def test_run_ids_of_ten_thousand_jobs_and_slots_differ():
    ids = {scheduled_run_id(f"job {n}", slot * HOUR) for n in range(1000) for slot in range(10)}
    assert len(ids) == 10_000
    assert scheduled_run_id("b", 1.8e9) < scheduled_run_id("a", 2e9)


def test_a_zone_that_this_machine_lacks_stops_one_job_and_not_the_others():
    snapshot = applied(0.0, job("odd", cron="0 * * * *", timezone="Mars/Olympus"), job(every=60.0))
    assert [fact.job for fact in due_runs(snapshot, 61.0) if isinstance(fact, SlotSkipped)] == []
    assert [fact.run.job for fact in due_runs(snapshot, 61.0) if isinstance(fact, RunSubmitted)] == ["j"]
    assert next_due_seconds(snapshot.jobs["odd"], 61.0) is None


def test_four_thousand_jobs_of_which_none_is_due_cost_a_few_milliseconds_a_tick():
    specs = [job(f"j{n}", cron=f"{n % 60} {n % 24} * * *") for n in range(4000)]
    now = berlin("2026-11-21T12:00:30")
    snapshot = fold(applied(now - DAY, *specs), due_runs(applied(now - DAY, *specs), now))
    assert due_runs(snapshot, now) == ()
    took = []
    for _ in range(7):
        begun = time.perf_counter()
        due_runs(snapshot, now)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.02  # 4 times what it takes, for machines that are busy
