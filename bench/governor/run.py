"""How long one tick takes over 10,000 live runs, and a fold over 1,000,000 facts; compared with the bars.

Usage: python bench/governor/run.py [--runs 10000] [--facts 1000000] [--profile "nothing new"]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

from flyball.engine.governor import Governor
from flyball.model import facts as f
from flyball.model.ceilings import Ceilings
from flyball.model.charge import Charge
from flyball.model.folding import fold
from flyball.model.job import Features, RunSpec
from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Plan, Quantiles
from flyball.model.receipt import Host, Limits, Receipt
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import Snapshot
from flyball.model.spec import JobSpec, SpotAsk
from flyball.model.units import GIB
from flyball.policy.known import Known, Supply, Usual
from flyball.ports.clock import FakeClock
from flyball.ports.papers import MemoryPapers, Paper
from flyball.ports.store import MemoryStore
from flyball.sim.cloud import SimCloud
from flyball.sim.truth import Truth

TICK_SECONDS_MAX, TICK_BYTES_MAX = 0.5, 300 * 2**20
START = 1_780_000_000.0


def offers() -> list[Offer]:
    """400: 50 types in four zones and two markets."""
    return [
        Offer(
            cloud="sim",
            region="r1",
            zone=f"r1{zone}",
            instance_type=f"m{n}.{vcpus}x",
            arch=Arch.X86_64,
            vcpus=vcpus,
            memory_bytes=vcpus * 4 * GIB,
            market=market,
            price_usd_per_hour=Decimal(
                f"{0.05 * vcpus * (1 + n / 50) / (3 if market is Market.SPOT else 1):.4f}"
            ),
            interruptions_per_hour=0.02 if market is Market.SPOT else 0.0,
            as_of=date(2026, 11, 1),
            source="bench",
        )
        for n in range(10)
        for vcpus in (2, 4, 8, 16, 32)
        for zone in "abcd"
        for market in Market
    ]


def plan(run: RunSpec) -> Plan:
    wall = Quantiles(p50=7000.0, p90=7100.0, p99=7200.0)
    return Plan(
        job=run.job,
        size=Size(cpu_cores=2.0, memory_bytes=4 * GIB),
        forecast=Forecast(runs=9, wall_seconds=wall, cpu_core_seconds=wall),
        reasons=(),
    )


def submitted(n: int, spec: JobSpec, at_seconds: float) -> f.RunSubmitted:
    run = RunSpec(
        run_id=f"r{n}", job=spec.name, command=("work",), features=Features(started_at_seconds=at_seconds)
    )
    deadline = at_seconds + 20_000.0 if n % 2 else None
    return f.RunSubmitted(at_seconds=at_seconds, run=run, spec=spec, deadline_seconds=deadline)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def ticks(runs: int, *, profile: str) -> list[tuple[str, float]]:
    """Seconds of each tick in the life of so many runs, by what it had to do."""
    clock, store, papers = FakeClock(START), MemoryStore(), MemoryPapers()
    cloud = SimCloud(
        clock=clock,
        truth_of=lambda _: Truth(serial_seconds=7000.0, progress_every_seconds=60.0),
        offers=offers(),
    )
    supply = Supply(name="sim", capabilities=cloud.capabilities, offers=OfferTable.of(offers()))
    known = Known(
        supplies={"sim": supply},
        plan=plan,
        usual=lambda _: Usual(),
        ceilings=Ceilings(launches_per_hour_max=10**9, lease_seconds=1e6),
    )
    paper = papers.keep(Paper(command=("work",)))
    specs = [
        JobSpec(
            name=f"job{n}",
            command=("work",),
            paper=paper,
            providers=("sim",),
            spot=SpotAsk(checkpoint="/kept" if n % 3 else None),
        )
        for n in range(50)
    ]
    store.append([submitted(n, specs[n % 50], START) for n in range(runs)])
    governor = Governor(
        store=store, providers={"sim": cloud}, known=lambda _: known, papers=papers, clock=clock
    )
    taken = []
    profiler = cProfile.Profile()
    for what, seconds in [
        ("places all", 300.0),
        ("sees all start", 10.0),
        ("nothing new", 90.0),
        ("sees progress of all", 10.0),
        ("nothing new", 0.0),
        ("nothing new", 7000.0),
        ("sees most end", 400.0),
        ("sees the rest", 10.0),
    ]:
        if what == profile:
            profiler.enable()
        start = time.perf_counter()
        ticked = governor.tick()
        taken.append((f"{what} ({len(ticked.facts)} facts)", time.perf_counter() - start))
        profiler.disable()
        clock.sleep(seconds)
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(25)
    return taken


def long_log(count: int) -> list[f.AnyFact]:
    """Seven facts a run: what a life without incidents leaves behind."""
    offer, spec = offers()[1], JobSpec(name="job", command=("work",), paper="p")
    size, limits = Size(cpu_cores=1.0, memory_bytes=GIB), Limits(memory_bytes=GIB)
    charge = Charge(
        usd=Decimal("0.0125"), billed_seconds=99.0, price_usd_per_hour=Decimal("0.1"), reason="bench"
    )
    log: list[f.AnyFact] = []
    n = 0
    while len(log) < count:
        at, name = START + n * 10.0, {"run_id": f"r{n}", "attempt_id": f"r{n}.1"}
        receipt = Receipt(
            attempt_id=f"r{n}.1",
            outcome=Outcome.SUCCEEDED,
            exit_code=0,
            exit_cause="exit 0",
            started_at_seconds=at + 40,
            ended_at_seconds=at + 80,
            wall_seconds=40.0,
            host=Host(),
            limits=limits,
            sources={},
        )
        log += [
            submitted(n, spec, at),
            f.AttemptPlanned(
                at_seconds=at, **name, provider="sim", offer=offer, size=size, limits=limits, reason="x"
            ),
            f.AttemptLaunched(at_seconds=at + 1, **name),
            f.AttemptStarted(at_seconds=at + 40, **name, limits=limits, reason="x"),
            f.AttemptEnded(at_seconds=at + 80, run_id=f"r{n}", attempt_id=f"r{n}.1", receipt=receipt),
            f.MachineReleased(at_seconds=at + 81, **name, charge=charge),
            f.RunEnded(
                at_seconds=at + 81, run_id=f"r{n}", job="job", result=f.RunResult.SUCCEEDED, reason="x"
            ),
        ]
        n += 1
    return log[:count]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=10_000)
    options.add_argument("--facts", type=int, default=1_000_000)
    options.add_argument("--profile", default="", help="a kind of tick, such as: nothing new")
    chosen = options.parse_args()
    before = resident_bytes()
    taken = ticks(chosen.runs, profile=chosen.profile)
    grown = resident_bytes() - before
    for what, seconds in taken:
        print(f"tick, {chosen.runs} runs: {what:40} {seconds:7.3f} s")
    quiet = min(seconds for what, seconds in taken if what.startswith("nothing"))
    print(
        f"a tick with nothing new: {quiet:.3f} s, {quiet / TICK_SECONDS_MAX:.2f} x the bar of {TICK_SECONDS_MAX} s"
    )
    print(
        f"memory, simulated cloud and log included: {resident_bytes() / 2**20:.0f} MiB resident, {grown / 2**20:.0f} MiB of it"
        f" for the runs; the bar is {TICK_BYTES_MAX / 2**20:.0f} MiB"
    )
    log = long_log(chosen.facts)
    start = time.perf_counter()
    snapshot = fold(Snapshot(), log)
    seconds = time.perf_counter() - start
    print(f"fold of {snapshot.position} facts at once: {seconds:.2f} s, {len(log) / seconds:,.0f} a second")
    start = time.perf_counter()
    for at in range(0, min(len(log), 70_000), 7):
        snapshot = fold(snapshot, log[at : at + 7])
    seconds = time.perf_counter() - start
    print(
        f"fold of 7 facts at a time beside {len(snapshot.ended)} ended runs: {seconds / 10_000 * 1e6:.0f} us each"
    )


if __name__ == "__main__":
    main()
