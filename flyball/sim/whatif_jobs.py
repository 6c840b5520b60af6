"""A sample of runs, its figures taken for all of them, and what is to be said about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random

import msgspec

from flyball.model.offers import OfferTable
from flyball.sim.whatif_priced import Under
from flyball.sim.whatif_runs import Past, PastRun

NOT_INCLUDED = "Disks, network traffic, snapshots and public addresses are in none of the figures."


class JobWhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that every policy can price."""

    job: str
    runs: int
    usd: dict[str, float]  # by policy
    saved_usd: float  # by flyball against on demand at the asked size, where both are there


def sampled(runs: Sequence[PastRun], runs_max: int, seed: int) -> list[PastRun]:
    """All, or so many: of each job its share, at least one, drawn by chance; where jobs are too many, some of them."""
    if len(runs) <= runs_max:
        return list(runs)
    of_job: dict[str, list[PastRun]] = defaultdict(list)
    for run in runs:
        of_job[run.job].append(run)
    rng = Random(f"{seed} sample")
    jobs = sorted(of_job)
    if len(jobs) > runs_max:
        jobs = rng.sample(jobs, runs_max)
    beyond = sum(len(of_job[job]) - 1 for job in jobs)
    chosen: list[PastRun] = []
    for job in jobs:
        some = of_job[job]
        more = (runs_max - len(jobs)) * (len(some) - 1) // max(1, beyond)
        chosen += rng.sample(some, min(len(some), 1 + more))
    chosen.sort(key=lambda run: (run.started_at_seconds, run.run_id))
    return chosen


def in_proportion(
    governed: Under, runs: Sequence[PastRun], priced: Mapping[str, float | None], *, unpriced: set[str]
) -> Under:
    """All runs, from those that were replayed: each other run costs as much, beside what it costs on demand at its asked
    size, as those of its job did (of all jobs, where none of its job was replayed)."""
    ratios: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    jobs = {run.run_id: run.job for run in runs}
    for run_id, usd in governed.usd.items():
        other = priced.get(run_id)
        if usd is not None and other is not None:
            for key in (jobs[run_id], ""):
                ratios[key][0] += usd
                ratios[key][1] += other
    usd_of: dict[str, float | None] = {}
    for run in runs:
        other = priced.get(run.run_id)
        if run.run_id in governed.usd:
            usd_of[run.run_id] = governed.usd[run.run_id]
        elif other is None or run.run_id in unpriced:
            usd_of[run.run_id] = None
        else:
            cost, beside = ratios[run.job] if ratios[run.job][1] > 0 else ratios[""]
            usd_of[run.run_id] = other * cost / beside if beside > 0 else None
    times = len(runs) / max(1, len(governed.usd))
    return msgspec.structs.replace(
        governed,
        usd=usd_of,
        machine_seconds=governed.machine_seconds * times,
        launches=round((governed.launches or 0) * times),
        failed=round(governed.failed * times),
        late=None if governed.late is None else round(governed.late * times),
        interruptions=round(governed.interruptions * times),
        out_of_memory=round(governed.out_of_memory * times),
    )


def by_job(
    runs: Sequence[PastRun], usd: Mapping[str, Mapping[str, float | None]], ours: str, against: str
) -> list[JobWhatIf]:
    """The largest savings first."""
    costs: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(usd, 0.0))
    counts: dict[str, int] = defaultdict(int)
    for run in runs:
        counts[run.job] += 1
        for policy, of_run in usd.items():
            costs[run.job][policy] += of_run.get(run.run_id) or 0.0
    found = [
        JobWhatIf(job=job, runs=counts[job], usd=cost, saved_usd=cost.get(against, 0.0) - cost.get(ours, 0.0))
        for job, cost in costs.items()
    ]
    return sorted(found, key=lambda item: (-item.saved_usd, item.job))


def left_out_words(past: Past) -> str:
    return "; ".join(f"{count} left out: {why}" for why, count in past.left_out.items())


def notes(past: Past, runs: Sequence[PastRun], replayed: int, offers: OfferTable) -> tuple[str, ...]:
    """What the figures rest on."""
    told: list[str] = []
    if past.left_out:
        told.append(f"{left_out_words(past)}.")
    if replayed < len(runs):
        told.append(
            f"{replayed} of {len(runs)} runs were replayed one by one, a share of each job; the others are taken to "
            "cost in proportion."
        )
    recorded = sum(run.asked_is_recorded for run in runs)
    if recorded < len(runs):
        told.append(
            f"The asked size is recorded for {recorded} of {len(runs)} runs; for the others it is the machine they "
            "ran on, or what they used."
        )
    unknown = sum(run.arch is None for run in runs)
    if unknown:
        told.append(f"The processor of {unknown} runs is not recorded; it is taken for an m6i's.")
    as_of = {day for day in offers.text["as_of"].to_list() if day}
    told.append(
        f"Prices as of {min(as_of)} to {max(as_of)}, the same all the time."
        if len(as_of) > 1
        else f"Prices as of {min(as_of, default='an unknown day')}, the same all the time."
    )
    told.append(
        "Spot machines can always be had and are taken away at the catalogue's rates, which are floors; processors "
        "are as fast as the catalogue says; a machine starts in 40 s (median). Jobs start over when interrupted."
    )
    told.append(NOT_INCLUDED)
    return tuple(told)
