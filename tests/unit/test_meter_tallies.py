"""Sums over a run: cores, memory, waiting; the thinning of samples; the bounded log."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.meter import spool
from flyball.meter.logfile import BoundedLog
from flyball.meter.tally import CoreUse, MemoryUse, cores_wanted

MB = 1_000_000
figures = st.floats(0, 1e12, allow_nan=False).map(lambda value: round(value, 6))


@st.composite
def sample_rows(draw, rows_max: int = 40):
    """Rows as a run writes them: time and CPU grow, some figures unknown."""
    count = draw(st.integers(0, rows_max))
    seconds = sorted(draw(st.lists(figures, min_size=count, max_size=count, unique=True)))
    rest = st.lists(st.none() | figures, min_size=len(spool.COLUMNS) - 1, max_size=len(spool.COLUMNS) - 1)
    return [(second, *draw(rest)) for second in seconds]


@given(sample_rows())
def test_thinning_halves_the_rows_and_loses_no_peak(rows):
    thinned = spool.thinned(rows)
    assert len(thinned) == (len(rows) + 1) // 2
    peaks = [row[spool.SINCE_LAST_ROW] for row in rows if row[spool.SINCE_LAST_ROW] is not None]
    kept = [row[spool.SINCE_LAST_ROW] for row in thinned if row[spool.SINCE_LAST_ROW] is not None]
    assert max(kept, default=None) == max(peaks, default=None)
    assert thinned[-1:] == [] or thinned[-1][0] == rows[-1][0]  # the end of the counters stays


@given(sample_rows())
def test_rows_come_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("spool") / "samples.csv"
    writer = spool.Spool(str(path))
    for row in rows:
        writer.append(row)
    writer.close()
    assert spool.read_rows(str(path)) == rows


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 60), st.integers(0, 400))
def test_a_file_of_samples_never_holds_more_rows_than_it_may(tmp_path_factory, rows_max, count):
    path = tmp_path_factory.mktemp("spool") / "samples.csv"
    writer = spool.Spool(str(path), rows_max=rows_max)
    for index in range(count):
        writer.append((float(index), float(index), *([None] * (len(spool.COLUMNS) - 2))))
        assert writer.rows < rows_max
    writer.close()
    rows = spool.read_rows(str(path))
    assert len(rows) == writer.rows
    assert not count or rows[-1][0] == count - 1
    assert (writer.period_seconds > 1) == (count >= rows_max)


@given(st.text(max_size=200))
def test_a_damaged_file_of_samples_gives_the_rows_that_are_whole(tmp_path_factory, damage):
    path = tmp_path_factory.mktemp("spool") / "samples.csv"
    row = (1.0, *([2.0] * (len(spool.COLUMNS) - 1)))
    path.write_text(f"{spool.HEADER}\n{spool.line(row)}\n{damage}", encoding="utf-8")
    assert spool.read_rows(str(path))[:1] == [row]


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0, 8)), min_size=1, max_size=30))
def test_the_95th_percentile_of_cores_lies_between_the_mean_of_the_rest_and_the_maximum(windows):
    use = CoreUse()
    for seconds, cores in windows:
        use.add(seconds, seconds * cores)
    assert use.cores_max is not None
    assert use.cores_max <= max(cores for _, cores in windows) + 1e-9
    below = sum(seconds for seconds, cores in windows if cores <= (use.p95() or 0) + 0.006)
    assert below >= 0.95 * sum(seconds for seconds, _ in windows) - 1e-6


def test_the_parallel_share_is_that_of_cpu_time_and_not_of_wall_time():
    use = CoreUse()
    use.add(9.0, 3.0)  # nine seconds with a third of a core
    use.add(1.0, 3.0)  # one second with three
    assert use.parallel_share() == 0.5


def test_no_cpu_time_has_no_parallel_share():
    assert CoreUse().parallel_share() is None
    assert CoreUse().p95() is None


def test_a_spike_between_two_looks_is_found_from_the_kernels_mark():
    memory = MemoryUse()
    memory.add(0.0, 10 * MB)
    memory.add_kernel_peak(12 * MB, 2 * MB)
    memory.add(1.0, 10 * MB)
    memory.add_kernel_peak(502 * MB, 2 * MB)
    assert memory.bytes_max == 500 * MB


def test_page_cache_that_grew_between_two_looks_is_no_spike():
    memory = MemoryUse()
    memory.add(0.0, 10 * MB)
    memory.add_kernel_peak(12 * MB, 2 * MB)
    memory.add(1.0, 10 * MB)
    memory.add_kernel_peak(1512 * MB, 1502 * MB)
    assert memory.bytes_max == 10 * MB


def test_page_cache_that_was_dropped_between_two_looks_is_no_spike():
    memory = MemoryUse()
    memory.add(0.0, 10 * MB)
    memory.add_kernel_peak(1512 * MB, 1502 * MB)
    memory.add(1.0, 10 * MB)
    memory.add_kernel_peak(1512 * MB, 2 * MB)
    assert memory.bytes_max == 10 * MB


@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9)),
        min_size=1,
        max_size=20,
    )
)
def test_the_peak_is_never_below_what_was_seen_nor_above_the_kernels_mark(looks):
    memory = MemoryUse()
    highest = 0
    for index, (counted, cache, extra) in enumerate(looks):
        peak = counted + cache + extra
        highest = max(highest, peak)
        memory.add(float(index), counted)
        memory.add_kernel_peak(peak, cache)
    assert memory.bytes_max is not None
    assert max(counted for counted, _, _ in looks) <= memory.bytes_max <= highest


def test_the_mean_of_memory_is_over_time():
    memory = MemoryUse()
    for at, counted in ((0.0, 0), (1.0, 100), (3.0, 100)):
        memory.add(at, counted)
    assert memory.mean() == (50 + 200) / 3


def test_four_processes_with_a_third_of_a_core_wanted_four():
    wanted = cores_wanted(wall_seconds=10, cpu_seconds=3, waited_seconds=37, threads_max=5)
    assert wanted == 4


@given(st.floats(0.001, 1e6), st.floats(0, 1e6), st.floats(0, 1e9), st.integers(1, 1000))
def test_nobody_wants_fewer_cores_than_he_had_nor_more_than_he_has_threads(wall, cpu, waited, threads):
    wanted = cores_wanted(wall_seconds=wall, cpu_seconds=cpu, waited_seconds=waited, threads_max=threads)
    assert wanted is not None
    assert cpu / wall <= wanted <= max(threads, cpu / wall)


def test_what_is_unknown_makes_the_wish_unknown():
    assert cores_wanted(wall_seconds=1, cpu_seconds=None, waited_seconds=1, threads_max=1) is None
    assert cores_wanted(wall_seconds=1, cpu_seconds=1, waited_seconds=None, threads_max=1) is None


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=70), max_size=30))
def test_a_log_keeps_its_head_and_its_tail_and_counts_what_it_left_out(tmp_path_factory, pieces):
    path = tmp_path_factory.mktemp("log") / "log"
    log = BoundedLog(str(path), head_bytes=50, tail_bytes=80)
    for piece in pieces:
        log.write(piece)
    whole = b"".join(pieces)
    log.close(len(whole))
    kept = path.read_bytes()
    if len(whole) <= 130:
        assert kept == whole
    else:
        head, tail = whole[:50], whole[-80:]
        assert kept == head + f"\n[flyball: {len(whole) - 130} bytes left out here]\n".encode() + tail
    assert [p.name for p in path.parent.iterdir()] == ["log"]


def test_a_log_on_a_full_disk_stops_and_says_why(tmp_path):
    log = BoundedLog("/dev/full")
    for _ in itertools.repeat(None, 3):
        log.write(b"x")
    assert log.error is not None
    assert "No space" in str(log.error)
    log.close(3)
