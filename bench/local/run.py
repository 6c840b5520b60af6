"""1,000 jobs that do nothing, through the governor on this machine: how many a second, and what each costs.

    python bench/local/run.py [--jobs 1000] [--cores-each 0.5] [--peer-jobs 100] [--profile FILE]

What runs is the real thing: Governor, SqliteStore on disk (each append is durable before anything is done), and
LocalProvider with a metered wrapper for each job. The jobs are submitted before the clock starts; it stops when every
run is on record as ended and its machine is given back. Peers, in the same run: `xargs -P` with the bare command, which
records nothing, and as many `flyball run -- true` at once as this machine has cores, which measures and records but starts
Python for each. CPU is that of all processes concerned, the commands' own included.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flyball.adapters.local_provider import LocalProvider
from flyball.adapters.papers import FolderPapers
from flyball.adapters.sqlite_store import SqliteStore
from flyball.engine.governor import Governor
from flyball.model.facts import RunSubmitted
from flyball.model.job import Features, RunSpec
from flyball.model.offers import OfferTable
from flyball.model.plan import Forecast, Plan
from flyball.model.resource import Size
from flyball.model.spec import JobSpec, SizeAsk
from flyball.model.units import MIB
from flyball.policy.known import Known, Supply, Usual
from flyball.ports.papers import Paper

BAR_PER_SECOND = 40.0
WAIT_SECONDS = 0.25


class WallClock:
    def now_seconds(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def governed(home: Path, jobs: int, cores_each: float) -> tuple[float, float, int]:
    """(wall seconds, CPU seconds, ticks) until all have ended and been given back."""
    provider, papers = LocalProvider(home), FolderPapers(home)
    size = Size(cpu_cores=cores_each, memory_bytes=64 * MIB)
    known = Known(
        supplies={
            "local": Supply(
                name="local", capabilities=provider.capabilities, offers=OfferTable.of(provider.offers())
            )
        },
        plan=lambda run: Plan(job=run.job, size=size, forecast=Forecast(runs=0), reasons=()),
        usual=lambda _: Usual(),
    )
    ask = SizeAsk(cpu_cores=cores_each, memory_bytes=size.memory_bytes)
    spec = JobSpec(
        name="nothing",
        command=("true",),
        paper=papers.keep(Paper(command=("true",))),
        workdir=str(home),
        size=ask,
    )
    with SqliteStore(home / "flyball.db") as store:
        at = time.time()
        store.append(
            [
                RunSubmitted(
                    at_seconds=at,
                    run=RunSpec(
                        run_id=f"r{n:06d}",
                        job=spec.name,
                        command=spec.command,
                        features=Features(started_at_seconds=at),
                    ),
                    spec=spec,
                )
                for n in range(jobs)
            ]
        )
        governor = Governor(
            store=store,
            providers={"local": provider},
            known=lambda _: known,
            papers=papers,
            clock=WallClock(),
        )
        governor.catch_up()
        begun, cpu = time.perf_counter(), cpu_seconds()
        ticks = 0
        while governor.snapshot.runs or governor.snapshot.unreleased:
            ticked = governor.tick()
            ticks += 1
            if ticked.warnings:
                raise SystemExit("\n".join(ticked.warnings))
            if not ticked.facts:
                provider.wait_for_news(WAIT_SECONDS)
        wall = time.perf_counter() - begun
        provider.close()  # reaped, so that its CPU and that of its children counts
        outcomes = [row.outcome.value for row in store.rows() if row.outcome]
    if outcomes.count("succeeded") != jobs:
        raise SystemExit(f"{outcomes.count('succeeded')} of {jobs} succeeded")
    return wall, cpu_seconds() - cpu, ticks


def cpu_seconds() -> float:
    return sum(
        use.ru_utime + use.ru_stime
        for use in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def of_xargs(jobs: int, at_once: int, *command: str, home: Path) -> tuple[float, float]:
    """(wall, CPU) of that many of the command."""
    begun, cpu = time.perf_counter(), cpu_seconds()
    names = "\n".join(map(str, range(jobs)))
    subprocess.run(
        ["xargs", "-P", str(at_once), "-I", "{}", *command],
        input=names,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "FLYBALL_HOME": str(home)},
    )
    return time.perf_counter() - begun, cpu_seconds() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--peer-jobs", type=int, default=100, help="of `flyball run`")
    parser.add_argument("--cores-each", type=float, default=0.5)
    parser.add_argument("--profile", help="write a cProfile of the governor's process there")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if options.profile:
            import cProfile

            profile = cProfile.Profile()
            wall, cpu, ticks = profile.runcall(governed, home / "a", options.jobs, options.cores_each)
            profile.dump_stats(options.profile)
        else:
            wall, cpu, ticks = governed(home / "a", options.jobs, options.cores_each)
        bare_wall, bare_cpu = of_xargs(options.jobs, cores, "true", home=home)
        run = (sys.executable, "-m", "flyball", "run", "--", "true")
        run_wall, run_cpu = of_xargs(options.peer_jobs, cores, *run, home=home / "b")
    rate, run_rate = options.jobs / wall, options.peer_jobs / run_wall
    print(
        f"{cores} cores, load {load:.1f} before; {options.jobs} jobs of `true`, {options.cores_each:g} cores each"
    )
    print(
        f"governor        {rate:8.1f} a second  {cpu / options.jobs * 1e3:7.2f} ms CPU each   {ticks} ticks"
    )
    print(
        f"xargs -P {cores}      {options.jobs / bare_wall:8.1f} a second  {bare_cpu / options.jobs * 1e3:7.2f} ms CPU each"
    )
    print(f"flyball run     {run_rate:8.1f} a second  {run_cpu / options.peer_jobs * 1e3:7.2f} ms CPU each")
    print(f"ratio to flyball run: {rate / run_rate:.1f} times as many a second")
    print(f"bar: {BAR_PER_SECOND:g} a second: {'held' if rate >= BAR_PER_SECOND else 'MISSED'}")


if __name__ == "__main__":
    main()
