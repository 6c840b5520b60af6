"""How much more people ask for than their jobs use: measured where the data is at hand, else as it was measured.

The measured distributions are those of `python bench/day/asked.py --data FOLDER` on 2026-11-21: of the 97,744 tasks of
the sizing data that record what was asked for (Galaxy, IceCube, nf-core runs; imputed requests left out), grouped into
task types with three runs or more, asked over used by medians of each type. Peaks of Galaxy tasks count page cache, so
the ratios are if anything too low.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from random import Random

import msgspec

GIB = 2**30
SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Task types that use less than `below`, and the quantiles (at SHARES) of asked over used among them."""

    below: float
    types: int
    ratios: tuple[float, ...]

    def ratio(self, rng: Random) -> float:
        """Drawn from it: quantiles joined by straight lines of logarithms, never less than 1."""
        share = rng.uniform(SHARES[0], SHARES[-1])
        upper = next(i for i in range(1, len(SHARES)) if share <= SHARES[i])
        low, high = (math.log(max(r, 1e-9)) for r in self.ratios[upper - 1 : upper + 1])
        part = (share - SHARES[upper - 1]) / (SHARES[upper] - SHARES[upper - 1])
        return max(1.0, math.exp(low + part * (high - low)))


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    memory: tuple[Band, ...]  # by bytes used
    cores: tuple[Band, ...]  # by mean cores used
    source: str

    def memory_ratio(self, used_bytes: float, rng: Random) -> float:
        return next(b for b in self.memory if used_bytes < b.below).ratio(rng)

    def cores_ratio(self, used_cores: float, rng: Random) -> float:
        return next(b for b in self.cores if used_cores < b.below).ratio(rng)


MEASURED = Asked(
    memory=(
        Band(below=0.25 * GIB, types=78, ratios=(21.89, 33.29, 88.27, 202.57, 587.99, 1298.55, 2672.67)),
        Band(below=1 * GIB, types=43, ratios=(3.91, 4.93, 9.06, 13.89, 21.9, 40.96, 53.11)),
        Band(below=4 * GIB, types=42, ratios=(1.11, 1.62, 2.74, 7.57, 15.74, 33.73, 34.92)),
        Band(below=16 * GIB, types=32, ratios=(1.17, 1.21, 1.99, 3.5, 5.42, 7.3, 7.3)),
        Band(below=math.inf, types=17, ratios=(0.95, 1.0, 1.43, 1.87, 2.26, 3.5, 4.7)),
    ),
    cores=(
        Band(below=1.2, types=71, ratios=(1.0, 1.0, 1.02, 1.08, 5.21, 5.98, 7.34)),
        Band(below=3.0, types=57, ratios=(1.11, 1.12, 1.38, 2.95, 4.37, 4.98, 6.33)),
        Band(below=8.0, types=28, ratios=(1.06, 1.13, 1.2, 1.53, 1.64, 2.1, 2.36)),
        Band(below=math.inf, types=9, ratios=(1.03, 1.03, 1.07, 1.13, 1.16, 1.29, 1.35)),
    ),
    source="as measured on 2026-11-21, 212 task types",
)


def asked(data: Path | None) -> Asked:
    """Measured from DATA/sizing/traces.parquet where that is; else as it was measured."""
    file = data / "sizing" / "traces.parquet" if data else None
    return _measured(file) if file and file.exists() else MEASURED


def _measured(file: Path) -> Asked:
    import polars as pl

    rows = pl.read_parquet(file).filter(~pl.col("alloc_imputed") & (pl.col("peak_bytes") > 0))
    name = ("dataset", "workflow", "task")
    memory = (
        rows.with_columns(ratio=pl.col("alloc_bytes") / pl.col("peak_bytes"))
        .group_by(name)
        .agg(used=pl.col("peak_bytes").median(), ratio=pl.col("ratio").median(), runs=pl.len())
        .filter(pl.col("runs") >= 3)
    )
    cores = (
        rows.filter((pl.col("cores_req") > 0) & (pl.col("cpu_pct") > 0) & (pl.col("runtime_s") > 10))
        .group_by(name)
        .agg(used=pl.col("cpu_pct").median() / 100, asked=pl.col("cores_req").median(), runs=pl.len())
        .filter(pl.col("runs") >= 3)
        .with_columns(ratio=pl.col("asked") / pl.col("used").clip(0.25))
    )
    return Asked(
        memory=_bands(memory, [b.below for b in MEASURED.memory]),
        cores=_bands(cores, [b.below for b in MEASURED.cores]),
        source=f"{file.name}: {memory.height} task types with memory, {cores.height} with cores",
    )


def _bands(types, edges: list[float]) -> tuple[Band, ...]:
    import polars as pl

    bands, least = [], 0.0
    for below in edges:
        some = types.filter((pl.col("used") >= least) & (pl.col("used") < below))["ratio"]
        ratios = tuple(round(float(some.quantile(share)), 2) for share in SHARES)
        bands.append(Band(below=below, types=len(some), ratios=ratios))
        least = below
    return tuple(bands)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds sizing/")
    found = asked(parser.parse_args().data)
    print(found.source)
    for unit, bands in (("bytes", found.memory), ("cores", found.cores)):
        for band in bands:
            print(
                f"used below {band.below:.4g} {unit}: {band.types} types, asked/used at {SHARES}: {band.ratios}"
            )
