"""Which cloud instance this is, asked of the cloud's metadata service, and only where the hardware says there is one.

FLYBALL_INSTANCE_TYPE=aws/us-east-1/m6i.large (cloud/region/type, or cloud/region/zone/type) says it instead,
for machines that hide it: containers without a way to the service, or a price to be assumed on one's own machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import NamedTuple

OVERRIDE = "FLYBALL_INSTANCE_TYPE"
ENDPOINT = "http://169.254.169.254"  # link-local, the same for the three
ANSWER_BYTES_MAX = 16 * 1024  # an answer's headers and its one word; more is not a metadata service
FIELDS = ("cloud", "instance_type", "region", "zone")
# What clouds call instance types, regions and zones; nothing else gets into a record, a path or a terminal.
NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
NAME_CHARACTERS_MAX = 64
TOKEN_CHARACTERS_MAX = 512  # AWS gives 56
AZURE_CHASSIS = (
    "7783-7084-3265-9085-8269-3286-77"  # the asset tag of every Azure machine (cloud-init, DataSourceAzure)
)

Facts = dict[str, str | None]


class _Service(NamedTuple):
    """Where a cloud's metadata service keeps each fact, and the header without which it refuses."""

    header: str
    paths: Mapping[str, str]


AWS_TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path
AZURE_QUERY = "?api-version=2021-02-01&format=text"
SERVICES = {
    "aws": _Service(
        "X-aws-ec2-metadata-token: ",  # IMDSv2: the token is asked for first
        {
            "instance_type": "/latest/meta-data/instance-type",
            "region": "/latest/meta-data/placement/region",
            "zone": "/latest/meta-data/placement/availability-zone",
        },
    ),
    "gcp": _Service(
        "Metadata-Flavor: Google",
        {
            "instance_type": "/computeMetadata/v1/instance/machine-type",
            "zone": "/computeMetadata/v1/instance/zone",
        },
    ),
    "azure": _Service(
        "Metadata: true",
        {
            "instance_type": f"/metadata/instance/compute/vmSize{AZURE_QUERY}",
            "region": f"/metadata/instance/compute/location{AZURE_QUERY}",
            "zone": f"/metadata/instance/compute/zone{AZURE_QUERY}",
        },
    ),
}


def cloud_facts(
    timeout_seconds: float,
    *,
    endpoint: str = ENDPOINT,
    root: str = "/",
    environment: Mapping[str, str] = os.environ,
    cache_path: str | None = None,
) -> Facts:
    """cloud, instance_type, region and zone; each None when unknown. Never raises, never takes longer than told.

    The service is asked only when firmware says that this is AWS, GCP or Azure: elsewhere its address may be
    anyone's. cache_path: a file that keeps a full answer until the next boot.
    """
    stated = environment.get(OVERRIDE)
    if stated:
        try:
            return parse_instance(stated)
        except ValueError:
            pass  # a typing error must not cost the record its real facts; `flyball doctor` shows it
    cloud = detected_cloud(root)
    if cloud is None:
        return dict.fromkeys(FIELDS)
    boot_id = _line(root, "proc/sys/kernel/random/boot_id")
    kept = _kept(cache_path, boot_id) if cache_path and boot_id else None
    if kept is not None and kept["cloud"] == cloud:
        return kept
    facts = _asked(cloud, endpoint, time.monotonic() + timeout_seconds)
    if cache_path and boot_id and facts["instance_type"] and facts["region"]:
        _keep(cache_path, boot_id, facts)
    if cloud == "aws" and facts["instance_type"] is None:
        facts["instance_type"] = _nitro_type(root)
    return facts


def parse_instance(text: str) -> Facts:
    """The facts of "aws/us-east-1/m6i.large" or "aws/us-east-1/us-east-1a/m6i.large". Raises: ValueError."""
    parts = text.strip().split("/")
    if len(parts) not in {3, 4} or not all(_is_name(part) for part in parts):
        message = f"{OVERRIDE}={text!r} is not cloud/region/type, like aws/us-east-1/m6i.large"
        raise ValueError(message)
    zone = parts[2] if len(parts) == 4 else None
    return {"cloud": parts[0].lower(), "instance_type": parts[-1], "region": parts[1], "zone": zone}


def detected_cloud(root: str = "/") -> str | None:
    """ "aws", "gcp", "azure", or None: by the firmware's tables, without any network."""
    vendor = _line(root, "sys/class/dmi/id/sys_vendor")
    product = _line(root, "sys/class/dmi/id/product_name")
    if vendor == "Amazon EC2" or "amazon" in _line(root, "sys/class/dmi/id/bios_version").lower():
        return "aws"
    if _line(root, "sys/hypervisor/uuid").lower().startswith("ec2"):  # Xen instances: t2, m4 and before
        return "aws"
    if product == "Google Compute Engine":
        return "gcp"
    if _line(root, "sys/class/dmi/id/chassis_asset_tag") == AZURE_CHASSIS:
        return "azure"
    return None


