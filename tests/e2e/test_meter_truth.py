"""The truth suite: programs whose use is known, each figure within its bounds (see truth/check.py)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "truth"))
import check

METER = check.Meter()
CGROUP = check.has_cgroup()


@pytest.mark.skipif(not CGROUP, reason="NO CONTROL GROUP THAT COUNTS MEMORY: the truth suite did not run")
@pytest.mark.parametrize("program", check.ALL, ids=lambda program: program.__name__)
def test_a_program_of_known_use_is_measured_within_its_bounds(program):
    rows = program(METER)
    if not rows:
        pytest.skip(f"{program.__name__.upper()} UNTESTED: this machine cannot set it up")
    assert all(row.ok for row in rows), check.table(rows)


@pytest.mark.parametrize("program", check.WITHOUT_CGROUP[1:], ids=lambda program: program.__name__)
def test_without_control_groups_what_proc_can_promise_holds_too(program):
    rows = program(check.Meter(cgroup=False))
    assert all(row.ok for row in rows), check.table(rows)


def test_without_control_groups_spikes_are_found_too():
    rows = check.spikes(check.Meter(cgroup=False), times=5)
    assert all(row.ok for row in rows), check.table(rows)
