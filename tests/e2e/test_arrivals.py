"""Objects that arrive, in real folders and in moto's S3: each told once, none lost, whatever dies in between."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.adapters.arrivals import FILE_NAME, WAITING_MAX, Arrivals
from flyball.errors import Conflict
from flyball.model.facts import AnyFact, JobApplied, JobPaused, JobResumed, ObjectsArrived, RunSubmitted
from flyball.model.folding import fold
from flyball.model.snapshot import Snapshot
from flyball.model.spec import Arrival, JobSpec, Overlap
from flyball.policy.triggers import triggered_runs
from flyball.ports.store import MemoryStore, Store

SETTLED, POLL = 60.0, 30.0


class Watcher:
    """The part of the governor that arrivals concern: reads, asks for news, records only if nobody else has."""

    def __init__(self, store: Store, home: Path) -> None:
        self.store, self.snapshot = store, Snapshot()
        self.arrivals = Arrivals(folder=home, read=store.read)

    def tick(self, now: float, *, dies: bool = False) -> Sequence[AnyFact]:
        self.snapshot = fold(self.snapshot, self.store.read(self.snapshot.position))
        news = self.arrivals(self.snapshot, now)
        if dies:
            return ()
        try:
            if news:
                self.store.append(news, after=self.snapshot.position)
        except Conflict:
            return ()
        return news

    def look(self, now: float) -> list[str]:
        """Ticks until every listing that is due is done and told; the names that were told."""
        told: list[str] = []
        for _ in range(2):
            told += names_in(self.tick(now))
            deadline = time.monotonic() + 30
            while any(look.busy for look in self.arrivals._looks.values()):
                assert time.monotonic() < deadline
                time.sleep(0.001)
        return told + names_in(self.tick(now))


def names_in(facts: Sequence[AnyFact]) -> list[str]:
    return [name for fact in facts if isinstance(fact, ObjectsArrived) for name in fact.objects]


def watch(tmp_path: Path, prefix: str, **options) -> Watcher:
    options = {"settled_seconds": SETTLED, "poll_seconds": POLL, **options}
    arrival = Arrival(prefix=prefix, **options)
    store = MemoryStore()
    spec = JobSpec(name="j", command=("true",), paper="p", arrival=arrival, overlap=Overlap.ALLOW)
    store.append([JobApplied(at_seconds=time.time(), spec=spec)])
    return Watcher(store, tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


# folders


def test_a_file_is_told_once_when_it_has_not_changed_for_long_enough(tmp_path, folder):
    watcher = watch(tmp_path, f"{folder}/")
    (folder / "a.csv").write_text("1")
    assert watcher.look(0.0) == []
    (folder / "a.csv").write_text("12")  # still being written
    assert watcher.look(61.0) == []
    assert watcher.look(100.0) == []
    assert watcher.look(125.0) == [f"{folder}/a.csv"]
    assert [watcher.look(now) for now in (130.0, 200.0, 300.0)] == [[], [], []]
    (folder / "a.csv").write_text("rewritten")
    assert watcher.look(400.0) == []
    assert watcher.look(470.0) == [f"{folder}/a.csv"]


def test_only_what_has_the_prefix_and_the_suffix_counts_and_dot_files_do_not(tmp_path, folder):
    for name in ("x1.csv", "x2.txt", "y.csv", ".x3.csv", "x9/deep.csv", ".tmp/x.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("1")
    watcher = watch(tmp_path, f"{folder}/x", suffix=".csv")
    assert watcher.look(0.0) == []
    assert watcher.look(61.0) == [f"{folder}/x1.csv", f"{folder}/x9/deep.csv"]


def test_a_folder_that_is_not_there_yet_is_watched_all_the_same(tmp_path):
    watcher = watch(tmp_path, f"{tmp_path}/later/")
    assert watcher.look(0.0) == []
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a").write_text("1")
    watcher.look(40.0)
    assert watcher.look(101.0) == [f"{tmp_path}/later/a"]


def test_a_folder_with_a_marker_arrives_whole_and_at_once(tmp_path, folder):
    watcher = watch(tmp_path, f"{folder}/", marker="_SUCCESS")
    (folder / "day1" / "deep").mkdir(parents=True)
    (folder / "day1" / "a").write_text("12345")
    (folder / "day1" / "deep" / "b").write_text("123")
    assert watcher.look(0.0) == []
    (folder / "day1" / "_SUCCESS").touch()
    assert watcher.look(31.0) == [f"{folder}/day1/"]
    fact = watcher.store.read()[-1]
    assert isinstance(fact, ObjectsArrived)
    assert fact.size_bytes == 8
    assert watcher.look(100.0) == []


def test_together_gives_batches_that_one_fact_can_hold(tmp_path, folder):
    for n in range(450):
        (folder / f"{n:04}").touch()
    watcher = watch(tmp_path, f"{folder}/", together=True)
    watcher.look(0.0)
    assert len(watcher.look(61.0)) == 450
    facts = [fact for fact in watcher.store.read() if isinstance(fact, ObjectsArrived)]
    assert [len(fact.objects) for fact in facts] == [200, 200, 50]
    (run,) = triggered_runs(fold(Snapshot(), watcher.store.read()), 70.0)
    assert isinstance(run, RunSubmitted)
    assert run.fills["objects"].count("\n") == 449


def test_what_was_there_before_can_be_left_alone_and_what_is_moved_there_later_is_not(tmp_path, folder):
    (folder / "old").write_text("1")
    (tmp_path / "elsewhere").write_text("1")
    os.utime(tmp_path / "elsewhere", (1.0, 1.0))
    time.sleep(0.02)  # file systems keep times in steps of a few milliseconds
    watcher = watch(tmp_path, f"{folder}/", existing=False)
    time.sleep(0.02)
    (tmp_path / "elsewhere").rename(folder / "moved")
    watcher.look(0.0)
    assert watcher.look(61.0) == [f"{folder}/moved"]


def test_a_name_that_is_not_utf8_is_left_out_and_said(tmp_path, folder):
    try:
        (Path(os.fsdecode(os.fsencode(folder) + b"/\xff.csv"))).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (folder / "good").touch()
    watcher = watch(tmp_path, f"{folder}/")
    watcher.look(0.0)
    assert watcher.look(61.0) == [f"{folder}/good"]
    assert "not UTF-8" in watcher.arrivals.troubles["j"]


def test_more_than_a_paused_job_should_hold_waits_where_it_is(tmp_path, folder):
    for n in range(WAITING_MAX * 2 + 500):
        (folder / f"{n:05}").touch()
    watcher = watch(tmp_path, f"{folder}/")
    watcher.store.append([JobPaused(at_seconds=0.0, job="j")])
    watcher.look(0.0)
    assert len(watcher.look(61.0)) == 2000
    assert watcher.look(200.0) == []
    watcher.store.append([JobResumed(at_seconds=0.0, job="j")])
    watcher.store.append(triggered_runs(fold(Snapshot(), watcher.store.read()), 201.0))
    watcher.store.append(triggered_runs(fold(Snapshot(), watcher.store.read()), 201.0))
    assert len(watcher.look(300.0)) == 500


# crashes, other governors, lost memory


def test_months_later_and_thousands_of_objects_on_nothing_is_told_again(tmp_path, folder):
    watcher = watch(tmp_path, f"{folder}/")
    for n in range(3000):
        (folder / f"{n:05}").touch()
    watcher.look(0.0)
    told = []
    for now in (61.0, 62.0, 63.0):
        told += watcher.look(now)
        watcher.store.append(triggered_runs(fold(Snapshot(), watcher.store.read()), now))
        watcher.store.append(triggered_runs(fold(Snapshot(), watcher.store.read()), now))
    assert len(told) == len(set(told)) == 3000
    again = Watcher(watcher.store, tmp_path / "home")
    assert [again.look(1e6), again.look(1e6 + 61)] == [[], []]
    without_memory = Watcher(watcher.store, tmp_path / "another home")  # it reads the log again
    assert [without_memory.look(1e6), without_memory.look(1e6 + 61)] == [[], []]
    (folder / "new").touch()
    without_memory.look(2e6)
    assert without_memory.look(2e6 + 61) == [f"{folder}/new"]


def test_a_memory_that_cannot_be_used_tells_nothing_and_says_so(tmp_path, folder):
    (folder / "a").touch()
    watcher = watch(tmp_path, f"{folder}/")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / FILE_NAME).write_bytes(b"not a database, and longer than its header" * 10)
    watcher.look(0.0)
    assert watcher.look(61.0) == []
    assert watcher.arrivals._broken.endswith(f"rm {tmp_path}/home/{FILE_NAME}")
    (tmp_path / "home" / FILE_NAME).unlink()
    watcher.look(100.0)
    assert watcher.look(161.0) == [f"{folder}/a"]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 4)),
        st.tuples(st.sampled_from(["look", "tick", "dies", "restart", "forget"]), st.integers(0, 1)),
        st.tuples(st.just("pass"), st.integers(1, 90)),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(actions=ACTIONS, together=st.booleans(), one_home=st.booleans())
def test_two_governors_that_die_at_any_moment_tell_each_version_once(actions, together, one_home):
    place = Path(tempfile.mkdtemp())
    folder = place / "in"
    folder.mkdir()
    first = watch(place, f"{folder}/", together=together)
    homes = [place / "home", place / ("home" if one_home else "home 2")]
    watchers = [first, Watcher(first.store, homes[1])]
    now, size = 0.0, 0
    for what, number in actions:
        if what == "write":
            size += 1
            (folder / str(number)).write_text("x" * size)
        elif what == "pass":
            now += number
        elif what == "look":
            watchers[number].look(now)
        elif what in {"tick", "dies"}:
            watchers[number].tick(now, dies=what == "dies")
        else:
            if what == "forget" and not one_home:
                shutil.rmtree(homes[number], ignore_errors=True)
            watchers[number] = Watcher(first.store, homes[number])
        snapshot = fold(Snapshot(), first.store.read())
        first.store.append(triggered_runs(snapshot, now))
    for _ in range(3):
        now += SETTLED + POLL
        for watcher in watchers:
            watcher.look(now)
        first.store.append(triggered_runs(fold(Snapshot(), first.store.read()), now))
    facts = [fact for fact in first.store.read() if isinstance(fact, ObjectsArrived)]
    told = Counter(pair for fact in facts for pair in zip(fact.objects, fact.versions, strict=True))
    assert set(told.values()) <= {1}
    now_there = {(str(path), f"{path.stat().st_size}-{path.stat().st_mtime_ns}") for path in folder.iterdir()}
    assert now_there <= told.keys()
    runs = [fact for fact in first.store.read() if isinstance(fact, RunSubmitted)]
    given_to_runs = [name for run in runs for name in run.fills["objects"].split("\n")]
    assert Counter(given_to_runs) == Counter(name for name, _ in told.elements())
    shutil.rmtree(place)


# buckets


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
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    import obstore.store

    name = f"raw{time.monotonic_ns()}"
    create = f"import boto3; boto3.client('s3').create_bucket(Bucket={name!r})"
    subprocess.run([sys.executable, "-c", create], check=True)
    return obstore.store.S3Store(name, endpoint=s3_url, client_options={"allow_http": True}), f"s3://{name}"


def test_objects_in_s3_arrive_by_prefix_and_suffix_and_again_when_they_are_written_again(tmp_path, bucket):
    store, url = bucket
    for key in ("in/2026-1.gz", "in/2026-2.txt", "in/2027-1.gz", "other/x.gz"):
        store.put(key, b"12345")
    watcher = watch(tmp_path, f"{url}/in/2026-", suffix=".gz")
    assert watcher.look(0.0) == []
    assert watcher.look(61.0) == [f"{url}/in/2026-1.gz"]
    fact = watcher.store.read()[-1]
    assert isinstance(fact, ObjectsArrived)
    assert fact.size_bytes == 5
    assert watcher.look(200.0) == []
    store.put("in/2026-1.gz", b"another")
    watcher.look(300.0)
    assert watcher.look(361.0) == [f"{url}/in/2026-1.gz"]


def test_a_marker_in_s3_makes_its_folder_arrive(tmp_path, bucket):
    store, url = bucket
    watcher = watch(tmp_path, f"{url}/", marker="_SUCCESS")
    store.put("day/part-0", b"123")
    assert watcher.look(0.0) == []
    store.put("day/_SUCCESS", b"")
    assert watcher.look(31.0) == [f"{url}/day/"]


def test_a_bucket_that_is_not_there_is_said_and_does_not_stop_the_others(tmp_path, bucket, folder):
    watcher = watch(tmp_path, "s3://no-such-bucket-at-all/x")
    spec = JobSpec(name="k", command=("true",), paper="p", arrival=Arrival(prefix=f"{folder}/"))
    watcher.store.append([JobApplied(at_seconds=0.0, spec=spec)])
    (folder / "a").touch()
    watcher.look(0.0)
    assert watcher.look(61.0) == [f"{folder}/a"]
    assert "no-such-bucket-at-all/x cannot be listed" in watcher.arrivals.troubles["j"]
    assert "k" not in watcher.arrivals.troubles


def test_a_bucket_that_does_not_answer_does_not_hold_up_a_tick(tmp_path, bucket, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        watcher = watch(tmp_path, "s3://raw/x")
        begun = time.monotonic()
        for now in range(20):
            assert list(watcher.tick(float(now))) == []
        assert time.monotonic() - begun < 2


# web servers


class Listable(http.server.BaseHTTPRequestHandler):
    """As much WebDAV as a listing needs."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, int]] = {}

    def log_message(self, *_: object) -> None: ...

    def do_PROPFIND(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = "".join(
            f"<D:response><D:href>{path}</D:href><D:propstat><D:prop><D:getcontentlength>{size}</D:getcontentlength>"
            "<D:getlastmodified>Sat, 21 Nov 2026 10:00:00 GMT</D:getlastmodified><D:resourcetype/>"
            f'<D:getetag>"{size}"</D:getetag></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>'
            for path, size in self.files.items()
        )
        body = f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{found}</D:multistatus>'.encode()
        self.send_response(207)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize("kind", [Listable, http.server.BaseHTTPRequestHandler])
def test_a_web_server_is_watched_where_it_can_list_and_else_it_is_said(tmp_path, kind, capfd):
    Listable.files = {"/in/a.csv": 5, "/in/b.txt": 1}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        watcher = watch(tmp_path, f"{url}/in/", suffix=".csv")
        told = [watcher.look(0.0), watcher.look(61.0)]
        server.shutdown()
    if kind is Listable:
        assert told == [[], [f"{url}/in/a.csv"]]
    else:
        assert told == [[], []]
        assert f"{url}/in/ cannot be listed" in watcher.arrivals.troubles["j"]
