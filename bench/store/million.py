"""A store with 1,000,000 facts of governed runs: how fast it opens, folds and is kept.

    python bench/store/million.py [--facts 1000000] [--live 1000] [--keep FILE]

The facts are what the governor records for a run that goes well (8 of them), one in ten with a held start and one in
twenty with an interrupted attempt; the last --live runs have not ended. They are put into the file in bulk, rows
included. The peer, in the same run: folding the whole log, which is what an opening costs without a kept snapshot.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

from flyball.adapters import sqlite_projection as projection
from flyball.adapters.sqlite_store import SqliteStore
from flyball.engine.kept_snapshot import keep_snapshot, load_snapshot
from flyball.model import facts as f
from flyball.model.charge import Charge
from flyball.model.folding import fold
from flyball.model.history import History, fold_history
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.plan import Choice, Forecast, Plan, Quantiles
from flyball.model.receipt import Host, Limits, Receipt
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import Snapshot
from flyball.model.spec import Goal, JobSpec, Schedule, SizeAsk

OPEN_BAR_SECONDS, KEEP_BAR_SECONDS = 2.0, 0.050
START_SECONDS = 1_780_000_000.0
JOBS = 400
FACTS_AT_A_TIME = 20_000


def spec_of(n: int) -> JobSpec:
    return JobSpec(
        name=f"acme/etl/job{n:03d}",
        command=("python", "train.py", "--day", "{day}", "--region", f"r{n}"),
        paper=f"{n:032x}",
        workdir="/srv/etl",
        inputs=(f"s3://raw/{n}/",),
        tags={"team": f"t{n % 7}", "stage": "daily"},
        providers=("aws", "local"),
        size=SizeAsk(memory_bytes=2**32, memory_bytes_max=2**36),
        schedule=Schedule(cron=f"{n % 60} * * * *", timezone="Europe/Berlin"),
        goal=Goal(deadline_seconds=4 * 3600.0),
        source=f"flyball.toml:{n * 9}",
    )


def offer_of(n: int) -> Offer:
    return Offer(
        cloud="aws",
        region="us-east-1",
        zone=f"us-east-1{'abcdef'[n % 6]}",
        instance_type=f"m7a.{n % 8 + 1}xlarge",
        arch=Arch.X86_64,
        vcpus=4 * (n % 8 + 1),
        memory_bytes=2**34 * (n % 8 + 1),
        market=Market.SPOT,
        price_usd_per_hour=Decimal(8 + n % 40) / 100,
        interruptions_per_hour=0.01,
        speed_one_core=1.1,
        speed_all_cores=1.6,
        processor="AMD EPYC 9R14",
        as_of=date(2026, 11, 1),
        source="aws spot prices",
    )


SPECS = [spec_of(n) for n in range(JOBS)]
OFFERS = [offer_of(n) for n in range(48)]
LIMITS = Limits(memory_bytes=2**34, cpu_cores=4.0, grace_seconds=10.0)
SIZE = Size(cpu_cores=4, memory_bytes=2**34)


def governed_run(n: int, rng: random.Random, *, ended: bool) -> list[f.AnyFact]:
    """What the governor records about one run, in order."""
    spec, run_id, at = rng.choice(SPECS), f"{n:012d}", START_SECONDS + n * 30.0
    wall = rng.lognormvariate(6, 1)
    features = Features(started_at_seconds=at, input_bytes=int(wall * 2e7), words={"day": "2026-11-01"})
    run = RunSpec(
        run_id=run_id,
        job=spec.name,
        command=spec.command,
        workdir=spec.workdir,
        inputs=spec.inputs,
        features=features,
        tags=spec.tags,
    )
    about = Quantiles(p50=wall, p90=wall * 1.2, p99=wall * 1.5)
    forecast = Forecast(runs=40, wall_seconds=about, memory_bytes=about, reasons=("40 runs like it",))
    choice = Choice(offer=OFFERS[n % 48], expected_usd=0.03, expected_seconds=wall, reason="cheapest")
    plan = Plan(job=spec.name, size=SIZE, forecast=forecast, reasons=("memory: p99",), choice=choice)
    facts: list[f.AnyFact] = [
        f.RunSubmitted(
            at_seconds=at,
            run=run,
            spec=spec,
            cause="schedule 2026-11-21 06:00 Europe/Berlin",
            due_seconds=at,
            slot_seconds=at,
            deadline_seconds=at + 14400,
            fills={"day": "2026-11-01"},
        ),
        f.RunPlanned(at_seconds=at, run_id=run_id, plan=plan),
    ]
    if n % 10 == 0:
        facts.append(
            f.RunHeld(at_seconds=at, run_id=run_id, kind="slots", reason="40 of team=t1 run at once")
        )
    attempts = 2 if n % 20 == 0 else 1
    for attempt in range(1, attempts + 1):
        outcome = Outcome.SUCCEEDED if attempt == attempts else Outcome.INTERRUPTED
        facts += attempt_facts(
            {"run_id": run_id, "attempt_id": f"{run_id}.{attempt}"}, at + 2, wall, outcome, rng.choice(OFFERS)
        )
    if not ended:
        return facts[: -2 * attempts] if attempts == 1 else facts[:-6]
    result = f.RunResult.FAILED if n % 50 == 0 else f.RunResult.SUCCEEDED
    facts.append(
        f.RunEnded(
            at_seconds=at + wall + 60, run_id=run_id, job=spec.name, result=result, reason=result.value
        )
    )
    return facts


def attempt_facts(
    name: dict[str, str], at: float, wall: float, outcome: Outcome, offer: Offer
) -> list[f.AnyFact]:
    receipt = Receipt(
        attempt_id=name["attempt_id"],
        outcome=outcome,
        exit_code=0,
        exit_cause="exit 0",
        started_at_seconds=at + 40,
        ended_at_seconds=at + 40 + wall,
        wall_seconds=wall,
        cpu_seconds=wall * 1.8,
        cpu_cores_p95=3.1,
        cpu_cores_max=4.0,
        memory_bytes_max=int(wall * 1e7),
        disk_read_bytes=int(wall * 2e7),
        threads_max=9,
        samples=int(wall),
        host=Host(cpu_model="AMD EPYC 9R14", cpu_cores=4.0, memory_bytes=2**35, instance_type="m7a.xlarge"),
        limits=LIMITS,
        sources={"cpu_seconds": "cgroup v2", "memory_bytes_max": "cgroup v2"},
    )
    charge = Charge(
        usd=Decimal("0.021400000"),
        usd_on_demand_asked=Decimal("0.081"),
        billed_seconds=wall + 55,
        boot_seconds=40.0,
        idle_seconds=4.0,
        price_usd_per_hour=offer.price_usd_per_hour,
        price_source=offer.source,
        price_as_of="2026-11-01",
        not_included=("traffic",),
        reason="spot, by the second",
    )
    return [
        f.AttemptPlanned(
            at_seconds=at,
            **name,
            provider="aws",
            offer=offer,
            size=SIZE,
            limits=LIMITS,
            reason="cheapest that fits",
        ),
        f.AttemptLaunched(at_seconds=at + 1, **name),
        f.AttemptStarted(at_seconds=at + 40, **name, limits=LIMITS, reason="cheapest that fits"),
        f.AttemptEnded(at_seconds=at + 40 + wall, **name, receipt=receipt),
        f.MachineReleased(at_seconds=at + 45 + wall, **name, charge=charge),
    ]


def governed_runs(facts: int, live: int) -> Iterator[list[f.AnyFact]]:
    rng, made, n = random.Random(20261121), 0, 0
    applied: list[f.AnyFact] = [f.JobApplied(at_seconds=START_SECONDS, spec=spec) for spec in SPECS]
    yield applied
    made = len(applied)
    while made < facts:
        run = governed_run(n, rng, ended=made < facts - live * 6)
        yield run
        made, n = made + len(run), n + 1


def fill(path: Path, facts: int, live: int) -> int:
    """Facts and rows put into a new store in one transaction; how many facts."""
    SqliteStore(path).close()
    from flyball.adapters.sqlite_schema import connect

    db, position = connect(path), 0
    db.execute("PRAGMA synchronous=OFF")
    db.execute("BEGIN")
    for run in governed_runs(facts, live):
        rows = [
            (position + at, projection.run_id_of(fact), projection.encode(fact))
            for at, fact in enumerate(run, 1)
        ]
        db.executemany("INSERT INTO facts VALUES (?, ?, ?)", rows)
        position += len(run)
        for run_id, state in fold_history(History(), run).runs.items():
            db.execute("INSERT INTO runs VALUES (?, ?)", (run_id, state.job))
            projection._write_rows(db, run_id, state)  # noqa: SLF001 - as append does, without reading back
    db.execute("COMMIT")
    db.close()
    return position


def folded(store: SqliteStore, snapshot: Snapshot) -> Snapshot:
    while facts := store.read(snapshot.position, limit=FACTS_AT_A_TIME):
        snapshot = fold(snapshot, facts)
    return snapshot


def resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


OPENING = """
import sys, time
from pathlib import Path
begun = time.perf_counter()
from flyball.adapters.sqlite_store import SqliteStore
from flyball.engine.kept_snapshot import load_snapshot
from flyball.model.folding import fold
imported = time.perf_counter()
store = SqliteStore(Path(sys.argv[1]))
opened = time.perf_counter()
snapshot = load_snapshot(Path(sys.argv[2]), store)
loaded = time.perf_counter()
missed = 0
while facts := store.read(snapshot.position, limit=20000):
    snapshot = fold(snapshot, facts)
    missed += len(facts)
