"""The HTTP API over a real server, with commands that live in memory."""

from __future__ import annotations

import http.client
import json
import random
import socket
import stat
import threading
import time
from decimal import Decimal

import pytest
from msgspec.structs import replace

from flyball.errors import Conflict, InputError, StoreError, Unavailable
from flyball.model.status import RunStatus
from flyball.policy.costs import Costs, Line
from flyball.web.commands import AttemptView, JobView, MachineView, RunView, Step
from flyball.web.gate import BODY_BYTES_MAX
from flyball.web.server import parse_address, serving, token_of

NOW = 1_780_000_000.0


class MemoryLog:
    def __init__(self, pieces):
        self.pieces, self.at, self.closed = pieces, 0, False

    def read(self):
        found = b"".join(self.pieces[self.at :])
        self.at = len(self.pieces)
        return found

    def close(self):
        self.closed = True


class MemoryCommands:
    """Two jobs, and runs that do what the test says."""

    def __init__(self):
        self.all, self.asks, self.logs, self.opened, self.calls = {}, [], {}, [], []
        self.paused = {"acme/etl": False, "report": False}
        self.error = None
        self.busy, self.overlapped = threading.Lock(), False

    def _note(self, *call):
        if not self.busy.acquire(blocking=False):
            self.overlapped = True
            return
        try:
            self.calls.append(call)
            time.sleep(0.001)
            if self.error:
                raise self.error
        finally:
            self.busy.release()

    def _add(self, run_id, job, **view):
        run_id = run_id or f"run{len(self.all)}"
        status = RunStatus(
            run_id=run_id, job=job, state="pending", since_seconds=NOW, submitted_seconds=NOW + len(self.all)
        )
        self.all.setdefault(run_id, RunView(status=status, **view))
        return self.all[run_id].status

    def submit_job(self, name, *, fills, tags, run_id):
        self._note("submit_job", name)
        if name not in self.paused:
            raise InputError(
                f"no job {name!r} is defined", why="there are acme/etl, report", hint="flyball apply"
            )
        return self._add(run_id, name, fills=fills, tags=tags)

    def submit_command(self, ask, *, run_id):
        self._note("submit_command")
        self.asks.append(ask)
        return self._add(run_id, ask.name or ask.command[0], command=ask.command)

    def change(self, run_id, **status):
        view = self.all[run_id]
        self.all[run_id] = replace(view, status=replace(view.status, **status))

    def start(self, run_id, *pieces):
        view = self.all[run_id]
        attempt_id = f"{run_id}.{len(view.attempts) + 1}"
        attempts = (*view.attempts, AttemptView(attempt_id=attempt_id, provider="local"))
        self.logs[attempt_id] = list(pieces)
        self.all[run_id] = replace(view, attempts=attempts)
        self.change(run_id, state="running", attempt_id=attempt_id, attempts=len(attempts))

    def cancel(self, run_id, reason):
        self._note("cancel", reason)
        if self.all[run_id].status.is_over:
            return False
        self.change(run_id, state="cancelled", reason=reason)
        return True

    def retry(self, run_id):
        self._note("retry")
        if not self.all[run_id].status.is_over:
            raise InputError(f"run {run_id} has not ended", hint=f"flyball cancel {run_id}")
        return self._add(None, self.all[run_id].status.job)

    def runs(self, *, newest, with_ended):
        self._note("runs")
        found = [view.status for view in self.all.values() if with_ended or not view.status.is_over]
        return found[-newest:]

    def run(self, run_id):
        self._note("run")
        return self.all.get(run_id)

    def log(self, attempt_id):
        if attempt_id not in self.logs:
            return None
        self.opened.append(MemoryLog(self.logs[attempt_id]))
        return self.opened[-1]

    def jobs(self):
        self._note("jobs")
        return [JobView(name=name, starts="by hand", paused=paused) for name, paused in self.paused.items()]

    def pause(self, job, reason):
        self._note("pause", reason)
        self.paused[job] = True

    def resume(self, job):
        self._note("resume")
        self.paused[job] = False

    def machines(self):
        self._note("machines")
        return [MachineView(attempt_id="x.1", provider="aws", stage="running", cost_usd=0.25, is_zombie=True)]

    def costs(self, *, by, since_seconds):
        self._note("costs", by, since_seconds)
        dollars = {"usd": "1.50", "usd_unsuccessful": "0.5", "usd_boot_and_idle": "0.1"}
        dollars |= {"usd_compared": "1.5", "usd_on_demand_asked": "6"}
        line = Line(
            key="acme/etl",
            runs=3,
            attempts=4,
            cost_unknown=1,
            still_held=0,
            **{name: Decimal(text) for name, text in dollars.items()},
        )
        return Costs(by=by, since_seconds=since_seconds, lines=(line,), total=line, prices_as_of="2026-11-01")


