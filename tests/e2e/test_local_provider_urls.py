"""Outputs in object storage are looked at after the command, against a real S3 server."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from msgspec.structs import replace

from flyball.adapters.local_provider import LocalProvider
from flyball.adapters.url_outputs import broken_output
from flyball.model.machine import Stage
from flyball.model.outcome import Outcome
from flyball.model.spec import SuccessRules
from tests.e2e.test_local_provider import in_stage, order

SERVER = (
    "from moto.server import ThreadedMotoServer; import sys\n"
    "server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False); server.start()\n"
    "print(server.get_host_and_port()[1], flush=True); sys.stdin.read()"
)
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="module")
def s3():
    pytest.importorskip("moto")
    boto3 = pytest.importorskip("boto3")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="day/part-0.parquet", Body=b"rows")
        client.put_object(Bucket="bucket", Key="day/_SUCCESS", Body=b"")
        client.put_object(Bucket="bucket", Key="empty", Body=b"")
        yield endpoint
        server.stdin.close()
        server.terminate()


@pytest.fixture(autouse=True)
def _environment(s3, monkeypatch):
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("url", "after_seconds", "wrong"),
    [
        ("s3://bucket/day/part-0.parquet", -60.0, None),
        ("s3://bucket/day/", -60.0, None),
        ("s3://bucket/day", -60.0, None),
        ("s3://bucket/day/*.parquet", -60.0, None),
        ("s3://bucket/day/*.csv", -60.0, "there is no"),
        ("s3://bucket/nothing", -60.0, "there is no"),
        ("s3://bucket/empty", -60.0, "is empty"),
        ("s3://bucket/day/part-0.parquet", 3600.0, "from before"),
        ("s3://no-such-bucket/x", -60.0, "s3://no-such-bucket/x"),
        ("nonsense://bucket/x", -60.0, "cannot be looked at"),
    ],
)
def test_an_object_is_there_holds_something_and_is_new(url, after_seconds, wrong):
    said = broken_output([url], time.time() + after_seconds)
    assert said is None if wrong is None else wrong in (said or "")


@pytest.mark.parametrize(
    ("url", "outcome"),
    [("s3://bucket/day/", Outcome.SUCCEEDED), ("s3://bucket/gone", Outcome.INCOMPLETE_OUTPUT)],
)
def test_an_attempt_succeeds_when_its_objects_are_there(tmp_path, url, outcome):
    local = LocalProvider(tmp_path)
    rules = SuccessRules(outputs=(url,), check_seconds=60.0)
    local.launch(replace(order(local, "r.1", "true"), success=rules))
    ended = in_stage(local, "r.1", Stage.ENDED)
    assert ended.outcome is outcome
    assert ended.receipt is not None
    assert outcome is Outcome.SUCCEEDED or f"there is no {url}" in ended.receipt.exit_cause
    local.release("r.1")
    local.close()