def _nitro_type(root: str) -> str | None:
    """The instance type that Nitro machines write into their firmware as the product's name."""
    product = _line(root, "sys/class/dmi/id/product_name")
    return product if _is_name(product) and "." in product else None


def _asked(cloud: str, endpoint: str, deadline: float) -> Facts:
    """What the service says until the deadline; the first request that goes wrong is the last."""
    facts: Facts = {**dict.fromkeys(FIELDS), "cloud": cloud}
    service = SERVICES[cloud]
    header = service.header
    try:
        if cloud == "aws":
            ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60"
            header += _token(_fetched(endpoint, "PUT", AWS_TOKEN_PATH, ttl, deadline))
        for field, path in service.paths.items():
            text = _fetched(endpoint, "GET", path, header, deadline)
            name = text.strip().rpartition("/")[2]  # GCP: projects/1/machineTypes/n2-standard-4
            facts[field] = name if _is_name(name) else None
    except (OSError, ValueError):
        pass
    return _completed(facts)


def _completed(facts: Facts) -> Facts:
    """GCP names only the zone, us-central1-a; Azure's zone is a bare number within its region."""
    zone, region = facts["zone"], facts["region"]
    if facts["cloud"] == "gcp" and zone:
        facts["region"] = zone.rpartition("-")[0] or None
    if facts["cloud"] == "azure" and zone and region:
        facts["zone"] = f"{region}-{zone}"
    return facts


def _fetched(endpoint: str, method: str, path: str, header: str, deadline: float) -> str:
    """The body of a 200 answer. Raises: OSError (also at the deadline), ValueError for anything else.

    By hand, because http.client limits each read but not the whole, follows no deadline, and urllib obeys
    proxy variables, which would carry the token elsewhere.
    """
    import socket  # here: machines outside these clouds never need it, and it takes 5 ms

    host, _, port = endpoint.removeprefix("http://").rstrip("/").partition(":")
    request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, int(port or 80)), timeout=_left(deadline)) as link:
        link.settimeout(_left(deadline))
        link.sendall(request.encode("ascii"))
        answer = b""
        while not _is_whole(answer):
            link.settimeout(_left(deadline))
            part = link.recv(4096)
            if not part:
                break
            answer += part
            if len(answer) > ANSWER_BYTES_MAX:
                raise ValueError("too long an answer")
    return _body(answer)


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _is_whole(answer: bytes) -> bool:
    """Whether the length that was announced has arrived; without one the service closes the connection."""
    head, end, body = answer.partition(b"\r\n\r\n")
    announced = _headers(head).get("content-length", "")
    return bool(end) and announced.isdigit() and len(body) >= int(announced)


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in lines}


def _body(answer: bytes) -> str:
    head, end, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n")[0].split(b" ")
    if not end or status[:2] not in ([b"HTTP/1.1", b"200"], [b"HTTP/1.0", b"200"]):
        raise ValueError("not a 200 answer")
    if _headers(head).get("transfer-encoding", "").lower() == "chunked":
        size, _, rest = body.partition(b"\r\n")  # these words fit into one chunk
        body = rest[: int(size.split(b";")[0], 16)]
    return body.decode("ascii")


def _token(text: str) -> str:
    """The text if it can be put into a header as it is. Raises: ValueError."""
    if not text or len(text) > TOKEN_CHARACTERS_MAX or not all("!" <= character <= "~" for character in text):
        raise ValueError("not a token")
    return text


def _is_name(text: str) -> bool:
    return 0 < len(text) <= NAME_CHARACTERS_MAX and NAME_CHARACTERS.issuperset(text) and text[0].isalnum()


def _kept(path: str, boot_id: str) -> Facts | None:
    import json

    try:
        with open(path, "rb") as file:
            kept = json.loads(file.read(ANSWER_BYTES_MAX))
        if kept["boot_id"] != boot_id:
            return None
        facts = {field: kept[field] for field in FIELDS}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    valid = all(value is None or (isinstance(value, str) and _is_name(value)) for value in facts.values())
    return facts if valid else None


def _keep(path: str, boot_id: str, facts: Facts) -> None:
    import json

    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "w") as file:
            json.dump({"boot_id": boot_id, **facts}, file)
        os.replace(temporary, path)
    except OSError:
        pass  # it is asked again next time


def _line(root: str, path: str) -> str:
    """A small file's text; "" if it cannot be read."""
    try:
        with open(f"{root.rstrip('/')}/{path}", "rb") as file:
            return file.read(256).decode(errors="replace").strip()
    except OSError:
        return ""
