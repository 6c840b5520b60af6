"""What somebody should be told, once: the world's alerts here, the runs' in alerts_runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.model.facts import AlertRaised, RunResult
from flyball.model.snapshot import Snapshot
from flyball.model.units import show_seconds, show_usd
from flyball.model.when import month_key
from flyball.policy.alerts_desk import Desk
from flyball.policy.alerts_runs import about_runs, running_usd

if TYPE_CHECKING:
    from flyball.model.ceilings import Budget
    from flyball.policy.known import Known

FAILURES_TOLD_SECONDS = 3600.0  # a failure older than that, found after a long pause, is history and no news
CATALOG_STALE_SECONDS = 30 * 86_400.0
WEEK_SECONDS = 7 * 86_400


def alerts(snapshot: Snapshot, known: Known, now_seconds: float) -> tuple[AlertRaised, ...]:
    """Only what has not been raised under the same key, and never more than a person can read (see Desk)."""
    desk = Desk(snapshot, now_seconds)
    _failed_runs(desk, snapshot, now_seconds)
    about_runs(desk, snapshot, known, now_seconds)
    for attempt_id in snapshot.zombies:
        desk.say(
            "zombie",
            attempt_id,
            f"machine {attempt_id} belongs to no run; it is given back: flyball machines",
        )
    _budgets(desk, snapshot, known, now_seconds)
    age_seconds = known.catalog_age_seconds
    if age_seconds is not None and age_seconds > CATALOG_STALE_SECONDS:
        week = int(now_seconds // WEEK_SECONDS)
        words = f"prices are {show_seconds(age_seconds)} old; placement and costs follow them: flyball catalog refresh"
        desk.say("catalog_stale", str(week), words)
    return desk.raised


def _failed_runs(desk: Desk, snapshot: Snapshot, now_seconds: float) -> None:
    oldest = now_seconds - FAILURES_TOLD_SECONDS
    for run_id, ended in snapshot.ended.items():
        if ended.result is RunResult.FAILED and ended.at_seconds >= oldest:
            why = f": {ended.reason}" if ended.reason else ""
            words = f"{ended.job} failed for good{why} (flyball why {run_id})"
            desk.say("run_failed", run_id, words, job=ended.job, run_id=run_id)


def _budgets(desk: Desk, snapshot: Snapshot, known: Known, now_seconds: float) -> None:
    """Spent and running, against each budget of this month."""
    budgets = known.ceilings.budgets
    if not budgets:
        return
    month = month_key(now_seconds)
    running: dict[str, float] = {}
    for run in snapshot.runs.values():
        usd = running_usd(run, now_seconds)
        if usd:
            scopes = (
                month,
                f"{month} job {run.job}",
                *(f"{month} tag {k}={v}" for k, v in run.run.tags.items()),
            )
            for scope in scopes:
                running[scope] = running.get(scope, 0.0) + usd
    for budget in budgets:
        scope = _scope(budget)
        key = f"{month} {scope}".rstrip()
        spent_usd = snapshot.spent_nano_usd.get(key, 0) / 1e9 + running.get(key, 0.0)
        _budget(desk, budget, scope, month, spent_usd)


def _scope(budget: Budget) -> str:
    if budget.job is not None:
        return f"job {budget.job}"
    return "" if budget.tag is None else f"tag {budget.tag}"


def _budget(desk: Desk, budget: Budget, scope: str, month: str, spent_usd: float) -> None:
    """At its share, and at all of it; past both at once, only the latter is told."""
    limit_usd, share = budget.usd_per_month, budget.alert_share
    what = f"of {show_usd(limit_usd)} for {scope or 'everything'} in {month}"
    job = budget.job or ""
    if spent_usd >= limit_usd:
        words = f"the budget is spent: {show_usd(spent_usd)} {what}; nothing more is launched on it"
        desk.say("budget", f"{scope} {month} of {limit_usd:g} all".lstrip(), words, job=job)
    elif spent_usd >= limit_usd * share:
        words = f"{spent_usd / limit_usd:.0%} of a budget is spent: {show_usd(spent_usd)} {what}"
        desk.say("budget", f"{scope} {month} of {limit_usd:g} {share:.0%}".lstrip(), words, job=job)
