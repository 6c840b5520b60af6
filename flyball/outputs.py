"""For programs that flyball runs: where to write an output so that nobody ever sees half of it, and how far they are.

Nothing here is needed: the same is done by writing to $FLYBALL_OUTPUT/NAME and into the file $FLYBALL_PROGRESS.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = "_root"  # as flyball/meter/declared.py has it: where names outside the working folder go


def attempt_output(path: str | os.PathLike[str]) -> Path:
    """Where to write the output that is to appear at `path` when the whole attempt has succeeded.

    The folder it lies in is there on return. Run by hand, outside of flyball, that is `path` itself. Only what the
    job declares under `outputs` is moved into its place; a path is meant from the folder the job was started in.
    Raises: ValueError for a URL (object stores show an object only when it is whole), OSError.
    """
    text = os.fspath(path)
    if "://" in text:
        raise ValueError(f"{text}: write it there directly; an object appears only when it is whole")
    staging = os.environ.get("FLYBALL_OUTPUT")
    place = Path(text)
    if staging:
        name = os.path.normpath(text)
        if name == ".." or name.startswith(f"..{os.sep}"):
            name = os.path.normpath(Path(name).absolute())
        inside = f"{ROOT}{name}" if os.path.isabs(name) else name  # noqa: PTH117 - text, not yet a place
        place = Path(staging) / inside
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def report_progress(share: float) -> None:
    """Say how much of the work is done, from 0 to 1; outside of flyball it does nothing. Raises: OSError.

    Schedules, spot decisions and `flyball ps` go by it. Once a second is often enough.
    """
    file = os.environ.get("FLYBALL_PROGRESS")
    if not file:
        return
    beside = Path(f"{file}.{os.getpid()}")
    beside.write_text(f"{min(1.0, max(0.0, share)):.6f}\n")
    beside.replace(file)
