"""Budgets and the ceiling on dollars an hour: what is spent, and what is held has cost so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flyball.model.ceilings import Budget
from flyball.model.snapshot import Snapshot
from flyball.model.units import show_usd
from flyball.model.when import month_key
from flyball.policy.charges_open import open_costs
from flyball.policy.holds_tally import has_tag

if TYPE_CHECKING:
    from flyball.policy.known import Known

NANO_PER_USD = 1_000_000_000


class Spending:
    """Of this month (UTC), for every budget: charged, and run up by what is held now."""

    def __init__(self, snapshot: Snapshot, known: Known, now_seconds: float) -> None:
        self._budgets = known.ceilings.budgets
        month = month_key(now_seconds)
        spent = snapshot.spent_nano_usd
        self._nano_usd = [spent.get(spent_key(month, budget), 0) for budget in self._budgets]
        for held in open_costs(snapshot, known.supplies, now_seconds) if self._budgets else ():
            for place, budget in enumerate(self._budgets):
                if concerns(budget, held.job, held.tags):
                    self._nano_usd[place] += held.nano_usd

    def used_up(self, job: str, tags: Mapping[str, str]) -> str | None:
        """Which budget, in words; None: there is money left in all of them."""
        for budget, nano_usd in zip(self._budgets, self._nano_usd, strict=True):
            if nano_usd >= budget.usd_per_month * NANO_PER_USD and concerns(budget, job, tags):
                return (
                    f"the budget of {show_usd(budget.usd_per_month)} a month for {whose(budget)} is used up"
                )
        return None

    def share_used(self, budget: Budget) -> float:
        """Of one of the ceilings' budgets; 1 and more: nothing is left."""
        nano_usd = self._nano_usd[self._budgets.index(budget)]
        limit = budget.usd_per_month * NANO_PER_USD
        return nano_usd / limit if limit > 0 else 1.0


def spent_key(month: str, budget: Budget) -> str:
    """Under which the snapshot adds up what was charged. A budget for a job and a tag is counted by its job."""
    if budget.job is not None:
        return f"{month} job {budget.job}"
    return month if budget.tag is None else f"{month} tag {budget.tag}"


def concerns(budget: Budget, job: str, tags: Mapping[str, str]) -> bool:
    return (budget.job is None or budget.job == job) and (budget.tag is None or has_tag(tags, budget.tag))


def whose(budget: Budget) -> str:
    if budget.job is not None:
        return f"job {budget.job}"
    return "all jobs" if budget.tag is None else budget.tag
