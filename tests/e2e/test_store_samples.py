"""Samples: CSV as the wrapper leaves them, Parquet once packed, the same figures either way."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from flyball.adapters.samples import COLUMNS, pack, read_samples
from flyball.errors import InputError, StoreError


def leave(home: Path, attempt_id: str, rows: int = 3, torn: str = "") -> None:
    folder = home / "runs" / attempt_id
    folder.mkdir(parents=True)
    lines = [",".join(COLUMNS)]
    for n in range(rows):
        values = [str(n * 0.5), str(n), str(n * 2**20), "", *["0"] * (len(COLUMNS) - 6), "7", ""]
        lines.append(",".join(values))
    (folder / "samples.csv").write_text("\n".join(lines) + "\n" + torn)


def parquet_files(home: Path) -> list[Path]:
    return sorted((home / "samples").glob("*"))


def test_samples_read_the_same_before_and_after_packing(tmp_path: Path) -> None:
    leave(tmp_path, "a.1")
    before = read_samples(tmp_path, "a.1")
    assert pack(tmp_path, ["a.1"]) == 1
    after = read_samples(tmp_path, "a.1")
    assert after.equals(before)
    assert after.columns == list(COLUMNS)
    assert after["memory_bytes"].to_list() == [0, 2**20, 2**21]
    assert after["memory_bytes"].dtype == pl.Int64
    assert after["seconds"].to_list() == [0.0, 0.5, 1.0]
    assert after["memory_bytes_max"].to_list() == [None] * 3  # unknown, not 0
    assert not (tmp_path / "runs" / "a.1" / "samples.csv").exists()


def test_packing_again_and_packing_nothing_change_nothing(tmp_path: Path) -> None:
    assert pack(tmp_path) == 0
    leave(tmp_path, "a.1")
    assert (pack(tmp_path), pack(tmp_path), pack(tmp_path, ["a.1", "gone.1"])) == (1, 0, 0)
    assert len(parquet_files(tmp_path)) == 1


def test_only_the_attempts_asked_for_are_packed(tmp_path: Path) -> None:
    leave(tmp_path, "running.1")
    leave(tmp_path, "done.1")
    assert pack(tmp_path, ["done.1"]) == 1
    assert (tmp_path / "runs" / "running.1" / "samples.csv").exists()


@pytest.mark.parametrize(
    "torn", ["1.5,2", "1.5,2\n", "nonsense" + "," * (len(COLUMNS) - 1) + "\n", "\x00\xff\n"]
)
def test_a_torn_line_is_left_out(tmp_path: Path, torn: str) -> None:
    leave(tmp_path, "a.1", torn=torn)
    assert read_samples(tmp_path, "a.1").height == 3


def test_a_csv_of_another_version_gives_what_is_known(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a.1"
    folder.mkdir(parents=True)
    (folder / "samples.csv").write_text("seconds,warp_factor,threads\n1,9,4\n")
    found = read_samples(tmp_path, "a.1")
    assert (found["seconds"][0], found["threads"][0], found["cpu_seconds"][0]) == (1.0, 4, None)
    (folder / "samples.csv").write_text("")
    assert read_samples(tmp_path, "a.1").height == 0


def test_no_samples_and_impossible_names_are_input_errors(tmp_path: Path) -> None:
    for attempt_id in ("a.1", "../../etc/passwd", "", ".."):
        with pytest.raises(InputError):
            read_samples(tmp_path, attempt_id)


def test_a_crash_between_writing_and_deleting_doubles_nothing(tmp_path: Path) -> None:
    leave(tmp_path, "a.1")
    text = (tmp_path / "runs" / "a.1" / "samples.csv").read_text()
    pack(tmp_path)
    for _ in range(12):  # crashed each time after the Parquet file was there
        (tmp_path / "runs" / "a.1" / "samples.csv").write_text(text)
        assert read_samples(tmp_path, "a.1").height == 3
        pack(tmp_path)
    assert read_samples(tmp_path, "a.1").height == 3
    total = sum(pl.read_parquet(file).height for file in parquet_files(tmp_path))
    assert total < 13 * 3  # joined files were cleared of doubles


def test_many_runs_make_few_files_and_all_stay_readable(tmp_path: Path) -> None:
    for n in range(230):
        leave(tmp_path, f"r{n:04d}.1", rows=2)
        pack(tmp_path, [f"r{n:04d}.1"])
    assert len(parquet_files(tmp_path)) <= 2 + 9 + 9
    assert all(read_samples(tmp_path, f"r{n:04d}.1").height == 2 for n in range(0, 230, 23))


def test_a_packer_killed_at_any_instant_loses_no_sample(tmp_path: Path) -> None:
    ids = [f"r{n:04d}.1" for n in range(60)]
    for attempt_id in ids:
        leave(tmp_path, attempt_id)
    code = (
        "import sys; from pathlib import Path; from flyball.adapters.samples import pack\n"
        "import polars; print('go', flush=True)\n"
        "for n in range(60): pack(Path(sys.argv[1]), [f'r{n:04d}.1'])"
    )
    for delay in (0.01, 0.03, 0.06, 0.1):
        packer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        assert packer.stdout is not None
        packer.stdout.readline()
        time.sleep(delay)
        packer.kill()
        packer.communicate()
    assert [read_samples(tmp_path, attempt_id).height for attempt_id in ids] == [3] * 60
    pack(tmp_path)
    assert [read_samples(tmp_path, attempt_id).height for attempt_id in ids] == [3] * 60
    assert not list((tmp_path / "runs").glob("*/samples.csv"))


def test_samples_can_be_read_while_others_are_packed(tmp_path: Path) -> None:
    ids = [f"r{n:03d}.1" for n in range(40)]
    for attempt_id in ids:
        leave(tmp_path, attempt_id)
    packer = threading.Thread(target=lambda: [pack(tmp_path, [attempt_id]) for attempt_id in ids])
    packer.start()
    reads = 0
    while packer.is_alive() or not reads:
        assert [read_samples(tmp_path, attempt_id).height for attempt_id in ids[::8]] == [3] * 5
        reads += 1
    packer.join()


def test_a_damaged_parquet_file_is_a_store_error(tmp_path: Path) -> None:
    leave(tmp_path, "a.1")
    pack(tmp_path)
    (file,) = parquet_files(tmp_path)
    file.write_bytes(b"PAR1 not really")
    with pytest.raises(StoreError, match="samples"):
        read_samples(tmp_path, "a.1")
