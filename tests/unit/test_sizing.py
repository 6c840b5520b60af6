from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from flyball.model.history import AttemptRow
from flyball.model.job import Features
from flyball.model.outcome import Outcome
from flyball.model.resource import Size
from flyball.model.units import GIB, MIB
from flyball.policy.evidence import Evidence
from flyball.policy.sizing import Appetite, SizeDecision, size_after_out_of_memory, size_next

FLOOR = Size(cpu_cores=0.25, memory_bytes=128 * MIB)
CEILING = Size(cpu_cores=64, memory_bytes=256 * GIB)
HOUR = 3600.0
START = 1_767_225_600.0  # 2026-01-01 00:00 UTC, a Thursday


def attempt(number: int, memory_bytes: float | None, **given: object) -> AttemptRow:
    row: dict[str, object] = {
        "run_id": f"r{number}",
        "attempt_id": f"r{number}.1",
        "job": "train",
        "origin": "run",
        "started_at_seconds": START + number * HOUR,
        "outcome": Outcome.SUCCEEDED,
        "wall_seconds": 600.0,
        "cpu_seconds": 600.0,
        "memory_bytes_max": None if memory_bytes is None else int(memory_bytes),
    }
    return AttemptRow(**(row | given))


def out_of_memory(number: int, limit_bytes: float, **given: object) -> AttemptRow:
    more: dict[str, object] = {"outcome": Outcome.OUT_OF_MEMORY, "memory_limit_bytes": int(limit_bytes)}
    return attempt(number, limit_bytes * 0.98, **(more | given))


def steady(count: int, memory_bytes: float = GIB) -> list[AttemptRow]:
    return [attempt(i, memory_bytes * (1 + 0.01 * (i % 3))) for i in range(count)]


def decided(rows: list[AttemptRow], *, knob: float | None = None, **upcoming: object) -> SizeDecision:
    given: dict[str, object] = {"started_at_seconds": START + len(rows) * HOUR}
    return size_next(
        Evidence.from_rows(rows),
        Features(**(given | upcoming)),
        appetite=Appetite(hit_limit_share_max=knob),
        floor=FLOOR,
        ceiling=CEILING,
    )


def memory(rows: list[AttemptRow], **upcoming: object) -> int:
    return decided(rows, **upcoming).size.memory_bytes


def test_without_history_the_default_is_given_and_said_to_be_one() -> None:
    decision = size_next(
        Evidence.from_rows([]),
        Features(started_at_seconds=START),
        appetite=Appetite(),
        floor=FLOOR,
        ceiling=CEILING,
        default=Size(cpu_cores=2, memory_bytes=4 * GIB),
    )
    assert decision.size == Size(cpu_cores=2, memory_bytes=4 * GIB)
    assert decision.hit_limit_probability is None
    assert all("no run of this job is known yet" in reason for reason in decision.reasons)


def test_without_history_or_default_the_floor_is_given() -> None:
    assert decided([]).size == FLOOR


def test_runs_whose_memory_is_unknown_leave_the_default() -> None:
    decision = decided([attempt(i, None) for i in range(5)])
    assert decision.size.memory_bytes == FLOOR.memory_bytes
    assert "tells its memory" in decision.reasons[0]


@pytest.mark.parametrize(("runs", "most"), [(1, 2.0), (5, 1.4), (20, 1.2), (200, 1.1)])
def test_headroom_shrinks_as_runs_agree(runs: int, most: float) -> None:
    planned = memory(steady(runs))
    assert GIB * 1.0 <= planned <= GIB * 1.02 * most


def test_the_reason_names_the_peak_the_runs_and_the_headroom() -> None:
    rows = [attempt(i, GIB * 1.31, input_bytes=10**9) for i in range(41)]
    rows += [attempt(41 + i, GIB * 2.6, input_bytes=2 * 10**9) for i in range(5)]
    decision = decided(rows, input_bytes=10**9)
    assert "peak 1.31 GiB in 41 runs of this input size, +" in decision.reasons[0]
    assert "of runs are expected to hit it" in decision.reasons[0]


def test_memory_follows_the_input_size_where_that_explains_it() -> None:
    rows = [
        attempt(i, 200 * MIB + 2.0 * (i % 9 + 1) * 1e9, input_bytes=(i % 9 + 1) * 10**9) for i in range(60)
    ]
    small, large = memory(rows, input_bytes=10**9), memory(rows, input_bytes=9 * 10**9)
    assert 2.2e9 <= small <= 2.2e9 * 1.15
    assert 18.2e9 <= large <= 18.2e9 * 1.15


