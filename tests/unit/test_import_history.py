"""History of other tools: what their files say arrives, what they do not say stays unknown, twice is once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.adapters.history_files import (
    FORMATS,
    import_history,
    nextflow,
    resource_tracker,
    slurm,
    snakemake,
)
from flyball.adapters.history_files.imported import Source
from flyball.errors import InputError
from flyball.model.facts import AttemptEnded, RunSubmitted
from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome
from flyball.ports.store import MemoryStore

SAMPLES = Path(__file__).parent / "import_samples"
NOW = 1_800_000_000.0
GIB, MIB = 2**30, 2**20


def imported(format_: str, name: str) -> tuple[list[AttemptRow], list[int], list[AttemptEnded]]:
    found = import_history(format_, SAMPLES / name, now=NOW)
    store = MemoryStore()
    store.append(found.facts)
    ended = [fact for fact in found.facts if isinstance(fact, AttemptEnded)]
    order = [fact.attempt_id for fact in ended]
    rows = sorted(store.rows(), key=lambda row: order.index(row.attempt_id))
    assert len(rows) == len(ended)
    return rows, [refusal.line for refusal in found.refused], ended


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch):
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_nextflow_trace_gives_one_run_per_task() -> None:
    rows, refused, ended = imported("nextflow", "nextflow_default.txt")
    assert [row.job for row in rows] == ["FASTQC", "FASTQC", "STAR:ALIGN", "STAR:ALIGN", "MULTIQC"]
    assert [row.outcome for row in rows] == [
        Outcome.SUCCEEDED,
        Outcome.SUCCEEDED,
        Outcome.OUT_OF_MEMORY,
        Outcome.FAILED,
        Outcome.CANCELLED,
    ]
    first, short, _, failed, _ = rows
    assert (first.wall_seconds, first.cpu_seconds) == (62.0, 62.0 * 1.875)
    assert first.memory_bytes_max == round(1.2 * GIB)
    assert first.words == {"tag": "sample_a"}
    assert first.started_at_seconds == 1793527200.1
    assert (short.wall_seconds, short.memory_bytes_max) == (0.512, round(20.5 * MIB))
    assert (failed.cpu_seconds, failed.memory_bytes_max, failed.exit_code) == (None, None, 1)
    assert ended[0].receipt.sources["cpu_seconds"] == "import:nextflow"
    assert "memory_bytes_max" not in ended[3].receipt.sources
    assert refused == [6, 8, 9, 10]


def test_a_raw_nextflow_trace_with_chosen_columns_says_the_same_and_more() -> None:
    (row, starved), refused, ended = imported("nextflow", "nextflow_raw.txt")
    assert (row.job, row.words, row.numbers) == ("NF:QC:FASTQC", {"tag": "sample_a"}, {"attempt": 2.0})
    assert (row.started_at_seconds, row.wall_seconds) == (1793527200.0, 62.0)
    assert (row.memory_bytes_max, row.memory_limit_bytes, row.cpu_cores_limit) == (1288490189, 8 * GIB, 4.0)
    assert ended[0].receipt.limits.timeout_seconds == 3600.0
    assert row.cpu_model == "AMD EPYC"
    assert starved.outcome is Outcome.FAILED  # killed at 1 GiB of 8: not for its memory
    assert refused == []


def test_snakemake_benchmarks_are_named_by_rule_or_file() -> None:
    rows, refused, _ = imported("snakemake", "snakemake_align.tsv")
    long, short = rows
    assert (long.wall_seconds, long.cpu_seconds) == (90061.5, 168640.2)
    assert long.memory_bytes_max == round(1010.5 * MIB)
    assert (short.memory_bytes_max, short.cpu_seconds, short.wall_seconds) == (None, None, 0.0412)
    assert {row.job for row in rows} == {"import_samples"}
    assert refused == [4]
    (row,), refused, ended = imported("snakemake", "snakemake_extended.tsv")
    assert (row.job, row.words, row.input_bytes) == ("align", {"sample": "a"}, 11 * MIB)
    assert (row.memory_bytes_max, row.cpu_seconds, row.cpu_cores_limit) == (100 * MIB, 12.5 * 1.5, 4.0)
    assert (refused, ended[0].receipt.sources["wall_seconds"]) == ([], "import:snakemake")


@pytest.mark.parametrize(
    ("path", "job"),
    [
        ("benchmarks/align/a.tsv", "align"),
        ("benchmarks/align.tsv", "align"),
        ("align.2026-11-01.benchmark.txt", "align.*"),
    ],
)
def test_a_benchmark_without_a_rule_is_named_by_its_place(path: str, job: str) -> None:
    found = snakemake.read("s\th:m:s\n1.0\t0:00:01\n", Source(path=path, modified_seconds=5.0))
    assert isinstance(found.facts[0], RunSubmitted)
    assert found.facts[0].run.job == job


def test_slurm_jobs_take_their_figures_from_their_steps() -> None:
    rows, refused, ended = imported("slurm", "slurm.txt")
    trained, array, slow, mpi, lost, spot = rows
    assert (trained.job, trained.wall_seconds, trained.cpu_seconds) == ("train_*", 3600.0, 12615.0)
    assert trained.memory_bytes_max == 12 * GIB  # of .batch, not of .extern
    assert (trained.memory_limit_bytes, trained.cpu_cores_limit) == (16 * GIB, 4.0)
    assert trained.started_at_seconds == 1793527200.0
    assert ended[0].receipt.disk_read_bytes == round(1.5 * GIB)
    assert ended[0].receipt.limits.timeout_seconds == 7200.0
    assert (array.outcome, array.memory_limit_bytes, array.memory_bytes_max) == (
        Outcome.OUT_OF_MEMORY,
        32 * GIB,
        31 * GIB,
    )
    assert (array.wall_seconds, array.cpu_seconds, array.numbers) == (180000.0, 1.5, {"array_task": 7.0})
    assert (slow.outcome, slow.memory_limit_bytes) == (Outcome.TIMED_OUT, 4000 * MIB)
    assert (mpi.outcome, mpi.memory_bytes_max) == (Outcome.CANCELLED, None)  # the peak of one task of 32
    assert (mpi.memory_limit_bytes, ended[3].receipt.limits.timeout_seconds) == (None, None)
    assert (lost.outcome, lost.cpu_seconds, spot.outcome) == (Outcome.LOST, None, Outcome.INTERRUPTED)
    assert [e.receipt.exit_code for e in ended] == [0, None, None, 143, 1, None]
    assert refused == [10, 13, 14, 15]


def test_a_requeued_slurm_job_is_two_runs() -> None:
    header = "JobID|JobName|State|Elapsed|Start|MaxRSS\n"
    text = header + (
        "7|a|NODE_FAIL|00:10:00|2026-11-01T10:00:00|\n7.batch|batch|CANCELLED|00:10:00||1G\n"
        "7|a|COMPLETED|00:20:00|2026-11-01T11:00:00|\n7.batch|batch|COMPLETED|00:20:00||2G\n"
    )
    found = slurm.read(text, Source(path="x", modified_seconds=1.0))
    ended = [fact.receipt for fact in found.facts if isinstance(fact, AttemptEnded)]
    assert [(r.outcome, r.memory_bytes_max) for r in ended] == [
        (Outcome.LOST, GIB),
        (Outcome.SUCCEEDED, 2 * GIB),
    ]


@pytest.mark.parametrize("name", ["resource_tracker_process.csv", "resource_tracker_combined.csv"])
def test_a_resource_tracker_file_is_one_run(name: str) -> None:
    """The files were written by resource-tracker 0.5 while a Python held 300 MiB and counted for 3 seconds."""
    (row,), refused, ended = imported("resource-tracker", name)
    assert row.memory_bytes_max == round(303.4521 * MIB)
    assert row.cpu_seconds == pytest.approx(0.58 + 0.03 + 0.63 + 0.63)
    assert row.wall_seconds == pytest.approx(3.0, abs=0.15)
    assert (row.outcome, row.exit_code, refused) == (Outcome.SUCCEEDED, None, [])
    assert (ended[0].receipt.samples, ended[0].receipt.sources["cpu_seconds"]) == (
        3,
        "import:resource-tracker",
    )


def test_a_measurement_of_the_whole_machine_is_not_taken_for_a_jobs() -> None:
    with pytest.raises(InputError, match="whole machine"):
        import_history("resource-tracker", SAMPLES / "resource_tracker_system.csv", now=NOW)


@pytest.mark.parametrize(
    ("format_", "name"),
    [
        ("nextflow", "nextflow_default.txt"),
        ("snakemake", "snakemake_extended.tsv"),
        ("slurm", "slurm.txt"),
        ("resource-tracker", "resource_tracker_process.csv"),
    ],
)
def test_importing_twice_or_from_a_copy_adds_nothing(format_: str, name: str, tmp_path: Path) -> None:
    copy = tmp_path / SAMPLES.name / name
    copy.parent.mkdir()
    copy.write_bytes(b"\xef\xbb\xbf" + (SAMPLES / name).read_bytes().replace(b"\n", b"\r\n"))
    store = MemoryStore()
    store.append(import_history(format_, SAMPLES / name, now=NOW).facts)
    rows = len(store.rows())
    assert rows > 0
    store.append(import_history(format_, copy, now=NOW + 9).facts)
    assert len(store.rows()) == rows


def test_two_different_lines_are_never_the_same_run() -> None:
    for format_, name in (("nextflow", "nextflow_default.txt"), ("slurm", "slurm.txt")):
        found = import_history(format_, SAMPLES / name, now=NOW)
        ids = [fact.run.run_id for fact in found.facts if isinstance(fact, RunSubmitted)]
        assert len(set(ids)) == len(ids)


def test_secrets_in_foreign_names_are_not_taken_over() -> None:
    text = "name\tstatus\trealtime\tsubmit\nLOAD (token=abcdef123)\tCOMPLETED\t1s\t2026-11-01 10:00:00\n"
    found = nextflow.read(text, Source(path="x", modified_seconds=1.0))
    assert "abcdef123" not in repr(found.facts)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_of_another_kind_is_an_input_error(format_: str, tmp_path: Path) -> None:
    for content in (b"", b"\n\n", b"hello world\n", b"\x00\xff\xfe" * 100, b"a\tb\tc\n1\t2\t3\n"):
        file = tmp_path / "x"
        file.write_bytes(content)
        with pytest.raises(InputError):
            import_history(format_, file, now=NOW)
    with pytest.raises(InputError):
        import_history(format_, tmp_path / "nowhere", now=NOW)
    with pytest.raises(InputError):
        import_history(format_, tmp_path, now=NOW)


def test_a_format_nobody_knows_is_an_input_error() -> None:
    with pytest.raises(InputError, match="cobol"):
        import_history("cobol", SAMPLES / "slurm.txt", now=NOW)


READERS = {
    "nextflow_default.txt": nextflow.read,
    "nextflow_raw.txt": nextflow.read,
    "snakemake_extended.tsv": snakemake.read,
    "slurm.txt": slurm.read,
    "resource_tracker_process.csv": resource_tracker.read,
}
HOSTILE = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["-1", "1e400", "nan", "inf", "9" * 400, "9" * 40 + " GB", "0", "\0", '"', "99999999:00:00", "1" * 14]
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(READERS)), st.data())
def test_whatever_stands_in_a_field_each_line_is_imported_or_refused(name: str, data: st.DataObject) -> None:
    lines = (SAMPLES / name).read_text().splitlines()
    delimiter = {"txt": "|" if name == "slurm.txt" else "\t", "tsv": "\t", "csv": ","}[name.rsplit(".", 1)[1]]
    at = data.draw(st.integers(1, len(lines) - 1))
    fields = lines[at].split(delimiter)
    for _ in range(data.draw(st.integers(1, 3))):
        fields[data.draw(st.integers(0, len(fields) - 1))] = data.draw(HOSTILE)
    lines[at] = delimiter.join(fields)
    try:
        found = READERS[name]("\n".join(lines), Source(path="some/file", modified_seconds=NOW))
    except InputError:
        return
    store = MemoryStore()
    store.append(found.facts)
    for fact in found.facts:
        assert msgspec.json.decode(msgspec.json.encode(fact), type=type(fact)) == fact
    for row in store.rows():
        assert row.wall_seconds is not None
        assert 0 <= row.wall_seconds < 4e8
        assert row.memory_bytes_max is None or 0 < row.memory_bytes_max <= 2**60
        assert len(row.job) <= 200


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(READERS)), st.text(max_size=400))
def test_no_text_at_all_breaks_a_reader(name: str, text: str) -> None:
    header = (SAMPLES / name).read_text().split("\n", 1)[0]
    for content in (text, f"{header}\n{text}"):
        try:
            found = READERS[name](content, Source(path="f", modified_seconds=NOW))
        except InputError:
            continue
        assert found.facts or found.refused
