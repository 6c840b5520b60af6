"""Where on demand can be had within the changeover time, spot never costs a deadline, whatever it does."""

from __future__ import annotations

from random import Random

import pytest
from worlds import Chances, World

from flyball.model import facts as f
from flyball.model.plan import Forecast, Plan, Quantiles
from flyball.model.resource import Market, Size
from flyball.model.spec import Goal, JobSpec, SpotAsk
from flyball.model.units import GIB
from flyball.sim.faults import Boot, Faults
from flyball.sim.truth import Truth
from flyball.sim.weather import Rates

CHANGEOVER_SECONDS = 90.0
TICK_SECONDS = 45.0


def bad_spot(seed: int) -> World:
    """Spot that comes and goes and warns of nothing half the time; on demand that always starts in time."""
    rng = Random(seed)
    rates = Rates(
        interruptions_per_hour=rng.choice((0.3, 1.0, 4.0)),
        spot_up_seconds=rng.choice((1200.0, 7200.0)),
        spot_down_seconds=rng.choice((600.0, 3600.0)),
    )
    chances = Chances(
        runs=0, cancel_rate=0.0, storm_seconds=30 * 86_400.0, rates=rates, faults=Faults(no_notice_rate=0.5)
    )
    world = World(seed, chances, boot=Boot(median_seconds=60.0, p95_seconds=60.0 + 1e-6))
    world.pauses = (TICK_SECONDS,)
    return world


def lived(seed: int, *, resumes: bool) -> tuple[World, dict[str, float]]:
    """Six runs with deadlines from tight to easy; the deadlines by run."""
    world, rng = bad_spot(seed), Random(seed)
    now, deadlines, works = world.clock.now_seconds(), {}, {}
    for n in range(6):
        work = rng.choice((1800.0, 7200.0, 20_000.0))
        slack = rng.uniform(4 * (CHANGEOVER_SECONDS + TICK_SECONDS), 2 * work)
        spec = JobSpec(
            name=f"job{n}",
            command=("work",),
            paper=world.paper,
            providers=("sim",),
            goal=Goal(deadline_seconds=work + slack),
            spot=SpotAsk(checkpoint="/kept" if resumes else None, changeover_seconds=CHANGEOVER_SECONDS),
        )
        truth = Truth(
            serial_seconds=work,
            checkpoint_every_seconds=60.0 if resumes else None,
            progress_every_seconds=60.0,
        )
        world.submit(f"r{n}", spec, truth, at_seconds=now)
        works[spec.name], deadlines[f"r{n}"] = work, now + work + slack
    world.plan = lambda run: _sure(run, works[run.job])
    assert world.run() == []
    return world, deadlines


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("seed", range(15))
def test_no_deadline_is_missed_for_lack_of_caution(seed, resumes):
    world, deadlines = lived(seed, resumes=resumes)
    ended = {x.run_id: x for x in world.store.read() if isinstance(x, f.RunEnded)}
    done = {
        held.order.run_id: held.course.ended_at_seconds
        for held in world.clouds["sim"].launched().values()
        if held.course is not None and held.course.ended_at_seconds <= held.command_ended_at
    }
    for run_id, deadline in deadlines.items():
        assert ended[run_id].result is f.RunResult.SUCCEEDED
        assert done[run_id] <= deadline, f"{run_id} was {done[run_id] - deadline:.0f} s late"


@pytest.mark.parametrize("resumes", [True, False])
def test_deadlines_are_not_kept_by_never_taking_a_chance(resumes):
    markets = [
        held.order.offer.market
        for seed in range(6)
        for held in lived(seed, resumes=resumes)[0].clouds["sim"].launched().values()
    ]
    assert markets.count(Market.SPOT) >= 6
    assert markets.count(Market.ON_DEMAND) > 0


def _sure(run, work_seconds: float) -> Plan:
    wall = Quantiles(p50=work_seconds, p90=work_seconds, p99=work_seconds)
    return Plan(
        job=run.job,
        size=Size(cpu_cores=1.0, memory_bytes=GIB),
        forecast=Forecast(runs=20, wall_seconds=wall, cpu_core_seconds=wall),
        reasons=(),
    )
