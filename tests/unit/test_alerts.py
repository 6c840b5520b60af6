from __future__ import annotations

import random
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.ceilings import Budget, Ceilings
from flyball.model.charge import Charge
from flyball.model.folding import ALERTS_KEPT, fold
from flyball.model.history import AttemptRow
from flyball.model.job import Features, RunSpec
from flyball.model.machine import Capabilities
from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Plan, Quantiles
from flyball.model.receipt import Host, Limits, Receipt
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import Snapshot
from flyball.model.spec import Holding, JobSpec, SpotAsk
from flyball.policy.alerts import alerts
from flyball.policy.alerts_desk import PER_DAY, PER_JOB_A_DAY
from flyball.policy.alerts_usual import unusual_cost_usd, unusual_wall_seconds, weekday_of
from flyball.policy.known import Known, Supply, Usual

NOW = 1_780_000_000.0  # Thursday 2026-05-28
HOUR, DAY = 3600.0, 86_400.0
OFFER = Offer(
    cloud="sim",
    region="r",
    instance_type="t",
    arch=Arch.X86_64,
    vcpus=4,
    memory_bytes=2**34,
    market=Market.ON_DEMAND,
    price_usd_per_hour=Decimal("1.00"),
    as_of=date(2026, 5, 1),
    source="test",
)
SIZE, LIMITS = Size(cpu_cores=1, memory_bytes=2**30), Limits()
HOST = Host()


def seconds(p50, p90=None, p99=None):
    return Quantiles(p50=p50, p90=p90 or p50 * 1.2, p99=p99 or p50 * 1.5)


def knowing(*, wall=None, usual=None, budgets=(), catalog_age=None, boot=40.0):
    forecast = Forecast(runs=20, wall_seconds=wall)
    capabilities = Capabilities(boot_seconds=boot)
    return Known(
        supplies={"sim": Supply(name="sim", capabilities=capabilities, offers=OfferTable.of([OFFER]))},
        plan=lambda run: Plan(job=run.job, size=SIZE, forecast=forecast, reasons=()),
        usual=lambda _: usual or Usual(),
        ceilings=Ceilings(budgets=budgets),
        catalog_age_seconds=catalog_age,
    )


def submitted(run_id, *, job="etl", at=NOW, deadline=None, tags=None, **spec):
    spec = JobSpec(name=job, command=("true",), paper="p", providers=("sim",), **spec)
    run = RunSpec(
        run_id=run_id, job=job, command=("true",), features=Features(started_at_seconds=at), tags=tags or {}
    )
    return f.RunSubmitted(at_seconds=at, run=run, spec=spec, deadline_seconds=deadline)


def placed(run_id, *, at=NOW, attempt=1, started=True, progress=()):
    name = {"run_id": run_id, "attempt_id": f"{run_id}.{attempt}"}
    facts = [
        f.AttemptPlanned(
            at_seconds=at, **name, provider="sim", offer=OFFER, size=SIZE, limits=LIMITS, reason="fits"
        ),
        f.AttemptLaunched(at_seconds=at, **name),
    ]
    if started:
        facts.append(f.AttemptStarted(at_seconds=at, **name, limits=LIMITS, reason="fits"))
    return facts + [f.ProgressReported(at_seconds=when, **name, share=share) for when, share in progress]


def over(run_id, outcome, *, started, ended, seen=None, attempt=1):
    receipt = Receipt(
        attempt_id=f"{run_id}.{attempt}",
        outcome=outcome,
        exit_code=0,
        exit_cause="exit 0",
        started_at_seconds=started,
        ended_at_seconds=ended,
        wall_seconds=ended - started,
        host=HOST,
        limits=LIMITS,
        sources={},
    )
    return f.AttemptEnded(
        at_seconds=seen or ended, run_id=run_id, attempt_id=receipt.attempt_id, receipt=receipt
    )


def failed(run_id, *, job="etl", at=NOW, reason="exit 3"):
    return [
        submitted(run_id, job=job, at=at),
        f.RunEnded(at_seconds=at, run_id=run_id, job=job, result=f.RunResult.FAILED, reason=reason),
    ]


def told(facts, known=None, now=NOW):
    """What a governor raises at `now` who knows these facts, and nothing at a second look."""
    snapshot = facts if isinstance(facts, Snapshot) else fold(Snapshot(), facts)
    raised = alerts(snapshot, known or knowing(), now)
    assert not alerts(fold(snapshot, raised), known or knowing(), now), "the same thing is told once"
    return raised


