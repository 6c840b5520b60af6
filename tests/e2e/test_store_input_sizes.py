"""Input sizes from real files, a real HTTP server and moto's S3 server."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.adapters.object_sizes import measure_input
from flyball.errors import InputError, Unavailable


def size_of(url: str, **options: float) -> tuple[int, int]:
    found = measure_input(url, **options)
    return found.size_bytes, found.objects


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.csv").write_bytes(b"x" * 10)
    (tmp_path / "b.csv").write_bytes(b"x" * 20)
    (tmp_path / "deep" / "er" / "c.csv").write_bytes(b"x" * 30)
    (tmp_path / "deep" / "round").symlink_to(tmp_path)  # a loop must not be followed
    return tmp_path


def test_a_file_a_folder_and_a_pattern_are_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link_bytes = (folder / "deep" / "round").lstat().st_size
    assert size_of(str(folder / "a.csv")) == (10, 1)
    assert size_of(f"file://{folder}/b.csv") == (20, 1)
    assert size_of(str(folder / "*.csv")) == (30, 2)
    assert size_of(str(folder / "deep" / "er")) == (30, 1)
    total, objects = size_of(str(folder))
    assert (total, objects) in {(60, 3), (60 + link_bytes, 4)}
    monkeypatch.setenv("HOME", str(folder))
    assert size_of("~/a.csv") == (10, 1)


@pytest.mark.parametrize(
    "path", ["nowhere.csv", "no*thing", "", "a\0b", "~nobody-here/x", "ftp://h/x", "s4://b"]
)
def test_input_that_is_not_there_is_an_input_error(tmp_path: Path, path: str, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        measure_input(path)


class Answers(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        match self.path.split("?")[0]:
            case "/plain":
                self.answer(200, {"Content-Length": "1234"})
            case "/moved":
                self.answer(302, {"Location": "/plain", "Content-Length": "0"})
            case "/slow":
                time.sleep(3)
            case "/signed" if self.path == "/signed?sig=abc":
                self.answer(200, {"Content-Length": "77"})
            case "/no-head" | "/unsaid":
                self.answer(405, {})
            case "/down":
                self.answer(503, {})
            case _:
                self.answer(404, {})

    def do_GET(self) -> None:
        if self.path == "/no-head" and self.headers["Range"] == "bytes=0-0":
            self.answer(206, {"Content-Range": "bytes 0-0/5678", "Content-Length": "1"}, b"x")
        elif self.path == "/unsaid":
            self.answer(200, {}, b"x")
        else:
            self.do_HEAD()

    def answer(self, code: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_web_object_is_measured_without_being_fetched(web: str) -> None:
    assert size_of(f"{web}/plain") == (1234, 1)
    assert size_of(f"{web}/moved") == (1234, 1)
    assert size_of(f"{web}/no-head") == (5678, 1)
    assert size_of(f"{web}/signed?sig=abc") == (77, 1)


def test_web_objects_that_cannot_be_measured_say_why_and_show_no_secret(web: str) -> None:
    with pytest.raises(InputError, match="404"):
        measure_input(f"{web}/missing")
    with pytest.raises(InputError, match="how long"):
        measure_input(f"{web}/unsaid")
    with pytest.raises(Unavailable, match="503"):
        measure_input(f"{web}/down")
    with pytest.raises(InputError) as caught:
        measure_input(f"{web}/missing?token=hunter2hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_server_that_does_not_answer_costs_no_more_than_the_time_out(web: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        measure_input(f"{web}/slow", timeout_seconds=0.3)
    assert time.monotonic() - begun < 2.5
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(Unavailable):
        measure_input(f"http://127.0.0.1:{port}/x", timeout_seconds=2)


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not _listens(port):
        assert time.monotonic() < deadline
        assert server.poll() is None
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    import obstore.store

    put = {"endpoint": s3_url, "client_options": {"allow_http": True}}
    subprocess.run(
        [sys.executable, "-c", "import boto3, sys; boto3.client('s3').create_bucket(Bucket='data')"],
        check=True,
    )
    store = obstore.store.S3Store("data", **put)
    sizes = {
        "in/a.csv": 10,
        "in/b.csv": 20,
        "in/deep/c.csv": 30,
        "in/d.json": 5,
        "index.csv": 7,
        "in/é x.csv": 3,
    }
    for key, size in sizes.items():
        store.put(key, b"x" * size)
    return "s3://data"


def test_objects_prefixes_and_patterns_in_s3_are_measured(bucket: str) -> None:
    assert size_of(f"{bucket}/in/a.csv") == (10, 1)
    assert size_of(f"{bucket}/in/é x.csv") == (3, 1)
    assert size_of(f"{bucket}/in/") == (68, 5)
    assert size_of(f"{bucket}/in") == (68, 5)
    assert size_of(bucket) == (75, 6)
    assert size_of(f"{bucket}/in/*.csv") == (33, 3)
    assert size_of(f"{bucket}/in/**/*.csv") == (63, 4)
    assert size_of(f"{bucket}/in/[ab].csv") == (30, 2)
    assert size_of(f"{bucket}/i*/?.json") == (5, 1)


def test_what_is_not_in_s3_is_an_input_error(bucket: str) -> None:
    for url in (f"{bucket}/nothing", f"{bucket}/in/*.parquet", "s3://no-such-bucket/x"):
        with pytest.raises(InputError, match="not there"):
            measure_input(url)


def test_credentials_of_a_profile_are_used(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id=a\naws_secret_access_key=b\n"
    )
    assert size_of(f"{bucket}/in/a.csv") == (10, 1)


def test_s3_that_does_not_answer_is_unavailable_in_time(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        measure_input(f"{bucket}/in/a.csv", timeout_seconds=1.0)
    assert time.monotonic() - begun < 4
