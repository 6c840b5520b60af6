"""How a table of instance families is written, and how it unfolds into offers.

One line a family, its columns apart by blanks:

    name  processor  GiB/vCPU  $/vCPU-hour  spot  band  gpu  sizes...

`#` in a name stands for the size. `$/vCPU-hour` may be `a+b`: a for each vCPU and b for each GiB. `spot` is the typical
discount in per cent (with `?` an estimate of flyball's own), `band` the middle of the share of spot machines taken back in a month, in per cent.
`gpu` is `MODEL:MiB` of one GPU, or `-`. A size is

    NAME[=VCPUS][@GIB][$PRICE][~SHARE][/GPUS]

with what differs from the family's rule: `nano=2@0.5~0.05` has 2 vCPUs, 0.5 GiB and may use 5 % of a vCPU without end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from flyball.adapters.catalog.interruption import interruptions_per_hour
from flyball.model.offers import COLUMNS
from flyball.model.processor import arch_of, seen
from flyball.model.units import MIB

_SIZE = re.compile(
    r"(?P<name>[a-z0-9-]+)(=(?P<vcpus>\d+))?(@(?P<gib>[\d.]+))?(\$(?P<usd>[\d.]+))?(~(?P<share>[\d.]+))?(/(?P<gpus>\d+))?\Z"
)
# AWS's own steps: "l..24x" in a table means all of them from large to 24xlarge.
_AWS_STEPS = ("m", "l", "x", "2x", "4x", "8x", "12x", "16x", "24x", "32x", "48x", "96x")
_AWS_VCPUS = {"m": 1, "l": 2, "x": 4}
_AWS_LONG = {"m": "medium", "l": "large", "x": "xlarge"}

ESTIMATED_SPOT = "built-in table, spot price estimated"


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """One cloud's table in one region."""

    name: str
    region: str
    as_of: str  # ISO date of the on-demand prices
    spot_as_of: str  # of the discounts
    source: str
    spot_source: str
    families: str  # the table's text


class Machine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One machine type, unfolded."""

    instance_type: str
    processor: str
    arch: str
    speed_one_core: float
    speed_all_cores: float
    vcpus: int
    memory_bytes: int
    price_usd_per_hour: float  # on demand
    spot_usd_per_hour: float
    spot_estimated: bool
    interruptions_per_hour: float  # on spot
    sustained_cpu_share: float
    gpus: int
    gpu_model: str | None
    gpu_memory_bytes: float  # of one; NaN without GPU


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
    table: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for cloud in clouds:
        unfolded = list(machines(cloud))
        for name, cells in _columns(cloud, unfolded).items():
            table[name] += cells
    return table


def _columns(cloud: Cloud, unfolded: list[Machine]) -> dict[str, list[Any]]:
    count = len(unfolded)
    table: dict[str, list[Any]] = {
        name: [getattr(m, name) for m in unfolded] * 2 for name in COLUMNS if hasattr(Machine, name)
    }
    constant = {"cloud": cloud.name, "region": cloud.region, "zone": None}
    table |= {name: [value] * (2 * count) for name, value in constant.items()}
    table["as_of"] = [cloud.as_of] * count + [cloud.spot_as_of] * count
    table["market"] = ["on_demand"] * count + ["spot"] * count
    table["source"] = [cloud.source] * count + [
        ESTIMATED_SPOT if m.spot_estimated else cloud.spot_source for m in unfolded
    ]
    table["price_usd_per_hour"][count:] = [m.spot_usd_per_hour for m in unfolded]
    table["interruptions_per_hour"][:count] = [0.0] * count
    return table


def _family(cloud: str, cells: list[str]) -> Iterator[Machine]:
    name, processor, gib_per_vcpu, price, spot, band, gpu, *sizes = cells
    vcpu_usd, _, gib_usd = price.partition("+")
    usd_per_vcpu, usd_per_gib, gib_ratio = float(vcpu_usd), float(gib_usd or 0), float(gib_per_vcpu)
    spot_share, interruptions = 1 - float(spot.rstrip("?")) / 100, interruptions_per_hour(float(band) / 100)
    gpu_model, _, gpu_mib = gpu.partition(":")
    sold = seen(processor, _type_name(cloud, name, "1"))
    arch = arch_of(processor).value
    for size in _steps(sizes):
        own = _own_figures(size)
        vcpus = own.vcpus or _vcpus(own.name)
        gib = own.gib or gib_ratio * vcpus
        usd = own.usd or vcpus * usd_per_vcpu + gib * usd_per_gib
        yield Machine(
            instance_type=_type_name(cloud, name, own.name),
            processor=processor,
            arch=arch,
            speed_one_core=sold.speed_one_core,
            speed_all_cores=sold.speed_all_cores,
            vcpus=vcpus,
            memory_bytes=round(gib * 1024) * MIB,
            price_usd_per_hour=round(usd, 6),
            spot_usd_per_hour=round(usd * spot_share, 6),
            spot_estimated=spot.endswith("?"),
            interruptions_per_hour=interruptions,
            sustained_cpu_share=own.share or 1.0,
            gpus=own.gpus,
            gpu_model=gpu_model if own.gpus else None,
            gpu_memory_bytes=float(gpu_mib) * MIB if own.gpus else math.nan,
        )


class _OwnFigures(msgspec.Struct, frozen=True):
    """What one size says that its family does not; 0: nothing."""

    name: str
    vcpus: int = 0
    gib: float = 0.0
    usd: float = 0.0
    share: float = 0.0
    gpus: int = 0


@lru_cache(maxsize=512)
def _own_figures(size: str) -> _OwnFigures:
    match = _SIZE.match(size)
    if match is None:
        raise ValueError(f"size {size!r}")
    name, vcpus, gib, usd, share, gpus = match.group("name", "vcpus", "gib", "usd", "share", "gpus")
    return _OwnFigures(
        name, int(vcpus or 0), float(gib or 0), float(usd or 0), float(share or 0), int(gpus or 0)
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
    return f"{family}.{_aws_size(size)}" if cloud == "aws" else family.replace("#", size)


@lru_cache(maxsize=64)
def _aws_size(size: str) -> str:
    return _AWS_LONG.get(size) or (f"{size}large" if re.fullmatch(r"\d+x", size) else size)
