"""What decisions may look at beside the snapshot: offers, forecasts, the user's ceilings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType

import msgspec

from flyball.model.ceilings import Ceilings
from flyball.model.job import RunSpec
from flyball.model.machine import Capabilities
from flyball.model.offers import OfferTable
from flyball.model.plan import Plan, Quantiles
from flyball.model.resource import Offer
from flyball.model.snapshot import LiveRun
from flyball.policy.placement import Work
from flyball.policy.retry import Grown


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as decisions see it."""

    name: str
    capabilities: Capabilities
    offers: OfferTable


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """A job's own past, for what is unusual. None: too few runs to say."""

    runs: int = 0
    wall_seconds: Quantiles | None = None
    wall_seconds_p95: float | None = None
    cost_usd: Quantiles | None = None
    wall_seconds_unusual: tuple[float, ...] = ()  # limits by weekday, Monday first (policy/alerts_usual.py)
    cost_usd_unusual: tuple[float, ...] = ()


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """What a run does on the machine its job was last seen on, and how fast other processors are for that job."""

    work: Work | None = None  # None: not known
    speeds: Mapping[str, float] = MappingProxyType({})  # corrections by processor


def _not_known(_: RunSpec) -> Doing:
    return Doing()


def _no_growth(_: LiveRun, limit_bytes: int, __: int) -> Grown | None:
    return Grown(memory_limit_bytes=limit_bytes * 2, reason="doubled")


def _no_price_history(_: str, __: Offer, ___: float, ____: float) -> Decimal | None:
    return None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """The functions are pure as seen from here: the same answer within one tick."""

    supplies: Mapping[str, Supply]
    plan: Callable[[RunSpec], Plan]  # size and forecast of a run, without regard to what the user asked for
    usual: Callable[[str], Usual]  # of a job
    grow: Callable[[LiveRun, int, int], Grown | None] = _no_growth  # (run, failed limit, failed attempts)
    doing: Callable[[RunSpec], Doing] = _not_known
    price_paid: Callable[[str, Offer, float, float], Decimal | None] = (
        _no_price_history  # (provider, offer, from, to): mean dollars an hour between; None: as planned
    )
    ceilings: Ceilings = Ceilings()
    catalog_age_seconds: float | None = None
    only: frozenset[str] | None = (
        None  # run ids: decide about these and leave all others be; None: about everything
    )
