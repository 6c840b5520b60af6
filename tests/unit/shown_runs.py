"""Runs to show: receipts, states, plans and samples that look like real ones, built without a store."""

from __future__ import annotations

import math
import random
from datetime import date
from decimal import Decimal

import msgspec

from flyball.model.facts import AttemptEnded, AttemptStarted, RunSubmitted
from flyball.model.history import AttemptRow, RunState
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.plan import Choice, Forecast, Plan, Quantiles
from flyball.model.receipt import Host, Limits, Receipt
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.samples import Samples
from flyball.model.units import GIB, MIB

AT = 1_795_253_472.0  # 2026-11-21 09:31:12 UTC
HOST = Host(
    hostname="worker-1",
    os="Linux",
    kernel="6.1.0",
    arch="x86_64",
    cpu_model="AMD EPYC 7R13",
    cpu_cores=2.0,
    memory_bytes=24 * GIB,
    cgroup="v2",
)
SOURCES = dict.fromkeys(
    ("cpu_seconds", "cpu_cores_mean", "memory_bytes_max", "memory_bytes_kernel_peak"), "cgroup v2"
) | {"network_receive_bytes": "host", "wall_seconds": "clock"}


def a_receipt(**changes: object) -> Receipt:
    receipt = Receipt(
        attempt_id="7fk2.1",
        outcome=Outcome.SUCCEEDED,
        exit_code=0,
        exit_cause="exit 0",
        started_at_seconds=AT,
        ended_at_seconds=AT + 41,
        wall_seconds=41.0,
        cpu_user_seconds=66.0,
        cpu_system_seconds=7.8,
        cpu_seconds=73.8,
        cpu_cores_mean=1.8,
        cpu_cores_p95=2.0,
        cpu_cores_max=2.0,
        cpu_parallel_share=0.92,
        memory_bytes_max=int(1.31 * GIB),
        memory_bytes_kernel_peak=int(1.9 * GIB),
        memory_bytes_mean=0.8 * GIB,
        disk_read_bytes=512 * MIB,
        disk_write_bytes=64 * MIB,
        network_receive_bytes=3 * MIB,
        network_send_bytes=1 * MIB,
        network_scope="host",
        processes_max=3,
        threads_max=9,
        pressure_cpu_seconds=1.0,
        pressure_memory_seconds=0.0,
        pressure_io_seconds=0.3,
        cpu_cores_wanted=1.9,
        oom_kills=0,
        samples=41,
        host=HOST,
        limits=Limits(),
        sources=SOURCES,
    )
    return msgspec.structs.replace(receipt, **changes)


def an_offer(**changes: object) -> Offer:
    offer = Offer(
        cloud="aws",
        region="us-east-1",
        instance_type="c7g.large",
        arch=Arch.ARM64,
        vcpus=2,
        memory_bytes=4 * GIB,
        market=Market.SPOT,
        price_usd_per_hour=Decimal("0.0341"),
        interruptions_per_hour=0.004,
        as_of=date(2026, 11, 1),
        source="built-in table",
    )
    return msgspec.structs.replace(offer, **changes)


def a_choice(**changes: object) -> Choice:
    return Choice(
        offer=an_offer(**changes),
        expected_usd=0.0004,
        expected_seconds=44.0,
        reason="44 s on this processor (0.93 of this machine's speed), 30 s boot, 0.4 % interrupted an hour",
    )


def a_plan(**changes: object) -> Plan:
    plan = Plan(
        job="train",
        size=Size(cpu_cores=2.0, memory_bytes=int(1.5 * GIB)),
        forecast=Forecast(
            runs=41,
            wall_seconds=Quantiles(p50=40.0, p90=43.0, p99=52.0),
            cpu_core_seconds=Quantiles(p50=72.0, p90=75.0, p99=80.0),
            memory_bytes=Quantiles(p50=1.28 * GIB, p90=1.33 * GIB, p99=1.41 * GIB),
            cpu_cores=Quantiles(p50=1.9, p90=2.0, p99=2.0),
            reasons=("input size explains 94 % of the memory",),
        ),
        reasons=("peak 1.31 GiB in 41 runs of this input size, +8 %", "2 cores: it kept 1.8 of 2 busy"),
        hit_limit_probability=0.02,
        choice=a_choice(),
        catalog_as_of="2026-11-01",
    )
    return msgspec.structs.replace(plan, **changes)


