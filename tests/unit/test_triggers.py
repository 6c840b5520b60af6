"""What other jobs' ends and arrived objects start, and backfills."""

from __future__ import annotations

import itertools
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.engine.orders import order_for_attempt
from flyball.errors import InputError
from flyball.model.facts import (
    AnyFact,
    AttemptPlanned,
    CancelAsked,
    JobApplied,
    JobPaused,
    JobResumed,
    ObjectsArrived,
    RunEnded,
    RunResult,
    RunSubmitted,
)
from flyball.model.folding import fold
from flyball.model.receipt import Limits
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import LiveRun, Snapshot
from flyball.model.spec import (
    After,
    Arrival,
    Goal,
    Holding,
    JobSpec,
    Overlap,
    RowCount,
    Schedule,
    SpotAsk,
    SuccessRules,
)
from flyball.policy.backfill import backfill
from flyball.policy.commands import StartAttempt
from flyball.policy.schedule import Turns
from flyball.policy.schedule_run import submission
from flyball.policy.triggers import OBJECTS_CHARS_MAX, cycle_in, triggered_runs
from flyball.ports.papers import Paper

NOW = 1_795_000_000.0


def job(name: str, *after: str, needs_all: bool = True, even_failed: bool = False, **options) -> JobSpec:
    follows = After(jobs=after, needs_all=needs_all, even_failed=even_failed) if after else None
    return JobSpec(name=name, command=("true",), paper="p", after=follows, **options)


def applied(*specs: JobSpec) -> Snapshot:
    return fold(Snapshot(), [JobApplied(at_seconds=NOW, spec=spec) for spec in specs])


def begin(snapshot: Snapshot, name: str, run_id: str, **more) -> Snapshot:
    fills = more.pop("fills", {})
    run = submission(
        snapshot.jobs[name].spec, run_id=run_id, cause="", now_seconds=NOW, due_seconds=NOW, fills=fills, **more
    )  # fmt: skip
    return fold(snapshot, [run])


def end(snapshot: Snapshot, run_id: str, result: RunResult = RunResult.SUCCEEDED) -> Snapshot:
    name = snapshot.runs[run_id].job
    return fold(snapshot, [RunEnded(at_seconds=NOW, run_id=run_id, job=name, result=result, reason="")])


def ran(snapshot: Snapshot, name: str, run_id: str, **more) -> Snapshot:
    return end(begin(snapshot, name, run_id, **more), run_id)


def started(facts: tuple[AnyFact, ...]) -> list[RunSubmitted]:
    return [fact for fact in facts if isinstance(fact, RunSubmitted)]


def tick(snapshot: Snapshot) -> tuple[Snapshot, list[RunSubmitted]]:
    facts = triggered_runs(snapshot, NOW + 5)
    return fold(snapshot, facts), started(facts)


# after other jobs


def test_all_waits_for_each_and_any_for_one():
    either = job("either", "a", "b", needs_all=False, overlap=Overlap.ALLOW)
    snapshot = applied(job("a"), job("b"), job("both", "a", "b"), either)
    snapshot, runs = tick(ran(snapshot, "a", "a1"))
    assert [(run.run.job, run.after_runs) for run in runs] == [("either", ("a1",))]
    snapshot, runs = tick(ran(snapshot, "b", "b1"))
    assert [(run.run.job, run.after_runs) for run in runs] == [("both", ("a1", "b1")), ("either", ("b1",))]
    assert runs[0].cause == "after a (run a1), b (run b1)"
    assert tick(snapshot)[1] == []


def test_a_failed_run_starts_only_what_goes_on_all_the_same():
    snapshot = applied(job("a"), job("then", "a"), job("clean", "a", even_failed=True))
    snapshot = end(begin(snapshot, "a", "a1"), "a1", RunResult.FAILED)
    assert [run.run.job for run in tick(snapshot)[1]] == ["clean"]


