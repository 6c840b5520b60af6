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

# Rates rise or fall with age as in Weibull lifetimes of these shapes: 1 is memoryless, below it old capacity ends less often
# than new, above it capacity wears out. What was seen says how much each is believed; each age's own rate then leans on
# the mean of them as if so many ends had been seen at it.
SHAPES = (1.5, 1.0, 0.75, 0.5, 0.25)
SHAPE_ENDS = 3.0
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
    each = (
        {
            name: _leaning(z.up_spells.seconds, z.up_spells.ends, pooled, weight=ZONE_ENDS)
            for name, z in zones.items()
        }
        if len(zones) > 1
        else {}
    )
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
    """Expected rate at each age: gamma posteriors under each shape, and each age leaning on their mean.

    A spell that has not ended counts with its seconds, so nothing is biased by stopping to look.
    """
    seconds = [sum(s.seconds[age] for s in spells) for age in range(AGES)]
    ends = [sum(s.ends[age] for s in spells) for age in range(AGES)]
    typical = age_bin(mean_seconds)
    events, beliefs, curves = sum(ends) + prior_spells, [], []
    for shape in SHAPES:
        curve = [4.0 ** ((age - typical) * (shape - 1.0)) for age in range(AGES)]
        exposed = sum(s * c for s, c in zip(seconds, curve, strict=True)) + prior_spells * mean_seconds
        beliefs.append(
            sum(e * math.log(c) for e, c in zip(ends, curve, strict=True)) - events * math.log(exposed)
        )
        curves.append([c * events / exposed for c in curve])
    weights = [math.exp(belief - max(beliefs)) for belief in beliefs]
    expected = [
        sum(w * c[age] for w, c in zip(weights, curves, strict=True)) / sum(weights) for age in range(AGES)
    ]
    return _leaning(seconds, ends, expected, weight=SHAPE_ENDS)


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


def _leaning(seconds: Sequence[float], ends: Sequence[float], on: Sequence[float], *, weight: float) -> Rates:
    """Mean of the gamma posterior when the rates `on` are believed as if `weight` ends had been seen."""
    return tuple((e + weight) / (s + weight / rate) for e, s, rate in zip(ends, seconds, on, strict=True))


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
