"""`catalog refresh aws` against servers: moto's EC2, and one of our own that pages, throttles and refuses as AWS does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from flyball.adapters.catalog.aws import refresh_aws
from flyball.adapters.catalog.cache import load_catalog
from flyball.adapters.catalog.interruption import BAND_SHARES, interruptions_per_hour
from flyball.errors import InputError, Unavailable
from flyball.model.resource import Arch, Market
from flyball.model.units import GIB

boto3 = pytest.importorskip("boto3")
from botocore.config import Config  # noqa: E402 - after the check that boto3 is there

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
REGION = "us-east-1"


def machine_xml(name: str, vcpus: int, mib: int, arch: str = "x86_64", *, extra: str = "") -> str:
    return (
        f"<item><instanceType>{name}</instanceType><processorInfo><supportedArchitectures><item>i386</item>"
        f"<item>{arch}</item></supportedArchitectures></processorInfo><vCpuInfo><defaultVCpus>{vcpus}</defaultVCpus></vCpuInfo>"
        f"<memoryInfo><sizeInMiB>{mib}</sizeInMiB></memoryInfo>{extra}</item>"
    )


GPU = "<gpuInfo><gpus><item><name>A10G</name><manufacturer>NVIDIA</manufacturer><count>4</count><memoryInfo><sizeInMiB>22888</sizeInMiB></memoryInfo></item></gpus></gpuInfo>"
MACHINES = [
    machine_xml("m6i.large", 2, 8192),
    machine_xml("m7g.large", 2, 8192, "arm64"),
    machine_xml(
        "t3.nano", 2, 512, extra="<burstablePerformanceSupported>true</burstablePerformanceSupported>"
    ),
    machine_xml("g5.12xlarge", 48, 196608, extra=GPU),
    machine_xml("m6i.metal", 128, 524288, extra="<bareMetal>true</bareMetal>"),
    machine_xml("q9z.large", 2, 8192),
]
SPOT = [  # zone, type, price, time
    ("us-east-1a", "m6i.large", "0.0400", "2026-11-21T10:00:00.000Z"),
    ("us-east-1a", "m6i.large", "0.0410", "2026-11-21T11:00:00.000Z"),
    ("us-east-1b", "m6i.large", "0.0350", "2026-11-20T11:00:00.000Z"),
    ("us-east-1b", "m6i.large", "0.0990", "2026-11-19T11:00:00.000Z"),
    ("us-east-1a", "q9z.large", "0.0500", "2026-11-21T11:00:00.000Z"),
    ("us-east-1a", "m7g.large", "0.0000", "2026-11-21T11:00:00.000Z"),
    ("us-east-1c", "m7g.large", "9999.0", "2026-11-21T11:00:00.000Z"),
]
ON_DEMAND = {
    "m6i.large": "0.0960000000",
    "m7g.large": "0.0816000000",
    "t3.nano": "0.0052000000",
    "g5.12xlarge": "5.6720000000",
    "u7i.nothere": "1.0",
}


def price_product(name: str, usd: str) -> str:
    """One entry of GetProducts' PriceList, with the fields of the real one."""
    sku = name.upper()
    return json.dumps(
        {
            "product": {
                "productFamily": "Compute Instance",
                "attributes": {
                    "instanceType": name,
                    "regionCode": REGION,
                    "operatingSystem": "Linux",
                    "tenancy": "Shared",
                    "capacitystatus": "Used",
                },
                "sku": sku,
            },
            "serviceCode": "AmazonEC2",
            "terms": {
                "OnDemand": {
                    f"{sku}.JRTCKXETXF": {
                        "priceDimensions": {
                            f"{sku}.JRTCKXETXF.6YS6EN2CT7": {
                                "unit": "Hrs",
                                "pricePerUnit": {"USD": usd},
                                "description": f"${usd} per On Demand Linux {name}",
                            },
                        },
                        "offerTermCode": "JRTCKXETXF",
                    }
                },
                "Reserved": {
                    f"{sku}.X": {
                        "priceDimensions": {f"{sku}.X.Y": {"unit": "Hrs", "pricePerUnit": {"USD": "0.0001"}}}
                    }
                },
            },
            "version": "20261120",
            "publicationDate": "2026-11-20T00:00:00Z",
        }
    )


