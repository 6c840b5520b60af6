"""How far the built-in catalogue is from the price and machine lists it was made from.

    python bench/catalog/check_prices.py --data FOLDER

Compares every built-in AWS (us-east-1), GCP (us-central1) and Azure (eastus) machine type: on-demand price, GCP spot price,
AWS spot discount and interruption band, vCPUs, memory, GPUs. Exits 1 when an on-demand price is more than 1 % off or a size is wrong.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import statistics
import sys
from pathlib import Path

from flyball.adapters.catalog.aws_families import AWS_US_EAST_1
from flyball.adapters.catalog.azure_families import AZURE_EASTUS
from flyball.adapters.catalog.family_table import machines
from flyball.adapters.catalog.gcp_families import GCP_US_CENTRAL1
from flyball.adapters.catalog.interruption import BAND_SHARES, interruptions_per_hour
from flyball.model.units import GIB, MIB

TOLERANCE = 0.01


class Checked:
    def __init__(self, cloud: str) -> None:
        self.cloud, self.errors, self.missing, self.wrong = cloud, {}, [], []

    def price(self, name: str, ours: float, true: float | None) -> None:
        if true is None or true <= 0:
            self.missing.append(name)
        else:
            self.errors[name] = ours / true - 1

    def same(self, name: str, what: str, ours: float, true: float, tolerance: float = 0.001) -> None:
        if abs(ours - true) > tolerance * max(1.0, abs(true)):
            self.wrong.append(f"{name}: {what} {ours:g}, listed {true:g}")

    def report(self) -> bool:
        off = {n: e for n, e in self.errors.items() if abs(e) > TOLERANCE}
        sizes = sorted(abs(e) for e in self.errors.values())
        print(
            f"{self.cloud}: {len(self.errors)} prices compared, {len(off)} more than 1 % off, largest error "
            f"{sizes[-1]:.3%}, mean {statistics.mean(sizes):.4%}; {len(self.missing)} not in the list; {len(self.wrong)} sizes wrong"
        )
        for name, error in sorted(off.items(), key=lambda item: -abs(item[1]))[:20]:
            print(f"  {name}: {error:+.2%}")
        for line in [*(f"{name}: not in the list" for name in self.missing), *self.wrong][:20]:
            print(f"  {line}")
        return not off and not self.wrong and not self.missing


def aws(data: Path) -> bool:
    with (data / "aws_ondemand_karpenter_2026-07-20.csv").open() as file:
        prices = {
            r["instance_type"]: float(r["usd_per_hour_ondemand_linux"])
            for r in csv.DictReader(file)
            if r["region"] == AWS_US_EAST_1.region
        }
    with (data / "aws_instance_specs_karpenter_v1.14.csv").open() as file:
        specs = {r["instance_type"]: r for r in csv.DictReader(file)}
    checked = Checked("aws us-east-1")
    for m in machines(AWS_US_EAST_1):
        checked.price(m.instance_type, m.price_usd_per_hour, prices.get(m.instance_type))
        spec = specs.get(m.instance_type)
        if spec is None:
            checked.missing.append(m.instance_type + " (specs)")
            continue
        checked.same(m.instance_type, "vCPUs", m.vcpus, float(spec["cpu"]))
        checked.same(m.instance_type, "MiB", m.memory_bytes / MIB, float(spec["memory"]))
        checked.same(m.instance_type, "GPUs", m.gpus, float(spec["gpu-count"] or 0))
        if m.gpus:
            checked.same(m.instance_type, "GPU MiB", m.gpu_memory_bytes / MIB, float(spec["gpu-memory"]))
    fine = checked.report()
    aws_spot(data)
    return fine


def aws_spot(data: Path) -> None:
    with (data / "aws_spot_advisor_2025-07.csv").open() as file:
        advised = {
            r["instance_type"]: r
            for r in csv.DictReader(file)
            if r["region"] == "us-east-1" and r["os"] == "Linux"
        }
    shares, rates = [], []
    for m in machines(AWS_US_EAST_1):
        if row := advised.get(m.instance_type):
            shares.append(
                abs(
                    m.spot_usd_per_hour
                    / m.price_usd_per_hour
                    / (1 - float(row["savings_pct_vs_ondemand"]) / 100)
                    - 1
                )
            )
            true = interruptions_per_hour(BAND_SHARES[row["interruption_band"]])
            rates.append(max(m.interruptions_per_hour / true, true / m.interruptions_per_hour))
    print(
        f"  spot (family medians against each type's Spot Advisor row, {len(shares)} types): price error median "
        f"{statistics.median(shares):.1%}, p90 {statistics.quantiles(shares, n=10)[-1]:.1%}; interruption rate wrong by a factor of {statistics.median(rates):.2f} (median)"
    )


def gcp(data: Path) -> bool:
    region = json.loads((data / "gcp_prices_karpenter_2026-08-03.json").read_text())["prices"][
        GCP_US_CENTRAL1.region
    ]
    with (data / "gcp_machinetypes_gcosts_2026-08-20.csv").open() as file:
        specs = {r["NAME"]: r for r in csv.DictReader(file, delimiter=";")}
    checked, spot = Checked("gcp us-central1"), []
    for m in machines(GCP_US_CENTRAL1):
        checked.price(m.instance_type, m.price_usd_per_hour, region["on_demand"].get(m.instance_type))
        if true := region["spot"].get(m.instance_type):
            spot.append(abs(m.spot_usd_per_hour / true - 1))
        if spec := specs.get(m.instance_type):
            checked.same(m.instance_type, "vCPUs", m.vcpus, float(spec["CPUS"]))
            checked.same(m.instance_type, "GiB", m.memory_bytes / GIB, float(spec["MEMORY_GB"]))
        else:
            checked.missing.append(m.instance_type + " (specs)")
    fine = checked.report()
    print(f"  spot ({len(spot)} types): largest price error {max(spot):.2%}")
    return fine


def azure(data: Path) -> bool:
    with gzip.open(data / "azure_ondemand_karpenter_2026-06-18.csv.gz", "rt") as file:
        prices = {
            r["vm_size"]: float(r["usd_per_hour_ondemand_linux"])
            for r in csv.DictReader(file)
            if r["region"] == AZURE_EASTUS.region
        }
    checked = Checked("azure eastus")
    for m in machines(AZURE_EASTUS):
        checked.price(m.instance_type, m.price_usd_per_hour, prices.get(m.instance_type))
        checked.same(m.instance_type, "vCPUs", m.vcpus, float(re.search(r"\d+", m.instance_type)[0]))
    return checked.report()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the price and machine lists")
    data = parser.parse_args().data
    return 0 if all([aws(data), gcp(data), azure(data)]) else 1


if __name__ == "__main__":
    sys.exit(main())