def test_the_days_of_what_it_follows_are_passed_on_and_the_first_named_counts():
    snapshot = applied(job("a"), job("b"), job("then", "a", "b"))
    snapshot = ran(snapshot, "b", "b1", fills={"day": "2020-02-02", "only": "b"})
    snapshot = ran(snapshot, "a", "a1", fills={"day": "2020-01-01"})
    _, (run,) = tick(snapshot)
    assert (run.fills["day"], run.fills["only"]) == ("2020-01-01", "b")
    assert run.fills["hour"]


def test_the_same_ends_give_the_same_run_id_and_others_another():
    snapshot = applied(job("a"), job("then", "a"))
    first = ran(snapshot, "a", "a1")
    (one,), (same,) = (started(triggered_runs(first, now)) for now in (NOW + 1, NOW + 99))
    assert one.run.run_id == same.run.run_id
    (other,) = started(triggered_runs(ran(snapshot, "a", "a2"), NOW + 1))
    assert other.run.run_id != one.run.run_id


def test_while_it_runs_the_ends_gather_to_one_run_and_with_queue_each_gets_its_own():
    snapshot = applied(job("a"), job("once", "a"), job("each", "a", overlap=Overlap.QUEUE))
    snapshot, first = tick(ran(snapshot, "a", "a1"))
    assert len(first) == 2
    for name in ("a2", "a3"):
        snapshot, runs = tick(ran(snapshot, "a", name))
        assert [run.run.job for run in runs] == ["each"]
    turns = Turns(snapshot)
    assert sum(turns.waits_for(run) is not None for run in snapshot.runs.values()) == 2
    snapshot = end(snapshot, first[0].run.run_id)
    _, (run,) = tick(snapshot)
    assert (run.run.job, run.after_runs) == ("once", ("a3",))


def test_replace_cancels_what_runs():
    snapshot, (first,) = tick(ran(applied(job("a"), job("then", "a", overlap=Overlap.REPLACE)), "a", "a1"))
    facts = triggered_runs(ran(snapshot, "a", "a2"), NOW + 9)
    assert [fact.run_id for fact in facts if isinstance(fact, CancelAsked)] == [first.run.run_id]
    assert len(started(facts)) == 1


def test_a_paused_job_starts_when_it_is_resumed():
    snapshot = fold(applied(job("a"), job("then", "a")), [JobPaused(at_seconds=NOW, job="then")])
    snapshot, runs = tick(ran(snapshot, "a", "a1"))
    assert runs == []
    snapshot = fold(snapshot, [JobResumed(at_seconds=NOW, job="then")])
    assert [run.after_runs for run in tick(snapshot)[1]] == [("a1",)]


def test_days_of_a_backfill_go_down_the_line_each_with_its_own_day():
    extract, load, report = job("extract"), job("load"), job("report", "extract", "load")
    snapshot = applied(extract, load, report, job("mail", "report"))
    days = {}
    for spec in (extract, load):
        runs = backfill(spec, "2026-10-01..2026-10-05", at_once=2, now_seconds=NOW)
        snapshot = fold(snapshot, runs)
        days[spec.name] = [run.run.run_id for run in runs]
    for run_id in [*days["extract"], *reversed(days["load"])]:  # all end before the governor looks again
        snapshot = end(snapshot, run_id)
    snapshot, reports = tick(snapshot)
    assert sorted(run.fills["day"] for run in reports) == [f"2026-10-0{n}" for n in range(1, 6)]
    assert {run.backfill_at_once for run in reports} == {2}
    for run in reports:
        snapshot = end(snapshot, run.run.run_id)
    snapshot, mails = tick(snapshot)
    assert sorted(run.fills["day"] for run in mails) == [f"2026-10-0{n}" for n in range(1, 6)]
    assert tick(snapshot)[1] == []


def test_a_group_may_use_an_end_that_is_in_none_and_only_one_may():
    snapshot = applied(job("a"), job("b"), job("then", "a", "b"))
    snapshot = ran(ran(snapshot, "a", "a1", group="x"), "a", "a2", group="y")
    assert tick(snapshot)[1] == []
    snapshot, (run,) = tick(ran(snapshot, "b", "b1"))
    assert run.after_runs == ("a1", "b1")
    _, (run,) = tick(ran(snapshot, "b", "b2"))
    assert run.after_runs == ("a2", "b2")


