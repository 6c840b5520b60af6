"""From what was seen to chances: how soon spot capacity of an age ends or comes back. Averages over what the rates may be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from flyball.policy.spot_memory import (
    AGE_EDGES_SECONDS,
    AGES,
    Spells,
    SpotMemory,
    ZoneMemory,
    age_bin,
    counted,
)

# With nothing seen: a machine lives for two hours and capacity is gone for one. One spell's worth of weight.
LIFE_SECONDS_ASSUMED = 7200.0
GAP_SECONDS_ASSUMED = 3600.0
SPELLS_ASSUMED = 1.0

# Old capacity ends less often than new (short spells are many, and some places are steady): the rate at each age, as a
# share of the mean, that is believed as if two ends had been seen at each age.
SHAPE_ASSUMED = (2.0, 1.4, 0.9, 0.6, 0.4)
SHAPE_ENDS = 2.0


ALIKE = 0.5  # in logarithms: what one more event changes in three to four

Rates = tuple[float, ...]  # per second, one for each age


class Prior(msgspec.Struct, frozen=True, kw_only=True):
    """What is assumed before anything is seen; `life_seconds` comes from a catalogue's interruption rate where there is one."""

    life_seconds: float = LIFE_SECONDS_ASSUMED
    gap_seconds: float = GAP_SECONDS_ASSUMED
    spells: float = SPELLS_ASSUMED

    @classmethod
    def of_interruptions(cls, per_hour: float | None) -> Prior:
        return cls(life_seconds=3600.0 / per_hour) if per_hour else cls()


class Chances(msgspec.Struct, frozen=True, kw_only=True):
    """Rates per second by age, for the capacity one would get."""

    ends: Rates  # of the zone taken
    returns: Rates  # of any zone, once none is up
    another_up: float  # chance that another zone is up when one goes down; it is taken to be new
    price: float  # spot price, as a share of on demand


def rates(spells: Sequence[Spells], *, life_seconds: float, prior_spells: float) -> Rates:
    """Expected rate at each age: gamma posteriors, each age leaning on the mean over all ages."""
    seconds = [sum(s.seconds[a] for s in spells) for a in range(AGES)]
    ends = [sum(s.ends[a] for s in spells) for a in range(AGES)]
    mean = (sum(ends) + prior_spells) / (sum(seconds) + prior_spells * life_seconds)
    return lean(seconds, ends, [mean * share for share in SHAPE_ASSUMED], weight=SHAPE_ENDS)


def lean(seconds: Sequence[float], ends: Sequence[float], on: Sequence[float], *, weight: float) -> Rates:
    """Mean of the gamma posterior with `weight` events' worth of belief in the rates `on`."""
    return tuple((e + weight) / (s + weight / rate) for s, e, rate in zip(seconds, ends, on, strict=True))


def life_left_seconds(ends: Rates, age_seconds: float) -> float:
    """Expected time to the end for a spell of this age."""
    left, alive = 0.0, 1.0
    for place in range(age_bin(age_seconds), AGES):
        width = AGE_EDGES_SECONDS[place + 1] - max(age_seconds, AGE_EDGES_SECONDS[place])
        dies = -math.expm1(-ends[place] * width) if math.isfinite(width) else 1.0
        left += alive * dies / ends[place]
        alive *= 1.0 - dies
    return left


def zone_rates(memory: SpotMemory, *, prior: Prior, now_seconds: float) -> list[Rates]:
    """How each zone's machines end: its own spells, leaning on those of all zones."""
    zones = [_with_present(zone, now_seconds) for zone in memory.zones]
    pooled = rates([z.up_spells for z in zones], life_seconds=prior.life_seconds, prior_spells=prior.spells)
    if len(zones) == 1:
        return [pooled]
    return [lean(z.up_spells.seconds, z.up_spells.ends, pooled, weight=2.0) for z in zones]


def chances(memory: SpotMemory, prices: Sequence[float], *, prior: Prior, now_seconds: float) -> Chances:
    """Chances for a run that takes the cheapest zone that is up; `prices` as shares of on demand."""
    site = _with_present(memory.site, now_seconds)
    each = zone_rates(memory, prior=prior, now_seconds=now_seconds)
    weights = _taken(memory, prices, each)
    return Chances(
        ends=tuple(sum(w * r[a] for w, r in zip(weights, each, strict=True)) for a in range(AGES)),
        returns=rates([site.down_spells], life_seconds=prior.gap_seconds, prior_spells=prior.spells),
        another_up=(memory.another_up + 0.5) / (memory.losses + 1.0) if len(prices) > 1 else 0.0,
        price=sum(w * p for w, p in zip(weights, prices, strict=True)),
    )


def alike(one: Chances, other: Chances) -> bool:
    """Whether a table made for one will do for the other."""
    pairs = zip((*one.ends, *one.returns), (*other.ends, *other.returns), strict=True)
    return (
        all(abs(math.log(a / b)) < ALIKE for a, b in pairs)
        and abs(one.another_up - other.another_up) < ALIKE / 3
        and abs(one.price - other.price) < ALIKE / 10
    )


def _with_present(zone: ZoneMemory, now_seconds: float) -> ZoneMemory:
    return counted(zone, now_seconds=min(now_seconds, zone.looked_at_seconds))


def _taken(memory: SpotMemory, prices: Sequence[float], each: Sequence[Rates]) -> list[float]:
    """How often each zone would be the one taken: the best that is up, if zones were up independently."""
    worth = [price * (1.0 + 600.0 / life_left_seconds(r, 0.0)) for price, r in zip(prices, each, strict=True)]
    weights, none_yet = [0.0] * len(prices), 1.0
    for z in sorted(range(len(prices)), key=lambda z: worth[z]):
        up_seconds, down_seconds = (
            sum(s.seconds) for s in (memory.zones[z].up_spells, memory.zones[z].down_spells)
        )
        share = (up_seconds + 3600.0) / (up_seconds + down_seconds + 7200.0)
        weights[z] = none_yet * share
        none_yet *= 1.0 - share
    total = sum(weights)
    return [w / total for w in weights]