def kinds(facts, known=None, now=NOW):
    return [alert.kind for alert in told(facts, known, now)]


def test_nothing_is_told_of_runs_that_go_well():
    facts = [submitted("a", deadline=NOW + HOUR), *placed("a"), submitted("b")]
    assert kinds(facts, knowing(wall=seconds(600), usual=Usual(runs=9, wall_seconds=seconds(600)))) == []


def test_a_run_that_failed_for_good_is_told_with_its_reason():
    (alert,) = told(failed("a"))
    assert (alert.kind, alert.run_id, alert.job) == ("run_failed", "a", "etl")
    assert "exit 3" in alert.words
    assert "flyball why a" in alert.words


def test_a_failure_that_is_found_long_after_it_happened_is_no_news():
    assert kinds(failed("a", at=NOW - 2 * HOUR)) == []
    assert kinds(failed("a", at=NOW - HOUR / 2)) == ["run_failed"]


@pytest.mark.parametrize("result", [f.RunResult.SUCCEEDED, f.RunResult.CANCELLED])
def test_other_ends_are_not_told(result):
    end = f.RunEnded(at_seconds=NOW, run_id="a", job="etl", result=result, reason="")
    assert kinds([submitted("a"), end]) == []


# deadlines


def test_a_passed_deadline_is_missed_by_what_still_runs_or_waits():
    late = NOW - 1
    assert kinds([submitted("a", at=NOW - HOUR, deadline=late)]) == ["deadline_missed"]
    assert kinds([submitted("a", at=NOW - HOUR, deadline=late), *placed("a")]) == ["deadline_missed"]


def test_a_run_that_was_done_in_time_has_not_missed_its_deadline_when_the_news_comes_late():
    facts = [submitted("a", at=NOW - HOUR, deadline=NOW - 600), *placed("a", at=NOW - HOUR)]
    in_time = over("a", Outcome.SUCCEEDED, started=NOW - HOUR, ended=NOW - 700, seen=NOW)
    too_late = over("a", Outcome.SUCCEEDED, started=NOW - HOUR, ended=NOW - 500, seen=NOW)
    assert kinds([*facts, in_time]) == []
    assert kinds([*facts, too_late]) == ["deadline_missed"]


def test_a_run_that_is_being_cancelled_has_no_deadline():
    facts = [submitted("a", at=NOW - HOUR, deadline=NOW - 1), f.CancelAsked(at_seconds=NOW, run_id="a")]
    assert kinds(facts) == []


@pytest.mark.parametrize(
    ("time_left", "expected"),
    [(1300, []), (1200, ["may miss"]), (1000, ["will probably miss"])],  # of a run of 1,000 s, 1,200 s at p90
)
def test_a_deadline_is_at_risk_when_the_rest_of_the_forecast_does_not_fit(time_left, expected):
    raised = told([submitted("a", deadline=NOW + time_left)], knowing(wall=seconds(1000)))
    assert [alert.kind for alert in raised] == ["deadline_at_risk"] * len(expected)
    assert all(words in alert.words for words, alert in zip(expected, raised, strict=True))


def test_a_risk_that_becomes_likely_is_told_again_and_one_that_was_likely_is_not_told_as_smaller():
    known, facts = knowing(wall=seconds(1000)), [submitted("a", deadline=NOW + 1200)]
    snapshot = fold(Snapshot(), facts)
    snapshot = fold(snapshot, alerts(snapshot, known, NOW))
    (worse,) = alerts(snapshot, known, NOW + 300)
    assert "probably" in worse.words
    only_likely = fold(fold(Snapshot(), facts), [worse])
    assert alerts(only_likely, known, NOW) == ()


def test_what_has_run_already_counts():
    known = knowing(wall=seconds(1000))
    facts = [submitted("a", at=NOW - 900, deadline=NOW + 400), *placed("a", at=NOW - 900)]
    assert kinds(facts, known) == []
    assert kinds(facts, known, now=NOW + 350) == [
        "deadline_at_risk"
    ]  # overdue, and nothing says it ends soon


