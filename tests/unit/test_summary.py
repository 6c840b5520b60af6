"""Rows folded into one line a job, and columns of a sampler turned into samples."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from shown_runs import some_rows

from flyball.model.outcome import Outcome
from flyball.model.samples import samples_from_columns
from flyball.policy.summary import summarise


def test_the_job_that_ran_last_comes_first():
    older, newer = (
        some_rows(5, "older"),
        [
            msgspec.structs.replace(
                row, job="newer", run_id="n" + row.run_id, started_at_seconds=row.started_at_seconds + 9
            )
            for row in some_rows(3)
        ],
    )
    assert [job.job for job in summarise([*newer, *older])] == ["newer", "older"]


def test_a_run_counts_once_with_its_last_attempt():
    first, *_ = some_rows(1)
    failed = msgspec.structs.replace(first, outcome=Outcome.OUT_OF_MEMORY, memory_bytes_max=10)
    retried = msgspec.structs.replace(first, attempt_id="r000.2", memory_bytes_max=20, wall_seconds=7.0)
    (job,) = summarise([failed, retried])
    assert (job.runs, job.attempts, job.runs_failed, job.attempts_out_of_memory) == (1, 2, 0, 1)
    assert (job.recent_memory_bytes, job.recent_outcomes) == ((20,), (Outcome.SUCCEEDED,))
    assert (job.memory_bytes_max, job.wall_seconds_p50) == (20, 7.0)


def test_unknown_stays_unknown():
    row = msgspec.structs.replace(some_rows(1)[0], memory_bytes_max=None, wall_seconds=None, cost_usd=None)
    (job,) = summarise([row])
    assert (job.memory_bytes_max, job.wall_seconds_p50, job.cost_usd, job.attempts_cost_unknown) == (
        None,
        None,
        None,
        1,
    )
    assert summarise([]) == []


@given(st.integers(1, 40), st.integers(0, 15))
def test_recent_columns_have_one_length(count, recent):
    (job,) = summarise(some_rows(count), recent=recent)
    lengths = {len(job.recent_outcomes), len(job.recent_memory_bytes), len(job.recent_wall_seconds)}
    assert lengths == {min(count, recent)}
    assert job.runs == count


def test_totals_become_rates_and_rates_stay():
    samples = samples_from_columns(
        {
            "seconds": [1.0, 2.0, 4.0],
            "cpu_seconds": [0.5, 2.5, 4.5],
            "disk_read_bytes": [0, None, 400],
            "memory_bytes": [10, 20, 30],
            "mood": [1, 2, 3],
        }
    )
    assert samples.cpu_cores == (0.5, 2.0, 1.0)
    assert samples.disk_read_bytes_per_second == (0.0, None, 400 / 3)  # since the last total that was known
    assert samples.memory_bytes == (10, 20, 30)
    assert samples.gpu_memory_bytes == ()


def test_a_counter_that_goes_back_is_unknown_not_negative():
    samples = samples_from_columns({"seconds": [1.0, 2.0], "network_send_bytes": [100, 40]})
    assert samples.network_send_bytes_per_second == (100.0, None)


def test_rows_out_of_time_are_dropped_and_short_columns_filled():
    samples = samples_from_columns({"seconds": [0.0, 2.0, 1.0, None, 3.0], "memory_bytes": [1, 2, 3]})
    assert samples.seconds == (0.0, 2.0, 3.0)
    assert samples.memory_bytes == (1, 2, None)
    assert len(samples_from_columns({})) == 0


def test_a_peak_between_two_rows_is_in_the_later_one():
    samples = samples_from_columns(
        {"seconds": [1.0, 2.0, 3.0], "memory_bytes": [5, 6, None], "memory_bytes_max": [5, 90, None]}
    )
    assert samples.memory_bytes == (5, 90, None)


def test_rows_a_few_milliseconds_apart_share_one_rate():
    # Given a counter of 10 ms ticks read every 5 ms, then once a second
    samples = samples_from_columns(
        {"seconds": [0.005, 0.01, 0.06, 1.06, 1.07], "cpu_seconds": [0.01, 0.01, 0.06, 1.06, 1.07]}
    )
    assert [round(cores or 0, 6) for cores in samples.cpu_cores] == [1.0] * 5


def test_a_run_of_a_few_milliseconds_has_a_rate_too():
    assert samples_from_columns({"seconds": [0.01, 0.02], "cpu_seconds": [0.01, 0.02]}).cpu_cores == (
        1.0,
        1.0,
    )
