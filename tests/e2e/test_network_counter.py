"""Network bytes counted by the kernel, on real interfaces with real traffic between two network namespaces."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flyball.meter.network import NetworkCounter, Traffic, _grown, _parsed

MIB = 2**20
PAYLOAD_BYTES = 24 * MIB
# Ethernet, IP and TCP headers are at most 66 bytes for 1,448 of data; acknowledgements and HTTP's own lines come on top.
HEADER_SHARE, SLACK_BYTES = 0.06, 64 * 1024

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "%(size)d"); self.end_headers()
        for _ in range(%(size)d // 65536): self.wfile.write(bytes(65536))
    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        while left: left -= len(self.rfile.read(min(65536, left)))
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *args): pass
server = http.server.HTTPServer(("10.99.7.1", 8099), Handler)
print("ready", flush=True)
server.serve_forever()
""" % {"size": PAYLOAD_BYTES}  # noqa: UP031 - the program has braces of its own

CLIENT = """
import http.client, sys
sys.stdin.readline()
link = http.client.HTTPConnection("10.99.7.1", 8099)
if sys.argv[1] == "get":
    link.request("GET", "/"); response = link.getresponse()
    while response.read(65536): pass
else:
    link.request("PUT", "/", body=bytes(%(size)d)); link.getresponse().read()
"""


@dataclass
class Namespaces:
    client: str
    server: str


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def namespaces() -> Iterator[Namespaces]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("NETWORK TESTS SKIPPED: they need root and iproute2 (apt-get install iproute2)")
    both = Namespaces(f"flyc{os.getpid()}", f"flys{os.getpid()}")
    try:
        ip("netns", "add", both.client)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"NETWORK TESTS SKIPPED: no network namespace here: {error.stderr.decode().strip()}")
    try:
        ip("netns", "add", both.server)
        ends = (("flyveth0", both.client, "10.99.7.2/24"), ("flyveth1", both.server, "10.99.7.1/24"))
        ip(
            "-n",
            both.client,
            "link",
            "add",
            "flyveth0",
            "type",
            "veth",
            "peer",
            "name",
            "flyveth1",
            "netns",
            both.server,
        )
        for interface, namespace, address in ends:
            ip("-n", namespace, "address", "add", address, "dev", interface)
            ip("-n", namespace, "link", "set", interface, "up")
            ip("-n", namespace, "link", "set", "lo", "up")
        yield both
    finally:
        for namespace in (both.client, both.server):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)


@pytest.fixture
def server(namespaces: Namespaces) -> Iterator[None]:
    command = ["ip", "netns", "exec", namespaces.server, sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()


def start_client(namespace: str, verb: str) -> subprocess.Popen[str]:
    """A client that sits in its namespace and waits for a line before it moves any byte."""
    program = CLIENT % {"size": PAYLOAD_BYTES}
    enter = f"import os; os.execvp('ip', ['ip', 'netns', 'exec', {namespace!r}, {sys.executable!r}, '-c', {program!r}, {verb!r}])"
    process = subprocess.Popen([sys.executable, "-c", enter], stdin=subprocess.PIPE, text=True)
    wait_until_moved(process)
    return process


def wait_until_moved(process: subprocess.Popen[str]) -> None:
    """Returns once it is in another network namespace than this test."""
    ours = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{process.pid}/ns/net").readlink() == ours:
        assert process.poll() is None


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("verb", "big", "small"), [("get", 0, 1), ("put", 1, 0)])
def test_in_its_own_namespace_a_commands_bytes_are_exact_also_after_it_ended(
    namespaces: Namespaces, verb: str, big: int, small: int
) -> None:
    # given a counter on a command in a network namespace of its own
    client = start_client(namespaces.client, verb)
    counter = NetworkCounter.open(client.pid)
    assert counter.scope == "namespace"
    # when it moves a known number of bytes and ends
    client.communicate("go\n", timeout=60)
    assert client.returncode == 0
    # then they are counted, no less, and no more than the protocol's headers on top
    counted = counter.read()
    assert counted is not None
    assert PAYLOAD_BYTES <= counted[big] <= PAYLOAD_BYTES * (1 + HEADER_SHARE) + SLACK_BYTES
    assert counted[small] <= PAYLOAD_BYTES * HEADER_SHARE + SLACK_BYTES
    assert counter.read() == counted
    counter.close()
    assert counter.read() is None


@pytest.mark.usefixtures("server")
def test_a_command_that_enters_a_namespace_later_is_followed(namespaces: Namespaces) -> None:
    # given a counter opened while the command was still in the wrapper's namespace
    waiting = "read line; exec ip netns exec {} sh -c 'read line; exec cat /dev/null'"
    process = subprocess.Popen(
        ["sh", "-c", waiting.format(namespaces.client)], stdin=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdin is not None
    counter = NetworkCounter.open(process.pid)
    assert counter.scope == "host"
    # when it moves
    process.stdin.write("go\n")
    wait_until_moved(process)
    # then the counter is in the new namespace, where nothing was moved
    assert counter.read() is not None
    assert counter.scope == "namespace"
    process.communicate("go\n", timeout=30)
    counter.close()


def test_a_command_in_the_wrappers_namespace_is_marked_as_the_hosts_and_loopback_does_not_count() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        counter = NetworkCounter.open(process.pid)
        assert counter.scope == "host"
        before = counter.read()
        if before is None:
            pytest.skip("NETWORK TEST SKIPPED: no /proc/net/dev here")
        move_over_loopback(16 * MIB)
        after = counter.read()
        assert after is not None
        assert after[0] - before[0] < 8 * MIB  # the machine's own background traffic stays far below
        process.communicate(b"\n")
        assert counter.read() is not None
        counter.close()


def move_over_loopback(size_bytes: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        program = f"import socket; s = socket.create_connection({listener.getsockname()!r}); s.sendall(bytes({size_bytes}))"
        with subprocess.Popen([sys.executable, "-c", program]):
            link, _ = listener.accept()
            with link:
                while link.recv(MIB):
                    pass


def test_a_process_that_is_not_there_reads_as_unknown() -> None:
    counter = NetworkCounter.open(2**30)
    assert counter.read() is None
    counter.close()


def test_reading_leaves_no_descriptor_behind() -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        counter = NetworkCounter.open(os.getpid())
        counter.read()
        counter.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_interface_that_was_made_anew_or_appeared_counts_from_zero() -> None:
    before = {"veth0": Traffic(1000, 500)}
    now = {"veth0": Traffic(40, 60), "veth1": Traffic(7, 8)}
    assert _grown(Traffic(100, 100), before, now) == Traffic(147, 168)


def test_interfaces_are_read_from_the_kernels_table_without_loopback() -> None:
    text = (
        "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n"
        "    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n"
        "eth0:123456789012 5 0 0 0 0 0 0 42 3 0 0 0 0 0 0\n"
    )
    assert _parsed(text) == {"eth0": Traffic(123456789012, 42)}
