"""One provider's offers for one kind of run, cheapest first, with what is refused or crowded now taken into account."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from flyball.model.offers import OfferTable
from flyball.model.plan import Choice
from flyball.model.resource import Market, Size
from flyball.model.snapshot import SpotSeen
from flyball.policy.failover_refusals import CROWDED_FACTOR, Refusals
from flyball.policy.placement import (
    MINIMUM_BILLED_SECONDS,
    Ranking,
    Wanted,
    Work,
    expected_busy_seconds,
    rank,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RANKINGS_KEPT = 512  # of one table of offers
# Figures of work are taken in steps of 5 % (a forecast is never nearer), so that like runs share a ranking.
STEP = math.log(1.05)
BELIEF_HOURS = 20.0  # a catalogue's interruption rate counts as much as so many hours seen by ourselves


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; equal ones share a ranking."""

    need: Size
    work: Work
    wanted: Wanted
    speeds: tuple[tuple[str, float], ...] = ()
    boot_seconds: float
    redo_seconds: float | None = None  # what an interruption costs a run that resumes


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    provider: str
    choice: Choice
    usd: float  # expected, with what we have seen of that spot market
    rated_usd: float  # the same, more where its zone is short of machines: what is compared
    place: int  # in the ranking; 0 is the cheapest
    of: int  # offers that fit there
    interruptions_per_hour: float


def coarse(work: Work) -> Work:
    """The same work in steps of 5 %."""
    return replace(
        work,
        wall_seconds=_stepped(work.wall_seconds),
        core_seconds=_stepped(work.core_seconds),
        cores=_stepped(work.cores),
    )


def _stepped(value: float) -> float:
    return math.exp(STEP * round(math.log(value) / STEP)) if value > 0 else 0.0


def ranking_of(table: OfferTable, search: Search) -> Ranking:
    """By value: the same table and the same search give the same ranking."""
    kept: OrderedDict[Search, Ranking] = table.kept.setdefault("rankings", OrderedDict())
    ranking = kept.get(search)
    if ranking is None:
        ranking = kept[search] = rank(
            table,
            need=search.need,
            work=search.work,
            wanted=search.wanted,
            speed_corrections=dict(search.speeds),
            boot_seconds=search.boot_seconds,
            redo_seconds=search.redo_seconds,
        )
        if len(kept) > RANKINGS_KEPT:
            kept.popitem(last=False)
    else:
        kept.move_to_end(search)
    return ranking


class Ladder:
    """The ranking as it is now: costs corrected by what we saw of spot markets, blocked rungs marked."""

    def __init__(self, provider: str, table: OfferTable, search: Search, refusals: Refusals) -> None:
        import numpy as np

        self.provider, self.table = provider, table
        self.ranking = ranking_of(table, search)
        rows = self.ranking.rows()
        self._seen = refusals.seen(provider, table)
        usd = _corrected(self.ranking, table, search, self._seen)
        blocked, crowded = refusals.masks(provider, table)
        rated = usd if crowded is None else np.where(crowded[rows], CROWDED_FACTOR, 1.0) * usd
        order = np.argsort(rated, kind="stable")
        self._order, self._usd, self._rated, self._rows = order, usd[order], rated[order], rows[order]
        self._seconds = self.ranking.column("run_seconds")[order]
        self._spot = table.text["market"].where(Market.SPOT.value.__eq__)[self._rows]
        self._blocked = None if blocked is None else blocked[self._rows]
        self._choices: dict[int, Candidate] = {}

    def __len__(self) -> int:
        return len(self._order)

    def open(self, *, market: Market | None = None, seconds_max: float = math.inf) -> Iterator[Candidate]:
        """Those that may be asked for now, cheapest first: of that market, and no slower than that."""
        import numpy as np

        fits = np.ones(len(self), dtype=np.bool_) if self._blocked is None else ~self._blocked
        yield from self._those(fits, market, seconds_max)

    def blocked(self, *, market: Market | None = None, seconds_max: float = math.inf) -> Iterator[Candidate]:
        """Those that were refused lately, cheapest first."""
        if self._blocked is not None:
            yield from self._those(self._blocked, market, seconds_max)

    def fastest(self, market: Market, *, usd_max: float) -> Iterator[Candidate]:
        """Those that may be asked for now and cost no more, the fastest first."""
        import numpy as np

        fits = (self._spot == (market is Market.SPOT)) & (self._usd <= usd_max)
        if self._blocked is not None:
            fits &= ~self._blocked
        places = np.flatnonzero(fits)
        for place in places[np.argsort(self._seconds[places], kind="stable")]:
            yield self._candidate(int(place))

    def _those(
        self, fits: NDArray[np.bool_], market: Market | None, seconds_max: float
    ) -> Iterator[Candidate]:
        import numpy as np

        if market is not None:
            fits = fits & (self._spot == (market is Market.SPOT))
        if seconds_max < math.inf:
            fits = fits & (self._seconds <= seconds_max)
        for place in np.flatnonzero(fits):
            yield self._candidate(int(place))

    def _candidate(self, place: int) -> Candidate:
        found = self._choices.get(place)
        if found is None:
            choice = self.ranking[int(self._order[place])]
            found = self._choices[place] = Candidate(
                provider=self.provider,
                choice=choice,
                usd=float(self._usd[place]),
                rated_usd=float(self._rated[place]),
                place=place,
                interruptions_per_hour=interruptions_per_hour(
                    choice.offer.interruptions_per_hour, self._seen.get(int(self._rows[place]))
                ),
                of=len(self),
            )
        return found