# objects


def arrived(*names: str, at: float = NOW, size: int | None = 10) -> ObjectsArrived:
    batch = "b-" + "-".join(names)[:50]
    return ObjectsArrived(at_seconds=at, job="j", batch=batch, objects=names, size_bytes=size)


def watching(**options) -> Snapshot:
    together = options.pop("together", False)
    options.setdefault("overlap", Overlap.ALLOW)
    return applied(job("j", arrival=Arrival(prefix="in/", together=together), **options))


def test_each_object_gets_a_run_with_its_name_and_size():
    snapshot = fold(watching(), [arrived("in/a"), arrived("in/b"), arrived("in/a")])
    snapshot, runs = tick(snapshot)
    assert [run.fills["object"] for run in runs] == ["in/a", "in/b"]
    assert [run.run.features.input_bytes for run in runs] == [10, 10]
    assert runs[0].cause == "in/a arrived"
    assert tick(fold(snapshot, [arrived("in/b")]))[1] == []  # it has been given


def test_together_gives_one_run_all_that_came():
    snapshot = fold(watching(together=True), [arrived("in/a", "in/b"), arrived("in/c")])
    snapshot, (run,) = tick(snapshot)
    assert run.fills["objects"] == "in/a\nin/b\nin/c"
    assert run.cause == "in/a arrived, and 2 more"
    assert (run.run.features.input_bytes, run.run.features.input_objects) == (20, 3)
    assert snapshot.jobs["j"].arrived == ()
    assert tick(snapshot)[1] == []


def test_more_names_than_a_command_can_hold_are_spread_over_runs_and_none_is_lost():
    names = [f"in/{n:04}-{'x' * 900}" for n in range(300)]
    snapshot = fold(watching(together=True), [arrived(name) for name in names])
    _, runs = tick(snapshot)
    assert all(len(run.fills["objects"]) <= OBJECTS_CHARS_MAX for run in runs)
    assert [name for run in runs for name in run.fills["objects"].split("\n")] == names


def test_with_skip_objects_wait_for_the_run_that_goes_on_and_are_not_lost():
    snapshot = fold(watching(overlap=Overlap.SKIP, together=True), [arrived("in/a")])
    snapshot, (first,) = tick(snapshot)
    snapshot, runs = tick(fold(snapshot, [arrived("in/b"), arrived("in/c")]))
    assert runs == []
    _, (run,) = tick(end(snapshot, first.run.run_id))
    assert run.fills["objects"] == "in/b\nin/c"


def test_what_follows_a_run_of_an_object_gets_that_object():
    snapshot = fold(
        applied(job("j", arrival=Arrival(prefix="in/"), overlap=Overlap.ALLOW), job("then", "j")),
        [arrived("in/a"), arrived("in/b")],
    )
    snapshot, runs = tick(snapshot)
    for run in runs:
        snapshot = end(snapshot, run.run.run_id)
    _, following = tick(snapshot)
    assert sorted(run.fills["object"] for run in following) == ["in/a", "in/b"]


# cycles


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 9), max_size=4), max_size=8))
def test_a_cycle_is_found_exactly_when_there_is_one(numbers):
    after = {str(k): [str(v) for v in vs] for k, vs in numbers.items()}
    found = cycle_in(after)
    left = dict(after)  # take away what waits for nothing, until nothing is left or all wait
    while free := [k for k, vs in left.items() if not any(v in left for v in vs)]:
        for name in free:
            del left[name]
    assert (found is not None) == bool(left)
    if found is not None:
        assert found[0] == found[-1]
        assert all(b in after[a] for a, b in itertools.pairwise(found))


def test_a_chain_of_thousands_has_no_cycle_and_needs_no_deep_stack():
    after = {str(n): [str(n + 1)] for n in range(20_000)}
    assert cycle_in(after) is None
    assert len(cycle_in(after | {"20000": ["0"]}) or ()) == 20_002


# backfills


def labels(span: str, **options) -> list[str]:
    return [run.group or "" for run in backfill(job("j", **options), span, now_seconds=NOW)]


