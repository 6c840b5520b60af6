"""From what was seen to chances: how soon spot capacity of an age ends or comes back. Averages over what the rates may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from flyball.policy.spot_memory import (
    AGE_EDGES_SECONDS,
    AGES,
    NOTHING_SEEN,
    Spells,
    SpotMemory,
    ZoneMemory,
    age_bin,
    counted,
)

# With nothing seen: a machine lives for two hours and capacity is gone for one, believed as if seen once.
LIFE_SECONDS_ASSUMED = 7200.0
GAP_SECONDS_ASSUMED = 3600.0
SPELLS_ASSUMED = 1.0

# Old capacity ends less often than new (short spells are many, and some places are steady): the rate at each age, as a
# share of the mean, that is believed as if two ends had been seen at each age.
SHAPE_ASSUMED = (2.0, 1.4, 0.9, 0.6, 0.4)
SHAPE_ENDS = 2.0
ZONE_ENDS = 2.0  # so many ends make a zone's own rate weigh as much as that of all zones

ALIKE = 0.5  # in logarithms: what one more end changes when two had been seen

Rates = tuple[float, ...]  # per second, one for each age


class Prior(msgspec.Struct, frozen=True, kw_only=True):
    """What is assumed before anything is seen, and how many spells' worth of seeing that is."""

    life_seconds: float = LIFE_SECONDS_ASSUMED
    gap_seconds: float = GAP_SECONDS_ASSUMED
    spells: float = SPELLS_ASSUMED

    @classmethod
    def of_interruptions(cls, per_hour: float | None) -> Prior:
        """From a catalogue's interruption rate; None where it has none."""
        return cls(life_seconds=3600.0 / per_hour) if per_hour else cls()


class Chances(msgspec.Struct, frozen=True, kw_only=True):
    """Rates by age, for the zones one would get."""

    ends: Rates  # of the zone taken
    returns: Rates  # of any zone, once none is up
    another_up: float  # chance that another zone is up when one goes down; it is taken to be new
    price: float  # spot price, as a share of on demand
    each_zone: Mapping[str, Rates]  # ends of each


def chances(
    memory: SpotMemory, price_shares: Mapping[str, float], *, prior: Prior, now_seconds: float
) -> Chances:
    """Chances for a run that takes the best zone that is up; prices are shares of on demand."""
    zones = {z: _with_present(memory.zones.get(z, NOTHING_SEEN), now_seconds) for z in price_shares}
    all_zones = [z.up_spells for z in zones.values()]
    pooled = rates(all_zones, mean_seconds=prior.life_seconds, prior_spells=prior.spells)
    each = {name: _leaning(z.up_spells, pooled) for name, z in zones.items()} if len(zones) > 1 else {}
    each = each or dict.fromkeys(zones, pooled)
    weights = _taken(zones, price_shares, each)
    site = _with_present(memory.site, now_seconds).down_spells
    return Chances(
        ends=tuple(sum(w * each[z][age] for z, w in weights.items()) for age in range(AGES)),
        returns=rates([site], mean_seconds=prior.gap_seconds, prior_spells=prior.spells),
        another_up=(memory.another_up + 0.5) / (memory.losses + 1.0) if len(zones) > 1 else 0.0,
        price=sum(w * price_shares[z] for z, w in weights.items()),
        each_zone=each,
    )


def alike(one: Chances, other: Chances) -> bool:
    """Whether a table made for one will do for the other."""
    pairs = zip((*one.ends, *one.returns), (*other.ends, *other.returns), strict=True)
    return (
        all(abs(math.log(a / b)) < ALIKE for a, b in pairs)
        and abs(one.another_up - other.another_up) < ALIKE / 3
        and abs(one.price - other.price) < ALIKE / 10
        and one.each_zone.keys() == other.each_zone.keys()
    )


def rates(spells: Sequence[Spells], *, mean_seconds: float, prior_spells: float) -> Rates:
    """Expected rate at each age: gamma posteriors, each age leaning on the mean over all ages.

    A spell that has not ended counts with its seconds, so nothing is biased by stopping to look.
    """
    seconds = [sum(s.seconds[age] for s in spells) for age in range(AGES)]
    ends = [sum(s.ends[age] for s in spells) for age in range(AGES)]
    mean = (sum(ends) + prior_spells) / (sum(seconds) + prior_spells * mean_seconds)
    return tuple(
        (e + SHAPE_ENDS) / (s + SHAPE_ENDS / (mean * share))
        for e, s, share in zip(ends, seconds, SHAPE_ASSUMED, strict=True)
    )


def life_left_seconds(ends: Rates, age_seconds: float) -> float:
    """Expected time to the end for a spell of this age."""
    left, alive = 0.0, 1.0
    for place in range(age_bin(age_seconds), AGES):
        width = AGE_EDGES_SECONDS[place + 1] - max(age_seconds, AGE_EDGES_SECONDS[place])
        dies = -math.expm1(-ends[place] * width)
        left += alive * dies / ends[place]
        alive *= 1.0 - dies
    return left


def chance_up(zone: ZoneMemory, *, prior: Prior, now_seconds: float) -> float:
    """Chance that a zone is up now: the last look fades into the share of time it was seen up."""
    up = sum(zone.up_spells.seconds) + prior.spells * prior.life_seconds
    down = sum(zone.down_spells.seconds) + prior.spells * prior.gap_seconds
    share = up / (up + down)
    if zone.up is None:
        return share
    ends = sum(zone.up_spells.ends) + prior.spells
    returns = sum(zone.down_spells.ends) + prior.spells
    kept = math.exp(-(now_seconds - zone.looked_at_seconds) * (ends / up + returns / down))
    return share + (zone.up - share) * kept


def _leaning(spells: Spells, on: Rates) -> Rates:
    return tuple(
        (e + ZONE_ENDS) / (s + ZONE_ENDS / rate)
        for e, s, rate in zip(spells.ends, spells.seconds, on, strict=True)
    )


def _with_present(zone: ZoneMemory, now_seconds: float) -> ZoneMemory:
    return counted(zone, now_seconds=min(now_seconds, zone.looked_at_seconds))


def _taken(
    zones: Mapping[str, ZoneMemory], price_shares: Mapping[str, float], each: Mapping[str, Rates]
) -> dict[str, float]:
    """How often each zone would be the one taken: the best that is up, as if zones were up independently."""

    def worth(name: str) -> float:
        return price_shares[name] * (
            1.0 + 600.0 / life_left_seconds(each[name], 0.0)
        )  # ten minutes lost a machine

    weights, none_yet = {}, 1.0
    for name in sorted(zones, key=worth):
        up, down = (sum(s.seconds) + 3600.0 for s in (zones[name].up_spells, zones[name].down_spells))
        weights[name] = none_yet * up / (up + down)
        none_yet -= weights[name]
    total = sum(weights.values())
    return {name: w / total for name, w in weights.items()}
