"""One offer out of all that are ranked: the cheapest that may be had, that keeps the deadline, and that there is room for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from flyball.model.resource import Market, Offer
from flyball.model.units import show_usd
from flyball.policy.failover_errand import Errand, Stall, idle_since
from flyball.policy.failover_market import Pool, Terms, weigh
from flyball.policy.failover_ranked import Candidate, Ladder, blocked_by_cost, by_cost
from flyball.policy.failover_refusals import SOLD_OUT
from flyball.policy.holds import Refusal, Room
from flyball.policy.next_step import Waiting

REFUSED_TOLD = 3
POOLS_WEIGHED = 4
LATE_FACTOR = 3.0  # what a run that cannot be in time may cost, in units of its cheapest way, to be less late
IN_TIME = "in time for its deadline"


class Picked(msgspec.Struct, frozen=True, kw_only=True):
    candidate: Candidate
    reason: str
    refused: tuple[str, ...] = ()


def choose(errand: Errand, stall: Stall, room: Room) -> Picked | Waiting:
    """The offer for the next attempt, or what it waits for."""
    ladders = stall.ladders(errand)
    if not any(len(ladder) for ladder in ladders):
        return _nothing_fits(errand, ladders)
    walk = _Walk(errand, stall, room)
    market = errand.run.spec.spot.market
    if market == "spot":
        return _told(_only(ladders, walk, Market.SPOT), ladders, stall)
    if errand.deadline_seconds is None:
        if market == "on_demand":
            return _told(_only(ladders, walk, Market.ON_DEMAND), ladders, stall)
        return _told(_cheapest(errand, stall, ladders, walk), ladders, stall)
    return _told(_in_time(errand, stall, ladders, walk), ladders, stall)


class _Walk:
    """Down a ladder to the first rung that this run may have, remembering what there was no room for."""

    def __init__(self, errand: Errand, stall: Stall, room: Room) -> None:
        self._errand, self._stall, self._room = errand, stall, room
        self.refusal: Refusal | None = None  # of the cheapest that there was no room for
        self._too_much: dict[tuple[str, Market], list[Offer]] = {}

    def first(self, candidates: Iterable[Candidate]) -> Candidate | None:
        for candidate in candidates:
            offer, provider = candidate.choice.offer, candidate.provider
            if f"{provider} {offer.offer_id}" in self._errand.avoided:
                continue
            refused = self._too_much.setdefault((provider, offer.market), [])
            if any(_no_less(offer, other) for other in refused):
                continue
            size = self._errand.sized[provider].size
            refusal = self._room.offer_refusal(self._errand.run, provider, offer, size)
            if refusal is None:
                return candidate
            self.refusal = self.refusal or refusal
            refused.append(offer)
        return None

    def waiting(self) -> Waiting:
        """When nothing was found."""
        if self.refusal is not None:
            return Waiting(kind=self.refusal.kind, reason=self.refusal.reason)
        return Waiting(kind="capacity", reason="every offer that fits was refused lately")


def _no_less(offer: Offer, other: Offer) -> bool:
    """Whatever there was no room for, there is none for what is as big and as dear."""
    return (
        offer.vcpus >= other.vcpus
        and offer.memory_bytes >= other.memory_bytes
        and offer.price_usd_per_hour >= other.price_usd_per_hour
        and offer.gpus >= other.gpus
    )


def _only(ladders: Sequence[Ladder], walk: _Walk, market: Market) -> Picked | Waiting:
    found = walk.first(by_cost(ladders, market=market))
    if found is not None:
        return Picked(candidate=found, reason=_cheapest_words(found, "as you asked"))
    if walk.refusal is None and market is Market.SPOT:
        return Waiting(kind="spot", reason="no spot machine that fits is to be had, and you asked for spot")
    return walk.waiting()


def _cheapest(errand: Errand, stall: Stall, ladders: Sequence[Ladder], walk: _Walk) -> Picked | Waiting:
    """No deadline: the least expected cost. Without spot to be had, a long run has some patience."""
    found = walk.first(by_cost(ladders))
    if found is None:
        return walk.waiting()
    if found.choice.offer.market is Market.ON_DEMAND and found.usd > 0 and errand.slow is not None:
        waiting = _patient(errand, stall, ladders, found, _terms(errand, stall, found.provider))
        if waiting is not None:
            return waiting
    return Picked(candidate=found, reason=_cheapest_words(found))


def _in_time(errand: Errand, stall: Stall, ladders: Sequence[Ladder], walk: _Walk) -> Picked | Waiting:
    """A deadline: the cheapest that keeps it whatever happens, or with the chance that the user tolerates."""
    bought, late = _on_demand(errand, stall, ladders, walk)
    return _tolerated(errand, stall, ladders, walk, bought) or _surely_in_time(
        errand, stall, ladders, walk, bought, late=late
    )


def _surely_in_time(
    errand: Errand,
    stall: Stall,
    ladders: Sequence[Ladder],
    walk: _Walk,
    bought: Candidate | None,
    *,
    late: bool,
) -> Picked | Waiting:
    """`bought` is the best on demand; `late`: not even that is sure to be in time."""
    if errand.run.spec.spot.market == "on_demand" or errand.slow is None:
        why = "as you asked" if errand.slow is not None else "nothing is known of how long it takes"
        return (
            walk.waiting()
            if bought is None
            else Picked(candidate=bought, reason=_cheapest_words(bought, why))
        )
    if bought is not None and bought.usd <= 0 and not late:
        return Picked(candidate=bought, reason=_cheapest_words(bought, IN_TIME))
    provider = bought.provider if bought else ladders[0].provider
    terms = _terms(errand, stall, provider)
    on_demand_seconds = errand.seconds(bought) if bought else 0.0
    longest = terms.spot_seconds_max(on_demand_seconds) / (errand.slow or 1.0)
    spot = walk.first(by_cost(ladders, market=Market.SPOT, seconds_max=longest)) if longest > 0 else None
    if spot is not None and (bought is None or spot.usd < bought.usd):
        return Picked(
            candidate=spot, reason=_cheapest_words(spot, "safe for its deadline even if it is taken away")
        )
    if bought is None:
        return walk.waiting()
    if late:
        words = "the fastest at a fair price: no machine to be had is sure to keep its deadline"
        return Picked(candidate=bought, reason=f"{words}; {bought.choice.reason}")
    waiting = _patient(errand, stall, ladders, bought, terms) if longest > 0 else None
    return waiting or Picked(candidate=bought, reason=_cheapest_words(bought, _why_not_spot(longest)))


def _tolerated(
    errand: Errand, stall: Stall, ladders: Sequence[Ladder], walk: _Walk, bought: Candidate | None
) -> Picked | None:
    """The cheapest spot machine on which missing the deadline is no likelier than the user tolerates; None: he does
    not, or there is none. Of a job that nobody has seen run, half the time that is left is taken for its time."""
    tolerated = errand.run.spec.goal.late_tolerated
    if not tolerated or errand.run.spec.spot.market == "on_demand":
        return None
    terms = _terms(errand, stall, bought.provider if bought else ladders[0].provider)
    longest = (terms.left_seconds - terms.changeover_seconds) / (errand.slow or 1.0)
    found = walk.first(by_cost(ladders, market=Market.SPOT, seconds_max=longest))
    if found is None or (bought is not None and found.usd >= bought.usd):
        return None
    if errand.slow is None:
        on_demand_seconds = spot_seconds = terms.left_seconds / 2
    else:
        spot_seconds = errand.seconds(found)
        on_demand_seconds = errand.seconds(bought) if bought else spot_seconds
    chance = terms.late_chance(
        on_demand_seconds=on_demand_seconds,
        spot_seconds=spot_seconds,
        interruptions_per_hour=found.interruptions_per_hour,
    )
    if chance > tolerated:
        return None
    why = f"its deadline is missed there with a chance of {chance:.1%}, {tolerated:.1%} is tolerated"
    return Picked(candidate=found, reason=_cheapest_words(found, why))


def _on_demand(
    errand: Errand, stall: Stall, ladders: Sequence[Ladder], walk: _Walk
) -> tuple[Candidate | None, bool]:
    """The cheapest in time; else the fastest, and True."""
    deadline = errand.deadline_seconds
    assert deadline is not None
    if errand.slow is None:
        return walk.first(by_cost(ladders, market=Market.ON_DEMAND)), False
    in_time = []
    for ladder in ladders:
        starts = stall.now_seconds + stall.changeover_seconds(errand, ladder.provider)
        in_time.append((deadline - starts) / errand.slow)
    found = [
        walk.first(ladder.open(market=Market.ON_DEMAND, seconds_max=longest))
        for ladder, longest in zip(ladders, in_time, strict=True)
        if longest > 0
    ]
    cheapest = min((c for c in found if c is not None), key=lambda c: c.rated_usd, default=None)
    if cheapest is not None:
        return cheapest, False
    cheapest = walk.first(by_cost(ladders, market=Market.ON_DEMAND))
    if cheapest is None:
        return None, True
    most = max(LATE_FACTOR * cheapest.usd, 0.01)
    fast = [walk.first(ladder.fastest(Market.ON_DEMAND, usd_max=most)) for ladder in ladders]
    return min((c for c in fast if c is not None), key=errand.seconds, default=cheapest), True


def _terms(errand: Errand, stall: Stall, provider: str) -> Terms:
    run, deadline = errand.run, errand.deadline_seconds
    return Terms(
        left_seconds=math.inf if deadline is None else stall.left_seconds(deadline),
        changeover_seconds=stall.changeover_seconds(errand, provider),
        late_seconds=stall.late_seconds(provider),
        resumes=errand.resumes,
        idle_seconds=max(0.0, stall.now_seconds - idle_since(run)),
    )


def _patient(
    errand: Errand, stall: Stall, ladders: Sequence[Ladder], bought: Candidate, terms: Terms
) -> Waiting | None:
    """Whether it waits for a spot market that was refused lately rather than buying on demand."""
    on_demand_seconds = errand.seconds(bought)
    longest = terms.spot_seconds_max(on_demand_seconds) / (errand.slow or 1.0)
    refused = blocked_by_cost(ladders, market=Market.SPOT, seconds_max=longest)
    cheaper = [c for c in islice(refused, POOLS_WEIGHED) if c.usd < bought.usd and _is_sold_out(c, stall)]
    if not cheaper:
        return None
    price = float(bought.choice.offer.price_usd_per_hour)
    slowest = max(errand.seconds(c) for c in cheaper) if not errand.resumes else on_demand_seconds
    decision = weigh(
        terms,
        [_pool(c, stall, bought) for c in cheaper],
        work_seconds=on_demand_seconds,
        whole_seconds=max(on_demand_seconds, slowest),
        on_demand_usd_per_hour=price,
        now_seconds=stall.now_seconds,
    )
    if decision.action != "wait":
        return None
    why = "on demand would still be in time" if math.isfinite(terms.left_seconds) else "it is much cheaper"
    return Waiting(kind="spot", reason=f"no spot machine that fits is to be had; it waits for one, {why}")


def _is_sold_out(candidate: Candidate, stall: Stall) -> bool:
    """Its machines may come back; quotas and silent providers are nothing that patience is known to help with."""
    offer = candidate.choice.offer
    block = stall.refusals.why_blocked(candidate.provider, offer.offer_id, offer.market)
    return block is not None and block.words in SOLD_OUT


def _pool(candidate: Candidate, stall: Stall, bought: Candidate) -> Pool:
    offer = candidate.choice.offer
    slower = candidate.choice.expected_seconds / max(bought.choice.expected_seconds, 1e-9)
    key = f"{candidate.provider} {offer.offer_id}"
    seen, refusal = stall.snapshot.spot.get(key), stall.snapshot.refusals.get(key)
    since = refusal.at_seconds if refusal else seen.last_at_seconds if seen else stall.now_seconds
    return Pool(
        name=key,
        usd_per_hour=float(offer.price_usd_per_hour) * slower,
        interruptions_per_hour=candidate.interruptions_per_hour,
        since_seconds=since,
    )


def _nothing_fits(errand: Errand, ladders: Sequence[Ladder]) -> Waiting:
    if not errand.sized:
        names = ", ".join(errand.run.spec.providers)
        return Waiting(kind="provider", reason=f"none of its providers is here: {names}")
    why = "; ".join(f"{ladder.provider}: {ladder.ranking.why_empty()}" for ladder in ladders)
    return Waiting(kind="no_offer", reason=f"nothing for sale holds it: {why}")


def _cheapest_words(found: Candidate, why: str = "") -> str:
    offer = found.choice.offer
    if not offer.price_usd_per_hour:
        return f"on {found.provider}, which costs nothing more"
    rank = "the only offer that fits" if found.of == 1 else f"the cheapest to be had of {found.of:,} that fit"
    where = f"{offer.instance_type} in {offer.zone or offer.region}"
    return f"{where}, {rank}{', ' if why else ''}{why}: {found.choice.reason}"


def _why_not_spot(longest: float) -> str:
    return IN_TIME if longest > 0 else f"{IN_TIME}; on spot an interruption could miss it"


def _told(answer: Picked | Waiting, ladders: Sequence[Ladder], stall: Stall) -> Picked | Waiting:
    """With what was better ranked and not taken."""
    if isinstance(answer, Waiting):
        return answer
    better = []
    for candidate in islice(blocked_by_cost(ladders), REFUSED_TOLD):
        if candidate.usd > answer.candidate.usd:
            break
        offer = candidate.choice.offer
        block = stall.refusals.why_blocked(candidate.provider, offer.offer_id, offer.market)
        why = block.words if block else "crowded"
        better.append(f"{offer.offer_id} at {show_usd(candidate.usd)} a run: {why}")
    return msgspec.structs.replace(answer, refused=tuple(better))
