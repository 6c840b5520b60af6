from __future__ import annotations

from flyball.model.history import AttemptRow
from flyball.model.job import Features
from flyball.model.outcome import Outcome
from flyball.model.units import GIB
from flyball.policy.evidence import Evidence
from flyball.policy.forecast import forecast

HOUR = 3600.0
START = 1_767_225_600.0


def run(number: int, **given: object) -> AttemptRow:
    row: dict[str, object] = {
        "run_id": f"r{number}",
        "attempt_id": f"r{number}.1",
        "job": "train",
        "origin": "run",
        "started_at_seconds": START + number * HOUR,
        "outcome": Outcome.SUCCEEDED,
        "wall_seconds": 100.0 + number % 4,
        "cpu_seconds": 200.0 + number % 4,
        "memory_bytes_max": GIB,
    }
    return AttemptRow(**(row | given))


def test_without_history_nothing_is_forecast_and_that_is_said() -> None:
    expected = forecast(Evidence.from_rows([]), Features(started_at_seconds=START))
    assert expected.runs == 0
    assert expected.wall_seconds is expected.memory_bytes is expected.cpu_cores is None
    assert expected.reasons == ("no run of this job is known yet",)


def test_steady_runs_give_narrow_quantiles_in_order() -> None:
    expected = forecast(Evidence.from_rows([run(i) for i in range(50)]), Features(started_at_seconds=START))
    assert expected.wall_seconds is not None
    assert expected.cpu_core_seconds is not None
    assert expected.cpu_cores is not None
    assert 98 <= expected.wall_seconds.p50 <= expected.wall_seconds.p90 <= expected.wall_seconds.p99 <= 140
    assert 196 <= expected.cpu_core_seconds.p50 <= 210
    assert 1.9 <= expected.cpu_cores.p50 <= 2.1


def test_time_follows_the_input_size() -> None:
    rows = [run(i, wall_seconds=10.0 * (i % 8 + 1), input_bytes=10**9 * (i % 8 + 1)) for i in range(60)]
    expected = forecast(Evidence.from_rows(rows), Features(started_at_seconds=START, input_bytes=4 * 10**9))
    assert expected.wall_seconds is not None
    assert 37 <= expected.wall_seconds.p50 <= 43
    assert any("wall time" in reason and "by input size" in reason for reason in expected.reasons)


def test_a_weekly_slow_run_is_forecast_on_its_day_and_hour_only() -> None:
    rows = [run(i, wall_seconds=(900.0 if i % 168 == 50 else 100.0) + i % 4) for i in range(168 * 10)]
    monday = START + 168 * 10 * HOUR
    slow = forecast(Evidence.from_rows(rows), Features(started_at_seconds=monday + 50 * HOUR))
    fast = forecast(Evidence.from_rows(rows), Features(started_at_seconds=monday + 51 * HOUR))
    assert slow.wall_seconds is not None
    assert fast.wall_seconds is not None
    assert slow.wall_seconds.p50 >= 850
    assert fast.wall_seconds.p90 <= 120


def test_the_last_day_of_every_month_is_learnt() -> None:
    days = [START + day * 24 * HOUR for day in range(365)]
    lengths = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    ends = {sum(lengths[: month + 1]) - 1 for month in range(12)}
    rows = [
        run(i, started_at_seconds=at, memory_bytes_max=(8 if i in ends else 1) * GIB + i % 7)
        for i, at in enumerate(days[:330])
    ]
    evidence = Evidence.from_rows(rows)
    end = forecast(evidence, Features(started_at_seconds=days[333]))  # 30 November
    before = forecast(evidence, Features(started_at_seconds=days[332]))
    assert end.memory_bytes is not None
    assert before.memory_bytes is not None
    assert end.memory_bytes.p50 >= 7 * GIB
    assert before.memory_bytes.p90 <= 1.5 * GIB


def test_runs_still_going_and_launches_that_never_began_count_for_nothing() -> None:
    rows = [run(i) for i in range(10)]
    silent = [run(10, outcome=None), run(11, outcome=Outcome.NO_CAPACITY, wall_seconds=0.0)]
    known = forecast(Evidence.from_rows(rows), Features(started_at_seconds=START))
    assert forecast(Evidence.from_rows(rows + silent), Features(started_at_seconds=START)) == known
