"""What can be had of a cloud's machines, when they are taken away, and what they cost: by traces or by rates."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from random import Random

import msgspec

from flyball.model.resource import Market, Offer

NEVER = float("inf")
NANO_PER_USD = 10**9


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One spot pool (a machine type in a zone), step by step; after its end it stays as it was last."""

    start_seconds: float  # since the epoch
    step_seconds: float
    up: Sequence[bool]
    usd_per_hour: Sequence[float] | None = None  # None: as in the catalogue


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Of every pool without a trace."""

    interruptions_per_hour: float | None = None  # of each spot machine; None: as its offer says
    spot_up_seconds: float = NEVER  # mean time for which spot machines can be had...
    spot_down_seconds: float = 0.0  # ...and for which they cannot; held ones stay
    on_demand_up_seconds: float = NEVER
    on_demand_down_seconds: float = 0.0
    on_demand_refusal_rate: float = 0.0  # of single launches


class Weather:
    """The same seed gives the same weather, whoever launches what."""

    def __init__(
        self,
        *,
        seed: int = 0,
        rates: Rates = Rates(),  # noqa: B008 - frozen
        traces: Mapping[tuple[str, str], Trace] | None = None,
        start_seconds: float = 0.0,
    ) -> None:
        """`traces` by (zone or region, machine type). `start_seconds`: before it, all pools are up."""
        self._seed, self._rates, self._start_seconds = seed, rates, start_seconds
        self._traces = {key: _Traced(trace) for key, trace in (traces or {}).items()}
        self._pools: dict[str, _Alternating] = {}

    def has_capacity(self, offer: Offer, at_seconds: float, rng: Random) -> bool:
        traced = self._traced(offer)
        if traced is not None:
            return traced.up(at_seconds)
        if offer.market is Market.ON_DEMAND and rng.random() < self._rates.on_demand_refusal_rate:
            return False
        return self._pool(offer).up(at_seconds)

    def taken_at(self, offer: Offer, launched_at_seconds: float, rng: Random) -> float:
        """When a spot machine launched then is taken away; NEVER for others."""
        if offer.market is not Market.SPOT:
            return NEVER
        traced = self._traced(offer)
        if traced is not None:
            return traced.down_after(launched_at_seconds)
        rate = self._rates.interruptions_per_hour
        rate = offer.interruptions_per_hour if rate is None else rate
        return launched_at_seconds + rng.expovariate(rate / 3600) if rate > 0 else NEVER

    def nano_usd(self, offer: Offer, from_seconds: float, billed_seconds: int) -> int:
        """The price of so long from then on, at the prices of that time, in nano-dollars."""
        traced = self._traced(offer)
        if traced is not None and traced.prices is not None:
            return traced.nano_usd(from_seconds, billed_seconds)
        per_hour = int(offer.price_usd_per_hour * NANO_PER_USD)
        return (per_hour * billed_seconds + 1800) // 3600

    def usd_per_hour(self, offer: Offer, at_seconds: float) -> Decimal:
        traced = self._traced(offer)
        if traced is not None and traced.prices is not None:
            return Decimal(repr(traced.prices[traced.step(at_seconds)]))
        return offer.price_usd_per_hour

    def next_change_seconds(self, offer: Offer, at_seconds: float) -> float:
        """When it goes up or down next; NEVER when that does not happen."""
        pool = self._traced(offer) or self._pool(offer)
        return pool.change_after(at_seconds)

    def _traced(self, offer: Offer) -> _Traced | None:
        if offer.market is not Market.SPOT or not self._traces:
            return None
        return self._traces.get((offer.zone or offer.region, offer.instance_type))

    def _pool(self, offer: Offer) -> _Alternating:
        pool = self._pools.get(offer.offer_id)
        if pool is None:
            spot, rates = offer.market is Market.SPOT, self._rates
            pool = self._pools[offer.offer_id] = _Alternating(
                Random(f"{self._seed} {offer.offer_id}"),
                self._start_seconds,
                rates.spot_up_seconds if spot else rates.on_demand_up_seconds,
                rates.spot_down_seconds if spot else rates.on_demand_down_seconds,
            )
        return pool


class _Traced:
    def __init__(self, trace: Trace) -> None:
        self._trace, self.prices = trace, trace.usd_per_hour
        self._states = [bool(up) for up in trace.up]
        self._changes = [
            trace.start_seconds + i * trace.step_seconds
            for i in range(1, len(self._states))
            if self._states[i] != self._states[i - 1]
        ]

    def step(self, at_seconds: float) -> int:
        step = int((at_seconds - self._trace.start_seconds) // self._trace.step_seconds)
        return min(max(step, 0), len(self._states) - 1)

    def up(self, at_seconds: float) -> bool:
        return self._states[self.step(at_seconds)]

    def change_after(self, at_seconds: float) -> float:
        place = bisect_right(self._changes, at_seconds)
        return self._changes[place] if place < len(self._changes) else NEVER

    def down_after(self, at_seconds: float) -> float:
        return self.change_after(at_seconds) if self.up(at_seconds) else at_seconds

    def nano_usd(self, from_seconds: float, billed_seconds: int) -> int:
        assert self.prices is not None
        nano, at, end = 0.0, from_seconds, from_seconds + billed_seconds
        while at < end:
            step = self.step(at)
            after = self._trace.start_seconds + (step + 1) * self._trace.step_seconds
            until = end if step == len(self._states) - 1 else min(end, max(after, at + 1e-6))
            nano += self.prices[step] * (until - at) / 3600 * NANO_PER_USD
            at = until
        return round(nano)


class _Alternating:
    """Up and down for exponential times, made as far as anybody has looked."""

    def __init__(self, rng: Random, start_seconds: float, up_seconds: float, down_seconds: float) -> None:
        self._rng, self._means = rng, (up_seconds, down_seconds)
        self._changes: list[float] = []  # the even ones go down
        self._until = start_seconds
        if up_seconds == NEVER or down_seconds <= 0:
            self._until = NEVER

    def up(self, at_seconds: float) -> bool:
        self._reach(at_seconds)
        return bisect_right(self._changes, at_seconds) % 2 == 0

    def change_after(self, at_seconds: float) -> float:
        self._reach(at_seconds)
        place = bisect_right(self._changes, at_seconds)
        return self._changes[place] if place < len(self._changes) else NEVER

    def _reach(self, at_seconds: float) -> None:
        while self._until <= at_seconds:
            mean = self._means[len(self._changes) % 2]
            self._until += self._rng.expovariate(1 / mean)
            self._changes.append(self._until)
