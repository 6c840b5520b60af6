from __future__ import annotations

import json
import os
import subprocess
import sys

SCRIPT = """
import json, sys
from flyball import jobs, plan, run, runs

finished = run([sys.executable, "-c", "b = bytearray(200 << 20); b[::4096] = b'x' * len(b[::4096]); import time; time.sleep(0.3)"],
               name="api", tags={"team": "data"}, params={"rows": 10})
last = runs("api")[-1]
print(json.dumps({
    "exit_code": finished.exit_code,
    "memory": finished.receipt.memory_bytes_max,
    "jobs": [(j.job, j.runs) for j in jobs()],
    "row": [last.job, last.tags, last.numbers["rows"]],
    "planned": plan("api").size.memory_bytes,
    "price": plan("api").choice.expected_usd,
}))
"""


def test_run_jobs_runs_and_plan_give_typed_results(tmp_path):
    env = {**os.environ, "FLYBALL_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True
    )
    said = json.loads(result.stdout)
    assert said["exit_code"] == 0
    assert 200 << 20 <= said["memory"] < 240 << 20
    assert said["jobs"] == [["api", 1]]
    assert said["row"] == ["api", {"team": "data"}, 10.0]
    assert said["planned"] > said["memory"]
    assert said["price"] > 0


def test_a_wrong_value_is_an_error_that_says_what_to_write(tmp_path):
    script = "from flyball import run\nfrom flyball.errors import InputError\ntry:\n    run(['true'], memory='4')\nexcept InputError as e:\n    print(e.hint)"
    env = {**os.environ, "FLYBALL_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert "GiB" in result.stdout