def test_a_runs_own_speed_counts_more_than_the_forecast():
    facts = [submitted("a", at=NOW - 1000, deadline=NOW + 1000)]
    fast = [(NOW - 500, 0.1), (NOW, 0.6)]
    slow = [(NOW - 500, 0.1), (NOW, 0.2)]
    assert kinds([*facts, *placed("a", at=NOW - 1000, progress=fast)], knowing(wall=seconds(9000))) == []
    raised = told([*facts, *placed("a", at=NOW - 1000, progress=slow)], knowing(wall=seconds(900)))
    assert ["probably" in alert.words for alert in raised] == [True]


def test_work_saved_by_a_checkpoint_need_not_be_done_again():
    known = knowing(wall=seconds(1000), boot=0.0)

    def interrupted(**spec):
        return [
            submitted("a", at=NOW - 900, deadline=NOW + 500, **spec),
            *placed("a", at=NOW - 900, progress=[(NOW - 10, 0.8)]),
            over("a", Outcome.INTERRUPTED, started=NOW - 900, ended=NOW),
        ]

    assert kinds(interrupted(spot=SpotAsk(checkpoint="s3://c/"))[:], known) == []
    assert kinds(interrupted(), known) == ["deadline_at_risk"]


def test_nobody_guesses_about_a_job_that_has_never_run():
    assert kinds([submitted("a", deadline=NOW + 1)], knowing(wall=None)) == []


# held


def test_what_is_held_too_long_is_told_with_its_reason():
    facts = [
        submitted("a", at=NOW - HOUR, holding=Holding(alert_after_seconds=600)),
        f.RunHeld(at_seconds=NOW - 600, run_id="a", kind="slots", reason="2 of etl run at once"),
    ]
    (alert,) = told(facts)
    assert alert.kind == "held"
    assert "10 min: 2 of etl run at once" in alert.words
    assert kinds(facts, now=NOW - 1) == []


def test_waiting_for_a_better_price_before_a_deadline_is_not_being_held():
    held = f.RunHeld(at_seconds=NOW - 2 * HOUR, run_id="a", kind="spot", reason="cheaper later")
    assert kinds([submitted("a", at=NOW - 2 * HOUR, deadline=NOW + DAY), held]) == []
    assert kinds([submitted("a", at=NOW - 2 * HOUR), held]) == ["held"]


# unusual


def test_a_run_that_takes_longer_than_usual_is_told():
    usual = Usual(runs=20, wall_seconds=seconds(600), wall_seconds_unusual=(900.0,) * 7)
    facts = [submitted("a", at=NOW - 901), *placed("a", at=NOW - 901)]
    (alert,) = told(facts, knowing(usual=usual))
    assert alert.kind == "unusual"
    assert "15 min 1 s, usually 10 min" in alert.words
    assert kinds(facts, knowing(usual=usual), now=NOW - 2) == []


def test_a_run_whose_input_explains_its_length_is_not_unusual():
    usual = Usual(runs=20, wall_seconds=seconds(600), wall_seconds_unusual=(900.0,) * 7)
    facts = [submitted("a", at=NOW - 901), *placed("a", at=NOW - 901)]
    assert kinds(facts, knowing(usual=usual, wall=seconds(5000))) == []


def test_each_weekday_has_its_own_limit():
    limits = [900.0] * 7
    limits[weekday_of(NOW - 1000, 0)] = 5000.0
    usual = Usual(runs=20, wall_seconds_unusual=tuple(limits))
    assert kinds([submitted("a", at=NOW - 1000), *placed("a", at=NOW - 1000)], knowing(usual=usual)) == []


def test_a_run_that_costs_more_than_usual_is_told_while_it_runs():
    usual = Usual(runs=20, cost_usd=seconds(0.5))
    facts = [submitted("a", at=NOW - HOUR), *placed("a", at=NOW - HOUR)]  # $1 an hour
    (alert,) = told(facts, knowing(usual=usual))
    assert (alert.kind, alert.key) == ("unusual", "unusual cost a")
    assert "$1.00, usually $0.500" in alert.words
    assert kinds(facts, knowing(usual=replace(usual, runs=3))) == []


DAILY = [NOW - DAY * n for n in range(70, 0, -1)]


