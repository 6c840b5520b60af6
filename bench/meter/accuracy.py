"""How near each tool comes to the truth, program by program."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from programs import MIB, PROGRAMS
from tools import HERE, Said, Tool, environment_of

NEAR = 0.03  # a figure within 3 % of the truth counts as right,
NEAR_BYTES, NEAR_SECONDS = (
    4 * MIB,
    0.03,
)  # or within these, for jobs so small that 3 % is a few pages or one clock tick


@dataclass(frozen=True)
class Reading:
    tool: str
    program: str
    truth: Said
    said: Said

    @property
    def memory_is_right(self) -> bool:
        return near(self.said.memory_bytes, self.truth.memory_bytes, NEAR_BYTES)

    @property
    def cpu_is_right(self) -> bool:
        return near(self.said.cpu_seconds, self.truth.cpu_seconds, NEAR_SECONDS)


def near(said: float | None, truth: float | None, slack: float) -> bool:
    return said is not None and truth is not None and abs(said - truth) <= max(NEAR * truth, slack)


def measured(tool: Tool, program: str) -> Reading:
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as name:
        folder = Path(name)
        job = [sys.executable, str(HERE / "programs.py"), program]
        environment = environment_of(
            tool, folder, FLYBALL_BENCH_TRUTH=str(folder / "truth.json"), FLYBALL_BENCH_FOLDER=str(folder)
        )
        done = subprocess.run(
            tool.command(job, folder),
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if not (folder / "truth.json").exists():
            raise RuntimeError(f"{program!r} did not end well under {tool.name}:\n{done.stdout}{done.stderr}")
        truth = json.loads((folder / "truth.json").read_text())
        said = Said()
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
            said = tool.read(folder)
        if said == Said() and done.returncode:
            print(f"{tool.name} failed on {program!r}: {done.stderr[-400:]}", file=sys.stderr)
        return Reading(tool.name, program, Said(**truth), said)


def accuracy(tools: list[Tool], *, rounds: int) -> list[Reading]:
    """Every tool on every program, the tools taking turns."""
    readings = []
    for round_number in range(rounds):
        for program in PROGRAMS:
            readings += [measured(tool, program) for tool in tools]
            print(f"round {round_number + 1}: {program}", file=sys.stderr)
    return readings


def table(readings: list[Reading], tools: list[Tool]) -> list[str]:
    """Markdown: memory and CPU that each tool said, over the truth, and how often that was right."""
    lines = [
        "| program | truth | " + " | ".join(tool.name for tool in tools) + " |",
        "|---|---|" + "---|" * len(tools),
    ]
    for program in PROGRAMS:
        of_program = [reading for reading in readings if reading.program == program]
        truth = statistics.median(reading.truth.memory_bytes or 0 for reading in of_program)
        seconds = statistics.median(reading.truth.cpu_seconds or 0 for reading in of_program)
        cells = [cell([reading for reading in of_program if reading.tool == tool.name]) for tool in tools]
        lines.append(f"| {program} | {truth / MIB:.0f} MiB, {seconds:.2f} s | " + " | ".join(cells) + " |")
    rights = [[r for r in readings if r.tool == tool.name] for tool in tools]
    memory = (f"{sum(r.memory_is_right for r in own)} of {len(own)}" for own in rights)
    cpu = (f"{sum(r.cpu_is_right for r in own)} of {len(own)}" for own in rights)
    lines.append("| **peak memory right** | | " + " | ".join(memory) + " |")
    lines.append("| **CPU seconds right** | | " + " | ".join(cpu) + " |")
    return lines


def cell(readings: list[Reading]) -> str:
    memory = [(r.said.memory_bytes, r.truth.memory_bytes) for r in readings]
    cpu = [(r.said.cpu_seconds, r.truth.cpu_seconds) for r in readings]
    memory_rights, cpu_rights = [r.memory_is_right for r in readings], [r.cpu_is_right for r in readings]
    return f"{deviation(memory)}{mark(memory_rights)}, {deviation(cpu)}{mark(cpu_rights)}"


def deviation(pairs: list[tuple[float | None, float | None]]) -> str:
    """Median of what it said over what was true, as "+2 %"; "nothing" when it said nothing."""
    shares = [said / truth - 1 for said, truth in pairs if said is not None and truth]
    return f"{statistics.median(shares):+.0%}".replace("%", " %") if shares else "nothing"


def mark(rights: list[bool]) -> str:
    """Empty when always right."""
    return "" if all(rights) else f" ({sum(rights)}/{len(rights)})" if any(rights) else " ✗"


def as_json(readings: list[Reading]) -> list[dict[str, object]]:
    return [
        {**asdict(r), "memory_is_right": r.memory_is_right, "cpu_is_right": r.cpu_is_right} for r in readings
    ]
