"""Index Python source files: every function, class and import, and how often each name is used.

    python examples/index_python.py FILES.txt --output index.parquet

FILES.txt lists one source file a line. Symbols come from the syntax tree, so that a `def` in a docstring does not
count; uses are counted by Polars over all words of all files, which is where memory grows with the input.
"""

from __future__ import annotations

import argparse
import ast
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import polars as pl

PLURAL = {"class": "classes", "function": "functions", "import": "imports"}


def symbols(path: str, source: str) -> Iterator[tuple[str, str, str, int]]:
    """(path, kind, name, line) of each function, class and imported module; nothing for a file that does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield path, "function", node.name, node.lineno
            case ast.ClassDef():
                yield path, "class", node.name, node.lineno
            case ast.Import():
                yield from ((path, "import", alias.name, node.lineno) for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield path, "import", module, node.lineno


def index(paths: list[str]) -> pl.DataFrame:
    """One row per symbol, with the number of times its last word is used in all files together."""
    sources = pl.DataFrame({"path": paths, "source": [Path(p).read_text(errors="replace") for p in paths]})
    rows = [row for path, source in sources.iter_rows() for row in symbols(path, source)]
    found = pl.DataFrame(
        rows, schema={"path": pl.String, "kind": pl.String, "name": pl.String, "line": pl.Int32}, orient="row"
    )
    words = sources.select(pl.col("source").str.extract_all(r"[A-Za-z_]\w*").explode().alias("word"))
    uses = words.group_by("word").len("uses")
    last_word = pl.col("name").str.split(".").list.last().alias("word")
    return found.with_columns(last_word).join(uses, on="word", how="left").sort("path", "line")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, help="a text file that lists one source file a line")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    paths = arguments.files.read_text().split("\n")
    table = index([path for path in paths if path])
    table.write_parquet(arguments.output, compression="zstd")
    counts = dict(table.group_by("kind").len().sort("kind").iter_rows())
    top = table.filter(kind="import").group_by("name").len().top_k(3, by="len")
    print(
        f"{len(paths):,} files: " + ", ".join(f"{n:,} {PLURAL[kind]}" for kind, n in counts.items()), end="; "
    )
    print("most imported: " + ", ".join(f"{name} ({n:,})" for name, n in top.iter_rows()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
