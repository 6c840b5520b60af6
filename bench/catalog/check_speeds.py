"""How well the coarse processor factors foretell measured benchmarks of real cloud machines.

    python bench/catalog/check_speeds.py --data FOLDER

FOLDER holds sparecores_benchmarks_2026-08-22.csv (SpareCores/sc-inspector-data, CC BY-SA 4.0: measured with, not shipped).
For every machine type of the built-in table that was measured: our speed relative to an m6i against the measured ratio, for one
thread (zstd, PassMark and Geekbench single) and for all vCPUs busy (Geekbench multi per vCPU, 4 to 16 vCPUs).
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
from collections import defaultdict
from pathlib import Path

from flyball.adapters.catalog.builtin import CLOUDS
from flyball.adapters.catalog.family_table import machines

ONE_CORE = {
    "zstd, 1 thread": "zstd_compress_b_s_1t",
    "PassMark single": "passmark_single",
    "Geekbench 6 single": "geekbench_single",
}
REFERENCE = "m6i.2xlarge"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    path = parser.parse_args().data / "sparecores_benchmarks_2026-08-22.csv"
    with path.open() as file:
        measured = {
            row["server"]: row for row in csv.DictReader(file) if row["vendor"] in {"aws", "gcp", "azure"}
        }
    ours = {m.instance_type: m for cloud in CLOUDS for m in machines(cloud) if m.instance_type in measured}
    reference = measured[REFERENCE]
    print(f"{len(ours)} of the built-in machine types were measured")
    for name, column in ONE_CORE.items():
        pairs = {
            t: m.speed_one_core / (float(measured[t][column]) / float(reference[column]))
            for t, m in ours.items()
            if measured[t][column]
        }
        report(name, pairs, ours)
    pairs = {}
    for machine_type, machine in ours.items():
        row = measured[machine_type]
        if row["geekbench_multi"] and 4 <= machine.vcpus <= 16:
            # Geekbench multi grows less than the cores do: compare at the m6i of the same size
            same = measured.get({4: "m6i.xlarge", 8: "m6i.2xlarge", 16: "m6i.4xlarge"}.get(machine.vcpus, ""))
            if same:
                pairs[machine_type] = machine.speed_all_cores / (
                    float(row["geekbench_multi"]) / float(same["geekbench_multi"])
                )
    report("Geekbench 6 multi, all vCPUs", pairs, ours)


def report(name: str, ratios: dict[str, float], ours: dict) -> None:
    errors = sorted(abs(math.log(r)) for r in ratios.values())
    by_processor = defaultdict(list)
    for machine_type, ratio in ratios.items():
        by_processor[ours[machine_type].processor].append(math.log(ratio))
    worst = sorted(by_processor.items(), key=lambda item: -abs(statistics.median(item[1])))[:4]
    print(
        f"{name}: {len(errors)} machine types, median error {statistics.median(errors):.0%}, 90 % within "
        f"{errors[int(len(errors) * 0.9)]:.0%}; furthest off: "
        + ", ".join(f"{p} {math.expm1(statistics.median(e)):+.0%}" for p, e in worst)
    )


if __name__ == "__main__":
    main()
