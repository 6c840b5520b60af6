"""The modules that an index made by index_python.py imports most often: one file in, one CSV out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import polars as pl


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    most = (
        pl.scan_parquet(arguments.index)
        .filter(pl.col("kind") == "import")
        .group_by("name")
        .len("times")
        .sort("times", "name", descending=[True, False])
        .head(20)
        .collect()
    )
    most.write_csv(arguments.output)
    sys.stdout.write(", ".join(f"{name} ({times})" for name, times in most.head(5).iter_rows()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
