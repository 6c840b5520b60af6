"""The files of one attempt: intent.json before it starts, outcome.json once when it is over."""

from __future__ import annotations

import json
import os
from typing import Any

INTENT, OUTCOME, SAMPLES, LOG = "intent.json", "outcome.json", "samples.csv", "log"


def write_intent(folder: str, intent: dict[str, Any]) -> None:
    """Leaves intent.json in a folder made for it. Raises OSError when that cannot be written.

    No fsync: it guards against the wrapper's death, which page cache survives; a power cut ends the job too.
    """
    os.makedirs(folder, exist_ok=True)
    _replace(os.path.join(folder, INTENT), intent, durable=False)


def write_outcome(folder: str, receipt: dict[str, Any], *, durable: bool = True) -> None:
    """Leaves outcome.json whole or not at all, durable when this returns. Raises OSError.

    Without `durable` a power cut within seconds may lose it, and the attempt then counts as lost.
    """
    _replace(os.path.join(folder, OUTCOME), receipt, durable=durable)


def close_once(folder: str, receipt: dict[str, Any]) -> dict[str, Any]:
    """The receipt that stands in the end: this one, or the one another closer wrote first."""
    path = os.path.join(folder, OUTCOME)
    spare = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    _write(spare, receipt, durable=True)
    try:
        os.link(spare, path)  # unlike rename it never replaces
    except FileExistsError:
        return read_json(path) or receipt
    finally:
        os.unlink(spare)
    return receipt


def read_json(path: str) -> dict[str, Any] | None:
    """The object in that file; None when there is no such file or it holds no whole object."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _replace(path: str, value: dict[str, Any], *, durable: bool) -> None:
    spare = f"{path}.{os.getpid()}"
    try:
        _write(spare, value, durable=durable)
        os.replace(spare, path)
    except OSError:
        _forget(spare)
        raise
    if durable:
        _sync_folder(os.path.dirname(path))


def _write(path: str, value: dict[str, Any], *, durable: bool) -> None:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    handle = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some file systems refuse to sync a folder; the file itself is safe
    finally:
        os.close(handle)


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
