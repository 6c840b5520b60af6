"""Host facts from files as kernels write them, and cloud facts from real HTTP servers on loopback that imitate the
three metadata services (imitations: no cloud was asked)."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.meter.cloud import FIELDS, NAME_CHARACTERS, cloud_facts, detected_cloud, parse_instance
from flyball.meter.host import cpu_model, host_facts
from flyball.meter.mounts import Places
from flyball.model.receipt import Host

GIB = 2**30
UNKNOWN = dict.fromkeys(FIELDS)
AWS = {
    "sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
    "sys/class/dmi/id/product_name": "m6i.large\n",
    "proc/sys/kernel/random/boot_id": "6f1c2a5e-0000-4000-8000-000000000001\n",
}
GCP = {"sys/class/dmi/id/sys_vendor": "Google\n", "sys/class/dmi/id/product_name": "Google Compute Engine\n"}
AZURE = {
    "sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n",
    "sys/class/dmi/id/chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Callable[[dict[str, str]], str]:
    def lay(files: dict[str, str]) -> str:
        for name, text in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "root")

    return lay


Root = Callable[[dict[str, str]], str]


# --- the machine itself


def test_this_machines_facts_fill_the_receipts_host() -> None:
    host = Host(**host_facts(), **UNKNOWN)
    assert host.hostname == socket.gethostname()
    assert host.kernel == os.uname().release
    assert host.cpu_cores is not None
    assert 0 < host.cpu_cores <= (os.cpu_count() or 1)
    assert host.memory_bytes is not None
    assert host.memory_bytes > 64 * 2**20


def test_an_empty_proc_gives_unknowns_and_no_error(tmp_path: Path) -> None:
    facts = host_facts(str(tmp_path), Places({}, None, None))
    assert (facts["cpu_model"], facts["memory_bytes"], facts["cgroup"]) == (None, None, None)


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        (
            "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC  9R14\n\nprocessor\t: 1\n",
            "AMD EPYC 9R14",
        ),
        (
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\nCPU revision\t: 1\n",
            "Arm Neoverse V2",
        ),
        ("processor\t: 0\nCPU implementer\t: 0x99\nCPU part\t: 0x123\n", "Arm implementer 0x99 part 0x123"),
        ("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n", "POWER9, altivec supported"),
        ("processor\t: 0\nhart\t: 0\nisa\t: rv64imafdc\n", None),
        ("", None),
    ],
)
def test_the_processors_name_is_found_as_each_architecture_writes_it(
    root: Root, cpuinfo: str, model: str | None
) -> None:
    assert cpu_model(root({"proc/cpuinfo": cpuinfo})) == model


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=st.lists(st.one_of(st.none(), st.integers(1, 64)), min_size=1, max_size=5))
def test_the_tightest_enclosing_group_decides_in_both_cgroup_versions(
    tmp_path_factory: pytest.TempPathFactory, limits: list[int | None]
) -> None:
    base = tmp_path_factory.mktemp("groups")
    (base / "proc").mkdir()
    (base / "proc/meminfo").write_text(f"MemTotal:  {32 * GIB // 1024} kB\n")
    v1, v2 = (nested_groups(base / version, limits, version) for version in ("v1", "v2"))
    expected_gib = min([32, *(limit for limit in limits if limit is not None)])
    for places in (Places({"memory": v1, "cpu": v1}, None, None), Places({}, v2, str(base / "v2"))):
        facts = host_facts(str(base), places)
        assert facts["memory_bytes"] == expected_gib * GIB
        assert facts["cpu_cores"] == min(
            [host_cores(), *(limit / 8 for limit in limits if limit is not None)]
        )


def host_cores() -> float:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def nested_groups(top: Path, limits: list[int | None], version: str) -> str:
    """Groups within groups, each with its limit: so many GiB and eighths of a core; None is no limit."""
    folder = top
    for limit in limits:
        folder.mkdir()
        (folder / "cgroup.procs").write_text("")
        if version == "v1":
            (folder / "memory.limit_in_bytes").write_text(f"{(limit or 2**33 - 1) * GIB}\n")
            (folder / "cpu.cfs_quota_us").write_text(f"{-1 if limit is None else limit * 12500}\n")
            (folder / "cpu.cfs_period_us").write_text("100000\n")
        else:
            (folder / "memory.max").write_text(f"{'max' if limit is None else limit * GIB}\n")
            (folder / "cpu.max").write_text(f"{'max' if limit is None else limit * 12500} 100000\n")
        folder = folder / "inner"
    return str(folder.parent)


# --- the cloud around it


class Imitation(http.server.BaseHTTPRequestHandler):
    """The three metadata services on one port, as strict as their manuals say."""

    def do_PUT(self) -> None:
        known = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self.answer("TOKEN-56chars==" if known else None)

    def do_GET(self) -> None:
        aws = self.headers["X-aws-ec2-metadata-token"] == "TOKEN-56chars=="
        gcp, azure = self.headers["Metadata-Flavor"] == "Google", self.headers["Metadata"] == "true"
        self.answer(
            {
                ("/latest/meta-data/instance-type", aws): "m6i.large",
                ("/latest/meta-data/placement/region", aws): "us-east-1",
                ("/latest/meta-data/placement/availability-zone", aws): "us-east-1c",
                ("/computeMetadata/v1/instance/machine-type", gcp): "projects/123/machineTypes/n2-standard-4",
                ("/computeMetadata/v1/instance/zone", gcp): "projects/123/zones/us-central1-a",
                ("/metadata/instance/compute/vmSize", azure): "Standard_D4s_v5",
                ("/metadata/instance/compute/location", azure): "eastus",
                ("/metadata/instance/compute/zone", azure): "2",
            }.get((self.path.partition("?")[0], True))
        )

    def answer(self, text: str | None) -> None:
        body = (text or "no").encode()
        self.send_response(200 if text else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        self.server.requests_seen += 1  # type: ignore[attr-defined]


@pytest.fixture
def metadata() -> Iterator[http.server.HTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Imitation) as server:
        server.requests_seen = 0  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def address(server: http.server.HTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize(
    ("firmware", "expected"),
    [
        (AWS, ("aws", "m6i.large", "us-east-1", "us-east-1c")),
        (GCP, ("gcp", "n2-standard-4", "us-central1", "us-central1-a")),
        (AZURE, ("azure", "Standard_D4s_v5", "eastus", "eastus-2")),
    ],
)
def test_each_clouds_service_is_understood(
    root: Root, metadata: http.server.HTTPServer, firmware: dict[str, str], expected: tuple[str, ...]
) -> None:
    facts = cloud_facts(5.0, endpoint=address(metadata), root=root(firmware), environment={})
    assert facts == dict(zip(FIELDS, expected, strict=True))


@pytest.mark.parametrize(
    "firmware",
    [
        {},
        {"sys/class/dmi/id/sys_vendor": "QEMU\n"},
        {"sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n"},
    ],
)
def test_without_a_clouds_firmware_nothing_is_asked(
    root: Root, metadata: http.server.HTTPServer, firmware: dict[str, str]
) -> None:
    assert cloud_facts(5.0, endpoint=address(metadata), root=root(firmware), environment={}) == UNKNOWN
    assert metadata.requests_seen == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("firmware", "cloud"),
    [
        ({"sys/hypervisor/uuid": "ec2e1916-9099-7caf-fd21-012345abcdef\n"}, "aws"),
        ({"sys/class/dmi/id/bios_version": "4.11.amazon\n"}, "aws"),
        ({"sys/hypervisor/uuid": "a2ec1916\n"}, None),
    ],
)
def test_older_instances_are_known_by_their_hypervisor(
    root: Root, firmware: dict[str, str], cloud: str | None
) -> None:
    assert detected_cloud(root(firmware)) == cloud


def test_a_machine_that_hides_its_cloud_can_be_told_by_the_environment(root: Root) -> None:
    stated = {"FLYBALL_INSTANCE_TYPE": "aws/us-east-1/m6i.large"}
    assert cloud_facts(1.0, root=root({}), environment=stated) == {
        "cloud": "aws",
        "instance_type": "m6i.large",
        "region": "us-east-1",
        "zone": None,
    }
    assert parse_instance("gcp/europe-west1/europe-west1-b/n2-standard-4")["zone"] == "europe-west1-b"


@pytest.mark.parametrize(
    "text", ["m6i.large", "aws//m6i.large", "aws/us-east-1/m6i;rm", "a/b/c/d/e", "aws/us-east-1/\x1b[31m"]
)
def test_a_mistyped_environment_is_refused_by_the_parser_and_costs_the_record_nothing(
    root: Root, metadata: http.server.HTTPServer, text: str
) -> None:
    with pytest.raises(ValueError, match="cloud/region/type"):
        parse_instance(text)
    stated = {"FLYBALL_INSTANCE_TYPE": text}
    facts = cloud_facts(5.0, endpoint=address(metadata), root=root(AWS), environment=stated)
    assert facts["instance_type"] == "m6i.large"


def test_an_answer_is_kept_until_the_next_boot(
    root: Root, metadata: http.server.HTTPServer, tmp_path: Path
) -> None:
    def ask(top: str) -> dict[str, str | None]:
        kept = str(tmp_path / "instance.json")
        return cloud_facts(5.0, endpoint=address(metadata), root=top, environment={}, cache_path=kept)

    first = ask(root(AWS))
    asked = metadata.requests_seen  # type: ignore[attr-defined]
    # the same boot does not ask again
    assert ask(root(AWS)) == first
    assert metadata.requests_seen == asked  # type: ignore[attr-defined]
    # another boot does: the machine may have been stopped and resized
    ask(root(AWS | {"proc/sys/kernel/random/boot_id": "another\n"}))
    assert metadata.requests_seen > asked  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "kept", ["", "{}", "[]", "null", '{"boot_id": 1}', '{"boot_id": "%s", "cloud": 7}', "\0\xff" * 99]
)
def test_a_damaged_kept_answer_is_asked_anew(
    root: Root, metadata: http.server.HTTPServer, tmp_path: Path, kept: str
) -> None:
    path = tmp_path / "instance.json"
    path.write_text(kept.replace("%s", AWS["proc/sys/kernel/random/boot_id"].strip()))
    facts = cloud_facts(5.0, endpoint=address(metadata), root=root(AWS), environment={}, cache_path=str(path))
    assert facts["zone"] == "us-east-1c"


def test_a_folder_that_cannot_be_written_loses_only_the_kept_answer(
    root: Root, metadata: http.server.HTTPServer, tmp_path: Path
) -> None:
    path = str(tmp_path / "missing" / "instance.json")
    facts = cloud_facts(5.0, endpoint=address(metadata), root=root(AWS), environment={}, cache_path=path)
    assert facts["region"] == "us-east-1"


# --- services that mean no good


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a TCP server that does `answer` to every connection until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError):
                answer(link)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def say(answer: bytes) -> Callable[[socket.socket], None]:
    def speak(link: socket.socket) -> None:
        link.recv(65536)
        link.sendall(answer)

    return speak


def drip(link: socket.socket) -> None:
    """One byte at a time for ever: no single read ever times out."""
    link.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    stop = threading.Event()
    while not stop.wait(0.01):
        link.sendall(b"a")


def flood(link: socket.socket) -> None:
    link.recv(65536)
    while True:
        link.sendall(b"HTTP/1.1 200 OK\r\n" + b"x" * 65536)


def silence(link: socket.socket) -> None:
    while link.recv(65536):
        pass


def test_a_chunked_answer_without_a_length_is_understood(root: Root) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nm6i.large\r\n0\r\n\r\n"
    with serving(say(chunked)) as endpoint:
        facts = cloud_facts(5.0, endpoint=endpoint, root=root(GCP), environment={})
    assert facts["instance_type"] == "m6i.large"


@pytest.mark.parametrize("trick", [drip, flood, silence])
def test_a_service_that_drips_floods_or_says_nothing_is_left_at_the_deadline(
    root: Root, trick: Callable[[socket.socket], None]
) -> None:
    with serving(trick) as endpoint:
        facts = cloud_facts(0.2, endpoint=endpoint, root=root(GCP), environment={})
    assert facts == UNKNOWN | {"cloud": "gcp"}


def test_a_closed_port_leaves_what_the_firmware_knows(root: Root) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    facts = cloud_facts(1.0, endpoint=f"http://127.0.0.1:{port}", root=root(AWS), environment={})
    assert facts == UNKNOWN | {"cloud": "aws", "instance_type": "m6i.large"}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n\x1b[2Jm6i.larg",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n../../etc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n" + b"a" * 70,
        b"m6i.large",
        b"",
    ],
)
def test_an_answer_that_is_no_instance_type_is_unknown(root: Root, answer: bytes) -> None:
    with serving(say(answer)) as endpoint:
        facts = cloud_facts(2.0, endpoint=endpoint, root=root(AZURE), environment={})
    assert facts["instance_type"] in {None, "etc"}  # the last part of a path is a name, and harmless
    assert facts["cloud"] == "azure"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300),
    head=st.sampled_from([b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 \r\nA: b\r\n\r\n", b""]),
)
def test_whatever_a_service_answers_only_plain_names_get_into_the_record(
    root: Root, body: bytes, head: bytes
) -> None:
    with serving(say(head + body)) as endpoint:
        for firmware in (AWS, GCP):
            facts = cloud_facts(2.0, endpoint=endpoint, root=root(firmware), environment={})
            assert facts.keys() == set(FIELDS)
            assert all(value is None or NAME_CHARACTERS.issuperset(value) for value in facts.values())