def test_a_span_of_days_months_or_hours_has_both_ends():
    assert labels("2026-02-27..2026-03-01") == ["for 2026-02-27", "for 2026-02-28", "for 2026-03-01"]
    assert labels("2025-12..2026-02") == ["for 2025-12", "for 2026-01", "for 2026-02"]
    assert len(labels("2026-10-01T00..2026-10-01T23")) == 24
    assert labels("2026-10-01") == ["for 2026-10-01"]


def test_days_are_those_of_the_jobs_zone_and_hours_that_never_were_are_left_out():
    zone = {"schedule": Schedule(cron="0 6 * * *", timezone="America/Sao_Paulo")}
    runs = backfill(job("j", **zone), "2018-11-03..2018-11-05", now_seconds=NOW)
    assert [run.fills["day"] for run in runs] == ["2018-11-03", "2018-11-04", "2018-11-05"]
    assert len(labels("2018-11-04T00..2018-11-04T23", **zone)) == 23


def test_runs_of_a_backfill_are_throttled_have_no_deadline_and_ids_of_their_own():
    spec = job("j", goal=Goal(deadline_seconds=60.0), holding=Holding(runs_at_once=3))
    runs = backfill(spec, "2026-10-01..2026-10-31", now_seconds=NOW)
    assert {run.deadline_seconds for run in runs} == {None}
    assert {run.backfill_at_once for run in runs} == {3}
    assert len({run.run.run_id for run in runs}) == 31
    assert len({run.backfill for run in runs}) == 1
    again = backfill(spec, "2026-10-01..2026-10-31", now_seconds=NOW + 1)
    assert not {run.run.run_id for run in runs} & {run.run.run_id for run in again}


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ("2026-10-31..2026-10-01", "ends before"),
        ("yesterday", "not a date"),
        ("2026-10-01..2026-11", "one kind of date"),
        ("2026-02-30", "not a date"),
        ("1900-01-01..2026-01-01", "more than 10,000"),
        ("..", "not a date"),
    ],
)
def test_a_span_that_cannot_be_meant_is_refused(span, words):
    with pytest.raises(InputError, match=words):
        backfill(job("j"), span, now_seconds=NOW)


# fills


def test_fills_reach_the_command_the_rules_and_the_checkpoint_in_one_pass():
    spec = job(
        "j",
        inputs=("in/{day}.csv",),
        success=SuccessRules(
            outputs=("out/{day}",), check=("test", "{object}"), rows=(RowCount(path="{day}"),)
        ),
        spot=SpotAsk(checkpoint="s3://b/{day}"),
    )
    fills = {"object": "odd {day}", "day": "2026-10-01"}
    submitted = submission(spec, run_id="r", cause="", now_seconds=NOW, due_seconds=NOW, fills=fills)
    assert submitted.run.inputs == ("in/2026-10-01.csv",)
    offer = Offer(
        cloud="c", region="r", instance_type="t", arch=Arch.X86_64, vcpus=1, memory_bytes=1, market=Market.SPOT,
        price_usd_per_hour=Decimal(1), as_of=date(2026, 1, 1), source="",
    )  # fmt: skip
    planned = AttemptPlanned(
        at_seconds=NOW, run_id="r", attempt_id="r.1", provider="local", offer=offer,
        size=Size(cpu_cores=1, memory_bytes=1), limits=Limits(), reason="",
    )  # fmt: skip
    start = StartAttempt(planned=planned, run=LiveRun(submitted=submitted, spec=spec))
    paper = Paper(command=("x", "{object} {day} {print $1}"), env={"A": "{day}"})
    order = order_for_attempt(start, paper, 60.0)
    assert order.command == ("x", "odd {day} 2026-10-01 {print $1}")
    assert (order.env, order.spot.checkpoint) == ({"A": "2026-10-01"}, "s3://b/2026-10-01")
    assert order.success.outputs == ("out/2026-10-01",)
    assert (order.success.check, order.success.rows[0].path) == (("test", "odd {day}"), "2026-10-01")
