"""This computer as something on offer: its size, its price, what a provider on it is like."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from flyball.meter.host import host_facts
from flyball.model.machine import Capabilities
from flyball.model.processor import processor_of
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.units import GIB

RESERVE_SHARE = 0.1  # of the memory, for the system, the governor and the wrappers (25 MiB each)
RESERVE_BYTES_MIN, RESERVE_BYTES_MAX = GIB // 2, 8 * GIB
NVIDIA = "/proc/driver/nvidia/gpus"


def size_here(memory_reserve_bytes: int | None = None) -> Size:
    """What attempts may have together: cores and memory this process may use, less a reserve of memory."""
    facts = host_facts()
    cores, memory_bytes = facts["cpu_cores"] or 1.0, facts["memory_bytes"] or GIB
    reserve_bytes = memory_reserve_bytes
    if reserve_bytes is None:
        share_bytes = int(memory_bytes * RESERVE_SHARE)
        reserve_bytes = min(max(share_bytes, RESERVE_BYTES_MIN), RESERVE_BYTES_MAX, memory_bytes // 2)
    return Size(
        cpu_cores=float(cores), memory_bytes=max(0, int(memory_bytes) - reserve_bytes), gpus=_gpus_here()
    )


def offer_here(size: Size, now_seconds: float) -> Offer:
    """One's own hardware: it costs nothing more to use it."""
    facts = host_facts()
    processor = processor_of(cpu_model=facts["cpu_model"])
    return Offer(
        cloud="local",
        region="here",
        instance_type="this-machine",
        arch=Arch.ARM64 if facts["arch"] == Arch.ARM64.value else Arch.X86_64,
        vcpus=max(1, int(size.cpu_cores)),
        memory_bytes=size.memory_bytes,
        gpus=size.gpus,
        market=Market.ON_DEMAND,
        price_usd_per_hour=Decimal(0),
        speed_one_core=processor.speed_one_core,
        speed_all_cores=processor.speed_all_cores,
        processor=processor.name,
        as_of=datetime.fromtimestamp(now_seconds, UTC).date(),
        source="this machine",
    )


def capabilities_here(size: Size, offer: Offer) -> Capabilities:
    return Capabilities(
        launch_seconds_max=30.0,
        boot_seconds=0.1,
        bills_by_machine=offer.price_usd_per_hour > 0,
        shared_machine=size,
        not_included=("electricity and wear of this machine",) if not offer.price_usd_per_hour else (),
    )


def _gpus_here() -> int:
    try:
        return len(list(Path(NVIDIA).iterdir()))
    except OSError:
        return 0
