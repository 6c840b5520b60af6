"""What a user's own past would have cost under other policies: the same runs, at the same times, on a simulated cloud.

Nothing is known to the governor that was not known then: each run is planned from the runs that had ended before it.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from flyball.errors import InputError
from flyball.model.history import AttemptRow
from flyball.model.offers import OfferTable
from flyball.sim.whatif_governed import govern
from flyball.sim.whatif_jobs import JobWhatIf, by_job, in_proportion, left_out_words, notes, sampled
from flyball.sim.whatif_priced import Shop, Under, as_it_was, held_size, on_demand_asked
from flyball.sim.whatif_runs import Past, PastRun, past_runs

RUNS_MAX = 1000  # replayed one by one under the governor; of more, a sample
JOBS_SHOWN = 20


class Policy(enum.Enum):
    AS_IT_WAS = "as it was"
    ON_DEMAND_ASKED = "on demand at the asked size"
    FLYBALL = "flyball"
    FLYBALL_ON_DEMAND = "flyball, on demand only"


class PolicyResult(msgspec.Struct, frozen=True, kw_only=True):
    policy: Policy
    usd: float
    runs: int  # priced
    hours: float  # of machines
    launches: int | None = None  # None: the history does not say
    failed: int = 0  # runs
    late: int | None = None  # of those with a deadline; None: no deadline is known
    interruptions: int = 0
    out_of_memory: int = 0


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    since_seconds: float
    until_seconds: float
    runs: int
    replayed: int  # of them one by one; the rest is reckoned in proportion, job by job
    results: tuple[PolicyResult, ...]
    jobs: tuple[JobWhatIf, ...]  # the largest savings first
    job_count: int
    notes: tuple[str, ...]
    seed: int
    took_seconds: float

    def result(self, policy: Policy) -> PolicyResult | None:
        return next((result for result in self.results if result.policy is policy), None)


def whatif(
    rows: Iterable[AttemptRow],
    offers: OfferTable,
    *,
    since: float = -math.inf,
    until: float = math.inf,
    seed: int = 0,
    policies: Sequence[Policy] = tuple(Policy),
    deadlines: Mapping[str, float] | None = None,
    runs_max: int = RUNS_MAX,
    progress: Callable[[float], None] = lambda _: None,
) -> WhatIf:
    """The runs that started in that time (epoch seconds) under each of the policies, on those offers.

    `deadlines` by run id. `progress` hears the share that is done. Raises: InputError when no run can be replayed.
    """
    started = time.perf_counter()
    past = past_runs(rows, _gpu_models(offers))
    runs = [run for run in past.runs if since <= run.started_at_seconds < until]
    if not runs:
        raise InputError(
            "no finished run to replay",
            why=left_out_words(past) or "none started in that time",
            hint="record some with flyball run, or flyball import a history",
        )
    world = _World(
        runs=runs,
        sample=sampled(runs, runs_max, seed),
        before=[run for run in past.runs if run.started_at_seconds < since],
        offers=offers,
        deadlines=dict(deadlines or {}),
        seed=seed,
    )
    under = {
        policy: world.under(policy, _part(progress, index, len(policies)))
        for index, policy in enumerate(policies)
    }
    progress(1.0)
    return _summed_up(world, past, under, took_seconds=time.perf_counter() - started)


def _summed_up(world: _World, past: Past, under: Mapping[Policy, Under], *, took_seconds: float) -> WhatIf:
    runs = world.runs
    usd = {policy.value: of_policy.usd for policy, of_policy in under.items()}
    jobs = by_job(runs, usd, Policy.FLYBALL.value, Policy.ON_DEMAND_ASKED.value)
    return WhatIf(
        since_seconds=runs[0].started_at_seconds,
        until_seconds=max(run.ended_at_seconds for run in runs),
        runs=len(runs),
        replayed=len(world.sample),
        results=tuple(_result(policy, of_policy) for policy, of_policy in under.items()),
        jobs=tuple(jobs[:JOBS_SHOWN]),
        job_count=len(jobs),
        notes=notes(past, runs, len(world.sample), world.offers),
        seed=world.seed,
        took_seconds=took_seconds,
    )


class _World(msgspec.Struct, frozen=True, kw_only=True):
    runs: Sequence[PastRun]
    sample: Sequence[PastRun]
    before: Sequence[PastRun]
    offers: OfferTable
    deadlines: dict[str, float]
    seed: int

    def under(self, policy: Policy, progress: Callable[[float], None]) -> Under:
        shop = Shop(self.offers)
        if policy is Policy.AS_IT_WAS:
            return as_it_was(self.runs, shop)
        if policy is Policy.ON_DEMAND_ASKED:
            return on_demand_asked(self.runs, shop, self.deadlines)
        can: list[PastRun] = []
        cannot: list[PastRun] = []
        for run in self.sample:
            (can if shop.for_size(held_size(run), run.arch, run.gpu_model) else cannot).append(run)
        if not can:
            return Under(usd=dict.fromkeys((run.run_id for run in self.runs), None), machine_seconds=0.0)
        chosen = {run.run_id for run in can}
        governed = govern(
            can,
            [*self.before, *(run for run in self.runs if run.run_id not in chosen)],
            self.offers,
            market="on_demand" if policy is Policy.FLYBALL_ON_DEMAND else "auto",
            seed=self.seed,
            deadlines=self.deadlines,
            progress=progress,
        )
        if len(can) == len(self.runs):
            return governed
        return in_proportion(
            governed, self.runs, on_demand_asked(self.runs, shop, {}).usd, unpriced={r.run_id for r in cannot}
        )


def _part(progress: Callable[[float], None], index: int, of: int) -> Callable[[float], None]:
    return lambda share: progress((index + share) / of)


def _gpu_models(offers: OfferTable) -> dict[str, str]:
    kinds, models = offers.text["instance_type"].to_list(), offers.text["gpu_model"].to_list()
    return {kind: model for kind, model in zip(kinds, models, strict=True) if kind and model}


def _result(policy: Policy, under: Under) -> PolicyResult:
    priced = [usd for usd in under.usd.values() if usd is not None]
    return PolicyResult(
        policy=policy,
        usd=sum(priced),
        runs=len(priced),
        hours=under.machine_seconds / 3600,
        launches=under.launches,
        failed=under.failed,
        late=under.late,
        interruptions=under.interruptions,
        out_of_memory=under.out_of_memory,
    )
