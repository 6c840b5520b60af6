"""`flyball up --api` as a program uses it: submit, follow, cancel, all over HTTP."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from test_governor_cli import Place, python_job


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def call(place):
    """(method, path, body) -> (status, decoded answer), of a governor that runs as long as the test."""
    place.define(
        python_job("hello", "print('hello {who}')") + python_job("long", "import time; time.sleep(600)")
    )
    up = place.start("up", "--tick", "200ms", "--api", "127.0.0.1:0", stderr=subprocess.PIPE)
    said = ""
    while not (found := re.search(r"HTTP API at (\S+); its token is in (\S+)", said)):
        line = up.stderr.readline()
        assert line, said
        said += line
    url, token = found[1], Path(found[2]).read_text().strip()

    def send(method: str, path: str, body: object = None, token: str = token):
        request = urllib.request.Request(
            url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                raw, status, kind = answer.read(), answer.status, answer.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            raw, status, kind = error.read(), error.code, error.headers["Content-Type"]
        return status, json.loads(raw) if "json" in kind else raw.decode()

    yield send
    up.send_signal(signal.SIGTERM)
    assert up.wait(20) == 0
    up.stderr.close()


def wait_for(call, run_id: str, state: str) -> dict:
    for _ in range(300):
        _, run = call("GET", f"/v1/runs/{run_id}")
        if run["run"]["state"] == state:
            return run
        time.sleep(0.1)
    raise AssertionError(run)


def test_a_job_is_submitted_followed_and_its_output_read(call):
    status, run = call("POST", "/v1/runs", {"job": "hello", "params": {"who": "world"}})
    assert status in {200, 201, 202}, run
    done = wait_for(call, run["run_id"], "succeeded")
    assert done["attempts"]
    assert call("GET", f"/v1/runs/{run['run_id']}/logs")[1] == "hello world\n"


def test_a_command_is_run_and_a_long_one_cancelled(call):
    _, run = call("POST", "/v1/runs", {"command": [sys.executable, "-c", "print(6 * 7)"], "name": "six"})
    wait_for(call, run["run_id"], "succeeded")
    assert call("GET", f"/v1/runs/{run['run_id']}/logs")[1] == "42\n"
    _, long = call("POST", "/v1/runs", {"job": "long"})
    wait_for(call, long["run_id"], "running")
    assert [m["run_id"] for m in call("GET", "/v1/machines")[1]["machines"]] == [long["run_id"]]
    call("POST", f"/v1/runs/{long['run_id']}/cancel", {})
    wait_for(call, long["run_id"], "cancelled")
    assert {job["name"] for job in call("GET", "/v1/jobs")[1]["jobs"]} == {"hello", "long"}
    assert call("GET", "/v1/costs")[0] == 200


def test_who_has_no_token_gets_nothing(call):
    assert call("GET", "/v1/runs", token="wrong")[0] == 401
    status, problem = call("POST", "/v1/runs", {"job": "nobody"})
    assert status in {400, 404, 422}
    assert "nobody" in json.dumps(problem)