def ladder_of(refusals: Refusals, provider: str, table: OfferTable, search: Search) -> Ladder:
    """Made once for as long as the refusals hold."""
    kept: Ladder | None = refusals.ladders.get((provider, search))
    if kept is None or kept.table is not table:
        if len(refusals.ladders) >= RANKINGS_KEPT:
            refusals.ladders.clear()
        kept = refusals.ladders[provider, search] = Ladder(provider, table, search, refusals)
    return kept


def by_cost(
    ladders: Sequence[Ladder], *, market: Market | None = None, seconds_max: float = math.inf
) -> Iterator[Candidate]:
    """Rungs of all ladders that may be asked for, cheapest first."""
    rungs = [ladder.open(market=market, seconds_max=seconds_max) for ladder in ladders]
    return rungs[0] if len(rungs) == 1 else merge(*rungs, key=_rated)


def blocked_by_cost(
    ladders: Sequence[Ladder], *, market: Market | None = None, seconds_max: float = math.inf
) -> Iterator[Candidate]:
    """Rungs of all ladders that were refused lately, cheapest first."""
    return merge(*(ladder.blocked(market=market, seconds_max=seconds_max) for ladder in ladders), key=_rated)


def _rated(candidate: Candidate) -> float:
    return candidate.rated_usd


def _corrected(ranking: Ranking, table: OfferTable, search: Search, seen: Mapping[int, SpotSeen]) -> Floats:
    """Costs with the interruptions that we saw ourselves, by rows of those spot markets that we have tried."""
    import numpy as np

    usd, rows = ranking.column("usd"), ranking.rows()
    found = np.flatnonzero(np.isin(rows, list(seen))) if seen else ()
    if not len(found):
        return usd
    usd, seconds = usd.copy(), ranking.column("run_seconds")
    for place in found:
        row = int(rows[place])
        rate = interruptions_per_hour(float(table.numbers["interruptions_per_hour"][row]), seen[row])
        once = search.boot_seconds + float(seconds[place])
        piece = once if search.redo_seconds is None else min(once, search.redo_seconds)
        busy = once * expected_busy_seconds(piece, rate) / max(piece, 1e-9)
        price = float(table.numbers["price_usd_per_hour"][row])
        usd[place] = price * max(busy, MINIMUM_BILLED_SECONDS) / 3600
    return usd


def interruptions_per_hour(catalogue: float, seen: SpotSeen | None) -> float:
    """What the catalogue says, moved by what we saw: the mean of a gamma posterior worth 20 hours beforehand."""
    if seen is None:
        return catalogue
    return (catalogue * BELIEF_HOURS + seen.interruptions) / (BELIEF_HOURS + seen.up_seconds / 3600)