def test_a_larger_input_than_ever_seen_gets_more_but_at_most_four_times_the_largest() -> None:
    rows = [attempt(i, 2.0 * (i % 9 + 1) * 1e9, input_bytes=(i % 9 + 1) * 10**9) for i in range(60)]
    assert memory(rows, input_bytes=18 * 10**9) >= 36e9
    assert memory(rows, input_bytes=10**15) <= 4 * 18e9 * math.exp(1.0)


def test_a_number_given_to_the_run_is_used_where_it_explains() -> None:
    rows = [attempt(i, (i % 5 + 1) * 1e9, numbers={"batch": float(2 ** (i % 5))}) for i in range(60)]
    assert 5e9 <= memory(rows, numbers={"batch": 16.0}) <= 6e9
    assert 1e9 <= memory(rows, numbers={"batch": 1.0}) <= 1.3e9


def test_an_unknown_input_size_is_planned_for_from_all_runs() -> None:
    rows = [attempt(i, (i % 9 + 1) * 1e9, input_bytes=(i % 9 + 1) * 10**9) for i in range(60)]
    assert 5e9 <= memory(rows) <= 20e9


def test_growing_demand_is_followed_both_ways() -> None:
    up = [attempt(i, GIB * (1 + i / 40)) for i in range(80)]
    down = [attempt(i, GIB * (3 - i / 40)) for i in range(80)]
    assert memory(up) >= 2.95 * GIB
    assert memory(down) <= 1.5 * GIB


def test_one_huge_run_does_not_stay() -> None:
    calm = steady(40)
    after_one = [*calm, attempt(40, 20 * GIB)]
    later = [*after_one, *(attempt(41 + i, GIB * 1.01) for i in range(5))]
    assert memory(later) <= 1.25 * memory(calm)


def test_a_shift_for_good_is_learnt_within_a_few_runs() -> None:
    rows = [*steady(40), *(attempt(40 + i, 3 * GIB * (1 + 0.01 * (i % 3))) for i in range(6))]
    assert memory(rows) >= 3 * GIB


def test_after_the_last_run_ran_out_of_memory_the_next_gets_more_than_that() -> None:
    assert memory([*steady(20), out_of_memory(20, 2 * GIB)]) > 2 * GIB


def test_a_job_that_only_ever_ran_out_of_memory_gets_more_than_its_largest_limit() -> None:
    rows = [out_of_memory(0, GIB), out_of_memory(1, 2 * GIB)]
    decision = decided(rows)
    assert decision.size.memory_bytes > 2 * GIB
    assert "out of memory" in decision.reasons[0]


def test_out_of_memory_that_a_retry_mended_counts_with_what_the_retry_used() -> None:
    rows = steady(20)
    for number in range(20, 26):
        rows += [
            out_of_memory(number, GIB),
            attempt(number, 1.2 * GIB, attempt_id=f"r{number}.2"),
        ]
    assert 1.2 * GIB <= memory(rows) <= 1.5 * GIB


def test_out_of_memory_with_a_far_larger_input_says_nothing_about_a_small_one() -> None:
    rows = [attempt(i, (i % 4 + 1) * 1e9, input_bytes=(i % 4 + 1) * 10**9) for i in range(40)]
    rows.append(out_of_memory(40, 60e9, input_bytes=50 * 10**9))
    assert memory(rows, input_bytes=10**9) <= 2e9


def test_what_a_run_used_before_it_failed_otherwise_is_a_lower_bound() -> None:
    assert memory([*steady(20), attempt(20, 3 * GIB, outcome=Outcome.FAILED)]) >= 3 * GIB


def test_a_run_that_failed_early_does_not_shrink_the_plan() -> None:
    rows = steady(20)
    failed = [attempt(20 + i, 20 * MIB, outcome=Outcome.FAILED) for i in range(10)]
    assert memory(rows + failed) >= GIB


def test_a_stricter_knob_never_gives_less_and_is_kept_on_average() -> None:
    rows = [attempt(i, GIB * math.exp(0.3 * math.sin(12.9898 * i * i))) for i in range(200)]
    plans = [decided(rows, knob=share) for share in (0.5, 0.1, 0.05, 0.02, 0.01)]
    assert [p.size.memory_bytes for p in plans] == sorted(p.size.memory_bytes for p in plans)
    for plan, share in zip(plans, (0.5, 0.1, 0.05, 0.02, 0.01), strict=True):
        assert plan.hit_limit_probability is not None
        assert plan.hit_limit_probability <= share + 1e-9


