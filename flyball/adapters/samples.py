"""Usage over time: each attempt's CSV as the wrapper left it, packed into few Parquet files beside the store."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyball.errors import InputError, StoreError

if TYPE_CHECKING:
    import polars as pl

INTEGER_COLUMNS = (
    "memory_bytes", "memory_bytes_max", "cache_bytes", "swap_bytes", "disk_read_bytes", "disk_write_bytes",
    "network_receive_bytes", "network_send_bytes", "processes", "threads", "gpu_memory_bytes",
)  # fmt: skip
FLOAT_COLUMNS = (
    "seconds", "cpu_seconds", "pressure_cpu_seconds", "pressure_memory_seconds", "pressure_io_seconds",
    "gpu_utilization",
)  # fmt: skip
COLUMNS = (
    "seconds", "cpu_seconds", "memory_bytes", "memory_bytes_max", "cache_bytes", "swap_bytes", "disk_read_bytes",
    "disk_write_bytes", "network_receive_bytes", "network_send_bytes", "processes", "threads", "pressure_cpu_seconds",
    "pressure_memory_seconds", "pressure_io_seconds", "gpu_memory_bytes", "gpu_utilization",
)  # fmt: skip

_CSV_NAME = "samples.csv"
_CSV_BYTES_MAX = 64 * 2**20  # 10,000 samples take 2 MB
_ATTEMPTS_PER_FILE = 1000
_CSV_BYTES_PER_FILE = 64 * 2**20  # of text at once: about 300 MB while it is packed
# Ten files of 1-9 attempts become one, ten of 10-99 too, and so on: 100,000 runs make about a hundred files.
_FILES_JOINED = 10
_JOINED_BYTES_MAX = 4 * 2**20  # larger ones are left as they are


def pack(home: Path, attempt_ids: Iterable[str] | None = None) -> int:
    """Move finished attempts' CSVs into Parquet; gives how many attempts were packed. Raises: StoreError.

    Without `attempt_ids` every CSV there is gets packed: only call it so when no run is going on. A crash at any
    instant leaves each attempt in a CSV, in a Parquet file, or the same in both; reading takes one of them.
    """
    with _explained(home):
        found = _csvs(home) if attempt_ids is None else _csvs_of(home, attempt_ids)
        packed = sum(_pack_some(home, some) for some in _portions(found))
        for digits in range(1, len(str(_ATTEMPTS_PER_FILE))):
            _join_small_files(home, digits)
        return packed


def read_samples(home: Path, attempt_id: str) -> pl.DataFrame:
    """One attempt's samples in time order, without the attempt_id column. Raises: StoreError; InputError for none."""
    with _explained(home):
        for _ in range(3):  # again when files were packed or joined by another process while we looked
            files = list(_files_that_may_hold(home, attempt_id))
            found = _from_csv(_csv_path(home, attempt_id))
            for file in files:
                found = found if found is not None else _part(file, attempt_id)
            if found is not None:
                return found
            if all(file.exists() for file in files):
                break
    raise InputError(f"there are no samples of {attempt_id}", hint="flyball runs")


def _part(file: Path, attempt_id: str) -> pl.DataFrame | None:
    import polars as pl

    try:
        found = pl.scan_parquet(file).filter(pl.col("attempt_id") == attempt_id).collect()
    except FileNotFoundError:  # joined into another file since it was listed
        return None
    return found.drop("attempt_id") if found.height else None


def _portions(csvs: Sequence[tuple[str, Path]]) -> Iterator[list[tuple[str, Path]]]:
    portion: list[tuple[str, Path]] = []
    bytes_so_far = 0
    for attempt_id, path in csvs:
        portion.append((attempt_id, path))
        bytes_so_far += path.stat().st_size if path.exists() else 0
        if len(portion) == _ATTEMPTS_PER_FILE or bytes_so_far > _CSV_BYTES_PER_FILE:
            yield portion
            portion, bytes_so_far = [], 0
    if portion:
        yield portion


def _pack_some(home: Path, csvs: Sequence[tuple[str, Path]]) -> int:
    import polars as pl

    frames = [
        frame.select(pl.lit(attempt_id).alias("attempt_id"), pl.all())
        for attempt_id, path in csvs
        if (frame := _from_csv(path)) is not None and frame.height
    ]
    if frames:
        _write(home, pl.concat(frames).sort("attempt_id", "seconds", maintain_order=True))
    for _, path in csvs:
        path.unlink(missing_ok=True)
    return len(frames)


