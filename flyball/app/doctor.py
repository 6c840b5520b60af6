"""What works on this machine, tried out, and how to fix what does not."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from flyball import __version__
from flyball.app.finding import Finding
from flyball.app.look import Look, pad, wrap
from flyball.errors import FlyballError
from flyball.model.units import MIB, show_bytes, show_cores

__all__ = ["Finding", "diagnose", "doctor_json", "doctor_page"]

FREE_BYTES_LEAST = 200 * MIB  # a year of daily runs with samples and logs, roughly
SYNC_SECONDS_MAX = 1.0  # slower, and recording is felt after every short job
CATALOG_DAYS_MAX = 90  # list prices change a few times a year, spot prices daily
SANE_YEAR = 2025  # an earlier date is a clock that was never set

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


def diagnose(
    *,
    home: Path,
    open_store: Callable[[], object],
    catalog_as_of: Callable[[], date | None],
    today: date,
) -> list[Finding]:
    """Everything looked at, in the order in which it matters to a first run; takes under a second."""
    from flyball.app.doctor_kernel import kernel_findings

    return [
        _versions(),
        _machine(),
        *kernel_findings(),
        _clock(time.time(), _synchronised()),
        disk(home),
        _store(open_store),
        _catalog(catalog_as_of, today),
    ]


def doctor_page(findings: Sequence[Finding], look: Look) -> str:
    """One line a finding, with what to do below those that do not work."""
    signs = {True: ("ok", "green"), False: ("NO", "red"), None: ("--", "yellow")}
    name_columns = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        sign, style = signs[finding.ok]
        first = f"{sign}  {pad(finding.name, name_columns)}  "
        first = first if len(first) < look.width // 2 else f"{sign}  {finding.name} "
        rest = " " * len(first)
        shown = wrap(finding.says, look, first=first, rest=rest)
        shown[0] = look.paint(sign, style, "bold") + shown[0][len(sign) :]
        lines += shown
        if finding.fix and finding.ok is not True:
            lines += wrap(
                f"{'fix' if finding.ok is False else 'try'}: {finding.fix}", look, first=rest, rest=rest
            )
    broken = sum(finding.ok is False for finding in findings)
    lines += ["", *wrap("Everything needed works here." if not broken else f"{broken} to fix.", look)]
    return "\n".join(lines)


def doctor_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """One object a finding: name, ok (true, false, null), says, fix."""
    return [msgspec.to_builtins(finding) for finding in findings]


def _versions() -> Finding:
    python = ".".join(map(str, sys.version_info[:3]))
    return Finding(name="versions", ok=True, says=f"flyball {__version__}, Python {python} on {sys.platform}")


def _machine() -> Finding:
    from flyball.meter.host import host_facts

    facts = host_facts()
    says = (
        f"{facts['cpu_model'] or 'unknown processor'}, {show_cores(facts['cpu_cores'])} cores and "
        f"{show_bytes(facts['memory_bytes'])} usable, {facts['os'] or 'unknown system'}, kernel {facts['kernel']}"
    )
    known = facts["cpu_cores"] is not None and facts["memory_bytes"] is not None
    return Finding(name="machine", ok=True if known else None, says=says)


def _clock(now_seconds: float, synchronised: bool | None) -> Finding:
    year = time.gmtime(now_seconds).tm_year
    if year < SANE_YEAR:
        says = (
            f"the date is {time.strftime('%Y-%m-%d', time.gmtime(now_seconds))}: calendars cannot be learnt"
        )
        return Finding(name="clock", ok=False, says=says, fix="timedatectl set-ntp true, or date -s")
    if synchronised is False:
        says = "not synchronised by this machine itself (in a container or VM the host may do that)"
        return Finding(name="clock", ok=None, says=says, fix="timedatectl set-ntp true")
    says = "synchronised" if synchronised else "date is plausible"
    resolution = time.get_clock_info("monotonic").resolution
    return Finding(name="clock", ok=True, says=f"{says}; durations resolve {resolution * 1e9:.0f} ns")


def _synchronised() -> bool | None:
    """What the kernel says about its clock (adjtimex(2), asked only); None where it cannot be asked."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    try:
        asked = ctypes.create_string_buffer(512)  # struct timex, about 210 bytes; modes = 0 changes nothing
        state = int(ctypes.CDLL(None).adjtimex(asked))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def disk(home: Path) -> Finding:
    """Whether records can be kept in `home`, and how long making one durable takes."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        seconds = _sync_seconds(home)
        free_bytes = shutil.disk_usage(home).free
    except OSError as error:
        says = f"{home} cannot be written: {error.strerror or error}"
        fix = "set FLYBALL_HOME to a folder that can; commands run meanwhile, but are not recorded"
        return Finding(name="disk", ok=False, says=says, fix=fix)
    says = f"{home} has {show_bytes(free_bytes)} free; making a record durable takes {1000 * seconds:.1f} ms"
    if free_bytes < FREE_BYTES_LEAST:
        return Finding(name="disk", ok=False, says=says, fix="free some space, or set FLYBALL_HOME elsewhere")
    if seconds > SYNC_SECONDS_MAX:
        return Finding(name="disk", ok=None, says=says, fix="set FLYBALL_HOME to a local disk")
    return Finding(name="disk", ok=True, says=says)


def _sync_seconds(folder: Path) -> float:
    handle, path = tempfile.mkstemp(prefix=".doctor-", dir=folder)
    try:
        os.write(handle, b"x" * 4096)
        started = time.perf_counter()
        os.fsync(handle)
        return time.perf_counter() - started
    finally:
        os.close(handle)
        Path(path).unlink()


def _store(open_store: Callable[[], object]) -> Finding:
    try:
        open_store()
    except FlyballError as error:
        says = error.what + (f": {error.why}" if error.why else "")
        return Finding(name="store", ok=False, says=says, fix=error.hint or "flyball store repair")
    return Finding(name="store", ok=True, says="opens")


def _catalog(as_of: Callable[[], date | None], today: date) -> Finding:
    refresh = "flyball catalog refresh aws"
    try:
        oldest = as_of()
    except FlyballError as error:
        says = error.what + (f": {error.why}" if error.why else "")
        return Finding(name="prices", ok=False, says=says, fix=error.hint or refresh)
    if oldest is None:
        return Finding(name="prices", ok=False, says="the catalogue is empty", fix=refresh)
    days = (today - oldest).days
    says = f"oldest price is of {oldest}, {days} day{'' if days == 1 else 's'} old"
    return Finding(name="prices", ok=True if days <= CATALOG_DAYS_MAX else None, says=says, fix=refresh)
