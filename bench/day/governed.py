"""The day under flyball: the same governor, policies and forecasts as in `flyball up`, on the simulated cloud."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache

import msgspec
from baselines import Shop
from outcome import NANO, DayOutcome, outcome_of
from workload import RETRIES, Day, DayRun, Job
from world import World, speed_of

from flyball.engine.forecasts import Forecasts
from flyball.engine.governor import Governor
from flyball.model.ceilings import Ceilings
from flyball.model.facts import RunResult, RunSubmitted
from flyball.model.job import Features, RunSpec
from flyball.model.plan import Forecast, Plan, Quantiles
from flyball.model.resource import Arch, Market, Size
from flyball.model.spec import Goal, JobSpec, SizeAsk, SpotAsk, Tenacity
from flyball.policy.known import Doing, Known
from flyball.policy.placement import Work
from flyball.ports.clock import FakeClock
from flyball.ports.papers import MemoryPapers, Paper
from flyball.ports.store import MemoryStore
from flyball.sim.cloud import SimCloud
from flyball.sim.histories import past_run
from flyball.sim.replay import Replay, Replayed

PROVIDER = "aws"


class Governed(msgspec.Struct, frozen=True, kw_only=True):
    outcome: DayOutcome
    replayed: Replayed
    real_seconds: float


def flyball(
    day: Day,
    world: World,
    *,
    told: Callable[[Known], Known] = lambda known: known,
    deadline_of: Callable[[DayRun], float | None] = lambda run: run.deadline_seconds,
    late_tolerated: float = 0.0,
    name: str = "flyball",
    tick_seconds: float = 5.0,
    progress: Callable[[int, float], None] = lambda _, __: None,
) -> Governed:
    clock, store, papers = FakeClock(world.start_seconds), MemoryStore(), MemoryPapers()
    _remember(store, day, world)
    cloud = SimCloud(
        clock=clock,
        truth_of=world.truth_of,
        offers=world.offers,
        weather=world.weather,
        boot=world.boot,
        seed=world.seed,
    )
    forecasts = Forecasts(
        store=store,
        providers={PROVIDER: cloud},
        own_offers={PROVIDER: world.offers},
        ceilings=Ceilings(launches_per_hour_max=100_000),
        now_seconds=clock.now_seconds,
    )
    governor = Governor(
        store=store,
        providers={PROVIDER: cloud},
        known=lambda snapshot: told(forecasts.known(snapshot)),
        papers=papers,
        clock=clock,
    )
    governor.catch_up()
    paper = papers.keep(Paper(command=("work",)))
    replay = Replay(
        governor=governor, store=store, cloud=cloud, clock=clock, tick_seconds=tick_seconds, progress=progress,
        arrivals=[(run.due_seconds, [_submitted(run, paper, deadline_of(run), late_tolerated)]) for run in day.runs],
    )  # fmt: skip
    started = time.perf_counter()
    replayed = replay.run(until_seconds=world.start_seconds + 3 * 86_400)
    return Governed(
        outcome=_outcome(day, replayed, name), replayed=replayed, real_seconds=time.perf_counter() - started
    )


def oracle(day: Day, world: World) -> Callable[[Known], Known]:
    """Tells the governor what each run truly needs and takes, on every processor; not what spot will do."""
    runs = {run.run_id: run for run in day.runs}
    processors = {offer.processor or "" for offer in world.on_demand}

    @cache
    def plan(run_id: str) -> Plan:
        truth = runs[run_id].truth
        core_seconds = truth.serial_seconds + truth.parallel_core_seconds
        wall = truth.waiting_seconds + truth.serial_seconds + truth.parallel_core_seconds / truth.cores
        return Plan(
            job=runs[run_id].job.name,
            size=Size(cpu_cores=truth.cores, memory_bytes=truth.memory_bytes),
            forecast=Forecast(
                runs=100,
                wall_seconds=_exactly(wall),
                cpu_core_seconds=_exactly(core_seconds),
                memory_bytes=_exactly(truth.memory_bytes),
                cpu_cores=_exactly(truth.cores),
            ),
            reasons=("told", "told"),
        )

    @cache
    def doing(run_id: str) -> Doing:
        told, truth = plan(run_id).forecast, runs[run_id].truth
        work = Work(
            wall_seconds=told.wall_seconds.p50,
            core_seconds=told.cpu_core_seconds.p50,
            cores=truth.cores,
            memory_bytes=truth.memory_bytes,
            vcpus=2 * truth.cores,
            arch=Arch.X86_64,
        )
        speeds = {name: speed_of(world.seed, runs[run_id].job.name, name) for name in processors}
        return Doing(work=work, speeds=speeds)

    return lambda known: msgspec.structs.replace(
        known, plan=lambda run: plan(run.run_id), doing=lambda run: doing(run.run_id)
    )


def _exactly(value: float) -> Quantiles:
    return Quantiles(p50=value, p90=value, p99=value)


def _remember(store: MemoryStore, day: Day, world: World) -> None:
    """The runs of the weeks before, each on the machine that its asked size got on demand."""
    shop = Shop(world, families=("m6i", "c6i", "r6i", "c7i"))
    facts = []
    for run in day.before:
        offer = shop.cheapest(run.job.asked, run.job.gpu_models, Market.ON_DEMAND)[0]
        facts += past_run(
            _run_spec(run), world.truth_on(run, offer), offer=offer, size=run.job.asked,
            started_at_seconds=run.due_seconds,
        )  # fmt: skip
    store.append(facts)


def _run_spec(run: DayRun) -> RunSpec:
    return RunSpec(
        run_id=run.run_id,
        job=run.job.name,
        command=("work",),
        features=Features(started_at_seconds=run.due_seconds, input_bytes=run.input_bytes),
        tags={"kind": run.job.kind},
    )


def _submitted(
    run: DayRun, paper: str, deadline_seconds: float | None, late_tolerated: float
) -> RunSubmitted:
    return RunSubmitted(
        at_seconds=run.due_seconds,
        run=_run_spec(run),
        spec=_job_spec(run.job, paper, late_tolerated),
        cause="schedule",
        due_seconds=run.due_seconds,
        deadline_seconds=deadline_seconds,
    )


def _job_spec(job: Job, paper: str, late_tolerated: float) -> JobSpec:
    """A job that has run before states what memory it may have at most; a new one the most of both, as asked for."""
    size = job.asked
    ask = (
        SizeAsk(memory_bytes_max=size.memory_bytes, cpu_cores_max=size.cpu_cores)
        if job.new
        else SizeAsk(memory_bytes_max=size.memory_bytes)
    )
    return JobSpec(
        name=job.name,
        command=("work",),
        paper=paper,
        providers=(PROVIDER,),
        size=msgspec.structs.replace(ask, gpus=size.gpus, gpu_models=job.gpu_models, archs=(Arch.X86_64,)),
        goal=Goal(late_tolerated=late_tolerated),
        tenacity=Tenacity(retries=RETRIES),
        spot=SpotAsk(checkpoint="checkpoints" if job.checkpoint_every_seconds else None),
        tags={"kind": job.kind},
    )


def _outcome(day: Day, replayed: Replayed, name: str) -> DayOutcome:
    usd: dict[str, float] = defaultdict(float)
    kinds = {run.run_id: run.job.kind for run in day.runs}
    for run_id, nano in replayed.nano_usd.items():
        usd[kinds.get(run_id, "warm machines")] += nano * NANO
    ends = []
    for run in day.runs:
        went = replayed.runs[run.run_id]
        ends.append((run, went.ended_at_seconds if went.result else None, went.result is RunResult.SUCCEEDED))
    share = replayed.command_seconds / max(1.0, replayed.machine_seconds)
    return outcome_of(
        name, ends, usd_by_kind=dict(usd), machines=replayed.machines,
        interruptions=replayed.outcomes.get("interrupted", 0),
        out_of_memory=replayed.outcomes.get("out_of_memory", 0),
        notes=(f"{1 - share:.0%} of machine time was boot or idle", f"{replayed.refusals} launches refused"),
    )  # fmt: skip
