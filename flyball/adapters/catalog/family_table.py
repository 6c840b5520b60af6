"""How a table of instance families is written, and how it unfolds into offers.

One line a family, its columns apart by blanks:

    name  processor  GiB/vCPU  $/vCPU-hour  spot  band  gpu  sizes...

`#` in a name stands for the size. `$/vCPU-hour` may be `a+b`: a for each vCPU and b for each GiB. `spot` is the typical
discount in per cent, `band` the middle of the share of spot machines taken back in a month, in per cent.
`gpu` is `MODEL:MiB` of one GPU, or `-`. A size is

    NAME[=VCPUS][@GIB][$PRICE][~SHARE][/GPUS]

with what differs from the family's rule: `nano=2@0.5~0.05` has 2 vCPUs, 0.5 GiB and may use 5 % of a vCPU without end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from flyball.adapters.catalog.interruption import interruptions_per_hour
from flyball.model.offers import COLUMNS
from flyball.model.processor import arch_of, seen
from flyball.model.units import GIB, MIB

_SIZE = re.compile(
    r"(?P<name>[a-z0-9-]+)(=(?P<vcpus>\d+))?(@(?P<gib>[\d.]+))?(\$(?P<usd>[\d.]+))?(~(?P<share>[\d.]+))?(/(?P<gpus>\d+))?\Z"
)
# AWS's own steps: "l..24x" in a table means all of them from large to 24xlarge.
_AWS_STEPS = ("m", "l", "x", "2x", "4x", "8x", "12x", "16x", "24x", "32x", "48x", "96x")
_AWS_VCPUS = {"m": 1, "l": 2, "x": 4}
_AWS_LONG = {"m": "medium", "l": "large", "x": "xlarge"}


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """One cloud's table in one region."""

    name: str
    region: str
    as_of: str  # ISO date of the on-demand prices
    source: str
    spot_source: str
    families: str  # the table's text


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine type, unfolded."""

    instance_type: str
    processor: str
    vcpus: int
    memory_bytes: int
    price_usd_per_hour: float  # on demand
    spot_share: float  # of the on-demand price
    interruptions_per_hour: float  # on spot
    sustained_cpu_share: float
    gpus: int
    gpu_model: str | None
    gpu_memory_bytes: int | None


def machines(cloud: Cloud) -> Iterator[Machine]:
    """Every machine type of the table. Raises: ValueError, naming the line, for a table that is written wrongly."""
    for line in cloud.families.splitlines():
        cells = line.split()
        if not cells or cells[0].startswith("//"):
            continue
        try:
            yield from _family(cloud.name, cells)
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(f"{cloud.name}: {line!r}: {error}") from error


def columns(clouds: Sequence[Cloud]) -> dict[str, list[Any]]:
    """Columns of an OfferTable: each machine type on demand and on spot."""
    rows = [row for cloud in clouds for machine in machines(cloud) for row in _offers(cloud, machine)]
    return dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))


def _family(cloud: str, cells: list[str]) -> Iterator[Machine]:
    name, processor, gib_per_vcpu, price, spot, band, gpu, *sizes = cells
    usd_per_vcpu, _, usd_per_gib = price.partition("+")
    gpu_model, _, gpu_mib = gpu.partition(":")
    for size in _steps(sizes):
        match = _SIZE.match(size)
        if match is None:
            raise ValueError(f"size {size!r}")
        vcpus = int(match["vcpus"] or _vcpus(match["name"]))
        gib = float(match["gib"] or float(gib_per_vcpu) * vcpus)
        usd = float(match["usd"] or vcpus * float(usd_per_vcpu) + gib * float(usd_per_gib or 0))
        gpus = int(match["gpus"] or 0)
        yield Machine(
            instance_type=_type_name(cloud, name, match["name"]),
            processor=processor,
            vcpus=vcpus,
            memory_bytes=round(gib * GIB),
            price_usd_per_hour=round(usd, 6),
            spot_share=1 - float(spot) / 100,
            interruptions_per_hour=interruptions_per_hour(float(band) / 100),
            sustained_cpu_share=float(match["share"] or 1),
            gpus=gpus,
            gpu_model=gpu_model if gpus else None,
            gpu_memory_bytes=int(gpu_mib) * MIB if gpus else None,
        )


def _steps(sizes: list[str]) -> Iterator[str]:
    for size in sizes:
        first, dots, last = size.partition("..")
        if dots:
            yield from _AWS_STEPS[_AWS_STEPS.index(first) : _AWS_STEPS.index(last) + 1]
        else:
            yield size


def _vcpus(size: str) -> int:
    """vCPUs a size's name says: 4 of x and of 4, 16 of 4x."""
    if size in _AWS_VCPUS:
        return _AWS_VCPUS[size]
    return 4 * int(size[:-1]) if size.endswith("x") else int(size.partition("-")[0])


def _type_name(cloud: str, family: str, size: str) -> str:
    if cloud == "aws":
        long = _AWS_LONG.get(size) or (f"{size}large" if re.fullmatch(r"\d+x", size) else size)
        return f"{family}.{long}"
    return family.replace("#", size)


def _offers(cloud: Cloud, machine: Machine) -> Iterator[list[Any]]:
    """The cells of COLUMNS, once on demand and once on spot."""
    processor = seen(machine.processor, machine.instance_type)
    arch = arch_of(machine.processor).value
    gpu_memory = float("nan") if machine.gpu_memory_bytes is None else machine.gpu_memory_bytes
    for market, price, interruptions, source in (
        ("on_demand", machine.price_usd_per_hour, 0.0, cloud.source),
        (
            "spot",
            round(machine.price_usd_per_hour * machine.spot_share, 6),
            machine.interruptions_per_hour,
            cloud.spot_source,
        ),
    ):
        yield [
            cloud.name,
            cloud.region,
            None,
            machine.instance_type,
            arch,
            machine.gpu_model,
            market,
            machine.processor,
            cloud.as_of,
            source,
            machine.vcpus,
            machine.memory_bytes,
            machine.gpus,
            gpu_memory,
            price,
            interruptions,
            processor.speed_one_core,
            processor.speed_all_cores,
            machine.sustained_cpu_share,
        ]