def _write(home: Path, frame: pl.DataFrame) -> Path:
    """The new file, whole and on the disk before it has its name."""
    folder = home / "samples"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ids = frame["attempt_id"]
    target = _free_name(folder, f"{ids[0]}..{ids[-1]}~{ids.n_unique()}")
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        frame.write_parquet(beside, compression="zstd", row_group_size=50_000)
        with beside.open("rb+") as opened:
            os.fsync(opened.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(folder)
    return target


def _free_name(folder: Path, name: str) -> Path:
    n, target = 1, folder / f"{name}.parquet"
    while target.exists():
        n, target = n + 1, folder / f"{name}~{n}.parquet"
    return target


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _join_small_files(home: Path, digits: int) -> None:
    import polars as pl

    small = [
        f for f in _parquet_files(home) if _digits_of_count(f) == digits and _size(f) < _JOINED_BYTES_MAX
    ]
    folder = home / "samples"
    if len(small) < _FILES_JOINED or not _only_one_joins(folder):
        return
    try:
        # An attempt in two files (a crash came between writing and deleting) is kept once.
        frames: dict[str, pl.DataFrame] = {}
        for file in small:
            for (attempt_id,), frame in pl.read_parquet(file).group_by("attempt_id", maintain_order=True):
                frames.setdefault(str(attempt_id), frame)
        _write(home, pl.concat([frames[attempt_id] for attempt_id in sorted(frames)]))
        for file in small:
            file.unlink(missing_ok=True)
    finally:
        (folder / ".joining").unlink(missing_ok=True)


def _digits_of_count(file: Path) -> int:
    return len(file.name.removesuffix(".parquet").split("~")[1])


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return _JOINED_BYTES_MAX


def _only_one_joins(folder: Path) -> bool:
    """Whether this process may join files now; a lock left by a dead process counts for nothing."""
    lock = folder / ".joining"
    try:
        with contextlib.suppress(ValueError, FileNotFoundError):
            os.kill(int(lock.read_text()), 0)
            return False
    except ProcessLookupError:
        lock.unlink(missing_ok=True)
    try:
        with lock.open("x") as opened:
            opened.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True


def _files_that_may_hold(home: Path, attempt_id: str) -> Iterator[Path]:
    """Files whose name says that the id lies between their first and last."""
    for file in _parquet_files(home):
        first, _, last = file.name.removesuffix(".parquet").partition("..")
        if first <= attempt_id <= last.partition("~")[0]:
            yield file


def _parquet_files(home: Path) -> list[Path]:
    return sorted(file for file in (home / "samples").glob("*..*~*.parquet") if not file.name.startswith("."))


def _csv_path(home: Path, attempt_id: str) -> Path:
    if "/" in attempt_id or attempt_id in {"", ".", ".."}:
        raise InputError(f"{attempt_id!r} is not an attempt", hint="flyball runs")
    return home / "runs" / attempt_id / _CSV_NAME


def _csvs(home: Path) -> list[tuple[str, Path]]:
    return sorted((path.parent.name, path) for path in (home / "runs").glob(f"*/{_CSV_NAME}"))


def _csvs_of(home: Path, attempt_ids: Iterable[str]) -> list[tuple[str, Path]]:
    paths = ((attempt_id, _csv_path(home, attempt_id)) for attempt_id in sorted(set(attempt_ids)))
    return [(attempt_id, path) for attempt_id, path in paths if path.is_file()]


def _from_csv(path: Path) -> pl.DataFrame | None:
    """Typed samples; None without a file. The last line may be torn after a crash, and lines a full disk cut in two are left out."""
    import polars as pl

    try:
        with path.open("rb") as opened:
            text = opened.read(_CSV_BYTES_MAX).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    whole = text[: text.rfind("\n") + 1]
    header, *lines = list(csv.reader(io.StringIO(whole))) or [[]]
    rows = [
        values for line in lines if len(line) == len(header) and (values := _values(header, line)) is not None
    ]
    schema = {name: pl.Int64 if name in INTEGER_COLUMNS else pl.Float64 for name in COLUMNS}
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in COLUMNS}, schema=schema)


def _values(header: Sequence[str], line: Sequence[str]) -> dict[str, Any] | None:
    try:
        return {
            name: _whole(text) if name in INTEGER_COLUMNS else float(text)
            for name, text in zip(header, line, strict=True)
            if name in COLUMNS and text
        }
    except (ValueError, OverflowError):
        return None


def _whole(text: str) -> int:
    return int(text) if text.isdigit() else round(float(text))


@contextlib.contextmanager
def _explained(home: Path) -> Iterator[None]:
    import polars as pl

    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(
            f"the samples under {home} cannot be used",
            why=str(error),
            hint="free some space, or set FLYBALL_HOME to a folder that you may write",
        ) from error