def a_run(**changes: object) -> RunSpec:
    spec = RunSpec(
        run_id="7fk2",
        job="train",
        job_reason="named after the script of: python train.py",
        command=("python", "train.py", "--date", "2026-11-20"),
        inputs=("s3://bucket/day.parquet",),
        features=Features(
            started_at_seconds=AT, utc_offset_seconds=3600, input_bytes=700 * MIB, numbers={"rows": 12e6}
        ),
        tags={"customer": "acme"},
    )
    return msgspec.structs.replace(spec, **changes)


def a_state(
    *receipts: Receipt,
    run: RunSpec | None = None,
    plan: Plan | None = None,
    cost_usd: str | None = "0",
) -> RunState:
    """A run whose attempts had these receipts, one after another."""
    run = run or a_run()
    return RunState(
        run=run,
        job=run.job,
        submitted=RunSubmitted(at_seconds=AT, run=run),
        started=tuple(
            AttemptStarted(
                at_seconds=r.started_at_seconds,
                run_id=run.run_id,
                attempt_id=r.attempt_id,
                limits=r.limits,
                reason="no limits asked for" if i == 0 else "out of memory at 1.00 GiB: doubled",
            )
            for i, r in enumerate(receipts)
        ),
        ended=tuple(
            AttemptEnded(
                at_seconds=r.ended_at_seconds,
                run_id=run.run_id,
                attempt_id=r.attempt_id,
                receipt=r,
                cost_usd=cost_usd,
                cost_reason="own machine",
            )
            for r in receipts
        ),
        plan=plan,
    )


def some_samples(count: int = 200, *, wall_seconds: float = 41.0, peak_bytes: float = 1.31 * GIB) -> Samples:
    """Memory that grows in steps to one narrow peak; cores that come and go; disk first, network at the end."""
    chance = random.Random(7)
    shares = [i / max(1, count - 1) for i in range(count)]
    peak_at = int(count * 0.73)
    return Samples(
        seconds=tuple(wall_seconds * share for share in shares),
        memory_bytes=tuple(
            peak_bytes if i == peak_at else peak_bytes * (0.12 + 0.6 * share + 0.04 * math.sin(40 * share))
            for i, share in enumerate(shares)
        ),
        cpu_cores=tuple(
            min(2.0, max(0.0, (0.6 if share < 0.15 else 1.75) + chance.gauss(0, 0.12))) for share in shares
        ),
        disk_read_bytes_per_second=tuple(
            (90e6 + chance.gauss(0, 9e6) if share < 0.15 else max(0.0, chance.gauss(1e6, 1e6)))
            for share in shares
        ),
        disk_write_bytes_per_second=tuple((40e6 if share > 0.9 else 0.2e6) for share in shares),
        network_receive_bytes_per_second=tuple(max(0.0, chance.gauss(70e3, 20e3)) for _ in shares),
        network_send_bytes_per_second=tuple(max(0.0, chance.gauss(20e3, 9e3)) for _ in shares),
    )


def some_rows(count: int = 60, job: str = "train") -> list[AttemptRow]:
    """Daily runs of one job whose input grows; now and then one fails or runs out of memory."""
    chance, rows = random.Random(3), []
    for i in range(count):
        input_bytes = int((400 + 6 * i + chance.gauss(0, 40)) * MIB)
        outcome = {17: Outcome.OUT_OF_MEMORY, 30: Outcome.FAILED, 44: Outcome.TIMED_OUT}.get(
            i, Outcome.SUCCEEDED
        )
        memory = 0.25 * GIB + 1.5 * input_bytes * (1 + chance.gauss(0, 0.04))
        rows.append(
            AttemptRow(
                run_id=f"r{i:03d}",
                attempt_id=f"r{i:03d}.1",
                job=job,
                origin="run",
                started_at_seconds=AT - 86400 * (count - i),
                outcome=outcome,
                exit_code=0 if outcome is Outcome.SUCCEEDED else 1,
                wall_seconds=20 + input_bytes / (30 * MIB) + abs(chance.gauss(0, 2)),
                cpu_seconds=60.0,
                cpu_cores_p95=1.9,
                memory_bytes_max=int(memory),
                memory_limit_bytes=int(memory) if outcome is Outcome.OUT_OF_MEMORY else 2 * GIB,
                input_bytes=input_bytes,
                tags={"customer": "acme"},
                cost_usd=f"{0.0004 + chance.random() * 0.0002:.6f}",
            )
        )
    return rows
