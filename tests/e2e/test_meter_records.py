"""A record for every end: the wrapper killed, a folder that cannot be written, a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from flyball.meter.recover import recover
from flyball.meter.spool import HEADER, read_rows
from flyball.model.receipt import Receipt

PYTHON = sys.executable
METER = [PYTHON, "-m", "flyball.meter"]
both = pytest.mark.parametrize("switch", ["", "off"], ids=["cgroup", "proc"])


def eventually(true, seconds: float = 15.0) -> bool:
    """Whether it became true within that time."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if true():
            return True
        time.sleep(0.02)
    return bool(true())


def killed_wrapper(
    folder: Path, script: str, switch: str = "", least_bytes: float = 0
) -> subprocess.Popen[bytes]:
    """A wrapper that was killed with -9 after its command had said "ready"."""
    wrapper = subprocess.Popen(
        [*METER, "--folder", str(folder), "--log", "never", "--", PYTHON, "-I", "-S", "-c", script],
        stdout=subprocess.PIPE,
        env={**os.environ, "FLYBALL_METER_CGROUP": switch},
    )
    assert wrapper.stdout is not None
    wrapper.stdout.readline()
    assert eventually(
        lambda: any((row[2] or 0) >= least_bytes for row in read_rows(str(folder / "samples.csv")))
    )
    assert eventually(lambda: json.loads((folder / "intent.json").read_text())["pid"])
    wrapper.kill()
    wrapper.wait(10)
    wrapper.stdout.close()
    return wrapper


HOLD = "b = bytearray(150_000_000); print('ready', flush=True); import time; time.sleep({seconds})"


@both
def test_after_kill_9_of_the_wrapper_the_command_goes_on_and_its_record_is_closed_when_it_ended(
    tmp_path, switch
):
    killed_wrapper(tmp_path / "a", HOLD.format(seconds=2.5), switch, least_bytes=150_000_000)
    assert recover(str(tmp_path / "a")).state == "running"
    assert not (tmp_path / "a/outcome.json").exists()
    assert eventually(lambda: recover(str(tmp_path / "a")).state != "running")
    closed = recover(str(tmp_path / "a"))
    assert closed.state == "closed"
    assert closed.receipt is not None
    receipt = msgspec.convert(closed.receipt, Receipt, strict=False)
    assert (receipt.outcome.value, receipt.exit_code, receipt.complete) == ("lost", None, False)
    assert receipt.memory_bytes_max is not None
    assert 150_000_000 <= receipt.memory_bytes_max <= 165_000_000
    assert not list(Path("/sys/fs/cgroup").glob(f"**/flyball-{receipt.attempt_id}"))


def test_two_that_close_the_same_record_leave_one_outcome(tmp_path):
    wrapper = killed_wrapper(tmp_path / "a", HOLD.format(seconds=0))
    assert wrapper.returncode == -signal.SIGKILL
    assert eventually(lambda: _group_is_empty(tmp_path / "a"))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: recover(str(tmp_path / "a")), range(8)))
    receipts = [recovery.receipt for recovery in found]
    assert all(receipt == receipts[0] for receipt in receipts)
    assert receipts[0] == json.loads((tmp_path / "a/outcome.json").read_text())
    assert sorted(p.name for p in (tmp_path / "a").iterdir() if "outcome" in p.name) == ["outcome.json"]


def _group_is_empty(folder: Path) -> bool:
    intent = json.loads((folder / "intent.json").read_text())
    return not Path(f"/proc/{intent['pid']}").exists()


def test_an_attempt_that_has_its_outcome_is_left_as_it_is(tmp_path):
    subprocess.run([*METER, "--folder", str(tmp_path / "a"), "--", "true"], check=True, timeout=20)
    before = (tmp_path / "a/outcome.json").read_bytes()
    assert recover(str(tmp_path / "a")).state == "closed"
    assert (tmp_path / "a/outcome.json").read_bytes() == before


