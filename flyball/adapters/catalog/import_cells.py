"""One row of an imported table, read into an offer; column by column, with what is wrong in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from flyball.adapters.catalog.table_file import short_text
from flyball.model.offers import decimal_usd
from flyball.model.processor import arch_of, processor_of
from flyball.model.resource import Arch, Market, Offer
from flyball.model.units import parse_bytes

MOST_USD_PER_VCPU_HOUR = 25.0  # the dearest real one is 1.02 (eight H100 in 96 vCPUs)
LEAST_USD_PER_VCPU_HOUR = 0.0001  # the cheapest real one is 0.0008 (t4g.nano on spot)
MOST_CHARACTERS = 200
_MARKETS = {
    "spot": Market.SPOT,
    "on_demand": Market.ON_DEMAND,
    "on-demand": Market.ON_DEMAND,
    "ondemand": Market.ON_DEMAND,
}
_ARCHS = {"x86_64": Arch.X86_64, "amd64": Arch.X86_64, "arm64": Arch.ARM64, "aarch64": Arch.ARM64}


def offer_of(row: Mapping[str, Any], today: date, name: str) -> Offer:
    """Raises: ValueError, InputError, saying what is wrong in which column."""
    instance_type = _text(row, "instance_type")
    vcpus = _whole(row, "vcpus", least=1, most=10_000)
    price = _price(row, vcpus)
    seen = processor_of(instance_type=instance_type)
    gpus = _whole(row, "gpus", least=0, most=1024, missing=0)
    as_of = _as_of(row, today)
    return Offer(
        cloud=_text(row, "cloud").lower(),
        region=_text(row, "region"),
        zone=_optional_text(row, "zone"),
        instance_type=instance_type,
        arch=_arch(row, seen.name if seen.known else None),
        vcpus=vcpus,
        memory_bytes=_bytes(row, "memory_bytes"),
        gpus=gpus,
        gpu_model=_optional_text(row, "gpu_model") if gpus else None,
        gpu_memory_bytes=_bytes(row, "gpu_memory_bytes")
        if gpus and _given(row, "gpu_memory_bytes")
        else None,
        market=_market(row),
        price_usd_per_hour=price,
        interruptions_per_hour=_number(row, "interruptions_per_hour", least=0.0, most=60.0, missing=0.0),
        speed_one_core=_number(row, "speed_one_core", least=0.01, most=100.0, missing=seen.speed_one_core),
        speed_all_cores=_number(row, "speed_all_cores", least=0.01, most=100.0, missing=seen.speed_all_cores),
        sustained_cpu_share=_number(row, "sustained_cpu_share", least=0.001, most=1.0, missing=1.0),
        processor=_optional_text(row, "processor") or (seen.name if seen.known else None),
        as_of=as_of,
        source=_optional_text(row, "source") or f"imported from {name}",
    )


def _given(row: Mapping[str, Any], column: str) -> bool:
    value = row.get(column)
    return value is not None and str(value).strip() != ""


def _text(row: Mapping[str, Any], column: str) -> str:
    value = str(row[column]).strip() if _given(row, column) else ""
    if not value:
        raise ValueError(f"{column} is empty")
    if len(value) > MOST_CHARACTERS or not value.isprintable():
        raise ValueError(f"{column} is no name: {short_text(value)!r}")
    return value


def _optional_text(row: Mapping[str, Any], column: str) -> str | None:
    return _text(row, column) if _given(row, column) else None


def _number(
    row: Mapping[str, Any], column: str, *, least: float, most: float, missing: float | None = None
) -> float:
    if missing is not None and not _given(row, column):
        return missing
    text = _text(row, column)
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{column} {text!r} is not a number") from None
    if not math.isfinite(value) or not least <= value <= most:
        raise ValueError(f"{column} {text} is not between {least:g} and {most:g}")
    return value


def _whole(row: Mapping[str, Any], column: str, *, least: int, most: int, missing: int | None = None) -> int:
    value = _number(row, column, least=least, most=most, missing=missing)
    if value != int(value):
        raise ValueError(f"{column} {value} is not a whole number")
    return int(value)


def _bytes(row: Mapping[str, Any], column: str) -> int:
    """A plain number is bytes, as in the JSON rows; "16GiB" is read too."""
    text = _text(row, column)
    if text[-1:].isalpha() and not text.lower().endswith(("nan", "inf", "infinity")):
        return parse_bytes(text)
    value = int(_number(row, column, least=1, most=2.0**50))
    if value < 2**20:
        raise ValueError(f"{column} {value} is under 1 MiB: it is counted in bytes; write 16GiB for 16 GiB")
    return value


def _price(row: Mapping[str, Any], vcpus: int) -> Decimal:
    text = _text(row, "price_usd_per_hour")
    value = (
        _number({"p": text.removeprefix("$")}, "p", least=-1e12, most=1e12) if _numeric(text) else math.nan
    )
    if not value > 0:
        raise ValueError(f"price_usd_per_hour {text} is not above zero")
    if not LEAST_USD_PER_VCPU_HOUR <= value / vcpus <= MOST_USD_PER_VCPU_HOUR:
        raise ValueError(f"price_usd_per_hour {text} is {value / vcpus:.3g} per vCPU: no machine costs that")
    return decimal_usd(value)


def _numeric(text: str) -> bool:
    try:
        return math.isfinite(float(text.removeprefix("$")))
    except ValueError:
        return False


def _market(row: Mapping[str, Any]) -> Market:
    text = _text(row, "market").lower()
    if text not in _MARKETS:
        raise ValueError(f"market {text!r} is neither on_demand nor spot")
    return _MARKETS[text]


def _arch(row: Mapping[str, Any], processor: str | None) -> Arch:
    if not _given(row, "arch"):
        if processor is None:
            raise ValueError("arch is empty, and the machine type does not say it: x86_64 or arm64")
        return arch_of(processor)
    text = _text(row, "arch").lower()
    if text not in _ARCHS:
        raise ValueError(f"arch {text!r} is neither x86_64 nor arm64")
    return _ARCHS[text]


def _as_of(row: Mapping[str, Any], today: date) -> date:
    if not _given(row, "as_of"):
        return today
    text = _text(row, "as_of")
    try:
        as_of = date.fromisoformat(text[:10])
    except ValueError:
        raise ValueError(f"as_of {text!r} is not a date like 2026-11-21") from None
    if as_of.year < 2006 or as_of > today:
        raise ValueError(f"as_of {text} is not between 2006 and today")
    return as_of
