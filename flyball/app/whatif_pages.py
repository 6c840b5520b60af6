"""`flyball whatif`: policies beside each other with bars, the jobs that would save most, and what it all rests on."""

from __future__ import annotations

import textwrap
from typing import Any

import msgspec

from flyball.app.look import Look
from flyball.app.tables import Cell, Column, table
from flyball.app.when import utc_time
from flyball.model.units import show_usd
from flyball.sim.whatif import Policy, PolicyResult, WhatIf
from flyball.sim.whatif_jobs import JobWhatIf

BAR_COLUMNS = 24
JOBS_ON_PAGE = 8
_POLICIES = (
    Column(title="policy", keep=99),
    Column(title="cost", right=True, keep=98),
    Column(title="", keep=20),
    Column(title="saves", right=True, keep=50),
    Column(title="machine hours", right=True, keep=8),
    Column(title="launches", right=True, keep=7),
    Column(title="interrupted", right=True, keep=6),
    Column(title="out of memory", right=True, keep=5),
    Column(title="failed", right=True, keep=9),
    Column(title="late", right=True, keep=10),
)
_JOBS = (
    Column(title="job", cut=True, least=12, keep=99),
    Column(title="runs", right=True, keep=10),
    Column(title="asked, on demand", right=True, keep=20),
    Column(title="flyball", right=True, keep=30),
    Column(title="saves", right=True, keep=25),
)


def whatif_page(found: WhatIf, look: Look) -> str:
    """Everything there is to say, on one screen."""
    parts = [textwrap.fill(_title(found), look.width), table(_POLICIES, _policy_rows(found, look), look)]
    ours, base = found.result(Policy.FLYBALL), found.result(Policy.ON_DEMAND_ASKED)
    if ours is not None and base is not None and found.jobs:
        shown = [job for job in found.jobs[:JOBS_ON_PAGE] if job.saved_usd > 0]
        if shown:
            more = f" (the first {len(shown)} of {found.job_count})" if found.job_count > len(shown) else ""
            parts += [
                f"Jobs that save most{more}",
                table(_JOBS, [_job_row(job, look) for job in shown], look),
            ]
    parts.append("\n".join(_wrapped(look.clean(note), look.width) for note in found.notes))
    return "\n\n".join(parts)


def whatif_json(found: WhatIf) -> dict[str, Any]:
    """The fields of WhatIf, times also in words; policies by name."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return {
        **plain,
        "since": utc_time(found.since_seconds),
        "until": utc_time(found.until_seconds),
    }


def _wrapped(note: str, width: int) -> str:
    return textwrap.fill(note, width, initial_indent="- ", subsequent_indent="  ")


def _title(found: WhatIf) -> str:
    runs = f"{found.runs:,} run{'s' * (found.runs != 1)} of {found.job_count:,} job{'s' * (found.job_count != 1)}"
    days = f"{utc_time(found.since_seconds)[:10]} to {utc_time(found.until_seconds)[:10]}"
    sample = "" if found.replayed == found.runs else f", {found.replayed:,} of them replayed one by one"
    return f"{runs}, {days}{sample}"


def _policy_rows(found: WhatIf, look: Look) -> list[list[Cell | str]]:
    whole = [result for result in found.results if result.runs]
    most = max((result.usd for result in whole), default=0.0)
    base = found.result(Policy.ON_DEMAND_ASKED)
    return [_policy_row(result, most, base, found.runs, look) for result in found.results]


def _policy_row(
    result: PolicyResult, most: float, base: PolicyResult | None, runs: int, look: Look
) -> list[Cell | str]:
    ours = result.policy in {Policy.FLYBALL, Policy.FLYBALL_ON_DEMAND}
    if not result.runs:
        return [result.policy.value, "not known", *[""] * (len(_POLICIES) - 2)]
    cost = show_usd(result.usd)
    if result.runs < runs:
        cost += f" for {result.runs:,} runs"
    saves = ""
    if base is not None and ours and base.usd > 0 and result.runs == base.runs:
        saves = f"{1 - result.usd / base.usd:.0%}"
    return [
        Cell(result.policy.value, ("bold",) if result.policy is Policy.FLYBALL else ()),
        cost,
        Cell(bar(result.usd, most, look), ("green",) if ours else ()),
        saves,
        f"{result.hours:,.0f}" if result.hours >= 10 else f"{result.hours:.1f}",
        "" if result.launches is None else f"{result.launches:,}",
        _count(result.interruptions),
        _count(result.out_of_memory),
        _count(result.failed),
        "" if result.late is None else f"{result.late:,}",
    ]


def bar(value: float, most: float, look: Look) -> str:
    """So long beside the longest; at least a sign of it."""
    if most <= 0 or value <= 0:
        return ""
    return ("█" if look.unicode else "#") * max(1, round(BAR_COLUMNS * value / most))


def _count(count: int) -> str:
    return f"{count:,}" if count else ""


def _job_row(job: JobWhatIf, look: Look) -> list[Cell | str]:
    base = job.usd.get(Policy.ON_DEMAND_ASKED.value, 0.0)
    share = f" ({job.saved_usd / base:.0%})" if base > 0 else ""
    return [
        look.clean(job.job),
        f"{job.runs:,}",
        show_usd(base),
        show_usd(job.usd.get(Policy.FLYBALL.value, 0.0)),
        show_usd(job.saved_usd) + share,
    ]
