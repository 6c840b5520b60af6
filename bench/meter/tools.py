"""The tools side by side: how each is started on a command, and what it then says."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
MIB = 2**20


@dataclass(frozen=True)
class Said:
    """What a tool reported; None when it reported nothing."""

    memory_bytes: float | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class Tool:
    name: str
    command: Callable[[list[str], Path], list[str]]
    read: Callable[[Path], Said]
    environment: Mapping[str, str] = field(default_factory=dict)


def flyball_meter() -> Tool:
    """The wrapper alone: what runs beside a job on every machine."""

    def command(job: list[str], folder: Path) -> list[str]:
        return [sys.executable, "-m", "flyball.meter", "--folder", str(folder / "attempt"), "--", *job]

    def read(folder: Path) -> Said:
        outcome = json.loads((folder / "attempt" / "outcome.json").read_text())
        return Said(outcome.get("memory_bytes_max"), outcome.get("cpu_seconds"))

    return Tool("flyball meter", command, read, {"PYTHONPATH": str(ROOT)})


def flyball_run() -> Tool | None:
    """The whole of `flyball run`: identity, record, forecast, offers. None while that command does not work."""
    program = Path(sys.executable).with_name("flyball")
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as home:
        if not program.exists() or not runs([str(program), "run", "-q", "--", "true"], FLYBALL_HOME=home):
            return None

    def command(job: list[str], folder: Path) -> list[str]:
        return [str(program), "run", "-q", "--receipt", str(folder / "receipt.json"), "--", *job]

    def read(folder: Path) -> Said:
        receipt = json.loads((folder / "receipt.json").read_text())
        return Said(receipt.get("memory_bytes_max"), receipt.get("cpu_seconds"))

    return Tool("flyball run", command, read)


def resource_tracker() -> Tool | None:
    """Its Python API on the command's process, at its default of 1 s; system-wide and cloud look-ups off (less work)."""
    if not importable("resource_tracker"):
        return None

    def command(job: list[str], folder: Path) -> list[str]:
        return [sys.executable, str(HERE / "drive_resource_tracker.py"), str(folder / "said.json"), *job]

    return Tool("resource-tracker 0.5", command, read_json)


def psrecord() -> Tool | None:
    """Its command line with children, at 1 s like the others (its default is as often as it can)."""
    if not importable("psrecord") or not importable("psutil"):
        return None

    def command(job: list[str], folder: Path) -> list[str]:
        line = " ".join(f"'{word}'" for word in job)
        options = [
            "--include-children",
            "--interval",
            "1",
            "--log-format",
            "csv",
            "--log",
            str(folder / "log.csv"),
        ]
        return [sys.executable, "-m", "psrecord", *options, line]

    def read(folder: Path) -> Said:
        rows = [
            {key: float(value) for key, value in row.items()}
            for row in csv.DictReader((folder / "log.csv").open())
        ]
        ends = [row["elapsed_time"] for row in rows[1:]]
        seconds = sum(
            (end - row["elapsed_time"]) * row["cpu"] / 100 for row, end in zip(rows, ends, strict=False)
        )
        return Said(
            max((row["mem_real"] for row in rows), default=0) * MIB if rows else None,
            seconds if rows else None,
        )

    return Tool("psrecord 1.4", command, read)


def gnu_time() -> Tool | None:
    """`time -v`: the kernel's own ru_maxrss of the largest process, no sampling."""
    if shutil.which("/usr/bin/time") is None:
        return None

    def command(job: list[str], folder: Path) -> list[str]:
        return [
            "/usr/bin/time",
            "-f",
            '{"memory_kib": %M, "user": %U, "system": %S}',
            "-o",
            str(folder / "said.json"),
            *job,
        ]

    def read(folder: Path) -> Said:
        said = json.loads((folder / "said.json").read_text().splitlines()[-1])
        return Said(said["memory_kib"] * 1024, said["user"] + said["system"])

    return Tool("GNU time", command, read)


def read_json(folder: Path) -> Said:
    said = json.loads((folder / "said.json").read_text())
    return Said(said["memory_bytes"], said["cpu_seconds"])


def importable(module: str) -> bool:
    return runs([sys.executable, "-c", f"import {module}"])


def runs(command: list[str], **environment: str) -> bool:
    done = subprocess.run(command, capture_output=True, env={**os.environ, **environment}, check=False)
    return done.returncode == 0


def tools() -> list[Tool]:
    """Every tool that is there; those that are not are named loudly."""
    found = [flyball_meter()]
    for name, make in (
        ("flyball run", flyball_run),
        ("resource-tracker (pip install 'flyball[bench]')", resource_tracker),
        ("psrecord (pip install 'flyball[bench]')", psrecord),
        ("GNU time (apt-get install time)", gnu_time),
    ):
        tool = make()
        if tool is None:
            print(f"SKIPPED: {name} is not there, or does not run", file=sys.stderr)
        else:
            found.append(tool)
    return found


def environment_of(tool: Tool | None, folder: Path, **more: str) -> dict[str, str]:
    """The caller's environment with a home of its own for flyball's records."""
    return {**os.environ, "FLYBALL_HOME": str(folder / "home"), **(tool.environment if tool else {}), **more}
