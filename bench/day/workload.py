"""A day of 4,000 runs: model training in hundreds of GiB, language models on GPUs, forecasts on many cores, extracts
and loads, and thousands of small jobs that wait for databases.

What each job truly needs is drawn per job and varies from run to run; what its owner asked for is larger, in the
proportion measured in the sizing data (asked.py). Nine jobs in ten have run before. Seconds are those of a thread alone
on a core of an m6i.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

import msgspec
from asked import GIB, Asked

from flyball.model.resource import Size
from flyball.sim.truth import Truth, Try

DAY_SECONDS = 86_400.0
MIB = 2**20
VCPU_STEPS = (1, 2, 4, 8, 16, 32, 48, 64, 96)
HISTORY_RUNS = (10, 30)
NEW_SHARE = 0.10
FAILING_SHARE, FAILING_FOR_GOOD = 0.03, 0.25  # of runs; of those, whatever is tried
RETRIES = 2
# Spread of one job's runs, of logarithms, at evenly spaced shares of jobs: the 87 task types of the sizing data with
# five runs or more and half a GiB or more at their peak (10 % .. 90 %: memory 0.003 .. 0.6, time 0.1 .. 1.4), the
# part that input size explains being drawn apart.
MEMORY_SPREADS, TIME_SPREADS = (0.01, 0.05, 0.1, 0.15, 0.3), (0.08, 0.15, 0.2, 0.35, 0.5)
INPUT_SPREAD, INPUT_SHARE = 0.5, 0.5  # of logarithms of input sizes; of the jobs that have an input


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Ranges are drawn log-uniformly per job."""

    name: str
    runs: int  # in the day
    jobs: int
    seconds: tuple[float, float]  # on its own cores
    memory_gib: tuple[float, float]
    cores: tuple[float, float]  # mean cores used
    asked_gib_max: float
    asked_cores_max: float = 96
    deadline_share: float  # of its jobs
    slack: tuple[float, float]  # deadline in units of the time that 19 of 20 runs take at most
    waiting_share: tuple[float, float] = (0.0, 0.0)  # of its time, not computing
    gpu_models: tuple[tuple[str, ...], ...] = ()
    checkpoint_share: float = 0.0
    hours: tuple[float, ...] = ()  # of the day at which its jobs start; empty: any
    on_the_hour: float = 0.7  # share of its jobs that start at minute 0


