from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.model.history import AttemptRow
from flyball.model.job import Features
from flyball.model.outcome import Outcome
from flyball.model.resource import Size
from flyball.model.units import GIB, MIB
from flyball.policy.evidence import Evidence
from flyball.policy.forecast import forecast
from flyball.policy.observations import Quantity, observe
from flyball.policy.sizing import Appetite, SizeDecision, size_after_out_of_memory, size_next

FLOOR = Size(cpu_cores=0.25, memory_bytes=128 * MIB)
CEILING = Size(cpu_cores=64, memory_bytes=512 * GIB)
START = 1_767_225_600.0

ENDS = (Outcome.SUCCEEDED,) * 5 + (Outcome.OUT_OF_MEMORY, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST)
some = st.none() | st.floats(0, 1e6)


@st.composite
def attempts(draw: st.DrawFn) -> AttemptRow:
    number = draw(st.integers(0, 40))
    peak = draw(st.none() | st.integers(0, 600 * GIB))
    return AttemptRow(
        run_id=f"r{number}",
        attempt_id=f"r{number}.{draw(st.integers(1, 9))}",
        job="j",
        origin="run",
        started_at_seconds=START + draw(st.floats(0, 1e7)),
        outcome=draw(st.sampled_from(ENDS)),
        wall_seconds=draw(some),
        cpu_seconds=draw(some),
        cpu_cores_p95=draw(st.none() | st.floats(0, 128)),
        cpu_cores_wanted=draw(st.none() | st.floats(0, 256)),
        cpu_cores_limit=draw(st.none() | st.floats(0.1, 64)),
        memory_bytes_max=peak,
        memory_limit_bytes=draw(st.none() | st.integers(MIB, 600 * GIB)),
        input_bytes=draw(st.none() | st.integers(0, 10**15)),
        numbers=draw(st.dictionaries(st.sampled_from("abc"), st.floats(-1e12, 1e12), max_size=3)),
    )


histories = st.lists(attempts(), max_size=25).map(
    lambda rows: sorted(rows, key=lambda r: r.started_at_seconds)
)
features = st.builds(
    Features,
    started_at_seconds=st.floats(START, START + 2e7),
    utc_offset_seconds=st.sampled_from([-36000, 0, 3600, 19800]),
    input_bytes=st.none() | st.integers(0, 10**15),
    numbers=st.dictionaries(st.sampled_from("abc"), st.floats(-1e12, 1e12), max_size=3),
)


def planned(rows: list[AttemptRow], upcoming: Features, *, share: float | None = None) -> SizeDecision:
    return size_next(
        Evidence.from_rows(rows),
        upcoming,
        appetite=Appetite(hit_limit_share_max=share),
        floor=FLOOR,
        ceiling=CEILING,
    )


@settings(deadline=None, max_examples=60)
@given(rows=histories, upcoming=features)
def test_any_history_gives_a_plan_between_floor_and_ceiling_with_words(
    rows: list[AttemptRow], upcoming: Features
) -> None:
    decision = planned(rows, upcoming)
    assert CEILING.holds(decision.size)
    assert decision.size.holds(FLOOR)
    assert len(decision.reasons) == 2
    assert "nan" not in " ".join(decision.reasons)
    assert decision.hit_limit_probability is None or 0 <= decision.hit_limit_probability <= 1


@settings(deadline=None, max_examples=40)
@given(rows=histories, upcoming=features)
def test_any_history_gives_finite_ordered_quantiles(rows: list[AttemptRow], upcoming: Features) -> None:
    expected = forecast(Evidence.from_rows(rows), upcoming)
    for found in (
        expected.wall_seconds,
        expected.cpu_core_seconds,
        expected.memory_bytes,
        expected.cpu_cores,
    ):
        if found is not None:
            assert 0 <= found.p50 <= found.p90 <= found.p99 < math.inf
    assert "nan" not in " ".join(expected.reasons)


@settings(deadline=None, max_examples=30)
@given(rows=histories, upcoming=features, shares=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)))
def test_a_stricter_knob_never_gives_less_memory(
    rows: list[AttemptRow], upcoming: Features, shares: tuple[float, float]
) -> None:
    strict, loose = sorted(shares)
    less = planned(rows, upcoming, share=loose).size.memory_bytes
    assert planned(rows, upcoming, share=strict).size.memory_bytes >= less
    assert less >= planned(rows, upcoming).size.memory_bytes


@settings(deadline=None, max_examples=40)
@given(
    rows=histories,
    upcoming=features,
    limit=st.integers(128 * MIB, 512 * GIB),
    failed=st.integers(1, 12),
)
def test_after_out_of_memory_there_is_more_or_nothing(
    rows: list[AttemptRow], upcoming: Features, limit: int, failed: int
) -> None:
    decision = size_after_out_of_memory(
        Evidence.from_rows(rows),
        upcoming,
        failed_limit_bytes=limit,
        failed_attempts=failed,
        appetite=Appetite(),
        floor=FLOOR,
        ceiling=CEILING,
    )
    if limit >= CEILING.memory_bytes:
        assert decision is None
    else:
        assert decision is not None
        assert limit < decision.size.memory_bytes <= CEILING.memory_bytes


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), runs=st.integers(0, 60), limit=st.integers(256 * MIB, 200 * GIB))
def test_when_the_last_run_ran_out_of_memory_the_next_gets_more(seed: int, runs: int, limit: int) -> None:
    rows = job(seed, runs)
    rows.append(
        finished(
            runs, limit * 0.97, outcome=Outcome.OUT_OF_MEMORY, memory_limit_bytes=limit, input_bytes=None
        )
    )
    assert planned(rows, after(rows)).size.memory_bytes > limit


