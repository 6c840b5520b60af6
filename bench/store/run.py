"""How fast 100,000 runs stay: listing, summarising and forecasting a job with 10,000 of them.

    python bench/store/run.py [--runs 100000] [--of-one-job 10000] [--keep FILE]

The peer, in the same run on the same facts: a plain SQLite table of JSON receipts, all of a job's receipts decoded
for every question. Prints milliseconds, best and median of 7, and the ratio of medians.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flyball.adapters.sqlite_store import SqliteStore
from flyball.model.facts import AnyFact, AttemptEnded, AttemptStarted, RunSubmitted
from flyball.model.history import AttemptRow
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.receipt import Host, Limits, Receipt
from flyball.policy.summary import summarise

BAR_SECONDS = 0.050
BIG_JOB = "acme/etl/train.py --rows"
BATCH = 500
START_SECONDS = 1.75e9


def facts_of_run(n: int, job: str, rng: random.Random) -> list[AnyFact]:
    run_id, at = f"{n:012d}", START_SECONDS + n * 300.0
    input_bytes = int(rng.lognormvariate(21, 1))
    wall = 30 + input_bytes / 2e7 * rng.uniform(0.9, 1.1)
    memory = int(2e8 + input_bytes * rng.uniform(1.9, 2.3))
    outcome = Outcome.OUT_OF_MEMORY if memory > 2**34 else Outcome.SUCCEEDED
    features = Features(
        started_at_seconds=at,
        utc_offset_seconds=3600,
        input_bytes=input_bytes,
        numbers={"rows": float(input_bytes // 100)},
        words={"date": "2026-11-01"},
        code_version="3f786850e387",
    )
    command = ("python", "train.py", "--rows", str(input_bytes // 100), "--date", "2026-11-01")
    run = RunSpec(
        run_id=run_id, job=job, command=command, workdir="/srv/etl", features=features, tags={"team": "a"}
    )
    limits = Limits(memory_bytes=2**34, cpu_cores=4.0)
    receipt = Receipt(
        attempt_id=f"{run_id}.1",
        outcome=outcome,
        exit_code=0 if outcome is Outcome.SUCCEEDED else 137,
        exit_cause="exit 0",
        started_at_seconds=at,
        ended_at_seconds=at + wall,
        wall_seconds=wall,
        cpu_user_seconds=wall * 1.7,
        cpu_system_seconds=wall * 0.1,
        cpu_seconds=wall * 1.8,
        cpu_cores_mean=1.8,
        cpu_cores_p95=rng.uniform(2, 4),
        cpu_cores_max=4.0,
        cpu_cores_wanted=2.2,
        memory_bytes_max=min(memory, 2**34),
        memory_bytes_kernel_peak=min(memory, 2**34),
        disk_read_bytes=input_bytes,
        disk_write_bytes=input_bytes // 3,
        threads_max=9,
        host=Host(cpu_model="AMD EPYC 9R14", cpu_cores=4.0, memory_bytes=2**35, instance_type="m7a.xlarge"),
        limits=limits,
        sources={"cpu_seconds": "cgroup v2", "memory_bytes_max": "cgroup v2", "disk_read_bytes": "cgroup v2"},
    )
    return [
        RunSubmitted(at_seconds=at, run=run),
        AttemptStarted(
            at_seconds=at, run_id=run_id, attempt_id=f"{run_id}.1", limits=limits, reason="planned"
        ),
        AttemptEnded(
            at_seconds=at + wall, run_id=run_id, attempt_id=f"{run_id}.1", receipt=receipt, cost_usd="0.0214"
        ),
    ]


def generate(runs: int, of_one_job: int) -> list[list[AnyFact]]:
    rng = random.Random(20261121)
    jobs = [f"acme/etl/job{n}.py" for n in range(99)]
    every = max(1, runs // of_one_job)
    return [facts_of_run(n, BIG_JOB if n % every == 0 else rng.choice(jobs), rng) for n in range(runs)]


def filled(path: Path, runs: list[list[AnyFact]]) -> SqliteStore:
    store = SqliteStore(path)
    begun = time.perf_counter()
    for at in range(0, len(runs), BATCH):
        store.append([fact for run in runs[at : at + BATCH] for fact in run])
    took = time.perf_counter() - begun
    print(f"filling: {len(runs):,} runs, {3 * len(runs):,} facts in {took:.1f} s, {BATCH} runs an append")
    return store


def peer_filled(path: Path, runs: list[list[AnyFact]]) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE receipts (id INTEGER PRIMARY KEY, job TEXT, body BLOB)")
    db.execute("CREATE INDEX of_job ON receipts (job)")
    encode = msgspec.json.encode
    db.executemany(
        "INSERT INTO receipts (job, body) VALUES (?, ?)",
        ((run[0].run.job, encode([run[0], run[2]])) for run in runs),
    )
    db.commit()
    return db


def timed(ask: Callable[[], Any], rounds: int = 7) -> tuple[float, float, Any]:
    seconds, answer = [], None
    for _ in range(rounds):
        begun = time.perf_counter()
        answer = ask()
        seconds.append(time.perf_counter() - begun)
    return min(seconds), statistics.median(seconds), answer


def append_rate(store: SqliteStore) -> float:
    """Appends a second of one fact each, every one on the disk when it returns."""
    rng = random.Random(7)
    facts = [fact for n in range(100) for fact in facts_of_run(10**9 + n, "acme/etl/appended.py", rng)]
    begun = time.perf_counter()
    for fact in facts:
        store.append([fact])
    return len(facts) / (time.perf_counter() - begun)


def summary(rows: Sequence[AttemptRow]) -> dict[str, float]:
    walls = sorted(row.wall_seconds for row in rows if row.wall_seconds is not None)
    peaks = sorted(row.memory_bytes_max for row in rows if row.memory_bytes_max is not None)
    failed = sum(row.outcome is not Outcome.SUCCEEDED for row in rows)
    return {"runs": len(rows), "p50": walls[len(walls) // 2], "peak": peaks[-1], "failed": failed}


def peer_decoded(db: sqlite3.Connection, job: str) -> list[tuple[RunSubmitted, AttemptEnded]]:
    found = db.execute("SELECT body FROM receipts WHERE job = ? ORDER BY id", (job,)).fetchall()
    decode = msgspec.json.Decoder(tuple[RunSubmitted, AttemptEnded]).decode
    return [decode(body) for (body,) in found]


def peer_summary(found: list[tuple[RunSubmitted, AttemptEnded]]) -> dict[str, float]:
    walls = sorted(end.receipt.wall_seconds for _, end in found)
    peaks = sorted(end.receipt.memory_bytes_max or 0 for _, end in found)
    failed = sum(end.receipt.outcome is not Outcome.SUCCEEDED for _, end in found)
    return {"runs": len(found), "p50": walls[len(walls) // 2], "peak": peaks[-1], "failed": failed}


def evidence_of(rows: Sequence[AttemptRow]) -> Any:
    from flyball.policy.evidence import Evidence

    return Evidence.from_rows(rows)


def forecasting() -> Callable[[Sequence[AttemptRow]], Any] | None:
    """The product's own forecast and size of the big job's next run, from as many rows as it uses; None without one."""
    try:
        from flyball.engine.planning import CEILING, FLOOR, NEWEST_ATTEMPTS
        from flyball.policy.forecast import forecast
        from flyball.policy.sizing import Appetite, size_next
    except ImportError:
        return None
    features = Features(started_at_seconds=START_SECONDS + 4e7, input_bytes=10**9, numbers={"rows": 1e7})

    def ask(rows: Sequence[AttemptRow]) -> Any:
        evidence = evidence_of(rows[-NEWEST_ATTEMPTS:])
        decision = size_next(evidence, features, appetite=Appetite(), floor=FLOOR, ceiling=CEILING)
        return forecast(evidence, features), decision

    return ask


def page_of_jobs(store: SqliteStore) -> Any:
    """What `flyball jobs` shows."""
    return summarise(store.rows())


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=int, default=100_000)
    options.add_argument("--of-one-job", type=int, default=10_000)
    options.add_argument("--keep", type=Path, help="keep the store in this file")
    args = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        runs = generate(args.runs, args.of_one_job)
        store = filled(args.keep or Path(folder) / "facts.sqlite", runs)
        peer = peer_filled(Path(folder) / "peer.sqlite", runs)
        first = summary(store.rows(BIG_JOB))
        assert first == peer_summary(peer_decoded(peer, BIG_JOB))
        print(f"store: {store.path.stat().st_size / 2**20:.0f} MiB; {BIG_JOB!r} has {first['runs']:,} runs")
        del runs
        return compare(store, peer)


ALL_JOBS = "sum up all 100,000 runs by job"  # `flyball jobs`; no bar, it is ten times the big job


def compare(store: SqliteStore, peer: sqlite3.Connection) -> int:
    def peer_asked() -> Any:
        return peer_summary(peer_decoded(peer, BIG_JOB))

    forecast = forecasting()
    questions: list[tuple[str, Callable[[], Any], Callable[[], Any] | None]] = [
        ("list the jobs", store.jobs, lambda: peer.execute("SELECT DISTINCT job FROM receipts").fetchall()),
        (ALL_JOBS, lambda: page_of_jobs(store), None),
        ("list the newest 50 runs", lambda: store.rows(newest=50), None),
        ("list the newest 50 of the job", lambda: store.rows(BIG_JOB, newest=50), None),
        ("read its 10,000 rows", lambda: store.rows(BIG_JOB), lambda: peer_decoded(peer, BIG_JOB)),
        ("summarise it", lambda: summary(store.rows(BIG_JOB)), peer_asked),
        ("evidence of it", lambda: evidence_of(store.rows(BIG_JOB)), lambda: peer_decoded(peer, BIG_JOB)),
    ]
    if forecast:
        from flyball.engine.planning import NEWEST_ATTEMPTS

        questions.append(
            (
                "forecast and size its next run",
                lambda: forecast(store.rows(BIG_JOB, newest=NEWEST_ATTEMPTS)),
                peer_asked,
            )
        )

    def together() -> Any:
        rows = store.rows(BIG_JOB)
        return store.jobs(), rows[-50:], summary(rows), forecast(rows) if forecast else evidence_of(rows)

    questions.append(("list, summarise and forecast", together, peer_asked))
    print(f"{'':32} {'best ms':>8} {'median ms':>10} {'peer ms':>8} {'peer / flyball':>15}")
    slow = 0
    for name, ask, peer_ask in questions:
        best, median, _ = timed(ask)
        slow += median > BAR_SECONDS and name != ALL_JOBS
        line = f"{name:32} {best * 1e3:8.2f} {median * 1e3:10.2f}"
        if peer_ask:
            _, peer_median, _ = timed(peer_ask)
            line += f" {peer_median * 1e3:8.2f} {peer_median / median:15.1f}"
        print(line)
    print(f"appends, one fact each, durable: {append_rate(store):,.0f} a second")
    print("questions about the job of 10,000 runs: ", end="")
    print("within the bar of 50 ms" if not slow else f"{slow} over the bar of 50 ms")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