def test_a_running_attempt_is_left_alone(tmp_path):
    wrapper = subprocess.Popen(
        [*METER, "--folder", str(tmp_path / "a"), "--", "sh", "-c", "echo; sleep 20"], stdout=subprocess.PIPE
    )
    assert wrapper.stdout is not None
    wrapper.stdout.readline()
    assert recover(str(tmp_path / "a")).state == "running"
    wrapper.terminate()
    wrapper.communicate(timeout=20)
    assert recover(str(tmp_path / "a")).state == "closed"


def test_another_process_with_the_wrappers_old_number_is_not_the_wrapper(tmp_path):
    (tmp_path / "intent.json").write_text(
        json.dumps({
            "schema": 1, "attempt_id": "x", "command": ["true"], "started_at_seconds": 5.0,
            "wrapper_pid": os.getpid(), "wrapper_started_ticks": 1, "pid": None, "pid_started_ticks": None,
            "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "limits": {}, "groups": {},
        })
    )  # fmt: skip
    (tmp_path / "samples.csv").write_text(f"{HEADER}\n0.5,0.25,1000,2000,,,,,,,1,1,,,,,\n1.0,0.5,10")
    recovery = recover(str(tmp_path))
    assert recovery.state == "ended"
    assert recovery.receipt is not None
    receipt = msgspec.convert(recovery.receipt, Receipt, strict=False)
    assert (receipt.wall_seconds, receipt.cpu_seconds, receipt.memory_bytes_max) == (0.5, 0.25, 2000)
    assert receipt.swap_bytes_max is None


def test_a_record_that_was_never_begun_is_ended_without_a_receipt(tmp_path):
    assert recover(str(tmp_path)) == recover(str(tmp_path / "nothing"))
    assert recover(str(tmp_path)).state == "ended"
    assert recover(str(tmp_path)).receipt is None


def test_a_cut_off_outcome_counts_as_none(tmp_path):
    killed_wrapper(tmp_path / "a", HOLD.format(seconds=0))
    assert eventually(lambda: _group_is_empty(tmp_path / "a"))
    (tmp_path / "a/outcome.json.123").write_text('{"schema":1,')
    assert recover(str(tmp_path / "a")).state == "ended"


def _read_only(folder: Path) -> Path:
    """A folder that nobody can write, root neither."""
    file = folder / "file"
    file.write_text("")
    return file / "attempt"  # below a file no folder can be made


def test_a_folder_that_cannot_be_written_changes_nothing_for_the_command(tmp_path):
    done = subprocess.run(
        [*METER, "--folder", str(_read_only(tmp_path)), "--", "sh", "-c", "cat; exit 7"],
        input=b"through", capture_output=True, check=False, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (7, b"through")
    assert done.stderr.startswith(b"flyball: could not record: ")


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A file system of 64 KiB."""
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path / "disk")]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("FULL DISK UNTESTED: only root may mount a tmpfs")
    yield tmp_path / "disk"
    subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_a_full_disk_changes_nothing_for_the_command(tiny_disk):
    script = "head -c 300000 /dev/zero; exit 9"
    done = subprocess.run(
        [*METER, "--folder", str(tiny_disk / "a"), "--", "sh", "-c", script],
        capture_output=True, check=False, timeout=20,
    )  # fmt: skip
    assert (done.returncode, len(done.stdout)) == (9, 300_000)
    assert b"No space left" in done.stderr


def test_each_row_of_the_samples_can_be_read_while_the_command_runs(tmp_path):
    subprocess.run(
        [*METER, "--folder", str(tmp_path / "a"), "--", PYTHON, "-c", "sum(range(10_000_000))"],
        check=True,
        timeout=20,
    )
    text = (tmp_path / "a/samples.csv").read_text()
    rows = read_rows(str(tmp_path / "a/samples.csv"))
    assert text.startswith(HEADER + "\n")
    assert text.endswith("\n")
    assert [row[0] for row in rows] == sorted(row[0] or 0 for row in rows)
    assert (
        len(rows)
        == len(text.splitlines()) - 1
        == json.loads((tmp_path / "a/outcome.json").read_text())["samples"]
    )