class Api:
    def __init__(self, served, commands):
        self.commands, self.token = commands, served.token_file.read_text().strip()
        self.port = int(served.url.rpartition(":")[2])

    def open(self, method, path, body=None, *, headers=None, token=None, timeout=20):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = {"Authorization": f"Bearer {token or self.token}", **(headers or {})}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        connection.request(
            method, path, data, {name: value for name, value in sent.items() if value is not None}
        )
        return connection, connection.getresponse()

    def __call__(self, method, path, body=None, **options):
        connection, answer = self.open(method, path, body, **options)
        try:
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def raw(self, request):
        """What comes back for these very bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as link:
            link.sendall(request)
            answer = b""
            while piece := link.recv(65536):
                answer += piece
        return int(answer.split()[1]), answer


class Relay:
    """So that one server serves all tests, each with commands of its own."""

    def __init__(self):
        self.to = None

    def __getattr__(self, name):
        return getattr(self.to, name)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    relay = Relay()
    with serving(relay, "127.0.0.1:0", home=tmp_path_factory.mktemp("home")) as served:
        yield served, relay


@pytest.fixture
def api(served):
    commands = served[1].to = MemoryCommands()
    yield Api(served[0], commands)
    assert not commands.overlapped, "commands are called one at a time"


def is_problem(answer, *words):
    status, body = answer
    assert {"what", "why", "next", "title", "status"} <= set(body)
    assert body["status"] == status
    text = " ".join(str(value) for value in body.values())
    assert all(word in text for word in words), text
    return status


# runs


def test_a_job_is_submitted_shown_and_cancelled(api):
    status, run = api("POST", "/v1/runs", {"job": "acme/etl", "params": {"day": "2026-11-01"}})
    assert (status, run["job"], run["state"]) == (201, "acme/etl", "pending")
    run_id = run["run_id"]
    assert api("GET", "/v1/runs")[1]["runs"][0]["run_id"] == run_id
    status, full = api("GET", f"/v1/runs/{run_id}")
    assert (status, full["params"]) == (200, {"day": "2026-11-01"})
    assert api("POST", f"/v1/runs/{run_id}/cancel", {"reason": "not needed"}) == (
        200,
        {"run_id": run_id, "cancelled": True},
    )
    assert api("POST", f"/v1/runs/{run_id}/cancel")[1]["cancelled"] is False
    assert api("GET", "/v1/runs")[1]["runs"] == []
    (shown,) = api("GET", "/v1/runs?ended=1")[1]["runs"]
    assert (shown["state"], shown["reason"]) == ("cancelled", "not needed")


def test_a_command_is_submitted_with_its_limits(api):
    body = {
        "command": ["python", "x.py"],
        "memory": "4GiB",
        "env": {"A": "b"},
        "on": ["aws", "local"],
        "retries": 2,
    }
    assert api("POST", "/v1/runs", body)[0] == 201
    (ask,) = api.commands.asks
    assert (ask.command, ask.memory, ask.env, ask.providers, ask.retries) == (
        ("python", "x.py"),
        "4GiB",
        {"A": "b"},
        ("aws", "local"),
        2,
    )


def test_a_run_shows_its_attempts_and_reasons(api):
    run_id = api("POST", "/v1/runs", {"job": "report"})[1]["run_id"]
    api.commands.start(run_id)
    view = api.commands.all[run_id]
    api.commands.all[run_id] = replace(view, reasons=(Step(at_seconds=NOW, words="cheapest that fits"),))
    full = api("GET", f"/v1/runs/{run_id}")[1]
    assert full["attempts"][0]["attempt_id"] == f"{run_id}.1"
    assert full["reasons"] == [{"at_seconds": NOW, "words": "cheapest that fits"}]


def test_a_retry_is_a_new_run_and_what_has_not_ended_is_not_retried(api):
    run_id = api("POST", "/v1/runs", {"job": "report"})[1]["run_id"]
    assert is_problem(api("POST", f"/v1/runs/{run_id}/retry"), "has not ended", "flyball cancel") == 400
    api.commands.change(run_id, state="failed")
    status, run = api("POST", f"/v1/runs/{run_id}/retry")
    assert status == 201
    assert run["run_id"] != run_id


def test_runs_are_chosen_by_job_state_and_number(api):
    for n in range(6):
        api("POST", "/v1/runs", {"job": ("report", "acme/etl")[n % 2]})
    api.commands.start("run1")
    assert [r["run_id"] for r in api("GET", "/v1/runs?limit=2")[1]["runs"]] == ["run4", "run5"]
    assert [r["run_id"] for r in api("GET", "/v1/runs?job=acme%2Fetl")[1]["runs"]] == ["run1", "run3", "run5"]
    assert [r["run_id"] for r in api("GET", "/v1/runs?state=running")[1]["runs"]] == ["run1"]


def test_the_same_idempotency_key_gives_the_same_run(api):
    def submit(key, job="report"):
        return api("POST", "/v1/runs", {"job": job}, headers={"Idempotency-Key": key})

    (first, one), (again, two), (_, other) = submit("a"), submit("a"), submit("b")
    assert (first, again) == (201, 200)
    assert one["run_id"] == two["run_id"] != other["run_id"]
    assert len(api.commands.all) == 2
    assert is_problem(submit("a", "acme/etl"), "Idempotency-Key") == 409


def test_one_key_from_many_at_once_makes_one_run(api):
    answers = []

    def submit():
        answers.append(api("POST", "/v1/runs", {"job": "report"}, headers={"Idempotency-Key": "k"}))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in answers) == [200] * 7 + [201]
    assert len({run["run_id"] for _, run in answers}) == 1


# logs


def test_output_comes_as_text(api):
    run_id = api("POST", "/v1/runs", {"job": "report"})[1]["run_id"]
    assert is_problem(api("GET", f"/v1/runs/{run_id}/logs"), "nothing has started") == 404
    api.commands.start(run_id, b"first \xff\n")
    api.commands.start(run_id, b"second\n")
    for query, expected in (("", b"second\n"), ("?attempt=1", b"first \xff\n")):
        connection, answer = api.open("GET", f"/v1/runs/{run_id}/logs{query}")
        assert answer.read() == expected
        assert answer.headers["Content-Type"].startswith("text/plain")
        connection.close()
    assert is_problem(api("GET", f"/v1/runs/{run_id}/logs?attempt=3"), "had 2 attempts") == 404
    assert all(log.closed for log in api.commands.opened)


def test_followed_output_comes_as_it_is_written_through_all_attempts_until_the_run_has_ended(api):
    run_id = api("POST", "/v1/runs", {"job": "report"})[1]["run_id"]
    connection, answer = api.open("GET", f"/v1/runs/{run_id}/logs?follow=1")
    api.commands.start(run_id, b"one\n")
    assert answer.read(4) == b"one\n"
    api.commands.logs[f"{run_id}.1"].append(b"two\n")
    assert answer.read(4) == b"two\n"
    api.commands.start(run_id, b"again\n")
    assert answer.read(6) == b"again\n"
    api.commands.logs[f"{run_id}.2"].append(b"last\n")
    api.commands.change(run_id, state="succeeded")
    assert answer.read() == b"last\n"
    connection.close()
    assert all(log.closed for log in api.commands.opened)


def test_following_one_attempt_ends_with_it(api):
    run_id = api("POST", "/v1/runs", {"job": "report"})[1]["run_id"]
    api.commands.start(run_id, b"one\n")
    api.commands.start(run_id, b"two\n")
    view = api.commands.all[run_id]
    first = replace(view.attempts[0], outcome="interrupted")
    api.commands.all[run_id] = replace(view, attempts=(first, view.attempts[1]))
    connection, answer = api.open("GET", f"/v1/runs/{run_id}/logs?follow=1&attempt=1")
    assert answer.read() == b"one\n"
    connection.close()


# jobs, machines, money


def test_a_job_whose_name_has_slashes_is_paused_and_resumed(api):
    status, job = api("POST", "/v1/jobs/acme/etl/pause", {"reason": "broken input"})
    assert (status, job["paused"]) == (200, True)
    assert ("pause", "broken input") in api.commands.calls
    assert api("POST", "/v1/jobs/acme%2Fetl/resume")[1]["paused"] is False
    assert is_problem(api("POST", "/v1/jobs/nothing/pause"), "no job 'nothing'") == 404
    assert [job["name"] for job in api("GET", "/v1/jobs")[1]["jobs"]] == ["acme/etl", "report"]


def test_machines_and_costs_are_numbers(api):
    (machine,) = api("GET", "/v1/machines")[1]["machines"]
    assert (machine["cost_usd"], machine["is_zombie"]) == (0.25, True)
    costs = api("GET", "/v1/costs?by=tag%20team&since_seconds=5")[1]
    assert ("costs", "tag team", 5.0) in api.commands.calls
    assert (costs["total"]["cost_usd"], costs["total"]["saved_usd"]) == (1.5, 4.5)


# what is refused


@pytest.mark.parametrize("path", ["/v1/runs", "/openapi.json", "/v1/nothing", "/"])
@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", "Bearer ", "Basic {token}", "{token}", "Bearer {token}x"]
)
def test_nothing_is_shown_without_the_token(api, path, given):
    given = given and given.format(token=api.token)
    answer = api("GET", path, headers={"Authorization": given})
    assert is_problem(answer, "not allowed", "api-token") == 401
    assert api.commands.calls == []


def test_health_needs_no_token_and_tells_nothing(api):
    assert api("GET", "/healthz", headers={"Authorization": None}) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "host", ["evil.test", "evil.test:8765", "127.0.0.1.evil.test", "", "localhost.evil.test:1"]
)
def test_a_request_for_another_host_is_turned_away(api, host):
    assert is_problem(api("GET", "/healthz", headers={"Host": host}), "Host") == 421
    assert api("GET", "/v1/jobs", headers={"Host": host})[0] == 421


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "localhost:99", "[::1]:8765", "LOCALHOST", "10.0.0.1:80"]
)
def test_addresses_and_own_names_are_right_hosts(api, host):
    assert api("GET", "/v1/jobs", headers={"Host": host})[0] == 200


def test_other_sites_may_not_ask(api):
    connection, answer = api.open("OPTIONS", "/v1/runs", headers={"Origin": "http://evil.test"})
    names = {name.lower() for name in answer.headers}
    connection.close()
    assert answer.status in {401, 405}
    assert not any(name.startswith("access-control") for name in names)


def test_a_body_is_read_up_to_a_limit_whatever_it_says_of_its_length(api):
    big = b'{"job": "' + b"x" * BODY_BYTES_MAX + b'"}'
    assert is_problem(api("POST", "/v1/runs", big), "too large") == 413
    head = f"POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.token}\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunks = b"".join(b"8000\r\n" + b"x" * 0x8000 + b"\r\n" for _ in range(BODY_BYTES_MAX // 0x8000 + 1))
    status, _ = api.raw(head.encode() + chunks + b"0\r\n\r\n")
    assert status == 413
    lying = head.replace("Transfer-Encoding: chunked", "Content-Length: -5")
    assert api.raw(lying.encode())[0] in {400, 413}
    assert api.commands.calls == []


def test_headers_are_read_up_to_a_limit(api):
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 4_000_000 + b"\r\n\r\n"
    try:
        status = api.raw(request)[0]
    except (ConnectionError, IndexError):
        status = 400  # it hung up before all of it was sent
    assert status == 400
    assert api("GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"job": "report", "command": ["x"]}, 400),
        ({"job": "nothing"}, 400),
        ({"job": "report", "colour": "red"}, 422),
        ({"job": 5}, 422),
        ({"command": []}, 422),
        ({"command": "rm -rf /"}, 422),
        ({"command": ["x"], "retries": -1}, 422),
        ([], 422),
        (b"{", 422),
        (b"\xff", 422),
        (None, 422),
        (b"[" * 100_000, 422),
    ],
)
def test_a_wrong_body_is_a_problem_that_says_what_is_wrong(api, body, status):
    found = is_problem(api("POST", "/v1/runs", body))
    assert found == status or (isinstance(body, bytes) and found == 400)
    assert api.commands.all == {}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs/nothing",
        "/v1/runs/nothing/logs",
        "/v1/runs/nothing/logs?follow=1",
        "/v1/nothing",
        "/v2/runs",
    ],
)
def test_what_is_not_there_is_a_problem(api, path):
    assert is_problem(api("GET", path)) == 404
    assert is_problem(api("DELETE", "/v1/runs")) == 405


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("wrong", why="because", hint="do this"), 400),
        (Conflict("others write all the time"), 409),
        (Unavailable("aws does not answer"), 503),
        (StoreError("the disk is full"), 500),
    ],
)
def test_errors_keep_their_words(api, error, status):
    api.commands.error = error
    assert is_problem(api("GET", "/v1/jobs"), error.what, error.why, error.hint) == status


def test_a_bug_is_a_500_and_the_server_goes_on(api):
    api.commands.error = ZeroDivisionError("secret detail")
    status, body = api("GET", "/v1/machines")
    assert (status, body["why"]) == (500, "ZeroDivisionError")
    assert "secret" not in json.dumps(body)
    api.commands.error = None
    assert api("GET", "/v1/machines")[0] == 200


def test_garbage_does_not_stop_it(api):
    rng = random.Random(20261121)
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", api.port)) as link:
            link.sendall(rng.randbytes(rng.randrange(1, 3000)))
    assert api("GET", "/v1/jobs")[0] == 200


def test_the_openapi_document_has_every_path_and_the_token(api):
    status, page = api("GET", "/openapi.json")
    assert status == 200
    paths = {f"{method.upper()} {path}" for path, methods in page["paths"].items() for method in methods}
    assert paths == {
        "POST /v1/runs",
        "GET /v1/runs",
        "GET /v1/runs/{run_id}",
        "POST /v1/runs/{run_id}/cancel",
        "POST /v1/runs/{run_id}/retry",
        "GET /v1/runs/{run_id}/logs",
        "GET /v1/jobs",
        "POST /v1/jobs/{name}/pause",
        "POST /v1/jobs/{name}/resume",
        "GET /v1/machines",
        "GET /v1/costs",
        "GET /healthz",
    }
    assert page["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


def test_answers_are_what_the_openapi_document_says(api):
    jsonschema = pytest.importorskip("jsonschema")
    run_id = api("POST", "/v1/runs", {"job": "report"})[1]["run_id"]
    api.commands.start(run_id)
    page = api("GET", "/openapi.json")[1]
    asked = ["/v1/runs", "/v1/runs/{run_id}", "/v1/jobs", "/v1/machines", "/v1/costs"]
    for path in asked:
        shape = page["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        body = api("GET", path.replace("{run_id}", run_id))[1]
        strict = {**shape, "components": _closed(page["components"])}
        jsonschema.Draft202012Validator(strict).validate(body)


def _closed(node):
    """The same schemas, with no other property allowed."""
    if isinstance(node, dict):
        closed = {key: _closed(value) for key, value in node.items()}
        if isinstance(node.get("properties"), dict):
            closed.setdefault("additionalProperties", False)
        return closed
    return [_closed(each) for each in node] if isinstance(node, list) else node


# the server itself


def test_the_token_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    file = tmp_path / "home" / "api-token"
    tokens = {token_of(file) for _ in range(3)}
    assert len(tokens) == 1
    assert len(tokens.pop()) >= 40
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_one_token_is_made_by_many_at_once(tmp_path):
    tokens, start = [], threading.Barrier(8)

    def make():
        start.wait()
        tokens.append(token_of(tmp_path / "api-token"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 8
    assert len(set(tokens)) == 1


@pytest.mark.parametrize(
    ("text", "mode"), [("x" * 40, 0o644), ("", 0o600), ("short", 0o600), ("\xff" * 40, 0o600)]
)
def test_a_token_that_others_can_read_or_that_is_none_is_refused(tmp_path, text, mode):
    file = tmp_path / "api-token"
    file.write_text(text, encoding="latin-1")
    file.chmod(mode)
    with pytest.raises(InputError, match="a new one is made"):
        token_of(file)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_an_address_that_others_can_reach_needs_to_be_asked_for(tmp_path, address):
    with (
        pytest.raises(InputError, match="can be reached by others"),
        serving(MemoryCommands(), address, home=tmp_path),
    ):
        pass
    with serving(
        MemoryCommands(), "0.0.0.0:0", home=tmp_path, anywhere=True, host_names=["flyball.test"]
    ) as served:
        api = Api(served, None)
        assert api("GET", "/healthz", headers={"Host": "flyball.test:1"})[0] == 200
        assert api("GET", "/healthz", headers={"Host": "evil.test"})[0] == 421


def test_a_port_in_use_is_an_error_that_says_so(tmp_path):
    with serving(MemoryCommands(), "127.0.0.1:0", home=tmp_path) as served:
        taken = served.url.removeprefix("http://")
        with (
            pytest.raises(InputError, match="Address already in use"),
            serving(MemoryCommands(), taken, home=tmp_path),
        ):
            pass


def servers():
    return [thread.ident for thread in threading.enumerate() if thread.name == "flyball-api"]


def test_it_ends_soon_though_somebody_follows_a_log(tmp_path, caplog):
    commands, before = MemoryCommands(), servers()
    with serving(commands, "127.0.0.1:0", home=tmp_path) as served:
        api = Api(served, commands)
        run_id = api("POST", "/v1/runs", {"job": "report"})[1]["run_id"]
        commands.start(run_id, b"one\n")
        connection, answer = api.open("GET", f"/v1/runs/{run_id}/logs?follow=1")
        assert answer.read(4) == b"one\n"
        begun = time.monotonic()
    assert time.monotonic() - begun < 10
    assert answer.read() == b""
    connection.close()
    assert not caplog.records, "it ends without complaints"
    assert servers() == before
    assert all(log.closed for log in commands.opened)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("8000", ("127.0.0.1", 8000)),
        (":8000", ("127.0.0.1", 8000)),
        ("localhost", ("localhost", 8765)),
        ("[::1]:9", ("::1", 9)),
        ("::1", ("::1", 8765)),
        ("[::1]", ("::1", 8765)),
        ("", ("127.0.0.1", 8765)),
    ],
)
def test_addresses_are_read_as_people_write_them(text, expected):
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["localhost:x", "localhost:70000", "localhost:-1"])
def test_wrong_ports_are_refused(text):
    with pytest.raises(InputError, match="no usable port"):
        parse_address(text)
