"""A governor on this computer as a process that tests can kill: `python -m tests.e2e.local_governor HOME`.

It ends when every run in HOME has ended and been given back.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from flyball.adapters.local_provider import LocalProvider
from flyball.adapters.papers import FolderPapers
from flyball.adapters.sqlite_store import SqliteStore
from flyball.engine.governor import Governor
from flyball.model.ceilings import Ceilings
from flyball.model.facts import RunSubmitted
from flyball.model.job import Features, RunSpec
from flyball.model.offers import OfferTable
from flyball.model.plan import Forecast, Plan
from flyball.model.resource import Size
from flyball.model.spec import JobSpec, SizeAsk, Tenacity
from flyball.model.units import MIB
from flyball.policy.known import Known, Supply, Usual
from flyball.ports.papers import Paper

EACH = Size(cpu_cores=0.5, memory_bytes=32 * MIB)


class WallClock:
    def now_seconds(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def submit(home: Path, runs: int, *command: str) -> None:
    paper = FolderPapers(home).keep(Paper(command=command))
    spec = JobSpec(
        name="job",
        command=command,
        paper=paper,
        workdir=str(home),
        size=SizeAsk(cpu_cores=EACH.cpu_cores, memory_bytes=EACH.memory_bytes),
        tenacity=Tenacity(launches_max=1000),
    )
    at = time.time()
    with SqliteStore(home / "flyball.db") as store:
        store.append(
            [
                RunSubmitted(
                    at_seconds=at,
                    run=RunSpec(
                        run_id=f"r{n:03d}",
                        job="job",
                        command=command,
                        features=Features(started_at_seconds=at),
                    ),
                    spec=spec,
                )
                for n in range(runs)
            ]
        )


def governor(home: Path, store: SqliteStore) -> tuple[Governor, LocalProvider]:
    provider = LocalProvider(home)
    supply = Supply(name="local", capabilities=provider.capabilities, offers=OfferTable.of(provider.offers()))
    known = Known(
        supplies={"local": supply},
        plan=lambda run: Plan(job=run.job, size=EACH, forecast=Forecast(runs=0), reasons=()),
        usual=lambda _: Usual(),
        ceilings=Ceilings(lost_after_seconds=1.0, zombie_grace_seconds=0.2),
    )
    found = Governor(
        store=store,
        providers={"local": provider},
        known=lambda _: known,
        papers=FolderPapers(home),
        clock=WallClock(),
    )
    return found, provider


def main(home: Path) -> None:
    with SqliteStore(home / "flyball.db") as store:
        loop, provider = governor(home, store)
        loop.catch_up()
        while loop.snapshot.runs or loop.snapshot.unreleased or provider.machines():
            loop.tick()
            provider.wait_for_news(0.02)
        provider.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
