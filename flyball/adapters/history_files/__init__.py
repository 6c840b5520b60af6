"""Other tools' records of what ran, as facts: so that day one is not empty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flyball.adapters.history_files.imported import ImportedHistory, Refused, Source
from flyball.errors import InputError

__all__ = ["FORMATS", "ImportedHistory", "Refused", "import_history"]

FORMATS = ("nextflow", "snakemake", "slurm", "resource-tracker")
FILE_BYTES_MAX = 256 * 2**20  # about a million tasks


def import_history(format_: str, path: Path | str, *, now: float) -> ImportedHistory:
    """Facts of every finished run in the file, and the lines that are none. Raises: InputError.

    The same line gives the same run id however often and from wherever it is imported.
    """
    read = _reader(format_)
    path = Path(path)
    try:
        size, modified_seconds = path.stat().st_size, path.stat().st_mtime
        if size > FILE_BYTES_MAX:
            raise InputError(
                f"{path} is too large", why=f"{FILE_BYTES_MAX >> 20} MiB is the most", hint="split it"
            )
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise InputError(f"{path} cannot be read", why=error.strerror or str(error)) from error
    source = Source(path=str(path), modified_seconds=min(modified_seconds, now))
    return read(text, source)


def _reader(format_: str) -> Callable[[str, Source], ImportedHistory]:
    if format_ not in FORMATS:
        raise InputError(f"{format_!r} is not a format that can be imported", hint=", ".join(FORMATS))
    from flyball.adapters.history_files import nextflow, resource_tracker, slurm, snakemake

    readers = (nextflow.read, snakemake.read, slurm.read, resource_tracker.read)
    return dict(zip(FORMATS, readers, strict=True))[format_]