def test_a_nightly_heavy_run_is_given_its_memory_and_the_others_are_not() -> None:
    rows = [attempt(i, (10 if i % 24 == 3 else 1) * GIB * (1 + 0.01 * (i % 5))) for i in range(24 * 20)]
    night = decided(rows, started_at_seconds=START + 20 * 24 * HOUR + 3 * HOUR)
    noon = decided(rows, started_at_seconds=START + 20 * 24 * HOUR + 12 * HOUR)
    assert night.size.memory_bytes >= 10 * GIB
    assert "at 03 h" in night.reasons[0]
    assert noon.size.memory_bytes <= 1.3 * GIB


def test_calendars_are_those_of_the_users_clock() -> None:
    rows = [
        attempt(i, (10 if i % 24 == 3 else 1) * GIB, utc_offset_seconds=7200) for i in range(24 * 20)
    ]  # heavy at 05 h local time
    moved = START + 20 * 24 * HOUR + 4 * HOUR  # 05 h local time in winter, one hour less ahead
    assert memory(rows, started_at_seconds=moved, utc_offset_seconds=3600) >= 10 * GIB


def test_heavy_runs_at_random_hours_are_not_mistaken_for_a_calendar() -> None:
    rows = [attempt(i, (10 if (i * 7919) % 97 < 4 else 1) * GIB) for i in range(24 * 20)]
    sizes = {memory(rows, started_at_seconds=START + (480 + h) * HOUR) for h in range(24)}
    assert max(sizes) <= 1.5 * GIB


@dataclass(frozen=True)
class Cores:
    used: float
    wanted: float | None
    least: float
    most: float
    limit: float | None = None


@pytest.mark.parametrize(
    "case",
    [
        Cores(used=0.1, wanted=None, least=0.25, most=0.25),
        Cores(used=0.95, wanted=0.95, least=1, most=1),
        Cores(used=3.8, wanted=3.9, least=4, most=4),
        Cores(used=4.05, wanted=None, least=4, most=4),
        Cores(
            used=0.3, wanted=4.0, least=1.2, most=2, limit=0.5
        ),  # at most four times what it was ever allowed
        Cores(used=1.0, wanted=4.0, least=4, most=4),
        Cores(used=100.0, wanted=None, least=64, most=64),
    ],
)
def test_cores_are_those_used_or_wanted(case: Cores) -> None:
    rows = [
        attempt(
            i,
            GIB,
            cpu_seconds=case.used * 600,
            cpu_cores_p95=case.used,
            cpu_cores_wanted=case.wanted,
            cpu_cores_limit=case.limit,
        )
        for i in range(10)
    ]
    assert case.least <= decided(rows).size.cpu_cores <= case.most


def test_a_single_starved_run_raises_cores_to_what_it_wanted() -> None:
    rows = [attempt(i, GIB, cpu_seconds=1200.0) for i in range(20)]
    rows.append(attempt(20, GIB, cpu_seconds=600.0, cpu_cores_wanted=4.0))
    decision = decided(rows)
    assert decision.size.cpu_cores == 4
    assert "it wanted 4 and got 1" in decision.reasons[1]


def next_try(
    rows: list[AttemptRow], failed: int, *, attempts: int = 1, ceiling: Size = CEILING
) -> int | None:
    decision = size_after_out_of_memory(
        Evidence.from_rows(rows),
        Features(started_at_seconds=START),
        failed_limit_bytes=failed,
        failed_attempts=attempts,
        appetite=Appetite(),
        floor=FLOOR,
        ceiling=ceiling,
    )
    return None if decision is None else decision.size.memory_bytes


def test_after_out_of_memory_without_history_memory_doubles() -> None:
    assert next_try([], GIB) == 2 * GIB


def test_after_out_of_memory_the_next_try_goes_to_what_other_runs_needed() -> None:
    rows = [attempt(i, (4 if i % 10 == 0 else 1) * GIB * (1 + 0.002 * (i % 7))) for i in range(100)]
    again = next_try(rows, int(1.1 * GIB))
    assert again is not None
    assert 4 * GIB <= again <= 5 * GIB


def test_after_out_of_memory_more_failures_take_larger_steps() -> None:
    tries = [next_try(steady(20), 4 * GIB, attempts=attempts) for attempts in (1, 2, 3)]
    assert all(size is not None and size > 4 * GIB for size in tries)
    assert tries[2] is not None
    assert tries[2] >= 8 * GIB


def test_after_out_of_memory_at_the_ceiling_there_is_nothing_more_to_try() -> None:
    assert next_try(steady(20), CEILING.memory_bytes) is None
    small = Size(cpu_cores=1, memory_bytes=3 * GIB)
    assert next_try([], 2 * GIB, ceiling=small) == 3 * GIB
