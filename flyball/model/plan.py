"""What the next run should get, with the evidence in words."""

from __future__ import annotations

import msgspec

from flyball.model.resource import Offer, Size


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Of one quantity over what the next run may need."""

    p50: float
    p90: float
    p99: float


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What the next run is expected to use, from `runs` finished runs."""

    runs: int
    wall_seconds: Quantiles | None = None
    cpu_core_seconds: Quantiles | None = None
    memory_bytes: Quantiles | None = None
    cpu_cores: Quantiles | None = None
    reasons: tuple[str, ...] = ()


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """An offer, and what a finished run on it is expected to cost."""

    offer: Offer
    expected_usd: float  # per finished run: boot and rework after interruptions counted
    expected_seconds: float  # of the run itself on that processor
    reason: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The size to ask for, why, and where it would be cheapest."""

    job: str
    size: Size
    forecast: Forecast
    reasons: tuple[str, ...]  # one sentence per number: memory, cores
    hit_limit_probability: float | None = None  # expected share of runs that will hit the memory limit
    choice: Choice | None = None  # None: no catalogue, or nothing holds it
    catalog_as_of: str | None = None