def finished(number: int, memory_bytes: float, **more: object) -> AttemptRow:
    row: dict[str, object] = {
        "run_id": f"r{number}",
        "attempt_id": f"r{number}.1",
        "job": "j",
        "origin": "run",
        "started_at_seconds": START + 3600.0 * number,
        "outcome": Outcome.SUCCEEDED,
        "wall_seconds": 60.0,
        "memory_bytes_max": int(memory_bytes),
    }
    return AttemptRow(**(row | more))


def job(seed: int, runs: int, scale: float = 1.0) -> list[AttemptRow]:
    rng = np.random.default_rng(seed)
    inputs = np.exp(rng.normal(20, 1, runs))
    peaks = scale * (1e9 + 3 * inputs * np.exp(rng.normal(0, 0.1, runs)))
    return [
        finished(i, peak, input_bytes=int(size), wall_seconds=float(size) / 1e7)
        for i, (peak, size) in enumerate(zip(peaks, inputs, strict=True))
    ]


def after(rows: list[AttemptRow], **more: object) -> Features:
    given_values: dict[str, object] = {"started_at_seconds": START + 3600.0 * len(rows)}
    return Features(**(given_values | more))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), runs=st.integers(1, 120), scale=st.floats(0.5, 8))
def test_bytes_times_k_give_a_plan_times_k(seed: int, runs: int, scale: float) -> None:
    one, scaled = (job(seed, runs, factor) for factor in (1.0, scale))
    upcoming = after(one, input_bytes=10**9)
    ratio = planned(scaled, upcoming).size.memory_bytes / planned(one, upcoming).size.memory_bytes
    assert abs(ratio / scale - 1) < 0.02  # steps are at most 1/128, on either side


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), runs=st.integers(2, 60))
def test_names_of_runs_and_attempts_do_not_matter(seed: int, runs: int) -> None:
    rows = job(seed, runs)
    renamed = [finished(1000 - i, row.memory_bytes_max or 0) for i, row in enumerate(rows)]
    other = [
        AttemptRow(
            run_id=name.run_id,
            attempt_id=name.attempt_id,
            job="j",
            origin="slurm",
            started_at_seconds=row.started_at_seconds,
            outcome=row.outcome,
            wall_seconds=row.wall_seconds,
            memory_bytes_max=row.memory_bytes_max,
            input_bytes=row.input_bytes,
        )
        for row, name in zip(rows, renamed, strict=True)
    ]
    upcoming = after(rows, input_bytes=10**9)
    assert planned(rows, upcoming) == planned(other, upcoming)


def covered(seed: int, runs: int, share: float) -> float:
    """Share of runs below their forecast's quantile, each forecast from those before it."""
    rng = np.random.default_rng(seed)
    inputs = np.exp(rng.normal(20, 1, runs))
    seconds = 30 + inputs / 1e7 * np.exp(rng.normal(0, 0.25, runs))
    rows = [
        finished(i, 1e9, input_bytes=int(size), wall_seconds=float(wall))
        for i, (size, wall) in enumerate(zip(inputs, seconds, strict=True))
    ]
    below = []
    for i in range(20, runs, 4):
        seen = observe(
            Evidence.from_rows(rows[:i]), Quantity.WALL_SECONDS, after(rows[:i], input_bytes=int(inputs[i]))
        )
        assert seen is not None
        below.append(seconds[i] <= math.exp(seen.outlook().quantile(share)))
    return float(np.mean(below))


def test_nine_of_ten_runs_stay_below_the_ninth_decile_of_their_forecast() -> None:
    shares = [covered(seed, 140, 0.9) for seed in range(12)]
    assert 0.85 <= float(np.mean(shares)) <= 0.95, shares


def test_half_of_the_runs_stay_below_the_median_of_their_forecast() -> None:
    shares = [covered(seed, 140, 0.5) for seed in range(12)]
    assert 0.4 <= float(np.mean(shares)) <= 0.6, shares


def test_the_share_of_runs_that_hit_the_limit_stays_within_the_knob() -> None:
    rng = np.random.default_rng(4)
    peaks = GIB * np.exp(rng.normal(0, 0.3, 400))
    rows = [finished(i, peak) for i, peak in enumerate(peaks)]
    hits = [
        rows[i].memory_bytes_max > planned(rows[:i], after(rows[:i]), share=0.05).size.memory_bytes
        for i in range(20, 400, 3)
    ]
    assert float(np.mean(hits)) <= 0.08  # 5 % and the chance of 127 draws
