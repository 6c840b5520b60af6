"""A cloud in virtual time: a Provider in memory, the same for the same seed and the same calls."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

import msgspec

from flyball.errors import Unavailable
from flyball.model.machine import Capabilities, Launch, Machine
from flyball.model.resource import Market, Offer
from flyball.ports.clock import Clock
from flyball.ports.provider import BadRequest, NoCapacity, QuotaReached
from flyball.sim.billing import MINIMUM_BILLED_SECONDS, Bill, bill_of
from flyball.sim.course import course_of
from flyball.sim.faults import Boot, Faults
from flyball.sim.held import Held, Past, view
from flyball.sim.truth import Truth
from flyball.sim.weather import NEVER, Weather

NOTICE_SECONDS = 120.0
HOST_START_SECONDS = 2.0  # to start a command on a machine that is warm


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """Of the account, over machines held at once; None: no limit."""

    vcpus_max: int | None = None
    spot_vcpus_max: int | None = None
    machines_max: int | None = None


class SimCloud:
    """Passes ports/provider_contract.py. What it charges, and what truly happens, is told by bills() and `log`."""

    def __init__(
        self,
        *,
        clock: Clock,
        truth_of: Callable[[Launch], Truth],
        offers: Iterable[Offer] | None = None,
        weather: Weather | None = None,
        faults: Faults = Faults(),  # noqa: B008 - frozen
        boot: Boot = Boot(),  # noqa: B008
        quotas: Quotas = Quotas(),  # noqa: B008
        past: Past | None = None,
        capabilities: Capabilities | None = None,
        seed: int = 0,
    ) -> None:
        """`truth_of` is asked once per launch. `offers` None: every offer that is asked for exists. `past` is given
        where several clouds share what runs leave behind (checkpoints, tries)."""
        self._clock, self._truth_of, self._seed = clock, truth_of, seed
        self._offer_ids = None if offers is None else {offer.offer_id for offer in offers}
        self._weather = weather or Weather(seed=seed)
        self._faults, self._boot, self._quotas = faults, boot, quotas
        self._past = past or Past()
        self._rng = Random(f"{seed} faults")
        self._held: dict[str, Held] = {}
        self._known: dict[str, Held] = {}  # every launch ever: an attempt id is used once
        self._left: deque[Held] = deque()  # given back lately, for listings that lag
        self._changes: list[float] = []  # times at which listings change by themselves
        self._ending: list[
            tuple[float, str]
        ] = []  # for quotas: when what is held will be gone, if not renewed
        self._used = {"machines": 0, "vcpus": 0, "spot_vcpus": 0}
        self.capabilities = capabilities or Capabilities(
            boot_seconds=boot.median_seconds,
            listing_lag_seconds=faults.listing_lag_seconds,
            minimum_billed_seconds=MINIMUM_BILLED_SECONDS,
            hosts=True,
            vcpus_max=quotas.vcpus_max,
            machines_max=quotas.machines_max,
        )

    # The port

    def launch(self, order: Launch) -> None:
        self._before()
        if order.attempt_id not in self._known:
            self._launch(order, self._clock.now_seconds())
        self._after()

    def machines(self) -> Sequence[Machine]:
        self._before()
        now = self._clock.now_seconds()
        lag = self._faults.listing_lag_seconds
        as_of = now - self._rng.uniform(0, lag) if lag else now
        rng = self._rng if self._faults.doubled_notice_rate else None
        seen = [machine for held in self._held.values() if (machine := view(held, as_of, rng)) is not None]
        while self._left and self._left[0].released_at < now - lag:
            self._left.popleft()
        if lag:
            seen += [machine for held in self._left if (machine := view(held, as_of, rng)) is not None]
        self._after()
        return seen

    def stop(self, attempt_ids: Sequence[str]) -> None:
        self._before()
        now = self._clock.now_seconds()
        for attempt_id in attempt_ids:
            held = self._held.get(attempt_id)
            if held is not None and not held.order.is_host:
                held.stop(now)
                heapq.heappush(self._changes, held.stopped_at)
        self._after()

    def release(self, attempt_id: str) -> None:
        self._before()
        held = self._held.pop(attempt_id, None)
        if held is not None:
            held.release(self._clock.now_seconds())
            self._past.leave(held)
            self._uncount(held)
            self._left.append(held)
        self._after()

    def renew(self, attempt_ids: Sequence[str]) -> None:
        self._before()
        now = self._clock.now_seconds()
        for attempt_id in attempt_ids:
            held = self._held.get(attempt_id)
            if held is not None and now < held.lease_ends_at:
                held.lease_ends_at = now + held.order.lease_seconds
        self._after()

    # What only the simulation knows

    def bills(self) -> Mapping[str, Bill]:
        """By attempt or host id, what it has cost so far; nothing for attempts on warm machines: their host pays."""
        now = self._clock.now_seconds()
        paying = (held for held in self._known.values() if held.order.host_id is None)
        return {held.order.attempt_id: bill_of(held, self._weather, now) for held in paying}

    def launched(self) -> Mapping[str, Held]:
        """Every launch there ever was."""
        return self._known

    def alive(self) -> Sequence[Held]:
        """Machines that cost money now."""
        now = self._clock.now_seconds()
        return [held for held in self._held.values() if held.gone_at > now]

    def next_change_seconds(self) -> float:
        """When a listing next looks different by itself (a start, an end, a notice); NEVER: nothing is on its way."""
        now = self._clock.now_seconds()
        while self._changes and self._changes[0] <= now:
            heapq.heappop(self._changes)
        return self._changes[0] if self._changes else NEVER

    def change(self, *, faults: Faults, weather: Weather | None = None) -> None:
        """From now on; what is held keeps the fate it has."""
        self._faults, self._weather = faults, weather or self._weather

    # Inside

    def _before(self) -> None:
        if self._faults.throttle_rate and self._rng.random() < self._faults.throttle_rate:
            raise Unavailable("the simulated cloud does not answer", why="too many requests")

    def _after(self) -> None:
        if self._faults.lost_answer_rate and self._rng.random() < self._faults.lost_answer_rate:
            raise Unavailable("the simulated cloud's answer was lost")

    def _launch(self, order: Launch, now: float) -> None:
        rng = Random(f"{self._seed} {order.attempt_id}")
        host = self._checked(order, now, rng)
        held = self._bought(order, now, rng) if host is None else self._on_host(order, host, now)
        if not order.is_host:
            truth, nth = self._truth_of(order), self._past.start(order.run_id, now)
            held.course = course_of(
                order,
                truth,
                truth.nth(nth),
                ready_at_seconds=held.ready_at,
                share_before=self._past.share(order.run_id) if order.spot.checkpoint is not None else 0.0,
            )
            self._past.last[order.run_id] = held
        self._known[order.attempt_id] = self._held[order.attempt_id] = held
        self._count(held)
        for at in held.changes():
            heapq.heappush(self._changes, at)

    def _checked(self, order: Launch, now: float, rng: Random) -> Held | None:
        """The warm machine it goes to, if any. Raises: NoCapacity, QuotaReached, BadRequest."""
        offer = order.offer
        if order.host_id is not None:
            host = self._held.get(order.host_id)
            if host is None or host.gone_at <= now or not host.order.is_host:
                raise NoCapacity(f"the warm machine {order.host_id} is gone")
            if order.size.memory_bytes > host.memory_left(now):
                raise NoCapacity(f"the warm machine {order.host_id} is full")
            return host
        if self._offer_ids is not None and offer.offer_id not in self._offer_ids:
            raise BadRequest(f"there is no {offer.offer_id}", why="it is not for sale here")
        if order.size.memory_bytes > offer.memory_bytes or order.size.cpu_cores > offer.vcpus:
            raise BadRequest(f"{offer.offer_id} is smaller than what was asked of it")
        self._check_quotas(offer, now)
        if not self._weather.has_capacity(offer, now, rng):
            raise NoCapacity(f"no {offer.instance_type} to be had in {offer.zone or offer.region}")
        return None

    def _bought(self, order: Launch, now: float, rng: Random) -> Held:
        faults, offer = self._faults, order.offer
        boot_seconds = self._boot.draw(rng)
        silent = rng.random() < faults.silent_rate
        vanish = faults.vanish_per_hour / 3600
        taken_at = self._weather.taken_at(offer, now, rng)
        notice_at = taken_at - NOTICE_SECONDS
        if rng.random() < faults.no_notice_rate:
            notice_at = NEVER
        elif rng.random() < faults.late_notice_rate:
            notice_at += rng.uniform(0, NOTICE_SECONDS)
        return Held(
            order=order,
            launched_at=now,
            ready_at=NEVER if silent else now + boot_seconds,
            lease_ends_at=now + order.lease_seconds,
            taken_at=taken_at,
            notice_at=max(now, notice_at),
            notice_doubled=rng.random() < faults.doubled_notice_rate,
            vanished_at=now + rng.expovariate(vanish) if vanish else NEVER,
            loses_receipt=rng.random() < faults.no_receipt_rate,
            price_usd_per_hour=str(self._weather.usd_per_hour(offer, now)),
        )

    def _on_host(self, order: Launch, host: Held, now: float) -> Held:
        held = Held(
            order=order,
            launched_at=now,
            ready_at=max(host.ready_at, now) + HOST_START_SECONDS,
            lease_ends_at=now + order.lease_seconds,
            taken_at=host.taken_at,
            notice_at=host.notice_at,
            vanished_at=host.vanished_at,
            host=host,
        )
        host.guests.append(held)
        return held

    def _check_quotas(self, offer: Offer, now: float) -> None:
        quotas = self._quotas
        if quotas == Quotas():
            return
        while self._ending and self._ending[0][0] <= now:
            held = self._known[heapq.heappop(self._ending)[1]]
            if held.gone_at <= now:
                self._uncount(held)
            else:
                heapq.heappush(self._ending, (held.gone_at, held.order.attempt_id))
        spot = offer.vcpus if offer.market is Market.SPOT else 0
        for kind, more, most in (
            ("machines", 1, quotas.machines_max),
            ("vcpus", offer.vcpus, quotas.vcpus_max),
            ("spot_vcpus", spot, quotas.spot_vcpus_max),
        ):
            if most is not None and more and self._used[kind] + more > most:
                raise QuotaReached(f"{self._used[kind]} {kind} of {most} are in use")

    def _count(self, held: Held, sign: int = 1) -> None:
        if held.host is not None:
            return
        held.counted = sign > 0
        offer = held.order.offer
        self._used["machines"] += sign
        self._used["vcpus"] += sign * offer.vcpus
        self._used["spot_vcpus"] += sign * (offer.vcpus if offer.market is Market.SPOT else 0)
        if sign > 0:
            heapq.heappush(self._ending, (held.gone_at, held.order.attempt_id))

    def _uncount(self, held: Held) -> None:
        if held.counted:
            self._count(held, -1)
