"""Folding any facts in any order never crashes, and gives the same snapshot however the log is cut or repeated."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.charge import Charge
from flyball.model.folding import fold
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.receipt import Host, Limits, Receipt
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import Snapshot
from flyball.model.spec import After, JobSpec, Schedule, SpotAsk

OFFER = Offer(
    cloud="sim",
    region="r",
    instance_type="t",
    arch=Arch.X86_64,
    vcpus=2,
    memory_bytes=2**33,
    market=Market.SPOT,
    price_usd_per_hour=Decimal("0.1"),
    as_of=date(2026, 11, 1),
    source="test",
)
HOURS = 3600.0
RUNS = st.sampled_from(["r1", "r2", "r3"])
NUMBERS = st.integers(1, 3)
JOBS = st.sampled_from(["a", "b"])
TIMES = st.integers(0, 100).map(lambda n: 1_780_000_000.0 + n * HOURS)
HOSTS = st.sampled_from([None, None, "h1"])
SPECS = st.builds(
    lambda name, checkpoint, after, every: JobSpec(
        name=name,
        command=("x",),
        paper="p",
        spot=SpotAsk(checkpoint=checkpoint),
        after=After(jobs=("a",), even_failed=True) if after else None,
        schedule=Schedule(every_seconds=HOURS) if every else None,
    ),
    JOBS,
    st.sampled_from([None, "/kept"]),
    st.booleans(),
    st.booleans(),
)


def submitted(run: str, at: float, spec: JobSpec, slot: float | None) -> f.RunSubmitted:
    named = RunSpec(run_id=run, job=spec.name, command=("x",), features=Features(started_at_seconds=at))
    return f.RunSubmitted(at_seconds=at, run=named, spec=spec, slot_seconds=slot)


def planned(run: str, n: int, at: float, host: str | None) -> f.AttemptPlanned:
    return f.AttemptPlanned(
        at_seconds=at,
        run_id=run,
        attempt_id=f"{run}.{n}",
        provider="sim",
        offer=OFFER,
        size=Size(cpu_cores=1, memory_bytes=2**30),
        limits=Limits(memory_bytes=2**30),
        reason="because",
        host_id=host,
    )


def ended(run: str, n: int, at: float, outcome: Outcome) -> f.AttemptEnded:
    receipt = Receipt(
        attempt_id=f"{run}.{n}",
        outcome=outcome,
        exit_code=0,
        exit_cause="x",
        started_at_seconds=at,
        ended_at_seconds=at,
        wall_seconds=0.0,
        host=Host(),
        limits=Limits(),
        sources={},
    )
    return f.AttemptEnded(at_seconds=at, run_id=run, attempt_id=f"{run}.{n}", receipt=receipt)


def released(run: str, name: str, at: float, nano: int) -> f.MachineReleased:
    charge = Charge(
        usd=Decimal(nano) / 10**9, billed_seconds=1.0, price_usd_per_hour=Decimal("0.1"), reason="x"
    )
    return f.MachineReleased(at_seconds=at, run_id=run, attempt_id=name, charge=charge)


def of_attempt(fact_kind, /, **more):
    return st.builds(
        lambda run, n, at, **extra: fact_kind(at_seconds=at, run_id=run, attempt_id=f"{run}.{n}", **extra),
        RUNS,
        NUMBERS,
        TIMES,
        **more,
    )


ATTEMPT_FACTS = st.one_of(
    st.builds(planned, RUNS, NUMBERS, TIMES, HOSTS),
    of_attempt(f.AttemptLaunched),
    of_attempt(f.AttemptStarted, limits=st.just(Limits()), reason=st.just("x")),
    of_attempt(
        f.LaunchRefused,
        provider=st.just("sim"),
        offer_id=st.just(OFFER.offer_id),
        kind=st.sampled_from(["no_capacity", "quota", "bad_request"]),
        reason=st.just("x"),
    ),
    of_attempt(f.ProgressReported, share=st.floats(0, 1)),
    of_attempt(f.NoticeReceived, ends_at_seconds=TIMES),
    of_attempt(f.MachineMissed),
    of_attempt(f.MachineSeen),
    of_attempt(
        f.AttemptStopping,
        outcome=st.sampled_from([Outcome.CANCELLED, Outcome.TIMED_OUT]),
        reason=st.just("x"),
    ),
    st.builds(ended, RUNS, NUMBERS, TIMES, st.sampled_from(Outcome)),
    st.builds(lambda run, n, at, nano: released(run, f"{run}.{n}", at, nano), RUNS, NUMBERS, TIMES, NUMBERS),
)
OTHER_FACTS = st.one_of(
    st.builds(submitted, RUNS, TIMES, SPECS, st.none() | TIMES),
    st.builds(lambda at, spec: f.JobApplied(at_seconds=at, spec=spec), TIMES, SPECS),
    st.builds(lambda at, job: f.JobRemoved(at_seconds=at, job=job), TIMES, JOBS),
    st.builds(
        lambda at, job: f.SlotSkipped(at_seconds=at, job=job, slot_seconds=at, reason="x"), TIMES, JOBS
    ),
    st.builds(lambda at, run: f.RunHeld(at_seconds=at, run_id=run, kind="slots", reason="x"), TIMES, RUNS),
    st.builds(lambda at, run: f.CancelAsked(at_seconds=at, run_id=run), TIMES, RUNS),
    st.builds(
        lambda at, run, job, result: f.RunEnded(
            at_seconds=at, run_id=run, job=job, result=result, reason="x"
        ),
        TIMES,
        RUNS,
        JOBS,
        st.sampled_from(f.RunResult),
    ),
    st.builds(
        lambda at: f.HostPlanned(at_seconds=at, host_id="h1", provider="sim", offer=OFFER, reason="x"), TIMES
    ),
    st.builds(lambda at: f.HostLaunched(at_seconds=at, host_id="h1"), TIMES),
    st.builds(lambda at: f.HostEnding(at_seconds=at, host_id="h1", reason="x"), TIMES),
    st.builds(lambda at, nano: released("", "h1", at, nano), TIMES, NUMBERS),
    st.builds(
        lambda at, run: f.ZombieFound(at_seconds=at, provider="sim", attempt_id=f"{run}.1", reason="x"),
        TIMES,
        RUNS,
    ),
)
SUBMITTED = st.lists(st.builds(submitted, RUNS, TIMES, SPECS, st.none() | TIMES), min_size=1, max_size=3)
LOGS = st.builds(
    lambda begin, rest: begin + rest,
    SUBMITTED,
    st.lists(st.one_of(ATTEMPT_FACTS, ATTEMPT_FACTS, OTHER_FACTS), max_size=40),
)
MANY = settings(deadline=None, max_examples=300, derandomize=True)


@MANY
@given(log=LOGS, cuts=st.lists(st.integers(0, 40), max_size=5))
def test_folding_in_pieces_is_folding_at_once(log, cuts):
    whole, pieces = fold(Snapshot(), log), Snapshot()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
        pieces = fold(pieces, log[begin:end])
    assert pieces == whole
    assert whole.position == len(log)


@MANY
@given(log=LOGS)
def test_a_fact_told_twice_in_a_row_is_told_once(log):
    snapshot = Snapshot()
    for fact in log:
        once = fold(snapshot, [fact])
        twice = fold(once, [fact])
        assert replace(twice, position=0) == replace(once, position=0), fact
        snapshot = once


@MANY
@given(log=LOGS)
def test_every_attempt_is_in_one_place_and_every_machine_is_accounted_for(log):
    snapshot, planned_ids = (
        fold(Snapshot(), log),
        {x.attempt_id for x in log if isinstance(x, f.AttemptPlanned)},
    )
    live = [run.live.attempt_id for run in snapshot.runs.values() if run.live]
    assert len(live) == len(set(live))
    assert not set(live) & snapshot.unreleased.keys()
    assert set(live) | snapshot.unreleased.keys() <= planned_ids
    for run_id, run in snapshot.runs.items():
        tried = [attempt.attempt_id for attempt in run.tried]
        assert len(tried) == len(set(tried))
        assert run.live is None or run.live.attempt_id not in tried
        assert run_id not in snapshot.ended


@MANY
@given(log=LOGS)
def test_no_more_is_spent_than_was_charged_and_each_month_holds_its_hours(log):
    snapshot = fold(Snapshot(), log)
    charged = sum(fact.charge.nano_usd for fact in log if isinstance(fact, f.MachineReleased))
    months = {key: nano for key, nano in snapshot.spent_nano_usd.items() if len(key) == len("2026-11")}
    assert 0 <= sum(months.values()) <= charged
    for run in snapshot.runs.values():
        assert 0 <= run.spent_nano_usd <= charged


@MANY
@given(log=LOGS)
def test_a_fold_leaves_the_snapshot_it_started_from_as_it_was(log):
    middle = fold(Snapshot(), log[: len(log) // 2])
    before = {name: dict(getattr(middle, name)) for name in ("runs", "unreleased", "hosts", "spent_nano_usd")}
    fold(middle, log[len(log) // 2 :])
    assert {name: dict(getattr(middle, name)) for name in before} == before
