"""Fetched and imported tables, kept as Parquet files in one folder, and laid over the built-in table.

One file a region (refreshed-aws-us-east-1.parquet) or import (imported-NAME.parquet), columns as in model/offers.py,
written beside and renamed into place, so that a reader sees the old file or the new one and never a part. A file beside each
holds its SHA-256: a Parquet file with flipped bits is not only wrong, it can make its reader abort the process.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flyball.adapters.catalog.builtin import builtin_offers
from flyball.errors import StoreError
from flyball.model.offers import COLUMNS, NUMBER_COLUMNS, OfferTable, concat

if TYPE_CHECKING:
    import polars as pl

Section = tuple[str, str, str]  # cloud, region, market
IMPORTED, REFRESHED = "imported", "refreshed"
_MOST_BYTES = 512 * 2**20  # of one cached file; 100,000 offers take about 2 MB
_MOST_ROWS = 2_000_000
_DIGEST = ".sha256"
_POSITIVE = {  # what must be above zero -> the most it can be
    "price_usd_per_hour": 1e6,
    "vcpus": 1e6,
    "memory_bytes": 2.0**60,
    "speed_one_core": 1e3,
    "speed_all_cores": 1e3,
    "sustained_cpu_share": 1.0,
}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Offers of one cloud, region and market that come from one place."""

    cloud: str
    region: str
    market: str
    origin: str  # "built-in", or the name of the cached file
    offers: int
    as_of: date  # of the oldest


class LayeredCatalog:
    """Imported tables over refreshed ones over the built-in one.

    A refresh lists all that a cloud sells in a region and market, and replaces what is below it there. An import says
    what its user knows, and replaces only the machine types it names, in that region and market.
    A cached file that cannot be read is left out and named in `problems`.
    """

    def __init__(self, cache_folder: Path | None) -> None:
        self.problems: list[str] = []
        layers = [("built-in", builtin_offers())]
        for path in _cached(cache_folder):
            try:
                layers.append((path.name, read_table(path)))
            except StoreError as error:
                self.problems.append(str(error))
        self._kept = list(_on_top(layers))
        self._table = concat([table for _, table in self._kept if len(table)])

    def offers(self) -> OfferTable:
        return self._table

    def as_of(self) -> date | None:
        return _oldest(self._table) if len(self._table) else None

    def parts(self) -> tuple[Part, ...]:
        """Where everything comes from, by cloud, region and market."""
        found = [part for origin, table in self._kept for part in _parts(origin, table)]
        return tuple(sorted(found, key=lambda p: (p.cloud, p.region, p.market, p.origin)))


def _on_top(layers: Sequence[tuple[str, OfferTable]]) -> Iterator[tuple[str, OfferTable]]:
    """What is left of each layer under those after it; the last layer first."""
    import numpy as np

    if len(layers) == 1:
        yield layers[0]
        return
    everything: set[Section] = set()
    some: defaultdict[Section, set[str | None]] = defaultdict(set)
    for origin, table in reversed(layers):
        names, sections = table.text["instance_type"], _sections(table)
        rows = np.zeros(len(table), dtype=np.bool_)
        for key, section in sections.items():
            if key not in everything:
                rows |= section & ~names.where(some[key].__contains__) if some[key] else section
        yield origin, table if rows.all() else table.take(np.flatnonzero(rows))
        if origin.startswith(IMPORTED):
            for key, section in sections.items():
                some[key].update(names.taken(section).to_list())
        else:
            everything.update(sections)


def _parts(origin: str, table: OfferTable) -> Iterator[Part]:
    for (cloud, region, market), rows in _sections(table).items():
        yield Part(
            cloud=cloud,
            region=region,
            market=market,
            origin=origin,
            offers=int(rows.sum()),
            as_of=_oldest(table.take(rows)),
        )


def load_catalog(cache_folder: Path | None = None) -> LayeredCatalog:
    """Everything known to be for sale. Never raises for a damaged cache: see `problems`."""
    return LayeredCatalog(cache_folder)