caught_up = time.perf_counter()
assert len(snapshot.runs) >= int(sys.argv[3]), len(snapshot.runs)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss is inherited
mib = int(peak.split()[1]) / 1024
print(imported - begun, opened - imported, loaded - opened, caught_up - loaded, missed, mib)
"""


def open_anew(store: Path, kept: Path, live: int) -> list[float]:
    """Seconds of import, open, load and catching up, facts caught up, MiB, in a process of its own."""
    argv = [sys.executable, "-c", OPENING, str(store), str(kept), str(live)]
    return [
        float(word)
        for word in subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    ]


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--facts", type=int, default=1_000_000)
    options.add_argument("--live", type=int, default=1000, help="runs that have not ended")
    options.add_argument(
        "--behind", type=int, default=2000, help="facts recorded since the snapshot was kept"
    )
    options.add_argument(
        "--keep", type=Path, help="keep the store in this file, and use it again when it is there"
    )
    args = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        path = args.keep or Path(folder) / "facts.sqlite"
        if not path.exists():
            begun = time.perf_counter()
            count = fill(path, args.facts, args.live)
            print(
                f"filled: {count:,} facts in {time.perf_counter() - begun:.1f} s, {path.stat().st_size >> 20} MiB"
            )
        return measure(path, Path(folder) / "snapshot.msgpack", args.live, args.behind)


def measure(path: Path, kept: Path, live: int, behind: int) -> int:
    store = SqliteStore(path)
    begun = time.perf_counter()
    snapshot = folded(store, Snapshot())
    whole = time.perf_counter() - begun
    rate = snapshot.position / whole
    print(
        f"fold of the whole log: {whole:.1f} s, {rate:,.0f} facts a second, {resident_mib():.0f} MiB at most"
    )
    print(
        f"  {len(snapshot.runs):,} live runs, {len(snapshot.ended):,} ended ones remembered, {len(snapshot.jobs)} jobs"
    )
    spent, spent_cpu = [], []
    for _ in range(7):
        begun, cpu = time.perf_counter(), time.process_time()
        assert keep_snapshot(kept, snapshot, store)
        spent.append(time.perf_counter() - begun)
        spent_cpu.append(time.process_time() - cpu)
    print(
        f"keep: best {min(spent) * 1e3:.1f} ms, worst {max(spent) * 1e3:.1f} ms"
        f" (CPU {min(spent_cpu) * 1e3:.1f} ms), {kept.stat().st_size / 2**20:.1f} MiB"
    )
    assert load_snapshot(kept, store) == snapshot
    early = Snapshot()
    while early.position < snapshot.position - behind:
        early = fold(
            early, store.read(early.position, limit=min(20_000, snapshot.position - behind - early.position))
        )
    keep_snapshot(kept, early, store)
    del snapshot, early
    gc.collect()
    slowest = 0.0
    for _ in range(3):
        imported, opened, loaded, caught_up, missed, mib = open_anew(path, kept, live)
        total = imported + opened + loaded + caught_up
        slowest = max(slowest, total)
        print(
            f"open, from a new process: {total:.3f} s = import {imported:.3f} + store {opened:.3f}"
            f" + snapshot {loaded:.3f} + {missed:,.0f} facts since {caught_up:.3f}; {mib:.0f} MiB"
        )
    print(f"without a kept snapshot: {whole / slowest:.0f} times as long")
    store.close()
    return 0 if slowest < OPEN_BAR_SECONDS and (live > 1000 or min(spent) < KEEP_BAR_SECONDS) else 1


if __name__ == "__main__":
    sys.exit(main())
