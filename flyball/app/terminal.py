"""What stdout can show, and writing to it: data on stdout, words on stderr."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

import msgspec

from flyball.app.look import Look


def look(stream: TextIO | None = None) -> Look:
    """Of a terminal what it can; of a file or pipe 100 columns without colour."""
    out = stream or sys.stdout
    unicode = (getattr(out, "encoding", None) or "").lower().replace("-", "") in {"utf8", "utf16"}
    if not out.isatty():
        return Look(width=_columns(out, 100), colour=False, unicode=unicode)
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Look(width=_columns(out, 80), colour=colour, unicode=unicode)


def _columns(out: TextIO, default: int) -> int:
    """As shutil.get_terminal_size has it, which takes longer to load than all of this module."""
    said = os.environ.get("COLUMNS", "")
    try:
        columns = int(said) if said.isdecimal() and int(said) else os.get_terminal_size(out.fileno()).columns
    except (OSError, ValueError):
        columns = default
    return max(40, min(160, columns or default))


def emit(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def emit_json(value: Any) -> None:
    """One JSON document; on a terminal indented."""
    encoded = msgspec.json.encode(value)
    if sys.stdout.isatty():
        encoded = msgspec.json.format(encoded, indent=2)
    emit(encoded.decode())
