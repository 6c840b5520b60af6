"""What can be asked for (Size) and what is for sale (Offer)."""

from __future__ import annotations

import enum
from datetime import date
from decimal import Decimal

import msgspec


class Market(enum.Enum):
    ON_DEMAND = "on_demand"
    SPOT = "spot"


class Arch(enum.Enum):
    X86_64 = "x86_64"
    ARM64 = "arm64"


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Amount of compute: what a job needs, or what a machine has."""

    cpu_cores: float
    memory_bytes: int
    gpus: int = 0

    def holds(self, need: Size) -> bool:
        return (
            need.cpu_cores <= self.cpu_cores
            and need.memory_bytes <= self.memory_bytes
            and need.gpus <= self.gpus
        )


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One machine type for sale in one place and market, at a price known as of a date."""

    cloud: str  # aws, gcp, azure
    region: str
    zone: str | None = None  # None: any zone of the region at this price
    instance_type: str
    arch: Arch
    vcpus: int
    memory_bytes: int
    gpus: int = 0
    gpu_model: str | None = None
    gpu_memory_bytes: int | None = None  # of one GPU
    market: Market
    price_usd_per_hour: Decimal
    interruptions_per_hour: float = 0.0  # 0 on demand
    speed_one_core: float = 1.0  # single-thread speed relative to m6i (Ice Lake, 3.5 GHz turbo) = 1.0
    speed_all_cores: float = (
        1.0  # speed per vCPU with every vCPU busy, relative to one m6i vCPU, all busy, = 1.0
    )
    sustained_cpu_share: float = 1.0  # burstable families: share of a vCPU that may be used without end
    processor: str | None = None  # name in model/processor.py, by which a job's own speeds are kept
    as_of: date
    source: str

    @property
    def offer_id(self) -> str:
        return f"{self.cloud}/{self.zone or self.region}/{self.instance_type}/{self.market.value}"
