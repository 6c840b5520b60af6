"""What has been seen of spot capacity: how long it lasted, how long it was gone, zone by zone. Values and pure updates.

A zone is up while a spot machine of the wanted type can be had there and lives, else down. Up and down spells are counted
by age, because a machine that has lived for hours is taken away far less often than a new one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

HOUR = 3600.0

# Ages grow by a factor of 4: few enough to be filled by days of looking, and a rate changes little within one.
AGE_EDGES_SECONDS = (0.0, 900.0, 3600.0, 4 * HOUR, 16 * HOUR, math.inf)
AGES = len(AGE_EDGES_SECONDS) - 1

# Two looks farther apart than this say nothing about what was in between.
BLIND_SECONDS_MAX = 1800.0

# What was seen two days ago counts half: markets change within days, and fewer spells would leave too little to count.
HALF_LIFE_SECONDS = 48 * HOUR


class Spells(msgspec.Struct, frozen=True, kw_only=True):
    """Spells of one kind: seconds seen at each age, and how many ended at it."""

    seconds: tuple[float, ...] = (0.0,) * AGES
    ends: tuple[float, ...] = (0.0,) * AGES


class ZoneMemory(msgspec.Struct, frozen=True, kw_only=True):
    """`up` is what the last look saw; `age_from_seconds` is when that spell began, as far as it was seen."""

    up: bool | None = None
    age_from_seconds: float = 0.0
    counted_to_seconds: float = 0.0  # the current spell is in the counts up to here
    looked_at_seconds: float = -math.inf
    up_spells: Spells = Spells()
    down_spells: Spells = Spells()

    def age_seconds(self, now_seconds: float) -> float:
        return max(0.0, now_seconds - self.age_from_seconds)


NOTHING_SEEN = ZoneMemory()


class SpotMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Zones by name, and the site: up while any zone is. Never changed in place."""

    zones: dict[str, ZoneMemory]
    site: ZoneMemory = NOTHING_SEEN
    changes: int = 0  # looks that saw something new
    losses: float = 0.0  # a zone went down
    lost_at_seconds: float = 0.0
    another_up: float = 0.0  # of these, another zone was up

    @classmethod
    def of(cls, zones: Iterable[str]) -> SpotMemory:
        """Nothing seen yet."""
        return cls(zones={zone: ZoneMemory() for zone in zones})

    def up_now(self, zone: str, *, now_seconds: float, fresh_seconds: float) -> bool | None:
        """What the last look saw, None if that is more than `fresh_seconds` ago."""
        last = self.zones.get(zone)
        return last.up if last and now_seconds - last.looked_at_seconds <= fresh_seconds else None


def age_bin(age_seconds: float) -> int:
    """Place of an age in AGE_EDGES_SECONDS."""
    for place in range(1, AGES):
        if age_seconds < AGE_EDGES_SECONDS[place]:
            return place - 1
    return AGES - 1


def seen(memory: ZoneMemory, *, up: bool, now_seconds: float) -> ZoneMemory:
    """Memory after one look; a state lasts from the look that saw it first to the first look that saw another."""
    if now_seconds < memory.looked_at_seconds:
        return memory  # a late report changes nothing
    known = memory.up is not None and now_seconds - memory.looked_at_seconds <= BLIND_SECONDS_MAX
    if known and memory.up == up:
        return ZoneMemory(
            up=up,
            age_from_seconds=memory.age_from_seconds,
            counted_to_seconds=memory.counted_to_seconds,
            looked_at_seconds=now_seconds,
            up_spells=memory.up_spells,
            down_spells=memory.down_spells,
        )
    told = counted(memory, now_seconds=now_seconds if known else memory.looked_at_seconds, ended=known)
    return ZoneMemory(
        up=up,
        age_from_seconds=now_seconds,
        counted_to_seconds=now_seconds,
        looked_at_seconds=now_seconds,
        up_spells=told.up_spells,
        down_spells=told.down_spells,
    )


def counted(memory: ZoneMemory, *, now_seconds: float, ended: bool = False) -> ZoneMemory:
    """The same memory with the current spell in its counts, older ones fading."""
    if memory.up is None or now_seconds < memory.counted_to_seconds:
        return memory
    start, end = (t - memory.age_from_seconds for t in (memory.counted_to_seconds, now_seconds))
    fade = _fade(now_seconds - memory.counted_to_seconds)
    up_spells, down_spells = (_faded(s, fade) for s in (memory.up_spells, memory.down_spells))
    if memory.up:
        up_spells = _with_spell(up_spells, start, end, ended=ended)
    else:
        down_spells = _with_spell(down_spells, start, end, ended=ended)
    return ZoneMemory(
        up=memory.up,
        age_from_seconds=memory.age_from_seconds,
        counted_to_seconds=now_seconds,
        looked_at_seconds=memory.looked_at_seconds,
        up_spells=up_spells,
        down_spells=down_spells,
    )


def _faded(spells: Spells, fade: float) -> Spells:
    return Spells(seconds=tuple(s * fade for s in spells.seconds), ends=tuple(e * fade for e in spells.ends))


def _with_spell(spells: Spells, start: float, end: float, *, ended: bool) -> Spells:
    """`start` and `end` are ages."""
    seconds, ends = list(spells.seconds), list(spells.ends)
    for place in range(AGES):
        low, high = AGE_EDGES_SECONDS[place], AGE_EDGES_SECONDS[place + 1]
        seconds[place] += max(0.0, min(end, high) - max(start, low))
    if ended:
        ends[age_bin(max(0.0, end - 1e-6))] += 1.0
    return Spells(seconds=tuple(seconds), ends=tuple(ends))


def looked(memory: SpotMemory, looks: Mapping[str, bool], *, now_seconds: float) -> SpotMemory:
    """Memory after a look at some zones: a launch that worked or a machine that lives, or a refusal or an interruption."""
    if not looks:
        return memory
    zones = dict(memory.zones)
    any_up = any(looks.values())
    lost = changes = 0
    for name, up in looks.items():
        before = zones.get(name, NOTHING_SEEN)
        zones[name] = seen(before, up=up, now_seconds=now_seconds)
        if before.up is not up:
            changes += 1
            lost += bool(before.up and now_seconds - before.looked_at_seconds <= BLIND_SECONDS_MAX)
    fade = _fade(now_seconds - memory.lost_at_seconds) if lost else 1.0
    site = memory.site
    if any_up or all(
        z.up is False and now_seconds - z.looked_at_seconds <= BLIND_SECONDS_MAX for z in zones.values()
    ):
        site = seen(site, up=any_up, now_seconds=now_seconds)
    return SpotMemory(
        zones=zones,
        site=site,
        changes=memory.changes + changes,
        losses=memory.losses * fade + lost,
        lost_at_seconds=now_seconds if lost else memory.lost_at_seconds,
        another_up=memory.another_up * fade + lost * any_up,
    )


def _fade(seconds: float) -> float:
    return math.exp2(-max(0.0, seconds) / HALF_LIFE_SECONDS)