def rows_of(amounts):
    return [
        AttemptRow(
            run_id=str(n),
            attempt_id=f"{n}.1",
            job="etl",
            origin="run",
            started_at_seconds=at,
            outcome=Outcome.SUCCEEDED,
            wall_seconds=amount,
            cost_usd=str(amount / 1000),
        )
        for n, (at, amount) in enumerate(zip(DAILY, amounts, strict=False))
    ]


@given(st.integers(0, 2**32), st.floats(30, 30_000), st.integers(0, 2), st.floats(0.02, 0.3))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_what_a_job_usually_does_is_never_unusual_and_a_few_hung_runs_teach_nothing(
    seed, middle, hung, spread
):
    rng = random.Random(seed)
    amounts = [middle * rng.lognormvariate(0, spread) for _ in range(70 - hung)] + [middle * 500] * hung
    rng.shuffle(amounts)
    limits = unusual_wall_seconds(rows_of(amounts))
    assert len(limits) == 7
    assert all(sorted(amounts)[35] < limit < middle * 100 for limit in limits)
    usual_runs = [a for a in amounts if a < middle * 100]
    assert sum(a > limits[0] for a in usual_runs) <= 2 + len(usual_runs) // 20


def test_a_long_weekday_moves_its_own_limit_only():
    long_day = weekday_of(DAILY[0], 0)
    limits = unusual_wall_seconds(
        rows_of([3600.0 if weekday_of(at, 0) == long_day else 600.0 for at in DAILY])
    )
    assert limits[long_day] > 3600
    others = [limit for day, limit in enumerate(limits) if day != long_day]
    assert max(others) < 1800


def test_a_job_of_seconds_is_not_unusual_before_a_minute_more_has_passed():
    assert min(unusual_wall_seconds(rows_of([2.0] * 30))) >= 62.0


def test_a_runs_attempts_cost_together_and_unknown_costs_do_not_count():
    rows = rows_of([1000.0] * 30)
    second = [replace(row, attempt_id=f"{row.run_id}.2") for row in rows]
    assert unusual_cost_usd(rows + second)[0] == pytest.approx(unusual_cost_usd(rows_of([2000.0] * 30))[0])
    assert unusual_cost_usd([replace(row, cost_usd=None) for row in rows]) == ()


@pytest.mark.parametrize("runs", range(5))
def test_a_few_runs_say_nothing_about_what_is_usual(runs):
    assert unusual_wall_seconds(rows_of([100.0] * runs)) == ()


# the world


def test_a_zombie_is_told_per_machine():
    found = [
        f.ZombieFound(at_seconds=NOW, provider="sim", attempt_id=f"x.{n}", reason="no live attempt owns it")
        for n in range(2)
    ]
    assert [alert.key for alert in told(found)] == ["zombie x.0", "zombie x.1"]


def test_old_prices_are_told_once_a_week():
    known = knowing(catalog_age=31 * DAY)
    assert kinds([submitted("a")], known) == ["catalog_stale"]
    assert kinds([submitted("a")], knowing(catalog_age=29 * DAY)) == []
    snapshot = fold(fold(Snapshot(), [submitted("a")]), alerts(Snapshot(), known, NOW))
    weeks = [bool(alerts(snapshot, known, NOW + n * DAY)) for n in range(8)]
    assert weeks[0] is False
    assert weeks[7] is True


def spent(usd, *, job="etl", tags=None, at=NOW):
    charge = Charge(usd=Decimal(usd), billed_seconds=1, price_usd_per_hour=Decimal(1), reason="test")
    return [
        submitted("s", job=job, tags=tags, at=at),
        *placed("s", at=at),
        over("s", Outcome.SUCCEEDED, started=at, ended=at),
        f.MachineReleased(
            at_seconds=at, run_id="s", attempt_id="s.1", charge=charge, job=job, tags=tags or {}
        ),
        f.RunEnded(at_seconds=at, run_id="s", job=job, result=f.RunResult.SUCCEEDED, reason=""),
    ]


@pytest.mark.parametrize(
    "budget",
    [
        Budget(usd_per_month=100),
        Budget(job="etl", usd_per_month=100),
        Budget(tag="team=data", usd_per_month=100),
    ],
)
def test_a_budget_is_told_at_its_share_and_when_it_is_spent(budget):
    def words(usd):
        facts = spent(usd, tags={"team": "data"})
        return [alert.words for alert in told(facts, knowing(budgets=(budget,)))]

    assert words("79") == []
    assert words("81")[0].startswith("81% of a budget")
    assert words("100")[0].startswith("the budget is spent")