KINDS = (
    Kind(
        name="training", runs=24, jobs=24, seconds=(1.5 * 3600, 7 * 3600), memory_gib=(100, 550), cores=(8, 28),
        asked_gib_max=950, deadline_share=0.5, slack=(1.4, 3.0), checkpoint_share=0.5,
        hours=(0, 1, 2, 9, 13, 18, 20, 22), on_the_hour=0.5,
    ),
    Kind(
        name="gpu-nlp", runs=76, jobs=38, seconds=(0.3 * 3600, 4 * 3600), memory_gib=(4, 24), cores=(1.0, 4),
        asked_gib_max=120, asked_cores_max=8, deadline_share=0.3, slack=(1.4, 3.0), waiting_share=(0.6, 0.9),
        gpu_models=(("T4",), ("A10G", "L4")), checkpoint_share=0.5,
    ),
    Kind(
        name="forecast", runs=160, jobs=40, seconds=(15 * 60, 80 * 60), memory_gib=(24, 160), cores=(26, 80),
        asked_gib_max=380, deadline_share=0.8, slack=(1.3, 2.5), hours=(0, 6, 12, 18), on_the_hour=0.6,
    ),
    Kind(
        name="etl", runs=740, jobs=190, seconds=(4 * 60, 60 * 60), memory_gib=(1.5, 30), cores=(1.0, 7),
        asked_gib_max=120, deadline_share=0.4, slack=(1.4, 4.0), waiting_share=(0.0, 0.4),
        hours=(0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22),
    ),
    Kind(
        name="sql", runs=3000, jobs=170, seconds=(5, 300), memory_gib=(0.05, 0.4), cores=(1.0, 1.0),
        asked_gib_max=8, deadline_share=0.1, slack=(4.0, 20.0), waiting_share=(0.8, 0.98),
    ),
)  # fmt: skip


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all runs of one job."""

    name: str
    kind: str
    waiting_seconds: float
    serial_seconds: float
    parallel_core_seconds: float
    cores: float
    memory_bytes: float
    memory_spread: float
    time_spread: float
    input_bytes: float | None  # median
    memory_per_input: float  # power
    time_per_input: float
    checkpoint_every_seconds: float | None
    asked: Size
    gpu_models: tuple[str, ...]
    deadline_seconds: float | None  # from when a run is due
    new: bool

    @property
    def usual_seconds(self) -> float:
        return self.waiting_seconds + self.serial_seconds + self.parallel_core_seconds / self.cores


class DayRun(msgspec.Struct, frozen=True, kw_only=True):
    run_id: str
    job: Job
    due_seconds: float  # since the epoch
    input_bytes: int | None
    truth: Truth

    @property
    def deadline_seconds(self) -> float | None:
        own = self.job.deadline_seconds
        return None if own is None else self.due_seconds + own

    @property
    def fails_for_good(self) -> bool:
        return len(self.truth.tries) > RETRIES


class Day(msgspec.Struct, frozen=True, kw_only=True):
    start_seconds: float
    runs: tuple[DayRun, ...]  # in the order they are due
    before: tuple[DayRun, ...]  # of the weeks before, all of which went well
    asked_source: str


def day(seed: int, asked: Asked, *, start_seconds: float, runs: int = 4000) -> Day:
    """The same for the same seed. `runs` other than 4,000 keeps the proportions."""
    share = runs / sum(kind.runs for kind in KINDS)
    todays: list[DayRun] = []
    before: list[DayRun] = []
    for kind in KINDS:
        rng = Random(f"{seed} {kind.name}")
        count, jobs = max(1, round(kind.runs * share)), max(1, round(kind.jobs * share))
        made = [_job(kind, index, asked, rng) for index in range(jobs)]
        for index, (job, due) in enumerate(_starts(kind, made, count, rng)):
            run_id = f"{kind.name}-{index:04}"
            todays.append(_run(job, run_id, start_seconds + due, rng))
        for job in made:
            if not job.new:
                before += _history(job, start_seconds, rng)
    todays.sort(key=lambda run: (run.due_seconds, run.run_id))
    before.sort(key=lambda run: (run.due_seconds, run.run_id))
    return Day(
        start_seconds=start_seconds, runs=tuple(todays), before=tuple(before), asked_source=asked.source
    )


def _job(kind: Kind, index: int, asked: Asked, rng: Random) -> Job:
    seconds, used_cores = _between(kind.seconds, rng), _between(kind.cores, rng)
    memory_bytes = _between(kind.memory_gib, rng) * GIB
    waiting = seconds * rng.uniform(*kind.waiting_share)
    busy = seconds - waiting
    asked_cores = min(kind.asked_cores_max, used_cores * asked.cores_ratio(used_cores, rng))
    vcpus = next(step for step in VCPU_STEPS if step >= asked_cores - 0.1)
    threads = max(1.0, min(vcpus, math.ceil(used_cores * 1.1)))
    parallel = busy * (used_cores - 1) / (threads - 1) if threads > 1 else 0.0  # busy: serial + parallel
    parallel = min(parallel, busy)
    memory_spread, time_spread = rng.choice(MEMORY_SPREADS), rng.choice(TIME_SPREADS)
    has_input = rng.random() < INPUT_SHARE
    ratio = asked.memory_ratio(memory_bytes, rng)
    # Owners ask for what held the largest run so far: two spreads above the usual one, or more.
    largest = memory_bytes * math.exp(2.33 * math.hypot(memory_spread, 0.7 * INPUT_SPREAD * has_input))
    asked_gib = min(kind.asked_gib_max, max(memory_bytes * ratio, 1.05 * largest) / GIB)
    return Job(
        name=f"{kind.name}-{index:03}",
        kind=kind.name,
        waiting_seconds=waiting,
        serial_seconds=busy - parallel,
        parallel_core_seconds=parallel * threads,
        cores=threads,
        memory_bytes=memory_bytes,
        memory_spread=memory_spread,
        time_spread=time_spread,
        input_bytes=_between((0.1, 50), rng) * GIB if has_input else None,
        memory_per_input=0.7,
        time_per_input=1.0,
        checkpoint_every_seconds=600.0 if rng.random() < kind.checkpoint_share else None,
        asked=Size(
            cpu_cores=vcpus,
            memory_bytes=(512 * MIB if asked_gib < 0.5 else math.ceil(asked_gib) * GIB),
            gpus=1 if kind.gpu_models else 0,
        ),
        gpu_models=rng.choice(kind.gpu_models) if kind.gpu_models else (),
        deadline_seconds=_deadline(kind, seconds, math.hypot(time_spread, INPUT_SPREAD * has_input), rng),
        new=rng.random() < NEW_SHARE,
    )


def _deadline(kind: Kind, seconds: float, spread: float, rng: Random) -> float | None:
    """A multiple of the time within which 19 of 20 runs are done, and ten minutes for machines to start: what is missed
    by a machine bought at once and never taken away is no deadline."""
    slack = rng.uniform(*kind.slack)
    usually = seconds * math.exp(1.645 * spread)
    return 600.0 + slack * usually if rng.random() < kind.deadline_share else None


def _starts(kind: Kind, jobs: list[Job], count: int, rng: Random) -> Iterator[tuple[Job, float]]:
    """`count` starts in the day: each job as often as the next, at its own hour and minute, then every so many hours."""
    per_job = [count // len(jobs) + (index < count % len(jobs)) for index in range(len(jobs))]
    if kind.name == "sql":  # some run every quarter of an hour, most a few times a day
        weights = [rng.paretovariate(1.0) for _ in jobs]
        per_job = _shares(count, weights)
    for job, times in zip(jobs, per_job, strict=True):
        first = rng.choice(kind.hours) * 3600.0 if kind.hours else rng.uniform(0, 24) // 1 * 3600.0
        minute = 0.0 if rng.random() < kind.on_the_hour else rng.randrange(60) * 60.0
        for index in range(times):
            at = first + minute + index * DAY_SECONDS / times + rng.uniform(0, 5)
            yield job, at % DAY_SECONDS


def _shares(count: int, weights: list[float]) -> list[int]:
    """Whole numbers in proportion to the weights, at least one each and at most 96, that add up to count."""
    total = sum(weights)
    found = [min(96, max(1, int(count * weight / total))) for weight in weights]
    index = 0
    while sum(found) != count:
        step = 1 if sum(found) < count else -1
        if 1 <= found[index % len(found)] + step <= 96:
            found[index % len(found)] += step
        index += 1
    return found


def _run(job: Job, run_id: str, due_seconds: float, rng: Random) -> DayRun:
    tries: tuple[Try, ...] = ()
    if rng.random() < FAILING_SHARE:
        failing = RETRIES + 1 if rng.random() < FAILING_FOR_GOOD else 1
        tries = tuple(Try(exit_code=1, at_share=rng.uniform(0.05, 1.0)) for _ in range(failing))
    return _drawn(job, run_id, due_seconds, rng, tries)


def _history(job: Job, start_seconds: float, rng: Random) -> Iterator[DayRun]:
    count = rng.randint(*HISTORY_RUNS)
    for index in range(count):
        at = start_seconds - (count - index) * DAY_SECONDS + rng.uniform(0, 3600)
        yield _drawn(job, f"{job.name}-before-{index:02}", at, rng, ())


def _drawn(job: Job, run_id: str, due_seconds: float, rng: Random, tries: tuple[Try, ...]) -> DayRun:
    """Never more memory than was asked for: who asks too little notices, and asks again."""
    log_input = min(2.33, max(-2.33, rng.gauss(0, 1))) * INPUT_SPREAD if job.input_bytes else 0.0
    longer = math.exp(rng.gauss(0, job.time_spread) + job.time_per_input * log_input)
    larger = math.exp(rng.gauss(0, job.memory_spread) + job.memory_per_input * log_input)
    memory_bytes = int(min(job.memory_bytes * larger, 0.97 * job.asked.memory_bytes))
    return DayRun(
        run_id=run_id,
        job=job,
        due_seconds=due_seconds,
        input_bytes=int(job.input_bytes * math.exp(log_input)) if job.input_bytes else None,
        truth=Truth(
            waiting_seconds=job.waiting_seconds * longer,
            serial_seconds=job.serial_seconds * longer,
            parallel_core_seconds=job.parallel_core_seconds * longer,
            cores=job.cores,
            memory_bytes=memory_bytes,
            out_of_memory_at=rng.uniform(0.1, 0.9),
            tries=tries,
            checkpoint_every_seconds=job.checkpoint_every_seconds,
            resume_seconds=60.0 if job.checkpoint_every_seconds else 0.0,
            progress_every_seconds=60.0 if job.checkpoint_every_seconds else None,
        ),
    )


def _between(range_: tuple[float, float], rng: Random) -> float:
    return math.exp(rng.uniform(math.log(range_[0]), math.log(range_[1])))
