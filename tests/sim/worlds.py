"""Random worlds: jobs, a cloud or two with faults, one or two governors that crash. Same seed, same world."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from random import Random

import msgspec
from invariants import Watch
from msgspec.structs import replace
from stage import Crash, JumpyClock, Port, WatchedProvider
from verdict import verdict

from flyball.engine.governor import Governor, Ticked
from flyball.errors import Unavailable
from flyball.model import facts as f
from flyball.model.ceilings import Budget, Ceilings, Quota, Slots
from flyball.model.job import Features, RunSpec
from flyball.model.machine import Launch
from flyball.model.offers import OfferTable
from flyball.model.plan import Forecast, Plan, Quantiles
from flyball.model.receipt import Limits
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import Snapshot
from flyball.model.spec import (
    After,
    CatchUp,
    Goal,
    Holding,
    JobSpec,
    Overlap,
    Patience,
    Schedule,
    SizeAsk,
    SpotAsk,
    SuccessRules,
    Tenacity,
)
from flyball.model.units import GIB
from flyball.policy.known import Known, Supply, Usual
from flyball.ports.clock import FakeClock
from flyball.ports.papers import MemoryPapers, Paper
from flyball.ports.provider import Refused
from flyball.ports.store import MemoryStore, Store
from flyball.sim.cloud import Quotas, SimCloud
from flyball.sim.faults import Boot, Faults
from flyball.sim.held import Past
from flyball.sim.truth import How, Truth, Try
from flyball.sim.weather import Rates, Weather

SMALL_JOB = "job2"
TYPES = {"m6i.large": (2, 8, "0.096"), "m6i.xlarge": (4, 16, "0.192"), "r6i.2xlarge": (8, 64, "0.504")}


class Chances(msgspec.Struct, frozen=True, kw_only=True):
    """How bad a world is."""

    governors: int = 1
    clouds: int = 1
    runs: int = 5
    crash_rate: float = 0.0  # per moment before or after a port call
    between_rate: float = 0.0  # that another governor ticks within a call
    slow_rate: float = 0.0  # that time passes within a call
    jump_seconds: float = 0.0  # clocks of governors jump by up to so much, either way
    storm_seconds: float = 6 * 3600.0  # for which faults last; afterwards everything has to come to its end
    faults: Faults = Faults()
    rates: Rates = Rates()
    quotas: Quotas = Quotas()
    cancel_rate: float = 0.1
    strays: int = 0  # machines that nobody's log knows: of a log that was put back from an old copy
    schedules: int = 0  # jobs that start by themselves, the second after the first
    ceilings: Ceilings = Ceilings()

    @property
    def exact(self) -> bool:
        """Whether governors see everything in time, so that charges have to be right to the second."""
        faults = self.faults
        blind = (
            faults.throttle_rate
            + faults.lost_answer_rate
            + faults.vanish_per_hour
            + faults.listing_lag_seconds
        )
        return not (self.crash_rate or self.between_rate or self.slow_rate or self.jump_seconds or blind)

    @classmethod
    def of(cls, rng: Random) -> Chances:
        """A third of worlds is mild in each respect."""

        def some(most: float) -> float:
            return rng.choice((0.0, rng.uniform(0, most), most))

        return cls(
            governors=rng.choice((1, 1, 2)),
            clouds=rng.choice((1, 1, 2)),
            runs=rng.randint(1, 8),
            crash_rate=some(0.03),
            between_rate=some(0.05),
            slow_rate=some(0.05),
            jump_seconds=rng.choice((0.0, 0.0, 60.0, 900.0)),
            storm_seconds=rng.choice((2, 4, 8)) * 3600.0,
            faults=Faults(
                throttle_rate=some(0.2),
                lost_answer_rate=some(0.2),
                listing_lag_seconds=rng.choice((0.0, 0.0, 20.0, 90.0)),
                silent_rate=some(0.1),
                vanish_per_hour=some(0.3),
                no_notice_rate=some(0.5),
                late_notice_rate=some(0.5),
                doubled_notice_rate=some(0.5),
                no_receipt_rate=some(0.1),
            ),
            rates=Rates(
                interruptions_per_hour=some(1.0),
                spot_up_seconds=rng.choice((float("inf"), 7200.0)),
                spot_down_seconds=3600.0,
                on_demand_up_seconds=rng.choice((float("inf"), 20_000.0)),
                on_demand_down_seconds=1800.0,
                on_demand_refusal_rate=some(0.3),
            ),
            quotas=Quotas(machines_max=rng.choice((None, None, 3)), vcpus_max=rng.choice((None, 16))),
            strays=rng.choice((0, 0, 3)),
            schedules=rng.choice((0, 0, 1, 2)),
            ceilings=_some_ceilings(rng),
        )


class World:
    """Built from a seed; run() lets it pass and gives what was broken."""

    def __init__(
        self,
        seed: int,
        chances: Chances | None = None,
        store: Store | None = None,
        boot: Boot = Boot(median_seconds=40.0, p95_seconds=120.0),  # noqa: B008 - frozen
    ) -> None:
        self.boot = boot
        self.seed, self.rng = seed, Random(seed)
        self.chances = chances or Chances.of(self.rng)
        self.clock, self.papers, self.past = FakeClock(), MemoryPapers(), Past()
        self.paper = self.papers.keep(Paper(command=("work",)))
        self.broken: list[str] = []
        self.pauses: tuple[float, ...] = (30.0, 120.0, 300.0)  # between ticks, at most
        self.store = store or MemoryStore()
        self.ceilings = self.chances.ceilings
        self.truths: dict[str, Truth] = {}
        self.timed: dict[str, JobSpec] = {}  # jobs that start by themselves
        self.clouds = {name: self._cloud(name) for name in ("sim", "other")[: self.chances.clouds]}
        self.providers = {n: WatchedProvider(c, self.store, self.broken) for n, c in self.clouds.items()}
        self.clocks = [JumpyClock(self.clock) for _ in range(self.chances.governors)]
        self.governors: list[Governor | None] = [None] * self.chances.governors
        self.down_until = [0.0] * self.chances.governors
        self.stormy, self.ticking = True, False
        self.storm_facts = 0  # recorded before the calm
        self.crashes = self.ticks = self.conflicts = 0
        self.cancels: list[tuple[float, str]] = []
        now = self.clock.now_seconds()
        self.strays = [
            now + self.rng.uniform(0, self.chances.storm_seconds) for _ in range(self.chances.strays)
        ]
        self.plan: Callable[[RunSpec], Plan] = plan_of
        self.watch = Watch(self)
        self.around: Callable[[str, str], None] | None = None  # beside what the chances bring
        self._submit()

    # What there is

    def _cloud(self, name: str) -> SimCloud:
        chances, start = self.chances, self.clock.now_seconds()
        return SimCloud(
            clock=self.clock,
            truth_of=lambda order: self.truth(order.run_id, order.job),
            offers=offers(name),
            weather=Weather(seed=self.seed, rates=chances.rates, start_seconds=start),
            faults=chances.faults,
            boot=self.boot,
            quotas=chances.quotas,
            past=self.past,
            seed=self.seed,
        )

    def _submit(self) -> None:
        now = self.clock.now_seconds()
        for n in range(self.chances.runs):
            spec = self._job(f"job{n % 3}")
            self.submit(f"r{n}", spec, self._truth(self.rng, spec), at_seconds=now)
            if self.rng.random() < self.chances.cancel_rate:
                self.cancels.append((now + self.rng.uniform(0, 5000), f"r{n}"))
        for n in range(self.chances.schedules):
            every = Schedule(
                every_seconds=self.rng.choice((900.0, 3000.0)), catch_up=self.rng.choice(list(CatchUp))
            )
            after = After(jobs=("timed0",), even_failed=self.rng.random() < 0.5)
            spec = replace(
                self._job(f"timed{n}"),
                schedule=every if n == 0 else None,
                after=after if n else None,
                overlap=self.rng.choice(list(Overlap)),
            )
            self.timed[spec.name] = spec
            self.store.append([f.JobApplied(at_seconds=now, spec=spec)])

    def truth(self, run_id: str, job: str) -> Truth:
        """Of runs that were started by schedules, made when they are launched."""
        if run_id not in self.truths:
            self.truths[run_id] = self._truth(Random(f"{self.seed} {run_id}"), self.timed[job])
        return self.truths[run_id]

    def submit(self, run_id: str, spec: JobSpec, truth: Truth, *, at_seconds: float) -> None:
        self.truths[run_id] = truth
        run = RunSpec(
            run_id=run_id,
            job=spec.name,
            command=spec.command,
            features=Features(started_at_seconds=at_seconds),
        )
        goal = spec.goal.deadline_seconds
        deadline = None if goal is None else at_seconds + goal
        self.store.append(
            [f.RunSubmitted(at_seconds=at_seconds, run=run, spec=spec, deadline_seconds=deadline)]
        )

    def _job(self, name: str) -> JobSpec:
        rng = self.rng
        memory = None if name == SMALL_JOB else rng.choice((None, 2 * GIB, 8 * GIB))
        return JobSpec(
            name=name,
            command=("work",),
            paper=self.paper,
            providers=tuple(self.clouds),
            size=SizeAsk(
                memory_bytes=memory,
                memory_bytes_max=None if memory is None else rng.choice((None, 48 * GIB)),
            ),
            tenacity=Tenacity(retries=rng.choice((0, 1, 3)), launches_max=rng.choice((6, 24))),
            patience=Patience(
                launch_seconds=rng.choice((None, 300.0)),
                run_seconds=rng.choice((None, 7200.0)),
                stalled_seconds=rng.choice((None, 600.0)),
            ),
            spot=SpotAsk(
                market=rng.choice(("auto", "auto", "spot", "on_demand")),
                checkpoint=rng.choice((None, "/checkpoints")),
            ),
            success=SuccessRules(outputs=rng.choice(((), ("out.csv",)))),
            goal=Goal(
                deadline_seconds=rng.choice((None, 4 * 3600.0)), usd_per_run=rng.choice((None, None, 0.5))
            ),
            holding=Holding(runs_at_once=rng.choice((None, None, 1)), priority=rng.choice((0, 0, 5))),
        )

    def _truth(self, rng: Random, spec: JobSpec) -> Truth:
        """Only what has a time-out may hang. Those called job2 are small."""
        endless = [How.HANGS, How.STALLS] if spec.patience.run_seconds is not None else []
        tries = tuple(
            Try(
                how=rng.choice([How.ENDS, How.ENDS, *endless]),
                at_share=rng.random(),
                exit_code=rng.choice((0, 0, 1, 137)),
                complete=rng.random() < 0.7,
                reports=rng.random() < 0.9,
            )
            for _ in range(rng.choice((0, 0, 1, 2)))
        )
        small = spec.name == SMALL_JOB
        return Truth(
            waiting_seconds=rng.choice((0.0, 100.0)) if not small else 10.0,
            serial_seconds=20.0 if small else rng.choice((30.0, 600.0, 3600.0)) * rng.uniform(0.5, 1.5),
            parallel_core_seconds=0.0 if small else rng.choice((0.0, 2000.0)),
            cores=4.0,
            memory_bytes=int((0.5 if small else rng.choice((0.5, 3.0, 20.0))) * GIB),
            tries=tries,
            checkpoint_every_seconds=rng.choice((None, 120.0)),
            progress_every_seconds=rng.choice((None, 60.0)),
        )

    # What happens

    def known(self, _: Snapshot) -> Known:
        supplies = {
            name: Supply(name=name, capabilities=cloud.capabilities, offers=OfferTable.of(offers(name)))
            for name, cloud in self.clouds.items()
        }
        return Known(supplies=supplies, plan=self.plan, usual=lambda _: Usual(), ceilings=self.ceilings)

    def run(self, *, patience_seconds: float = 4 * 86_400.0) -> list[str]:
        """What was broken, in words."""
        start = self.clock.now_seconds()
        while self.clock.now_seconds() - start < self.chances.storm_seconds and self._busy():
            self.step()
        self._calm()
        until = self.clock.now_seconds() + patience_seconds
        while self.clock.now_seconds() < until and self._busy():
            self.step()
        for n in range(30):  # ended machines that nobody owns are still to be found and given back
            if n < 3 or self.watch.snapshot.zombies:
                self.step()
        return [*self.broken, *verdict(self)]

    @property
    def exact(self) -> bool:
        return self.chances.exact and not self.crashes

    def _busy(self) -> bool:
        self.watch.follow()
        alive = any(cloud.alive() for cloud in self.clouds.values())
        return alive or self.watch.snapshot.busy or bool(self.cancels)

    def _calm(self) -> None:
        self.stormy, self.storm_facts = False, len(self.store.read())
        self.ceilings, self.strays = Ceilings(), []
        now = self.clock.now_seconds()
        removed = [f.JobRemoved(at_seconds=now, job=f"timed{n}") for n in range(self.chances.schedules)]
        if removed:
            self.store.append(removed)
        for cloud in self.clouds.values():
            faults = Faults(listing_lag_seconds=self.chances.faults.listing_lag_seconds)
            cloud.change(faults=faults, weather=Weather(rates=Rates(interruptions_per_hour=0.0)))

    def step(self) -> None:
        """Time passes, and every governor that is up ticks once."""
        self._pass_time()
        self._cancel()
        self._stray()
        for index in range(len(self.governors)):
            self.tick(index)
        self.watch.look()

    def _pass_time(self) -> None:
        now = self.clock.now_seconds()
        ahead = min(cloud.next_change_seconds() for cloud in self.clouds.values()) - now
        self.clock.sleep(max(self.rng.uniform(5, 30), min(ahead + 1.0, self.rng.choice(self.pauses))))
        if self.stormy and self.chances.jump_seconds and self.rng.random() < 0.02:
            jump = self.rng.uniform(-1, 1) * self.chances.jump_seconds
            self.rng.choice(self.clocks).offset_seconds = jump

    def _cancel(self) -> None:
        now = self.clock.now_seconds()
        due = [run_id for at, run_id in self.cancels if at <= now]
        self.cancels = [(at, run_id) for at, run_id in self.cancels if at > now]
        if due:
            self.store.append(
                [f.CancelAsked(at_seconds=now, run_id=run_id, reason="typed") for run_id in due]
            )

    def _stray(self) -> None:
        now = self.clock.now_seconds()
        while self.strays and min(self.strays) <= now:
            self.strays.remove(min(self.strays))
            name = f"stray{len(self.strays)}"
            self.truths[name] = Truth(serial_seconds=7200.0)
            offer = next(offer for offer in offers("sim") if offer.market is Market.ON_DEMAND)
            order = Launch(
                run_id=name,
                attempt_id=f"{name}.1",
                job="stray",
                offer=offer,
                size=Size(cpu_cores=1.0, memory_bytes=GIB),
                limits=Limits(),
                lease_seconds=self.ceilings.lease_seconds,
            )
            with contextlib.suppress(Unavailable, Refused):
                self.clouds["sim"].launch(order)

    def tick(self, index: int) -> Ticked | None:
        """None: it is down, or crashed."""
        now = self.clock.now_seconds()
        if now < self.down_until[index]:
            return None
        governor = self.governors[index] or self._born(index)
        self.governors[index] = governor
        try:
            ticked = governor.tick()
        except Crash:
            self.crashes += 1
            self.governors[index] = None
            self.down_until[index] = now + self.rng.choice((0.0, 60.0, 1800.0))
            return None
        self.ticks += 1
        self.conflicts += ticked.conflict
        self.watch.ticked(index, ticked)
        return ticked

    def _born(self, index: int) -> Governor:
        around = self._around(index)
        return Governor(
            store=Port(self.store, around),
            providers={name: Port(provider, around) for name, provider in self.providers.items()},
            known=self.known,
            papers=Port(self.papers, around),
            clock=self.clocks[index],
        )

    def _around(self, index: int) -> Callable[[str, str], None]:
        chances, rng = self.chances, self.rng

        def around(when: str, call: str) -> None:
            if self.around is not None:
                self.around(when, call)
            if not self.stormy:
                return
            if chances.slow_rate and rng.random() < chances.slow_rate:
                self.clock.sleep(rng.choice((1.0, 20.0, 90.0)))
            others = [other for other in range(len(self.governors)) if other != index]
            if others and not self.ticking and rng.random() < chances.between_rate:
                self.ticking = True
                try:
                    self.tick(rng.choice(others))
                finally:
                    self.ticking = False
            if rng.random() < chances.crash_rate:
                raise Crash

        return around


def offers(cloud: str) -> list[Offer]:
    return [
        Offer(
            cloud=cloud,
            region="r1",
            zone=zone,
            instance_type=name,
            arch=Arch.X86_64,
            vcpus=vcpus,
            memory_bytes=gib * GIB,
            market=market,
            price_usd_per_hour=Decimal(usd) / (3 if market is Market.SPOT else 1),
            interruptions_per_hour=0.05 if market is Market.SPOT else 0.0,
            as_of=date(2026, 11, 1),
            source="test",
        )
        for name, (vcpus, gib, usd) in TYPES.items()
        for zone in ("r1a", "r1b")
        for market in Market
    ]


def _some_ceilings(rng: Random) -> Ceilings:
    return Ceilings(
        usd_per_hour_max=rng.choice((None, None, 0.6)),
        launches_per_hour_max=rng.choice((2000, 6)),
        slots=rng.choice(
            ((), (Slots(runs_max=2),), (Slots(job="job0", runs_max=1), Slots(provider="sim", runs_max=3)))
        ),
        quotas=rng.choice(((), (Quota(provider="sim", machines_max=2),))),
        budgets=rng.choice(((), (), (Budget(job="job1", usd_per_month=0.1),))),
    )


def plan_of(run: RunSpec) -> Plan:
    wall = Quantiles(p50=900.0, p90=2000.0, p99=4000.0)
    if run.job == SMALL_JOB:
        wall = Quantiles(p50=30.0, p90=35.0, p99=40.0)
    return Plan(
        job=run.job,
        size=Size(cpu_cores=1.0, memory_bytes=(1 if run.job == SMALL_JOB else 4) * GIB),
        forecast=Forecast(runs=5, wall_seconds=wall, cpu_core_seconds=wall),
        reasons=(),
    )
