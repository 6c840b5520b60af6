"""What was refused lately, and for how long it is not asked for again. Nothing here changes by asking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec

from flyball.model.offers import OfferTable
from flyball.model.resource import Market
from flyball.model.snapshot import Refusal, Snapshot, SpotSeen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]

# Seconds that an offer is left alone after its first refusal, and at most; each further one in a row doubles it. What is
# out of stock for a minute is often back (spot pools of one type flicker), what is out for an hour is rarely back soon.
NO_CAPACITY_SECONDS = (60.0, 1800.0)
QUOTA_SECONDS = (120.0, 1800.0)  # of the provider's whole market: until machines are given back
UNAVAILABLE_SECONDS = (30.0, 600.0)  # of the whole provider
RECLAIMED = "lately without machines"
SOLD_OUT = frozenset({"no_capacity", RECLAIMED})  # in words
RECLAIMED_SECONDS = 300.0  # a pool that just took a machine away has none to give
CROWDED_OFFERS = 3  # types refused in one zone and market: it is short of machines as a whole
CROWDED_FACTOR = 1.2  # others that cost at most this much more are taken first


class Block(msgspec.Struct, frozen=True, kw_only=True):
    until_seconds: float
    words: str  # without figures that change from tick to tick


class Refusals:
    """The snapshot's refusals as of now: what is blocked, offer by offer, market by market, provider by provider."""

    def __init__(self, snapshot: Snapshot, now_seconds: float) -> None:
        self.offers: dict[str, Block] = {}  # by "provider offer_id"
        self.markets: dict[tuple[str, str], Block] = {}  # by provider and market
        self.providers: dict[str, Block] = {}
        self.crowded: set[tuple[str, str, str]] = set()  # provider, zone or region, market
        self.ladders: dict[Any, Any] = {}  # made from these, for as long as they hold
        self.waits: dict[Any, Any] = {}  # answers that hold as long
        self._told, self._spot = snapshot.refusals, snapshot.spot
        self._seen: dict[str, tuple[OfferTable, dict[int, SpotSeen]]] = {}
        self._masks: dict[str, tuple[OfferTable, Flags | None, Flags | None]] = {}  # by provider
        for key, refusal in snapshot.refusals.items():
            self._take_in(key, refusal, now_seconds)
        for key, seen in snapshot.spot.items():
            until = seen.last_at_seconds + RECLAIMED_SECONDS
            if seen.last_up is False and until > now_seconds and key not in snapshot.refusals:
                self.offers[key] = Block(until_seconds=until, words=RECLAIMED)
        zones = Counter(_zone_of(key) for key, block in self.offers.items() if block.words == "no_capacity")
        self.crowded = {zone for zone, refused in zones.items() if refused >= CROWDED_OFFERS}
        every = [*self.offers.values(), *self.markets.values(), *self.providers.values()]
        self.holds_until_seconds = min((block.until_seconds for block in every), default=float("inf"))
        self.made_at_seconds = now_seconds

    def _take_in(self, key: str, refusal: Refusal, now_seconds: float) -> None:
        provider, _, offer_id = key.partition(" ")
        until = refusal.at_seconds + wait_seconds(refusal)
        if until <= now_seconds:
            return
        block = Block(until_seconds=until, words=refusal.kind)
        self.offers[key] = block
        if refusal.kind == "quota":
            place = (provider, offer_id.rpartition("/")[2])
            self.markets[place] = _later(self.markets.get(place), block)
        elif refusal.kind == "unavailable":
            self.providers[provider] = _later(self.providers.get(provider), block)

    def why_blocked(self, provider: str, offer_id: str, market: Market) -> Block | None:
        """None: nothing speaks against asking."""
        return (
            self.providers.get(provider)
            or self.markets.get((provider, market.value))
            or self.offers.get(f"{provider} {offer_id}")
        )

    def masks(self, provider: str, table: OfferTable) -> tuple[Flags | None, Flags | None]:
        """Rows of the provider's table that are blocked, and those in crowded places; None: there are none."""
        if not (self.offers or self.markets or self.providers):
            return None, None
        found = self._masks.get(provider)
        if found is None or found[0] is not table:
            found = table, self._blocked(provider, table), self._in_crowded(provider, table)
            self._masks[provider] = found
        return found[1:]

    def seen(self, provider: str, table: OfferTable) -> Mapping[int, SpotSeen]:
        """What we saw of spot markets, by rows of the provider's table."""
        found = self._seen.get(provider)
        if found is None or found[0] is not table:
            rows, seen = rows_of(table) if self._spot else {}, {}
            for key, spot in self._spot.items():
                name, _, offer_id = key.partition(" ")
                if name == provider and offer_id in rows:
                    seen[rows[offer_id]] = spot
            found = self._seen[provider] = table, seen
        return found[1]

    def _blocked(self, provider: str, table: OfferTable) -> Flags | None:
        import numpy as np

        blocked = np.zeros(len(table), dtype=np.bool_)
        if provider in self.providers:
            return ~blocked
        for name, market in self.markets:
            if name == provider:
                blocked |= table.text["market"].where(market.__eq__)
        rows = rows_of(table)
        for key in self.offers:
            name, _, offer_id = key.partition(" ")
            if name == provider and offer_id in rows:
                blocked[rows[offer_id]] = True
        return blocked if blocked.any() else None

    def _in_crowded(self, provider: str, table: OfferTable) -> Flags | None:
        import numpy as np

        crowded = np.zeros(len(table), dtype=np.bool_)
        zones = {(place, market) for name, place, market in self.crowded if name == provider}
        if not zones:
            return None
        for offer_id, row in rows_of(table).items():
            _, place, _, market = offer_id.split("/", 3)
            crowded[row] = (place, market) in zones
        return crowded

    def holds(self, snapshot: Snapshot, now_seconds: float) -> bool:
        """Whether another snapshot at another time would give the same."""
        return (
            self._told is snapshot.refusals and self._spot is snapshot.spot
        ) and self.made_at_seconds <= now_seconds < self.holds_until_seconds


def wait_seconds(refusal: Refusal) -> float:
    """base * 2**(times - 1), at most the longest; what the provider could not make sense of says nothing of its stock."""
    waits = {
        "no_capacity": NO_CAPACITY_SECONDS,
        "quota": QUOTA_SECONDS,
        "unavailable": UNAVAILABLE_SECONDS,
    }.get(refusal.kind)
    if waits is None:
        return 0.0
    first, longest = waits
    return float(min(longest, first * 2.0 ** min(refusal.times - 1, 30)))


_ROWS: WeakKeyDictionary[OfferTable, dict[str, int]] = WeakKeyDictionary()


def rows_of(table: OfferTable) -> Mapping[str, int]:
    """Where each offer id stands in the table; made once for a table."""
    rows = _ROWS.get(table)
    if rows is None:
        text = table.text
        rows = _ROWS[table] = {
            f"{cloud}/{zone or region}/{kind}/{market}": row
            for row, (cloud, zone, region, kind, market) in enumerate(
                zip(
                    text["cloud"].to_list(),
                    text["zone"].to_list(),
                    text["region"].to_list(),
                    text["instance_type"].to_list(),
                    text["market"].to_list(),
                    strict=True,
                )
            )
        }
    return rows


def _zone_of(key: str) -> tuple[str, str, str]:
    provider, _, offer_id = key.partition(" ")
    parts = offer_id.split("/")
    return provider, parts[1] if len(parts) > 1 else "", parts[-1]


def _later(one: Block | None, other: Block) -> Block:
    return other if one is None or other.until_seconds > one.until_seconds else one
