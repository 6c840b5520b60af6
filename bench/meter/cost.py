"""What each tool costs: CPU beside a large job, slow-down of a job that maps much, added wall time, memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools import HERE, Tool, environment_of

NO_TOOL = "no tool"
CPU_CLOCK_OF_PROCESS = (
    2  # clock_getcpuclockid(3): (~pid << 3) | CPUCLOCK_SCHED, in nanoseconds unlike /proc's 10 ms ticks
)


@dataclass(frozen=True)
class Beside:
    """A tool at work on a job, and the processes that are the tool's own."""

    job_pid: int
    own_pids: list[int]

    def cpu_seconds(self) -> float:
        return sum(time.clock_gettime((~pid << 3) | CPU_CLOCK_OF_PROCESS) for pid in self.own_pids)

    def peak_bytes(self) -> int:
        """The largest process's high-water mark, or, where that is more, what all of them hold now, shared pages once."""
        largest = max(kib(f"/proc/{pid}/status", "VmHWM:") for pid in self.own_pids)
        together = sum(kib(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in self.own_pids)
        return max(largest, together) * 1024


def sampler_share(tool: Tool, *, resident_mib: int, seconds: float) -> float:
    """Share of one core that the tool's own processes used beside an idle job of that size."""
    with beside(tool, ["idle", str(resident_mib), str(seconds + 60)]) as running:
        time.sleep(2.0)  # past its start
        before, started = running.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (running.cpu_seconds() - before) / (time.monotonic() - started)


def peak_of_wrapper(tool: Tool, *, seconds: float) -> int:
    """Bytes that the tool's own processes hold resident at most, some seconds into a small job."""
    with beside(tool, ["idle", "16", str(seconds + 60)]) as running:
        time.sleep(seconds)
        return running.peak_bytes()


@contextlib.contextmanager
def beside(tool: Tool, words: list[str]) -> Iterator[Beside]:
    """The job under the tool, from when the job has its memory; both are ended after."""
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as name:
        folder = Path(name)
        job = [sys.executable, str(HERE / "programs.py"), *words]
        environment = environment_of(tool, folder, FLYBALL_BENCH_PID=str(folder / "pid"))
        process = subprocess.Popen(
            tool.command(job, folder),
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        job_pid = 0
        try:
            job_pid = wait_for_pid(folder / "pid", process)
            time.sleep(0.5)  # trackers that start processes of their own have done so
            yield Beside(
                job_pid, [pid for pid in session_of(process.pid) if pid != job_pid and not is_shell(pid)]
            )
        finally:
            for pid in filter(None, (job_pid,)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


def wait_for_pid(path: Path, process: subprocess.Popen[bytes]) -> int:
    while not path.exists():
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended before its job was ready")
        time.sleep(0.02)
    return int(path.read_text())


def session_of(leader: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def is_shell(pid: int) -> bool:
    """psrecord starts its command through a shell, which is neither the job nor its own."""
    return Path(f"/proc/{pid}/comm").read_text().strip() in {"sh", "dash", "bash"}


def kib(path: str, name: str) -> int:
    return next(int(line.split()[1]) for line in Path(path).read_text().splitlines() if line.startswith(name))


def slow_down(
    tools: list[Tool], *, turns: int, resident_mib: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Of a job that maps, touches and unmaps 64 MiB beside a resident block: its time over its time alone.

    Each turn runs it alone, under each tool, and alone again; a tool's time is set against the mean of those two, and
    the two against each other show how small a difference can be seen at all ("no tool").
    """
    ratios: dict[str, list[float]] = {name: [] for name in (NO_TOOL, *(tool.name for tool in tools))}
    longest: dict[str, list[float]] = {name: [] for name in ratios}
    for turn in range(turns):
        first = mapped(None, resident_mib, rounds)
        under = {tool.name: mapped(tool, resident_mib, rounds) for tool in tools}
        last = mapped(None, resident_mib, rounds)
        alone = (sum(first) + sum(last)) / 2
        for name, seconds in under.items():
            ratios[name].append(sum(seconds) / alone)
            longest[name].append(max(seconds))
        ratios[NO_TOOL].append(sum(last) / sum(first))
        longest[NO_TOOL].append(max(*first, *last))
        print(f"slow-down: turn {turn + 1} of {turns}", file=sys.stderr)
    return {
        name: {
            "ratio_median": statistics.median(values),
            "ratio_low": min(values),
            "ratio_high": max(values),
            "longest_round_ms": statistics.median(longest[name]) * 1e3,
        }
        for name, values in ratios.items()
    }


def mapped(tool: Tool | None, resident_mib: int, rounds: int) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as name:
        folder = Path(name)
        job = [sys.executable, str(HERE / "programs.py"), "mapped", str(resident_mib), str(rounds)]
        command = tool.command(job, folder) if tool else job
        environment = environment_of(tool, folder, FLYBALL_BENCH_TRUTH=str(folder / "rounds.json"))
        subprocess.run(command, env=environment, cwd=folder, capture_output=True, check=True)
        return list(map(float, json.loads((folder / "rounds.json").read_text())))


def added_seconds(tools: list[Tool], *, pairs: int) -> dict[str, dict[str, float]]:
    """Wall time of `true` under each tool less that of `true` alone, in pairs that alternate."""
    differences: dict[str, list[float]] = {tool.name: [] for tool in tools}
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as name:
        for number in range(pairs + 1):
            for tool in tools:
                folder = Path(name) / f"{tool.name} {number}".replace(" ", "-")
                folder.mkdir()
                alone = timed(["true"], None, Path(name))
                under = timed(tool.command(["true"], folder), tool, folder, home=Path(name))
                if number:  # the first warms the page cache and writes .pyc files
                    differences[tool.name].append(under - alone)
    return {
        name: {"median": statistics.median(values), "p90": quantile(values, 0.9)}
        for name, values in differences.items()
    }


def timed(command: list[str], tool: Tool | None, folder: Path, home: Path | None = None) -> float:
    environment = environment_of(tool, home or folder)
    started = time.perf_counter()
    subprocess.run(command, env=environment, cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - started


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