def write_table(path: Path, table: OfferTable) -> None:
    """The table at that path, whole or not at all. Raises: StoreError."""
    import polars as pl

    frame = pl.DataFrame(table.columns(), schema=_schema())
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(beside)
        _note_digest(path, beside)
        beside.replace(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(
            "the catalogue cannot be kept", why=f"{path}: {error}", hint="free space, or another FLYBALL_HOME"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # it is gone, or the folder never was there
            beside.unlink()


def read_table(path: Path) -> OfferTable:
    """Raises: StoreError, for a file that is not such a table."""
    import polars as pl

    hint = f"delete {path} and refresh or import again"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise StoreError("a cached catalogue is too large", why=str(path), hint=hint)
        content = path.read_bytes()
        _check_digest(path, content)
        frame = pl.read_parquet(io.BytesIO(content), columns=list(COLUMNS), n_rows=_MOST_ROWS)
        return OfferTable(_checked(frame))
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
    ) as error:
        raise StoreError("a cached catalogue cannot be read", why=f"{path}: {error}", hint=hint) from error


def _note_digest(path: Path, new: Path) -> None:
    """Notes the new content's digest ahead of its own: a reader in between finds the file that it reads."""
    noted = _digests(path)[:1]
    noted.insert(0, hashlib.sha256(new.read_bytes()).hexdigest())
    beside = new.with_name(new.name + _DIGEST)
    try:
        beside.write_text("\n".join(noted) + "\n")
        beside.replace(path.with_name(path.name + _DIGEST))
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _check_digest(path: Path, content: bytes) -> None:
    """Raises: ValueError. A file that nothing is noted about is taken as it is: its user put it there."""
    noted = _digests(path)
    if noted and hashlib.sha256(content).hexdigest() not in noted:
        raise ValueError("it is not what was written: damaged, or changed by someone")


def _digests(path: Path) -> list[str]:
    try:
        return path.with_name(path.name + _DIGEST).read_text(errors="replace").split()[:2]
    except OSError:
        return []


def cached_file(cache_folder: Path, origin: str, name: str) -> Path:
    """Where that table is kept; the name is cut down to what any file system takes."""
    return cache_folder / f"{origin}-{re.sub(r'[^A-Za-z0-9._-]', '_', name)[:80]}.parquet"


def _cached(cache_folder: Path | None) -> list[Path]:
    """Refreshed files first, then imported ones, the newest last."""
    if cache_folder is None or not cache_folder.is_dir():
        return []
    found: list[Path] = []
    for origin in (REFRESHED, IMPORTED):
        files = cache_folder.glob(f"{origin}-*.parquet")
        found += sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name))
    return found


def _schema() -> dict[str, Any]:
    import polars as pl

    kinds = {"int64": pl.Int64, "float64": pl.Float64}
    return {name: kinds[NUMBER_COLUMNS[name]] if name in NUMBER_COLUMNS else pl.String for name in COLUMNS}


def _checked(frame: pl.DataFrame) -> dict[str, Any]:
    """Columns of a table that can be relied on. Raises: ValueError."""
    import polars as pl

    if frame.schema != _schema():
        raise ValueError("it has other columns")
    needed = [name for name in COLUMNS if name not in {"zone", "gpu_model", "processor", "gpu_memory_bytes"}]
    if frame.select(pl.any_horizontal(pl.col(needed).is_null().any())).item():
        raise ValueError("it has empty cells")
    for name, most in _POSITIVE.items():
        if not frame[name].is_between(0, most, closed="right").all():
            raise ValueError(f"it has a {name} at or below zero, or above {most:g}")
    if not frame["interruptions_per_hour"].is_between(0, 1e3).all():
        raise ValueError("it has impossible interruption rates")
    if (
        not frame["market"].is_in(["on_demand", "spot"]).all()
        or not frame["arch"].is_in(["x86_64", "arm64"]).all()
    ):
        raise ValueError("it has an unknown market or architecture")
    frame["as_of"].str.to_date("%Y-%m-%d", strict=True)
    return {
        name: frame[name].fill_null(float("nan")).to_numpy()
        if name in NUMBER_COLUMNS
        else frame[name].to_list()
        for name in COLUMNS
    }


def _sections(table: OfferTable) -> dict[Section, Any]:
    """Rows of each cloud, region and market."""
    import numpy as np

    cloud, region, market = (table.text[name] for name in ("cloud", "region", "market"))
    one = (cloud.codes.astype(np.int64) * len(region.values) + region.codes) * len(
        market.values
    ) + market.codes
    different, first, which = np.unique(one, return_index=True, return_inverse=True)
    return {
        (cloud[row] or "", region[row] or "", market[row] or ""): which == index
        for index, row in zip(range(len(different)), first.tolist(), strict=True)
    }


def _oldest(table: OfferTable) -> date:
    as_of = table.text["as_of"]
    return date.fromisoformat(min(as_of.values[code] or "" for code in set(as_of.codes.tolist())))