def test_budgets_of_others_and_of_other_months_are_not_touched():
    elsewhere = (Budget(job="other", usd_per_month=1), Budget(tag="team=web", usd_per_month=1))
    assert kinds(spent("50"), knowing(budgets=elsewhere)) == []
    assert kinds(spent("50"), knowing(budgets=(Budget(usd_per_month=1),)), now=NOW + 31 * DAY) == []


def test_what_runs_counts_towards_its_budget():
    facts = [submitted("a", at=NOW - 10 * HOUR), *placed("a", at=NOW - 10 * HOUR)]
    known = knowing(budgets=(Budget(usd_per_month=12),))
    assert kinds(facts, known) == ["budget"]


def refusals(run_id, *, begun, job="etl", every=60.0, until=NOW):
    facts, n, at = [submitted(run_id, job=job, at=begun)], 1, begun
    while at <= until:
        planned = placed(run_id, at=at, attempt=n, started=False)[0]
        refused = f.LaunchRefused(
            at_seconds=at,
            run_id=run_id,
            attempt_id=f"{run_id}.{n}",
            provider="sim",
            offer_id=OFFER.offer_id,
            kind="no_capacity",
            reason="none left",
        )
        facts, n, at = [*facts, planned, refused], n + 1, at + every
    return facts


def test_launches_that_fail_everywhere_are_told_once_for_all_that_wait():
    facts = [fact for n in range(20) for fact in refusals(f"r{n}", begun=NOW - 1000, job=f"job{n}")]
    (alert,) = told(facts)
    assert alert.kind == "launch"
    assert "none left" in alert.words
    assert kinds(facts, now=NOW - 200) == []


def test_a_job_that_asks_for_what_is_scarce_is_told_by_its_name():
    works = [submitted("ok", at=NOW - 60), *placed("ok", at=NOW - 60)]
    (alert,) = told([*refusals("r", begun=NOW - 1000, job="gpu"), *works])
    assert (alert.kind, alert.job) == ("launch", "gpu")


def test_an_attempt_that_ran_in_between_starts_the_patience_anew():
    facts = refusals("r", begun=NOW - 2000, until=NOW - 1000)
    n = len(facts)
    facts += [
        *placed("r", at=NOW - 700, attempt=n),
        over("r", Outcome.INTERRUPTED, started=NOW - 700, ended=NOW - 300, attempt=n),
        f.RunHeld(at_seconds=NOW - 100, run_id="r", kind="capacity", reason="nothing on sale fits"),
    ]
    assert kinds(facts) == []


# floods


def test_a_job_that_fails_again_and_again_is_told_a_few_times_and_then_summed_up():
    raised = told([fact for n in range(300) for fact in failed(f"r{n}")])
    assert len(raised) == PER_JOB_A_DAY + 1
    assert "more run_failed alerts" in raised[-1].words
    other = told(
        fold(
            fold(Snapshot(), [x for n in range(300) for x in failed(f"r{n}")]),
            [*raised, *failed("o", job="b")],
        )
    )
    assert [alert.job for alert in other] == ["b"], "others are still told"


@pytest.mark.parametrize("jobs", [PER_DAY + 1, 3000])
def test_a_day_on_which_everything_fails_stays_readable_and_is_never_told_twice(jobs):
    snapshot = fold(Snapshot(), [fact for n in range(jobs) for fact in failed(f"r{n}", job=f"job{n}")])
    raised = told(snapshot)
    assert len(raised) == PER_DAY + 1
    assert raised[-1].kind == "quiet"
    assert PER_DAY * 2 < ALERTS_KEPT


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.integers(0, 2**32))
@settings(derandomize=True, max_examples=50, deadline=None)
def test_no_key_is_ever_raised_twice_however_time_jumps(jobs, seed):
    rng, snapshot, keys = random.Random(seed), Snapshot(), []
    for n, job in enumerate(jobs):
        now = NOW + rng.uniform(-DAY, DAY)
        snapshot = fold(snapshot, failed(f"r{n}", job=job, at=now))
        for _ in range(2):
            raised = alerts(snapshot, knowing(catalog_age=40 * DAY), now)
            keys += [alert.key for alert in raised]
            snapshot = fold(snapshot, raised)
    assert len(keys) == len(set(keys))
