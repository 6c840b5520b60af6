"""flyball's wrapper beside its peers, in one run: `python bench/meter/run.py [--quick] [--json FILE]`.

Compares with resource-tracker 0.5, psrecord 1.4 (pip install 'flyball[bench]') and GNU time (apt-get install time):
what each says of programs whose use is known, and what each costs. Prints Markdown, with ratios to flyball.
Needs 9 GiB of free memory for its largest job; --quick takes 1 GiB and fewer runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import accuracy
import cost
from tools import tools

MIB = 2**20
SHARE_BAR, ADDED_BAR_SECONDS, PEAK_BAR_BYTES = 0.005, 0.080, 25 * MIB
NOISE_MAX = 0.05  # two runs without any tool that differ by more say nothing about 1 %
VERDICTS = {True: "yes", False: "NO", None: "machine too busy to tell"}
BASE = "flyball meter"
SLOW_DOWN = {"turns": 5, "resident_mib": 4096, "rounds": 40}
QUICK_SLOW_DOWN = {"turns": 3, "resident_mib": 512, "rounds": 15}
PARTS = ("accuracy", "share", "slowdown", "added", "memory")


def main() -> int:
    options = parsed()
    found = tools()
    wanted = set(options.parts.split(","))
    result: dict[str, Any] = {"machine": machine(), "quick": options.quick}
    print(f"Machine: {result['machine']}\n")
    if "accuracy" in wanted:
        readings = accuracy.accuracy(found, rounds=1 if options.quick else options.rounds)
        show(
            "Peak memory and CPU seconds over the truth (✗: never within 3 %; n/m: so often)",
            accuracy.table(readings, found),
        )
        result["accuracy"] = accuracy.as_json(readings)
    if "share" in wanted:
        mib, seconds = (1024, 8.0) if options.quick else (8192, 30.0)
        shares = {tool.name: cost.sampler_share(tool, resident_mib=mib, seconds=seconds) for tool in found}
        show(
            f"Tool's own CPU, share of a core beside a job of {mib // 1024} GiB over {seconds:.0f} s",
            ranked(shares, percent),
        )
        result["share_of_core"] = shares
    if "slowdown" in wanted:
        size = QUICK_SLOW_DOWN if options.quick else SLOW_DOWN
        slower = cost.slow_down(found, **size)
        title = f"Job that maps and unmaps 64 MiB {size['rounds']} times, {size['resident_mib']} MiB resident, {size['turns']} turns"
        show(title, slowed(slower))
        result["slow_down"] = slower
    if "added" in wanted:
        added = cost.added_seconds(found, pairs=5 if options.quick else 25)
        show(
            "Wall time added to `true`",
            ranked({name: each["median"] for name, each in added.items()}, milliseconds),
        )
        result["added_seconds"] = added
    if "memory" in wanted:
        peaks = {
            tool.name: cost.peak_of_wrapper(tool, seconds=3.0 if options.quick else 5.0) for tool in found
        }
        show("Tool's own resident memory at its peak", ranked(peaks, mebibytes))
        result["peak_bytes"] = peaks
    bars = held_bars(result)
    show(
        "Bars",
        [
            "| bar | measured | held |",
            "|---|---|---|",
            *(f"| {b} | {m} | {VERDICTS[ok]} |" for b, m, ok in bars),
        ],
    )
    result["bars"] = [{"bar": bar, "measured": text, "held": ok} for bar, text, ok in bars]
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1))
    return 1 if options.strict and not all(ok for _, _, ok in bars) else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="smaller jobs, fewer runs, about a minute and a half"
    )
    parser.add_argument("--json", metavar="FILE", help="write every figure there too")
    parser.add_argument("--rounds", type=int, default=2, help="how often each program is run under each tool")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is not held")
    return parser.parse_args()


def held_bars(result: dict[str, Any]) -> list[tuple[str, str, bool | None]]:
    """Each bar, what was measured, and whether it is held; None where the machine was too busy to tell."""
    bars = []
    for name, share in ours(result.get("share_of_core", {})):
        bars.append((f"{name}: under 0.5 % of a core", percent(share), share < SHARE_BAR))
    slower = result.get("slow_down", {})
    for name, each in ours(slower):
        noise = slower[cost.NO_TOOL]
        differ = max(noise["ratio_high"] - 1, 1 - noise["ratio_low"])
        text = f"{each['ratio_median']:.3f}; two runs without a tool differ by up to {differ:.1%}"
        held = each["ratio_median"] - 1 <= max(0.01, differ) if differ <= NOISE_MAX else None
        bars.append((f"{name}: no measurable slow-down", text, held))
    for name, each in ours(result.get("added_seconds", {})):
        bars.append(
            (f"{name}: adds at most 80 ms", milliseconds(each["median"]), each["median"] <= ADDED_BAR_SECONDS)
        )
    for name, peak in ours(result.get("peak_bytes", {})):
        bars.append((f"{name}: under 25 MiB resident", mebibytes(peak), peak < PEAK_BAR_BYTES))
    return bars


def ours(figures: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, figure) for name, figure in figures.items() if name.startswith("flyball")]


def ranked(figures: dict[str, float], shown: Any) -> list[str]:
    base = figures[BASE]
    lines = ["| tool | measured | times flyball meter |", "|---|---|---|"]
    for name, figure in figures.items():
        ratio = f"{figure / base:.2f}" if base > 0 else "-"
        lines.append(f"| {name} | {shown(figure)} | {ratio} |")
    return lines


def slowed(figures: dict[str, dict[str, float]]) -> list[str]:
    lines = [
        "| tool | time over time alone, median | least to most | longest single round |",
        "|---|---|---|---|",
    ]
    for name, each in figures.items():
        span = f"{each['ratio_low']:.3f} to {each['ratio_high']:.3f}"
        lines.append(f"| {name} | {each['ratio_median']:.3f} | {span} | {each['longest_round_ms']:.0f} ms |")
    return lines


def show(title: str, lines: list[str]) -> None:
    print(f"### {title}\n\n" + "\n".join(lines) + "\n", flush=True)


def percent(share: float) -> str:
    return f"{share:.3%}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def mebibytes(size: float) -> str:
    return f"{size / MIB:.1f} MiB"


def machine() -> str:
    info = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "?"
    )
    system = os.uname()
    return (
        f"{model}, {os.cpu_count()} cores, {system.sysname} {system.release}, Python {sys.version.split()[0]}"
    )


if __name__ == "__main__":
    sys.exit(main())