class Aws(ThreadingHTTPServer):
    """EC2's and the price list's answers, two entries a page; `refuse` maps an operation to (status, code, times)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[tuple[str, dict]] = []
        self.refuse: dict[str, list] = {}
        self.zero_prices = False
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def client(self, service: str, region: str):
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{self.server_port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"mode": "standard", "max_attempts": 3}, read_timeout=10),
        )


class _Answer(BaseHTTPRequestHandler):
    server: Aws

    def log_message(self, *args) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        target = self.headers.get("X-Amz-Target", "")
        request = json.loads(body) if target else {k: v[0] for k, v in parse_qs(body).items()}
        operation = target.rpartition(".")[2] or request["Action"]
        self.server.asked.append((operation, request))
        refusal = self.server.refuse.get(operation)
        if refusal and refusal[2] > 0:
            refusal[2] -= 1
            self._refuse(refusal[0], refusal[1], is_json=bool(target))
        else:
            getattr(self, operation)(request)

    def GetProducts(self, request: dict) -> None:  # noqa: N802 - the operation's name
        prices = dict.fromkeys(ON_DEMAND, "0.0") if self.server.zero_prices else ON_DEMAND
        page, following = _page(sorted(prices.items()), request)
        answer = {"FormatVersion": "aws_v1", "PriceList": [price_product(*item) for item in page]}
        self._send(
            json.dumps(answer | ({"NextToken": following} if following else {})), "application/x-amz-json-1.1"
        )

    def DescribeInstanceTypes(self, request: dict) -> None:  # noqa: N802
        page, following = _page(MACHINES, request)
        self._xml("DescribeInstanceTypes", f"<instanceTypeSet>{''.join(page)}</instanceTypeSet>", following)

    def DescribeSpotPriceHistory(self, request: dict) -> None:  # noqa: N802
        page, following = _page([] if self.server.zero_prices else SPOT, request)
        items = "".join(
            f"<item><availabilityZone>{zone}</availabilityZone><instanceType>{name}</instanceType>"
            f"<productDescription>Linux/UNIX</productDescription><spotPrice>{usd}</spotPrice><timestamp>{at}</timestamp></item>"
            for zone, name, usd, at in page
        )
        self._xml(
            "DescribeSpotPriceHistory", f"<spotPriceHistorySet>{items}</spotPriceHistorySet>", following
        )

    def _xml(self, operation: str, inner: str, following: str) -> None:
        token = f"<nextToken>{following}</nextToken>"
        space = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
        self._send(
            f"<{operation}Response {space}><requestId>1</requestId>{inner}{token}</{operation}Response>",
            "text/xml",
        )

    def _refuse(self, status: int, code: str, *, is_json: bool) -> None:
        if is_json:
            self._send(json.dumps({"__type": code, "message": "no"}), "application/x-amz-json-1.1", status)
        else:
            error = f"<Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors><RequestID>1</RequestID>"
            self._send(f"<Response>{error}</Response>", "text/xml", status)

    def _send(self, text: str, kind: str, status: int = 200) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _page(items: list, request: dict, size: int = 2) -> tuple[list, str]:
    start = int(request.get("NextToken", 0))
    return items[start : start + size], str(start + size) if start + size < len(items) else ""


@pytest.fixture
def aws():
    server = Aws()
    yield server
    server.shutdown()
    server.server_close()


def test_every_page_of_every_list_ends_up_for_sale(aws, tmp_path):
    told = []
    result = refresh_aws(
        regions=[REGION], client=aws.client, cache_folder=tmp_path, now=NOW, progress=told.append
    )
    offers = {o.offer_id: o for o in load_catalog(tmp_path).offers() if o.cloud == "aws"}
    assert sorted(offers) == [
        "aws/us-east-1/g5.12xlarge/on_demand",
        "aws/us-east-1/m6i.large/on_demand",
        "aws/us-east-1/m7g.large/on_demand",
        "aws/us-east-1/t3.nano/on_demand",
        "aws/us-east-1a/m6i.large/spot",
        "aws/us-east-1a/q9z.large/spot",
        "aws/us-east-1b/m6i.large/spot",
    ]
    assert offers["aws/us-east-1/m6i.large/on_demand"].price_usd_per_hour == Decimal("0.096")
    assert offers["aws/us-east-1a/m6i.large/spot"].price_usd_per_hour == Decimal("0.041")  # the newest of two
    assert offers["aws/us-east-1b/m6i.large/spot"].price_usd_per_hour == Decimal("0.035")
    gpu = offers["aws/us-east-1/g5.12xlarge/on_demand"]
    assert (gpu.vcpus, gpu.memory_bytes, gpu.gpus, gpu.gpu_model) == (48, 192 * GIB, 4, "A10G")
    assert offers["aws/us-east-1/m7g.large/on_demand"].arch is Arch.ARM64
    assert offers["aws/us-east-1/t3.nano/on_demand"].sustained_cpu_share == 0.05
    assert {o.as_of for o in offers.values()} == {date(2026, 11, 21)}
    assert (result.offers, result.regions[0].on_demand_offers, result.regions[0].spot_offers) == (7, 4, 3)
    assert result.regions[0].refused == 1
    assert "9999" in result.regions[0].refusals[0]
    assert "m6i.metal" in result.regions[0].unpriced
    assert len(told) == 4


def test_only_linux_on_shared_machines_is_asked_for(aws, tmp_path):
    refresh_aws(regions=["eu-central-1"], client=aws.client, cache_folder=tmp_path, now=NOW)
    asked = next(request for operation, request in aws.asked if operation == "GetProducts")
    filters = {f["Field"]: f["Value"] for f in asked["Filters"]}
    assert filters == {
        "regionCode": "eu-central-1",
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    history = next(request for operation, request in aws.asked if operation == "DescribeSpotPriceHistory")
    assert history["ProductDescription.1"] == "Linux/UNIX"
    assert history["StartTime"].startswith("2026-11-21T12:00:00")


def test_interruptions_come_from_the_spot_advisor_where_it_is_given_else_from_the_family(aws, tmp_path):
    advisor = tmp_path / "spot-advisor-data.json"
    ranges = [{"index": i, "label": label, "dots": 0, "max": 5} for i, label in enumerate(BAND_SHARES)]
    advisor.write_text(
        json.dumps(
            {
                "ranges": ranges,
                "spot_advisor": {REGION: {"Linux": {"m6i.large": {"s": 60, "r": 4}}, "Windows": {}}},
            }
        )
    )

    def rates() -> dict[str, float]:
        offers = load_catalog(tmp_path / "c").offers()
        return {
            o.instance_type: o.interruptions_per_hour
            for o in offers
            if o.cloud == "aws" and o.market is Market.SPOT
        }

    refresh_aws(
        regions=[REGION], client=aws.client, cache_folder=tmp_path / "c", now=NOW, spot_advisor=advisor
    )
    assert rates()["m6i.large"] == interruptions_per_hour(0.25)
    refresh_aws(regions=[REGION], client=aws.client, cache_folder=tmp_path / "c", now=NOW)
    assert rates()["m6i.large"] == interruptions_per_hour(0.175)  # the built-in family's
    assert rates()["q9z.large"] == interruptions_per_hour(0.125)  # a family nobody knows


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"ranges": [{"index": 0, "label": "?"}], "spot_advisor": {}}', "[" * 100_000]
)
def test_a_file_that_is_no_spot_advisor_data_is_refused(tmp_path, text):
    path = tmp_path / "advisor.json"
    path.write_text(text)
    with pytest.raises(InputError, match="no Spot Advisor data"):
        refresh_aws(
            regions=[REGION], client=lambda *_: None, cache_folder=tmp_path, now=NOW, spot_advisor=path
        )


def test_a_moment_of_throttling_is_waited_out(aws, tmp_path):
    aws.refuse = {
        "DescribeInstanceTypes": [503, "RequestLimitExceeded", 1],
        "GetProducts": [400, "ThrottlingException", 1],
    }
    assert refresh_aws(regions=[REGION], client=aws.client, cache_folder=tmp_path, now=NOW).offers == 7


@pytest.mark.parametrize(
    ("operation", "status", "code", "error", "says"),
    [
        ("DescribeInstanceTypes", 403, "UnauthorizedOperation", InputError, "pricing:GetProducts"),
        ("GetProducts", 400, "AccessDeniedException", InputError, "AWS does not allow GetProducts"),
        ("DescribeSpotPriceHistory", 401, "AuthFailure", InputError, "aws sso login"),
        ("GetProducts", 400, "ExpiredTokenException", InputError, "does not accept these credentials"),
        ("DescribeInstanceTypes", 503, "RequestLimitExceeded", Unavailable, "slow down"),
        ("GetProducts", 500, "InternalErrorException", Unavailable, "refused GetProducts"),
    ],
)
def test_a_refusal_says_what_to_do_and_leaves_the_cache_alone(
    aws, tmp_path, *, operation, status, code, error, says
):
    aws.refuse = {operation: [status, code, 99]}
    with pytest.raises(error) as raised:
        refresh_aws(regions=[REGION], client=aws.client, cache_folder=tmp_path, now=NOW)
    assert says in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_region_without_prices_is_refused_and_an_older_table_stays(aws, tmp_path):
    refresh_aws(regions=[REGION], client=aws.client, cache_folder=tmp_path, now=NOW)
    aws.zero_prices = True
    with pytest.raises(InputError, match="no usable price"):
        refresh_aws(regions=[REGION], client=aws.client, cache_folder=tmp_path, now=NOW)
    assert load_catalog(tmp_path).offers().find(cloud="aws", region=REGION, instance_type="m6i.large")


def test_a_server_that_is_not_there_is_unavailable(tmp_path):
    def nowhere(service: str, region: str):
        config = Config(retries={"max_attempts": 0}, connect_timeout=2)
        keys = {"aws_access_key_id": "t", "aws_secret_access_key": "t"}
        return boto3.client(
            service, region_name=region, endpoint_url="http://127.0.0.1:9", config=config, **keys
        )

    with pytest.raises(Unavailable, match="does not answer"):
        refresh_aws(regions=[REGION], client=nowhere, cache_folder=tmp_path, now=NOW)


@pytest.fixture
def no_aws_configuration(monkeypatch, tmp_path):
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.mark.usefixtures("no_aws_configuration")
def test_without_credentials_or_a_region_the_user_is_told_how_to_get_them(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="no AWS credentials") as raised:
        refresh_aws(regions=[REGION], cache_folder=tmp_path, now=NOW)
    assert "aws configure" in raised.value.hint
    with pytest.raises(InputError, match="no AWS region"):
        refresh_aws(cache_folder=tmp_path, now=NOW)
    with pytest.raises(InputError, match="is no AWS region"):
        refresh_aws(regions=["frankfurt"], cache_folder=tmp_path, now=NOW)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match="configuration cannot be used"):
        refresh_aws(regions=[REGION], cache_folder=tmp_path, now=NOW)


def test_without_boto3_the_user_is_told_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['boto3'] = None\n"
        "from datetime import datetime, UTC; from pathlib import Path\n"
        "from flyball.adapters.catalog.aws import refresh_aws\n"
        "from flyball.errors import InputError\n"
        "try: refresh_aws(regions=['us-east-1'], cache_folder=Path(sys.argv[1]), now=datetime.now(UTC))\n"
        "except InputError as error: print(error)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "pip install 'flyball[aws]'" in out.stdout


@pytest.fixture(scope="module")
def moto_url():
    """moto's own server in a process of its own: EC2 with the machine types of the real one."""
    code = (
        "from moto.server import ThreadedMotoServer; import sys, time\n"
        "server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False); server.start()\n"
        "print(server.get_host_and_port()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.stdin.close()
        server.terminate()


def test_every_machine_type_moto_knows_is_read_and_its_made_up_spot_prices_refused(aws, moto_url, tmp_path):
    def client(service: str, region: str):
        if service == "pricing":
            return aws.client(service, region)  # moto has no price list
        keys = {"aws_access_key_id": "t", "aws_secret_access_key": "t"}
        return boto3.client(service, region_name=region, endpoint_url=moto_url, **keys)

    result = refresh_aws(regions=[REGION], client=client, cache_folder=tmp_path, now=NOW)
    (region,) = result.regions
    assert region.on_demand_offers == 4
    assert len(region.unpriced) > 500
    # moto says 0.00001 USD for every spot machine, which none of them could cost
    assert region.refused > 5000
    assert region.spot_offers == 0
    sold = load_catalog(tmp_path).offers().find(cloud="aws", region=REGION, instance_type="g5.12xlarge")
    assert (sold.gpus, sold.gpu_model, sold.price_usd_per_hour) == (4, "A10G", Decimal("5.672"))
