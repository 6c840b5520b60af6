"""How long it takes to rank offers by expected dollars per finished run, beside the same rule as a plain Python loop.

    python bench/placement/run.py [--offers 100000]

Both sides filter and rank the same offers in this process and must agree on the cheapest hundred. Also: the built-in table
unfolded and ranked in a fresh process, as a command does it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from flyball.adapters.catalog.builtin import builtin_offers
from flyball.model.offers import COLUMNS, OfferTable
from flyball.model.resource import Arch, Offer, Size
from flyball.model.units import GIB
from flyball.policy.placement import (
    BOOT_SECONDS,
    MINIMUM_BILLED_SECONDS,
    Wanted,
    Work,
    expected_busy_seconds,
    nominal_memory_bytes,
    rank,
)

NEED = Size(cpu_cores=2, memory_bytes=8 * GIB)
WORK = Work(
    wall_seconds=1200.0, core_seconds=3600.0, cores=6, memory_bytes=7 * GIB, speed_all_cores=1.0, vcpus=8
)
BAR_MILLISECONDS = 50.0
FRESH = """
import time
import numpy
from flyball.adapters.catalog.builtin import builtin_offers
from flyball.model.resource import Size
from flyball.policy.placement import rank
started = time.process_time()
table = builtin_offers()
unfolded = time.process_time()
best = rank(table, need=Size(cpu_cores=4, memory_bytes=16 * 2**30))[:10]
print((unfolded - started) * 1e3, (time.process_time() - unfolded) * 1e3, len(table))
"""


def many_offers(count: int) -> OfferTable:
    """The built-in offers again and again, in made-up zones at slightly other prices."""
    plain = builtin_offers().columns()
    rows = list(zip(*(plain[name] for name in COLUMNS), strict=True))
    zone, price = COLUMNS.index("zone"), COLUMNS.index("price_usd_per_hour")
    table: list[list[Any]] = []
    for index, row in zip(range(count), itertools.cycle(rows), strict=False):
        cells = list(row)
        cells[zone] = f"z{index // len(rows):03}"
        cells[price] = row[price] * (1 + (index * 7919 % 1000) / 5000)
        table.append(cells)
    return OfferTable(dict(zip(COLUMNS, zip(*table, strict=True), strict=True)))


def plain_rank(offers: list[Offer], arch: Arch | None) -> list[tuple[float, str]]:
    """The same rule over Offer values, one at a time."""
    found = []
    nominal = nominal_memory_bytes(WORK.memory_bytes)
    for offer in offers:
        if (
            (arch and offer.arch is not arch)
            or offer.vcpus < NEED.cpu_cores
            or offer.memory_bytes < max(NEED.memory_bytes, nominal)
        ):
            continue
        once = BOOT_SECONDS + _run_seconds(offer)
        busy = expected_busy_seconds(once, offer.interruptions_per_hour)
        usd = float(offer.price_usd_per_hour) * max(busy, MINIMUM_BILLED_SECONDS) / 3600
        found.append((usd, f"{offer.cloud}/{offer.zone}/{offer.instance_type}/{offer.market.value}"))
    found.sort()
    return found


def _thread(one: float, every: float, threads: float, vcpus: float) -> float:
    return one + (every / 1.5 - one) * min(1.0, max(0.0, 2 * threads / vcpus - 1))


def _run_seconds(offer: Offer) -> float:
    busy = min(WORK.wall_seconds, WORK.core_seconds)
    parallel = (WORK.core_seconds - busy) / (WORK.cores - 1)
    here = min(WORK.cores, offer.vcpus)
    one = _thread(offer.speed_one_core, offer.speed_all_cores, 1, offer.vcpus) / _thread(1, 1, 1, WORK.vcpus)
    many = _thread(offer.speed_one_core, offer.speed_all_cores, here, offer.vcpus) / _thread(
        1, 1, WORK.cores, WORK.vcpus
    )
    seconds = (busy - parallel) / one + parallel * WORK.cores / here / many
    if offer.sustained_cpu_share < 1:
        core_seconds = (busy - parallel) / one + parallel * WORK.cores / many
        seconds = max(seconds, core_seconds / (offer.vcpus * offer.sustained_cpu_share))
    return seconds


def timed(work: Callable[[], Any], times: int) -> tuple[float, float, Any]:
    """Median and worst milliseconds, and the last result."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        result = work()
        took.append((time.perf_counter() - started) * 1e3)
    return statistics.median(took), max(took), result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--offers", type=int, default=100_000)
    count = parser.parse_args().offers
    table = many_offers(count)
    offers = list(table)
    fine = True
    for name, arch in (("all", None), ("x86_64 only", Arch.X86_64)):
        wanted = Wanted(arch=arch)
        median, worst, ranked = timed(
            lambda wanted=wanted: rank(table, need=NEED, work=WORK, wanted=wanted), 21
        )
        loop, _, plain = timed(lambda arch=arch: plain_rank(offers, arch), 3)
        ours = [c.expected_usd for c in ranked[:100]]
        agree = all(abs(a - b[0]) <= 1e-9 * b[0] for a, b in zip(ours, plain[:100], strict=True)) and len(
            ranked
        ) == len(plain)
        fine &= agree and median < BAR_MILLISECONDS
        print(
            f"{count:,} offers, {name}: {len(ranked):,} fit; ranked in {median:.1f} ms (median of 21, worst {worst:.1f}); plain loop "
            f"{loop:.0f} ms: {loop / median:.0f} times as long; results {'agree' if agree else 'DIFFER'}"
        )
    fresh = [
        subprocess.run(
            [sys.executable, "-c", FRESH], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(9)
    ]
    unfold, ranking = (statistics.median(float(line[i]) for line in fresh) for i in (0, 1))
    print(
        f"built-in table in a fresh process: {fresh[0][2]} offers unfolded in {unfold:.1f} ms CPU, ranked in {ranking:.1f} ms CPU"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
