"""Past runs under the governor itself, on a simulated cloud, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from flyball.engine.forecasts import Forecasts
from flyball.engine.governor import Governor
from flyball.model.ceilings import Ceilings
from flyball.model.facts import AnyFact, AttemptEnded, AttemptStarted, RunResult, RunSubmitted
from flyball.model.job import Features, RunSpec
from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.receipt import Host, Limits, Receipt
from flyball.model.spec import JobSpec, SizeAsk, SpotAsk, Tenacity
from flyball.ports.clock import FakeClock
from flyball.ports.papers import MemoryPapers, Paper
from flyball.ports.store import MemoryStore
from flyball.sim.cloud import SimCloud
from flyball.sim.replay import Replay, Replayed
from flyball.sim.weather import Weather
from flyball.sim.whatif_priced import Under, held_size
from flyball.sim.whatif_runs import PastRun

if TYPE_CHECKING:
    from flyball.model.history import AttemptRow

PROVIDER = "simulated"
LONGEST_SECONDS = 30 * 86_400.0  # beyond the last run's start; what has not ended by then is lost
NANO = 1e-9


def govern(
    sample: Sequence[PastRun],
    others: Sequence[PastRun],
    offers: OfferTable,
    *,
    market: str,
    seed: int,
    deadlines: Mapping[str, float],
    progress: Callable[[float], None],
) -> Under:
    """The sample under flyball; the others are history as it was, known from when each of them had ended."""
    ordered = sorted(sample, key=lambda run: run.started_at_seconds)
    first, last = ordered[0].started_at_seconds, ordered[-1].started_at_seconds
    clock, store, papers = FakeClock(first), MemoryStore(), MemoryPapers()
    truths = {run.run_id: run.truth for run in sample}
    weather = Weather(seed=seed, start_seconds=first)
    cloud = SimCloud(
        clock=clock,
        truth_of=lambda order: truths[order.run_id],
        offers=offers,
        weather=weather,
        seed=seed,
    )
    store.append([fact for run in others if run.ended_at_seconds <= first for fact in facts_of(run)])
    forecasts = Forecasts(
        store=store,
        providers={PROVIDER: cloud},
        own_offers={PROVIDER: offers},
        ceilings=Ceilings(launches_per_hour_max=1_000_000),
        now_seconds=clock.now_seconds,
    )
    governor = Governor(
        store=store, providers={PROVIDER: cloud}, known=forecasts.known, papers=papers, clock=clock
    )
    arrivals = _arrivals(ordered, others, papers.keep(Paper(command=("as it was",))), market, deadlines)
    replay = Replay(
        governor=governor,
        store=store,
        cloud=cloud,
        clock=clock,
        arrivals=arrivals,
        progress=lambda ended, _: progress(ended / len(ordered)),
    )
    return _under(ordered, replay.run(until_seconds=last + LONGEST_SECONDS), deadlines)


def _arrivals(
    sample: Sequence[PastRun],
    others: Sequence[PastRun],
    paper: str,
    market: str,
    deadlines: Mapping[str, float],
) -> list[tuple[float, Sequence[AnyFact]]]:
    """The sample when each was started; of the others, what had not ended by then, when it had."""
    first = sample[0].started_at_seconds
    seen = _first_ends([*sample, *others])
    return [
        *((run.ended_at_seconds, facts_of(run)) for run in others if run.ended_at_seconds > first),
        *((run.started_at_seconds, [_submitted(run, paper, market, deadlines, seen)]) for run in sample),
    ]


def _submitted(
    run: PastRun, paper: str, market: str, deadlines: Mapping[str, float], first_ends: Mapping[str, float]
) -> RunSubmitted:
    """With what its owner asked for while no run of the job had ended; from then on with nothing but its own past."""
    known = first_ends[run.job] < run.started_at_seconds
    asked = held_size(run)
    ask = SizeAsk() if known else SizeAsk(memory_bytes=asked.memory_bytes, cpu_cores=asked.cpu_cores)
    spec = JobSpec(
        name=run.job,
        command=("as it was",),
        paper=paper,
        providers=(PROVIDER,),
        size=replace(
            ask,
            gpus=run.asked.gpus,
            gpu_models=(run.gpu_model,) if run.gpu_model else (),
            archs=(run.arch,) if run.arch else (),
        ),
        tenacity=Tenacity(retries=run.retries),
        spot=SpotAsk(market=market),
        tags=run.rows[0].tags,
    )
    return RunSubmitted(
        at_seconds=run.started_at_seconds,
        run=_run_spec(run),
        spec=spec,
        cause="as it was",
        due_seconds=run.started_at_seconds,
        deadline_seconds=deadlines.get(run.run_id),
    )


def _first_ends(runs: Sequence[PastRun]) -> dict[str, float]:
    """When a run of each job had ended for the first time."""
    first: dict[str, float] = {}
    for run in runs:
        first[run.job] = min(first.get(run.job, float("inf")), run.ended_at_seconds)
    return first


def _under(runs: Sequence[PastRun], replayed: Replayed, deadlines: Mapping[str, float]) -> Under:
    on_hosts = replayed.nano_usd.get("", 0) * NANO
    usd: dict[str, float | None] = {
        run.run_id: replayed.nano_usd.get(run.run_id, 0) * NANO + on_hosts / len(runs) for run in runs
    }
    failed = late = lost = 0
    for run in runs:
        went = replayed.runs[run.run_id]
        late += (went.ended_at_seconds or float("inf")) > deadlines.get(run.run_id, float("inf"))
        failed += went.result is not RunResult.SUCCEEDED
        lost += went.result is None
    return Under(
        usd=usd,
        machine_seconds=replayed.machine_seconds,
        launches=replayed.machines,
        failed=failed,
        late=late if deadlines else None,
        interruptions=replayed.outcomes.get(Outcome.INTERRUPTED.value, 0),
        out_of_memory=replayed.outcomes.get(Outcome.OUT_OF_MEMORY.value, 0),
        lost=lost,
    )


def facts_of(run: PastRun) -> list[AnyFact]:
    """The run as the history has it."""
    facts: list[AnyFact] = [RunSubmitted(at_seconds=run.started_at_seconds, run=_run_spec(run))]
    for row in run.rows:
        if row.outcome is None:
            continue
        limits = Limits(memory_bytes=row.memory_limit_bytes, cpu_cores=row.cpu_cores_limit)
        receipt = _receipt(row, row.outcome, limits)
        facts += [
            AttemptStarted(
                at_seconds=row.started_at_seconds,
                run_id=row.run_id,
                attempt_id=row.attempt_id,
                limits=limits,
                reason="as it was",
            ),
            AttemptEnded(
                at_seconds=receipt.ended_at_seconds,
                run_id=row.run_id,
                attempt_id=row.attempt_id,
                receipt=receipt,
            ),
        ]
    return facts


def _run_spec(run: PastRun) -> RunSpec:
    row = run.rows[0]
    return RunSpec(
        run_id=run.run_id,
        job=run.job,
        command=("as it was",),
        features=Features(
            started_at_seconds=row.started_at_seconds,
            utc_offset_seconds=row.utc_offset_seconds,
            input_bytes=row.input_bytes,
            numbers=row.numbers,
            words=row.words,
            code_version=row.code_version,
        ),
        tags=row.tags,
        origin=row.origin,
    )


def _receipt(row: AttemptRow, outcome: Outcome, limits: Limits) -> Receipt:
    wall = row.wall_seconds or 0.0
    return Receipt(
        attempt_id=row.attempt_id,
        outcome=outcome,
        exit_code=row.exit_code,
        exit_cause=outcome.value,
        started_at_seconds=row.started_at_seconds,
        ended_at_seconds=row.started_at_seconds + wall,
        wall_seconds=wall,
        cpu_seconds=row.cpu_seconds,
        cpu_cores_p95=row.cpu_cores_p95,
        cpu_cores_max=row.cpu_cores_max,
        cpu_cores_wanted=row.cpu_cores_wanted,
        memory_bytes_max=row.memory_bytes_max,
        host=Host(
            cpu_model=row.cpu_model,
            instance_type=row.instance_type,
            cpu_cores=row.host_cores,
            memory_bytes=row.host_memory_bytes,
        ),
        limits=limits,
        sources={},
    )
