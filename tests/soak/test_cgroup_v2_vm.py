"""The truth suite on a machine with cgroup v2 alone, as root and as a user with a delegated group.

The suite's own machines have cgroup v1 controllers, so this boots a small virtual one in software (no KVM needed);
everything in it runs about 15 times slower, and bounds on time are loosened by that factor, those on memory are not.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import virtual_machine

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".soak"
MEMORY_MIB, CPUS, TIMEOUT_SECONDS = 4096, 2, 1800.0


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> str:
    missing = virtual_machine.missing_tools()
    if missing:
        pytest.skip(f"CGROUP V2 MACHINE SKIPPED: {', '.join(missing)} missing; run tests/soak/install.sh")
    payload = [
        *(ROOT / "flyball/meter").rglob("*.py"),
        ROOT / "flyball/__init__.py",
        *(ROOT / "tests/e2e/truth").rglob("*.py"),
    ]
    machine = virtual_machine.build(KEPT, payload, ROOT)
    return virtual_machine.boot(
        machine,
        console=tmp_path_factory.mktemp("vm") / "console.txt",
        memory_mib=MEMORY_MIB,
        cpus=CPUS,
        timeout_seconds=TIMEOUT_SECONDS,
    )


@pytest.mark.soak
@pytest.mark.parametrize("part", ["root", "user"])
def test_the_truth_suite_holds_on_cgroup_v2(console: str, part: str) -> None:
    said = re.search(rf"FLYBALL PART {part} BEGIN\r?\n(.*)FLYBALL PART {part} EXIT (\S+)", console, re.DOTALL)
    assert said, f"the machine never finished that part; its last words:\n{console[-3000:]}"
    sys.__stdout__.write(f"\ncgroup v2, as {part}:{os.linesep}{said[1]}\n")
    assert said[2] == "0", said[1][-5000:]
