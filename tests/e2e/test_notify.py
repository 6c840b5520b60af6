"""Alerts over real servers: HTTP and SMTP on this machine, and commands."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import random
import socket
import ssl
import sys
import threading
import time
from contextlib import contextmanager
from email import message_from_bytes
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.adapters.notify import KINDS, channels_of
from flyball.adapters.notify_email import EmailChannel, Login
from flyball.engine.alerting import GIVEN_UP_SECONDS, RETRY_SECONDS_MAX, Alerting
from flyball.errors import InputError, Unavailable
from flyball.model.facts import AlertRaised, AlertSent
from flyball.model.folding import fold
from flyball.model.snapshot import Snapshot
from flyball.ports.channel import MemoryChannel

NOW = 1_780_000_000.0
SECRET = "T0P-s3cret"


def alert(about="a", *, kind="run_failed", words="etl failed for good: exit 3", at=NOW):
    return AlertRaised(at_seconds=at, key=f"{kind} {about}", kind=kind, words=words, job="etl", run_id=about)


# servers


class Hook:
    """A webhook that answers as it is told; afterwards with 200."""

    def __init__(self):
        self.answers, self.seen, self.release = [], [], threading.Event()

    def answer(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.seen.append((handler.command, handler.path, dict(handler.headers), body))
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "hang":
            self.release.wait(20)
            return
        if answer == "drop":
            handler.close_connection = True
            return
        handler.send_response(answer)
        if answer == 302:
            handler.send_header("Location", "/elsewhere")
        text = b"ok" if answer == 200 else b"no <such>\n\x1b[31m hook"
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)


@pytest.fixture
def hook():
    state = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            state.answer(self)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


def webhook(url, **table):
    (channel,) = channels_of({"webhook": {"url_env": "HOOK", **table}}, {"HOOK": url, "TOKEN": SECRET + "t"})
    return channel


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Mailbox:
    """Takes mail for everybody but nobody@."""

    def __init__(self):
        self.mails, self.refuse = [], []

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802
        if self.refuse:
            return self.refuse.pop(0)
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 taken"


@contextmanager
def mail_server(mailbox, **options):
    class Listening(Controller):
        def factory(self):
            return SMTP(self.handler, **options)

    server = Listening(mailbox, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A key and a certificate for 127.0.0.1 that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return str(folder / "cert.pem"), context


def email(port, **table):
    table = {"host": "127.0.0.1", "port": port, "from": "flyball@a.test", "to": ["team@a.test"], **table}
    (channel,) = channels_of({"email": table}, {"USER": "bot", "PASSWORD": SECRET})
    return channel


def refusal(channel, what=None):
    with pytest.raises(Unavailable) as caught:
        channel.send(what or alert())
    assert SECRET not in str(caught.value) + repr(channel)
    return str(caught.value)


# webhook


def test_a_webhook_gets_text_that_slack_shows_and_fields_that_programs_read(hook):
    webhook(hook.url).send(alert(words="etl <failed> & more"))
    ((method, path, headers, body),) = hook.seen
    said = json.loads(body)
    assert (method, headers["Content-Type"]) == ("POST", "application/json")
    assert path.endswith(SECRET)
    assert said["text"] == "flyball: etl &lt;failed&gt; &amp; more"
    assert (said["words"], said["kind"], said["run_id"]) == ("etl <failed> & more", "run_failed", "a")
    assert said["at"] == "2026-05-28 20:26:40 UTC"


def test_the_same_alert_has_the_same_idempotency_key_and_another_has_another(hook):
    for about in ("a", "a", "b"):
        webhook(hook.url).send(alert(about))
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in hook.seen]
    assert keys[0] == keys[1] != keys[2]


def test_a_token_is_sent_as_bearer(hook):
    webhook(hook.url, token_env="TOKEN").send(alert())
    assert hook.seen[0][2]["Authorization"] == f"Bearer {SECRET}t"


@pytest.mark.parametrize("status", [500, 503, 404, 400, 302])
def test_any_answer_but_success_is_a_refusal_that_shows_no_secret_and_no_control_characters(hook, status):
    hook.answers = [status]
    words = refusal(webhook(hook.url))
    assert f"answered {status}" in words
    assert words.isprintable()
    assert len(hook.seen) == 1, "a redirect is not followed: it would lose the body"


def test_a_webhook_that_hangs_up_hangs_or_is_not_there_is_refused_in_time(hook):
    hook.answers = ["drop", "hang"]
    refusal(webhook(hook.url))
    begun = time.monotonic()
    assert "did not answer in time" in refusal(webhook(hook.url, timeout="200ms"))
    assert time.monotonic() - begun < 5
    assert "refused" in refusal(webhook(f"http://127.0.0.1:{free_port()}/{SECRET}"))


# mail


def test_a_mail_says_what_happened_in_subject_and_text(mailbox):
    with mail_server(mailbox) as port:
        email(port, tls="none", to=["a@a.test", "b@a.test"]).send(alert(words="etl failed:\nexit 3 ö"))
    ((recipients, mail),) = mailbox.mails
    text = mail.get_payload(decode=True).decode()
    assert recipients == ["a@a.test", "b@a.test"]
    assert "exit 3" in text
    assert "run:  a" in text
    assert mail["Date"] == "Thu, 28 May 2026 20:26:40 +0000"


def test_the_same_alert_has_the_same_message_id(mailbox):
    with mail_server(mailbox) as port:
        for about in ("a", "a", "b"):
            email(port, tls="none").send(alert(about))
    ids = [mail["Message-ID"] for _, mail in mailbox.mails]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].endswith("@a.test>")


@pytest.mark.parametrize("words", ["x\r\nBcc: spy@a.test", "y" * 5000, "\u2028 ü €"])
def test_words_cannot_add_headers(mailbox, words):
    with mail_server(mailbox) as port:
        email(port, tls="none").send(alert(words=words))
    ((recipients, mail),) = mailbox.mails
    assert recipients == ["team@a.test"]
    assert mail["Bcc"] is None


def login(_server, _session, _envelope, _mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"bot", SECRET.encode()), handled=False)


def test_starttls_with_a_login(mailbox, certificate):
    ca_file, context = certificate
    options = {
        "tls_context": context,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": login,
    }
    table = {"ca_file": ca_file, "user_env": "USER", "password_env": "PASSWORD"}
    with mail_server(mailbox, **options) as port:
        email(port, **table).send(alert())
        assert len(mailbox.mails) == 1
        wrong = EmailChannel(
            "email",
            host="127.0.0.1",
            port=port,
            tls="starttls",
            sender="f@a.test",
            to=["t@a.test"],
            login=Login("bot", SECRET + "x"),
            ca_file=ca_file,
        )
        assert "does not take the login (535)" in refusal(wrong)
        assert "certificate" in refusal(email(port)).lower(), "not trusted without its CA"


def test_nothing_is_sent_in_the_clear_to_a_server_without_starttls(mailbox):
    with mail_server(mailbox) as port:
        assert "STARTTLS" in refusal(email(port))
    assert mailbox.mails == []


def test_refusals_of_a_mail_server_are_said(mailbox):
    with mail_server(mailbox) as port:
        mailbox.refuse = ["451 try later"]
        assert "451 try later" in refusal(email(port, tls="none"))
        assert "nobody@a.test: 550" in refusal(email(port, tls="none", to=["nobody@a.test"]))
        assert "nobody@a.test: 550" in refusal(email(port, tls="none", to=["a@a.test", "nobody@a.test"]))
    assert "refused" in refusal(email(free_port(), tls="none"))


def test_a_mail_server_that_says_nothing_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        words = refusal(email(silent.getsockname()[1], tls="none", timeout="200ms"))
    assert "did not answer in time" in words
    assert time.monotonic() - begun < 5


# commands


def command(*argv, **table):
    (channel,) = channels_of(
        {"command": {"argv": list(argv), **table}}, {"PATH": "/usr/bin:/bin", "X": "kept"}
    )
    return channel


def test_a_command_gets_the_alert_on_stdin_and_in_its_environment(tmp_path):
    script = 'cat > $1; echo "$FLYBALL_ALERT_KIND $FLYBALL_ALERT_JOB $FLYBALL_ALERT_RUN_ID $X" >> $1'
    command("sh", "-c", script, "sh", str(tmp_path / "got")).send(alert(words="it's 100% $HOME"))
    body, names = (tmp_path / "got").read_text().rsplit("}", 1)
    assert json.loads(body + "}")["words"] == "it's 100% $HOME"
    assert names.strip() == "run_failed etl a kept"


def test_a_command_that_fails_or_is_not_there_is_refused():
    assert "ended with 3: no network" in refusal(command("sh", "-c", "echo no network >&2; exit 3"))
    assert "No such file" in refusal(command("/does/not/exist"))
    command("true").send(alert())  # which does not read its stdin


def test_a_command_that_does_not_end_is_ended_with_all_it_started(tmp_path):
    begun = time.monotonic()
    script = "sleep 60 & echo $! > $1; wait"
    words = refusal(command("sh", "-c", script, "sh", str(tmp_path / "pid"), timeout="300ms"))
    assert "did not end within 0.3 s" in words
    assert time.monotonic() - begun < 10
    stat = f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat"
    assert sys.platform != "linux" or _is_gone(stat)


def _is_gone(stat):
    for _ in range(200):
        try:
            if Path(stat).read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


# settings


def test_no_table_means_no_channels():
    assert channels_of({}, {}) == []


def test_several_channels_of_a_kind_have_names(tmp_path):
    (tmp_path / "url").write_text("https://hooks.example/x\n")
    table = {
        "webhook": [
            {"name": "ops", "url_file": str(tmp_path / "url")},
            {"url_env": "HOOK", "kinds": ["held"]},
        ],
        "command": {"argv": ["true"]},
    }
    channels = channels_of(table, {"HOOK": "http://h/"})
    assert [channel.name for channel in channels] == ["ops", "webhook", "command"]
    assert [channel.wants(alert()) for channel in channels] == [True, False, True]


ADDRESS = {"host": "h", "from": "a@b", "to": ["c@d"]}


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"pager": {}}, "no channel 'pager'"),
        ({"webhook": {}}, "no address"),
        ({"webhook": {"url": "https://x/"}}, "url in the file"),
        ({"webhook": {"url_env": "NOT_SET"}}, "needs NOT_SET"),
        ({"webhook": {"url_env": "HOOK", "url_file": "x"}}, "both url_env and url_file"),
        ({"webhook": {"url_file": "/does/not/exist"}}, "cannot read its url_file"),
        ({"webhook": {"url_env": "BAD"}}, "an address that is none"),
        ({"webhook": {"url_env": "HOOK", "colour": "red"}}, "colour"),
        ({"webhook": {"url_env": "HOOK", "kinds": ["fire"]}}, "kind 'fire'"),
        ({"webhook": {"url_env": "HOOK", "timeout": "10"}}, "wrong timeout"),
        ({"webhook": {"url_env": "HOOK", "ca_file": "/does/not/exist"}}, "no such file"),
        ({"webhook": [{"url_env": "HOOK"}, {"url_env": "HOOK"}]}, "2 channels named 'webhook'"),
        ({"webhook": "https://x/"}, "cannot be used"),
        ({"email": {"host": "h"}}, "cannot be used"),
        ({"email": {**ADDRESS, "tls": "maybe"}}, "tls = 'maybe'"),
        ({"email": {**ADDRESS, "password": "x"}}, "password in the file"),
        ({"email": {**ADDRESS, "user_env": "HOOK"}}, "half a login"),
        ({"email": {**ADDRESS, "to": []}}, "cannot be used"),
        ({"email": {**ADDRESS, "to": ["a@b, c@d"]}}, "not one mail address"),
        ({"email": {**ADDRESS, "tls": "none", "user_env": "HOOK", "password_env": "HOOK"}}, "in the clear"),
        ({"command": {"argv": []}}, "cannot be used"),
        ({"command": {"argv": "rm -rf"}}, "cannot be used"),
    ],
)
def test_what_cannot_be_used_is_said_and_shows_no_secret(table, what):
    with pytest.raises(InputError) as caught:
        channels_of(table, {"HOOK": f"http://h/{SECRET}", "BAD": f"ftp://{SECRET}"})
    assert what in str(caught.value)
    assert SECRET not in str(caught.value)


def test_every_kind_that_is_raised_can_be_chosen():
    channels = [command("true", kinds=[kind]) for kind in KINDS]
    assert all(channel.wants(alert(kind=kind)) for channel, kind in zip(channels, KINDS, strict=True))


# alerting


def settled():
    """Wait until what was being sent is sent."""
    for thread in threading.enumerate():
        if thread.name == "flyball-alerts":
            thread.join(30)


class Desk:
    """A governor as far as alerts go: records what was raised and what was sent."""

    def __init__(self, *channels):
        self.channels, self.told, self.now = channels, [], NOW
        self.snapshot = Snapshot()
        self.restart()

    def restart(self):
        self.alerting = Alerting(self.channels, tell=self.told.append)

    def raise_(self, *raised):
        self.snapshot = fold(self.snapshot, raised)

    def tick(self, seconds=1.0, *, conflict=False):
        self.now += seconds
        facts = self.alerting.facts(self.snapshot, self.now)
        if not conflict:
            self.snapshot = fold(self.snapshot, facts)
        settled()
        return facts

    def sent(self, key):
        return self.snapshot.alerts[key].sent


def test_an_alert_goes_over_every_channel_once_and_is_recorded_for_each():
    one, two = MemoryChannel("one"), MemoryChannel("two")
    desk = Desk(one, two)
    desk.raise_(alert())
    for _ in range(4):
        desk.tick()
    assert one.sent == two.sent == [alert()]
    assert desk.sent(alert().key) == ("one", "two")
    desk.restart()
    desk.tick()
    assert one.sent == [alert()]


def test_through_500s_time_outs_and_dropped_connections_it_arrives_and_is_recorded(hook):
    hook.answers = [500, "drop", "hang", 503]
    desk = Desk(webhook(hook.url, timeout="200ms"))
    desk.raise_(alert())
    for _ in range(10):
        desk.tick(RETRY_SECONDS_MAX)
    assert desk.sent(alert().key) == ("webhook",)
    assert len(hook.seen) == 5
    assert "not got through over webhook" in desk.told[0]
    assert desk.told[-1] == "alerts get through over webhook again"
    assert SECRET not in "".join(desk.told) + repr(desk.snapshot.alerts)


def test_a_server_that_comes_up_late_gets_what_was_kept(mailbox):
    port = free_port()
    desk = Desk(email(port, tls="none"))
    desk.raise_(alert("a"), alert("b"))
    for _ in range(3):
        desk.tick(RETRY_SECONDS_MAX)
    server = Controller(mailbox, hostname="127.0.0.1", port=port)
    server.start()
    for _ in range(4):
        desk.tick(RETRY_SECONDS_MAX)
    server.stop()
    assert len(mailbox.mails) == 2
    assert desk.sent(alert("b").key) == ("email",)


def test_a_tick_does_not_wait_for_a_server_that_hangs(hook):
    hook.answers = ["hang"]
    alerting = Alerting([webhook(hook.url, timeout="10s")])
    snapshot = fold(Snapshot(), [alert()])
    begun = time.monotonic()
    for n in range(20):
        assert alerting.facts(snapshot, NOW + n) == []
    assert time.monotonic() - begun < 2
    hook.release.set()


def test_retries_back_off():
    channel = MemoryChannel(refusals=["no"] * 1000)
    desk = Desk(channel)
    desk.raise_(alert())
    for _ in range(3600):
        desk.tick(1.0)
    assert 8 <= 1000 - len(channel.refusals) <= 15  # 5, 10, ... 320, 600 seconds, and again


def test_one_alert_that_is_always_refused_holds_up_no_other():
    class Picky(MemoryChannel):
        def send(self, alert):
            if alert.run_id == "poison":
                raise Unavailable("no")
            super().send(alert)

    desk = Desk(Picky())
    desk.raise_(alert("poison"), *(alert(f"r{n}") for n in range(5)))
    for _ in range(10):
        desk.tick(30.0)
    assert [sent.run_id for sent in desk.channels[0].sent] == [f"r{n}" for n in range(5)]
    desk.raise_(alert("late"))
    for _ in range(4):
        desk.tick(30.0)
    assert desk.channels[0].sent[-1].run_id == "late"


def test_a_tick_that_another_governor_overtook_records_it_with_the_next():
    desk = Desk(MemoryChannel())
    desk.raise_(alert())
    desk.tick()
    assert desk.tick(conflict=True) == [AlertSent(at_seconds=desk.now, key=alert().key, channel="memory")]
    assert len(desk.tick()) == 1
    assert desk.tick() == []
    assert desk.channels[0].sent == [alert()]


def test_old_alerts_are_not_sent_and_given_up_ones_are_said():
    channel = MemoryChannel(refusals=["no"] * 10**6)
    desk = Desk(channel)
    desk.raise_(alert("old", at=NOW - GIVEN_UP_SECONDS - 10), alert("new"))
    desk.tick()
    desk.tick(GIVEN_UP_SECONDS + 1)
    channel.refusals.clear()
    desk.tick(RETRY_SECONDS_MAX)
    assert channel.sent == []
    assert any("given up" in words and "exit 3" in words for words in desk.told)


def test_a_clock_that_is_set_back_does_not_silence_alerts():
    channel = MemoryChannel(refusals=["no"])
    desk = Desk(channel)
    desk.raise_(alert())
    desk.tick()
    desk.tick()  # now it waits for some seconds
    desk.tick(-1e7)
    desk.tick()
    assert channel.sent == [alert()]


def test_ending_sends_what_was_just_raised_and_gives_its_facts(hook):
    alerting = Alerting([webhook(hook.url)])
    sent = alerting.close(fold(Snapshot(), [alert()]), NOW)
    assert [fact.key for fact in sent] == [alert().key]
    assert len(hook.seen) == 1


def test_ending_waits_no_longer_than_it_is_told(hook):
    hook.answers = ["hang"]
    begun = time.monotonic()
    sent = Alerting([webhook(hook.url)]).close(fold(Snapshot(), [alert()]), NOW, wait_seconds=0.1)
    assert sent == []
    assert time.monotonic() - begun < 5
    hook.release.set()


@given(st.integers(0, 2**32))
@settings(derandomize=True, max_examples=40, deadline=None)
def test_through_crashes_conflicts_and_refusals_no_alert_is_lost_and_none_is_doubled_without_a_crash(seed):
    rng = random.Random(seed)
    channel, crashes, raised = MemoryChannel(), 0, []
    desk = Desk(channel)
    for n in range(60):
        if rng.random() < 0.3:
            raised.append(alert(f"r{n}", at=desk.now))
            desk.raise_(raised[-1])
        channel.refusals = ["no"] * (rng.random() < 0.3)
        desk.tick(rng.choice([1.0, 60.0]), conflict=rng.random() < 0.2)
        if rng.random() < 0.1:  # killed: what was sent and not recorded is forgotten
            crashes += 1
            desk.restart()
    channel.refusals = []
    for _ in range(4):
        desk.tick(RETRY_SECONDS_MAX)
    keys = [sent.key for sent in channel.sent]
    assert set(keys) == {each.key for each in raised}
    assert all(desk.sent(each.key) == ("memory",) for each in raised)
    doubled = len(keys) - len(set(keys))
    assert doubled == 0 if not crashes else doubled <= len(raised) * crashes
