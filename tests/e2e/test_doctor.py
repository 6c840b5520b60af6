"""doctor on this real machine: what it says works, works; nothing is left behind; what is broken has a fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from flyball.app.doctor import diagnose, disk, doctor_json, doctor_page
from flyball.app.doctor_kernel import gpu, kernel_findings, pressure
from flyball.app.look import Look, columns_of
from flyball.errors import StoreError

TODAY = date(2026, 11, 21)
linux = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


def examine(home, **changes):
    given = {
        "home": home,
        "open_store": lambda: None,
        "catalog_as_of": lambda: date(2026, 11, 1),
        "today": TODAY,
    }
    return {finding.name: finding for finding in diagnose(**{**given, **changes})}


def groups_left() -> list[str]:
    return [str(path) for path in Path("/sys/fs/cgroup").glob("**/flyball-doctor-*")]


@linux
def test_it_says_what_each_part_does_and_leaves_no_group_behind(tmp_path):
    found = examine(tmp_path / "home")
    assert {
        "versions",
        "machine",
        "control groups",
        "memory limits",
        "CPU limits",
        "disk",
        "store",
        "prices",
    } <= found.keys()
    assert all(finding.fix for finding in found.values() if finding.ok is False)
    assert groups_left() == []
    assert list((tmp_path / "home").iterdir()) == []


@linux
def test_without_control_groups_it_says_how_to_get_them():
    # Given a process that must do without (the wrapper's own switch)
    code = (
        "import msgspec; from flyball.app.doctor_kernel import kernel_findings;"
        "print(msgspec.json.encode(kernel_findings()).decode())"
    )
    environment = {**os.environ, "FLYBALL_METER_CGROUP": "off"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    found = {each["name"]: each for each in json.loads(done.stdout)}
    # then limits are said to be impossible, and how that is mended
    assert found["memory limits"]["ok"] is False
    assert found["memory limits"]["fix"] == "unset FLYBALL_METER_CGROUP"
    assert found["control groups"]["ok"] is None


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a group of its own everywhere")
def test_as_root_a_limit_is_tried_on_a_real_process():
    found = {finding.name: finding for finding in kernel_findings()}
    swap = len(Path("/proc/swaps").read_text().splitlines()) > 1  # then it may be swapped out instead
    if found["control groups"].ok and not swap:
        assert found["memory limits"].says == "--memory is held: a trial beyond its limit was killed"
        assert found["CPU limits"].ok is True
    assert groups_left() == []


def test_pressure_that_is_switched_off_names_the_boot_parameter(tmp_path):
    (tmp_path / "cpu").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n")
    finding = pressure(tmp_path)
    assert (finding.ok, finding.says.split(":")[0]) == (False, "not for memory, io")
    assert "psi=1" in finding.fix


def test_no_gpu_is_no_fault():
    if not Path("/dev/nvidia0").exists():
        assert gpu(None).ok is None


def test_a_home_that_cannot_be_written_is_told(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    finding = disk(blocked / "home")  # given a file where a folder should be
    assert finding.ok is False
    assert "FLYBALL_HOME" in finding.fix


def test_a_broken_store_and_empty_or_old_prices_are_told(tmp_path):
    def broken() -> None:
        raise StoreError("the store is damaged", why="bad checksum", hint="flyball store repair")

    found = examine(tmp_path, open_store=broken, catalog_as_of=lambda: None)
    assert found["store"].says == "the store is damaged: bad checksum"
    assert (found["store"].ok, found["store"].fix) == (False, "flyball store repair")
    assert (found["prices"].ok, found["prices"].fix) == (False, "flyball catalog refresh aws")
    old = examine(tmp_path, catalog_as_of=lambda: date(2026, 1, 1))["prices"]
    assert (old.ok, old.says) == (None, "oldest price is of 2026-01-01, 324 days old")


def test_the_page_fits_and_counts_what_is_to_fix(tmp_path):
    findings = list(examine(tmp_path, catalog_as_of=lambda: None).values())
    for width in (40, 80, 120):
        page = doctor_page(findings, Look(width=width))
        assert all(columns_of(line) <= width for line in page.split("\n"))
        assert ["fix:", "flyball", "catalog", "refresh", "aws"][0] in page
    assert page.split("\n")[-1] == f"{sum(f.ok is False for f in findings)} to fix."
    assert [each["name"] for each in doctor_json(findings)] == [finding.name for finding in findings]
