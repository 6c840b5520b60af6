"""A day of 4,000 runs under flyball and under what teams have without it: `python bench/day/run.py [--data FOLDER] [--seeds 5]`.

All ways of running the day meet the same cloud (world.py) with the same runs (workload.py) in this process: a cluster
that runs all day, a machine per job on demand, a managed batch service (on demand and on spot, with its default machine
families and with all), spot with a sticky fall-back, flyball's own governor, and two bounds of somebody who knows it all
beforehand (bound.py). --data is the folder that holds sizing/, spot/ and catalog/; without it the figures written down
in the code stand in for what it holds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = (
    "1"  # before numpy comes: small matrices, and threads that wait for each other
)

import msgspec
from asked import asked
from baselines import always_on, machine_per_job, sticky_spot
from bound import packed, per_job
from governed import flyball, oracle
from managed import ManagedBatch
from outcome import DayOutcome
from workload import Day, day
from world import World

# Thursday 2026-01-01 00:00 UTC
START_SECONDS = 1_767_225_600.0
MANAGED, FLYBALL, BOUND = "managed batch", "flyball", "clairvoyant, a machine per try"
BELOW_MANAGED, OVER_BOUND, LATE_SHARE, DAY_SECONDS_MAX = 0.80, 1.20, 0.01, 60.0

BASELINES: tuple[Callable[[Day, World], DayOutcome], ...] = (
    always_on,
    lambda d, w: ManagedBatch(d, w).run(),
    lambda d, w: ManagedBatch(d, w, families=()).run(),
    machine_per_job,
    sticky_spot,
    lambda d, w: ManagedBatch(d, w, spot=True).run(),
    lambda d, w: ManagedBatch(d, w, spot=True, families=()).run(),
    per_job,
    packed,
)


def main() -> int:
    options = parsed()
    days = [one_day(seed, options) for seed in range(options.first_seed, options.first_seed + options.seeds)]
    show(days)
    if options.json:
        options.json.write_text(json.dumps(days, indent=1))
    return 0 if all(bars(days).values()) else 1


LATE_TOLERATED = 0.01  # as the bar allows: every job says late_tolerated = "1%"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder that holds sizing/, spot/ and catalog/")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument(
        "--why",
        action="store_true",
        help="also: flyball told what runs need, and flyball not told their deadlines",
    )
    parser.add_argument("--json", type=Path, help="also write the figures there")
    return parser.parse_args()


def one_day(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Everything that one seed came to, as plain values."""
    made = day(seed, asked(options.data), start_seconds=START_SECONDS, runs=options.runs)
    world = World(made.runs, start_seconds=START_SECONDS, seed=seed, data=options.data)
    outcomes = [baseline(made, world) for baseline in BASELINES]
    started = time.process_time()
    governed = flyball(made, world, late_tolerated=LATE_TOLERATED)
    cpu_seconds = time.process_time() - started
    outcomes.append(governed.outcome)
    outcomes.append(flyball(made, world, name="flyball, no risk of being late taken").outcome)
    if options.why:
        needs = "flyball, told what each run needs"
        outcomes += [
            flyball(made, world, told=oracle(made, world), late_tolerated=LATE_TOLERATED, name=needs).outcome,
            flyball(made, world, deadline_of=lambda _: None, name="flyball, not told any deadline").outcome,
        ]
    print(
        f"seed {seed}: flyball ${governed.outcome.usd:.0f} in {governed.real_seconds:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    replayed = governed.replayed
    return {
        "seed": seed,
        "sources": [made.asked_source, world.spot_source, world.boot_source],
        "runs": len(made.runs),
        "outcomes": {outcome.name: msgspec.to_builtins(outcome) for outcome in outcomes},
        "real_seconds": governed.real_seconds,
        "cpu_seconds": cpu_seconds,
        "governor_cpu_seconds": replayed.governor_cpu_seconds,
        "ticks": replayed.ticks,
        "refusals": replayed.refusals,
        "attempts": replayed.outcomes,
        "idle_share": 1 - replayed.command_seconds / max(1.0, replayed.machine_seconds),
    }


def show(days: list[dict[str, Any]]) -> None:
    first = days[0]
    print(f"{first['runs']} runs a day, seeds {', '.join(str(d['seed']) for d in days)}.")
    for what, source in zip(("Sizes asked for", "Spot", "Boot"), first["sources"], strict=True):
        print(f"{what}: {source}.")
    print(
        "\n| | $ a day, mean | lowest and highest | beside managed batch | late of those with a deadline | lost | machines | interruptions |"
    )
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    base = means(days, MANAGED, "usd")
    for name in first["outcomes"]:
        found = [d["outcomes"][name] for d in days]
        usd = [o["usd"] for o in found]
        mean = statistics.fmean(usd)
        late, lost = sum(o["late"] for o in found), sum(o["lost"] for o in found)
        due = sum(o["with_deadline"] for o in found)
        print(
            f"| {name} | {mean:.0f} | {min(usd):.0f} .. {max(usd):.0f} | {mean / base - 1:+.0%} | "
            f"{f'{late / due:.2%}' if due else ''} | {lost if due else ''} | "
            f"{statistics.fmean(o['machines'] for o in found):.0f} | {statistics.fmean(o['interruptions'] for o in found):.0f} |"
        )
    _show_kinds(days)
    _show_flyball(days)
    print("\n| bar | measured | |\n| --- | --- | --- |")
    for words, kept in bars(days).items():
        print(f"| {words} | {'kept' if kept else 'MISSED'} |")


def _show_kinds(days: list[dict[str, Any]]) -> None:
    print(
        "\n| kind of job | flyball, $ a day | on demand, a machine per job | bound, a machine per try | flyball over bound |\n| --- | ---: | ---: | ---: | ---: |"
    )
    names = (FLYBALL, "on demand, a machine per job", BOUND)
    sums = {name: defaultdict(float) for name in names}
    for d in days:
        for name in names:
            for kind, usd in d["outcomes"][name]["usd_by_kind"].items():
                sums[name][kind] += usd / len(days)
    for kind in sums[FLYBALL]:
        ours, plain, bound = (sums[name].get(kind, 0.0) for name in names)
        print(
            f"| {kind} | {ours:.2f} | {plain:.2f} | {bound:.2f} | {f'{ours / bound:.2f}' if bound else ''} |"
        )


def _show_flyball(days: list[dict[str, Any]]) -> None:
    attempts: dict[str, int] = defaultdict(int)
    for d in days:
        for outcome, count in d["attempts"].items():
            attempts[outcome] += count
    print(
        "\nAttempts a day under flyball: "
        + ", ".join(f"{count / len(days):.0f} {outcome}" for outcome, count in sorted(attempts.items()))
        + "."
    )
    print(
        f"{statistics.fmean(d['idle_share'] for d in days):.1%} of machine time was boot or idle; "
        f"{statistics.fmean(d['refusals'] for d in days):.0f} launches refused a day; "
        f"{statistics.fmean(d['ticks'] for d in days):.0f} ticks, governor {statistics.fmean(d['governor_cpu_seconds'] for d in days):.1f} s of CPU."
    )


def bars(days: list[dict[str, Any]]) -> dict[str, bool]:
    below = 1 - means(days, FLYBALL, "usd") / means(days, MANAGED, "usd")
    over = means(days, FLYBALL, "usd") / means(days, BOUND, "usd")
    ours = [d["outcomes"][FLYBALL] for d in days]
    late = sum(o["late"] for o in ours) / max(1, sum(o["with_deadline"] for o in ours))
    lost = sum(o["lost"] for o in ours)
    slowest = max(d["real_seconds"] for d in days)
    return {
        f"at least {BELOW_MANAGED:.0%} below managed batch | {below:.1%} below": below >= BELOW_MANAGED,
        f"no run lost | {lost} lost": lost == 0,
        f"at most {LATE_SHARE:.0%} late | {late:.2%}": late <= LATE_SHARE,
        f"at most {OVER_BOUND:.2f} x the clairvoyant bound | {over:.2f} x": over <= OVER_BOUND,
        f"a day in under {DAY_SECONDS_MAX:.0f} s | {slowest:.0f} s": slowest < DAY_SECONDS_MAX,
    }


def means(days: list[dict[str, Any]], name: str, figure: str) -> float:
    return statistics.fmean(d["outcomes"][name][figure] for d in days) or math.nan


if __name__ == "__main__":
    sys.exit(main())
