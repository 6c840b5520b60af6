"""What runs have cost, added up by what they have in common: exact to the nano-dollar, and with what is not known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from flyball.model.history import SHARED_MACHINES, UNOWNED_MACHINES, AttemptRow
from flyball.model.outcome import Outcome

BY = ("job", "tag", "day", "provider", "outcome", "market")
NANO_PER_USD = 1_000_000_000
HERE = "here"  # the provider of what ran where it was typed


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts that have `key` in common. Dollars are of attempts whose cost is known."""

    key: str
    runs: int
    attempts: int
    usd: Decimal
    usd_unsuccessful: Decimal  # of attempts that ended otherwise than well
    usd_boot_and_idle: Decimal  # of the seconds before a command ran and after
    usd_compared: Decimal  # of the attempts that a price on demand is known for
    usd_on_demand_asked: Decimal  # what these would have cost on demand at the size asked for
    cost_unknown: int  # attempts that ended at a cost that nobody knows
    still_held: int  # attempts whose machine costs on

    @property
    def usd_saved(self) -> Decimal:
        """Below 0: on demand would have been cheaper."""
        return self.usd_on_demand_asked - self.usd_compared

    @property
    def saved_share(self) -> float | None:
        """Of what on demand would have cost; None: nothing to compare with."""
        return float(self.usd_saved / self.usd_on_demand_asked) if self.usd_on_demand_asked else None


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    by: str  # "job", "tag team", ...
    since_seconds: float | None = None
    until_seconds: float | None = None
    lines: tuple[Line, ...]  # the dearest first; days in order
    total: Line
    not_included: tuple[str, ...] = ()  # parts of the bill that no figure holds
    prices_as_of: str | None = None  # the oldest price in it
    not_compared: int = 0  # governed attempts without a price on demand at the size asked for


class _Sum:
    """Whole nano-dollars: adding never rounds, and the order does not matter."""

    __slots__ = (
        "asked",
        "attempts",
        "compared",
        "held",
        "overhead",
        "runs",
        "unknown",
        "unsuccessful",
        "usd",
    )

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.attempts = self.usd = self.unsuccessful = self.overhead = self.compared = self.asked = 0
        self.unknown = self.held = 0

    def add(self, row: AttemptRow) -> None:
        if row.origin not in {SHARED_MACHINES, UNOWNED_MACHINES}:
            self.runs.add(row.run_id)
            self.attempts += 1
        if row.cost_usd is None:
            self.held += is_held(row)
            self.unknown += row.outcome is not None and not is_held(row)
            return
        usd = nano_usd(row.cost_usd)
        self.usd += usd
        if row.outcome is not Outcome.SUCCEEDED:
            self.unsuccessful += usd
        self.overhead += _overhead(row, usd)
        if row.usd_on_demand_asked is not None:
            self.compared += usd
            self.asked += nano_usd(row.usd_on_demand_asked)

    def line(self, key: str) -> Line:
        return Line(
            key=key,
            runs=len(self.runs),
            attempts=self.attempts,
            usd=_usd(self.usd),
            usd_unsuccessful=_usd(self.unsuccessful),
            usd_boot_and_idle=_usd(self.overhead),
            usd_compared=_usd(self.compared),
            usd_on_demand_asked=_usd(self.asked),
            cost_unknown=self.unknown,
            still_held=self.held,
        )


def costs(
    rows: Iterable[AttemptRow],
    *,
    by: str = "job",
    tag_key: str | None = None,
    since_seconds: float | None = None,
    until_seconds: float | None = None,
) -> Costs:
    """Attempts that were paid for from `since_seconds` up to before `until_seconds`; `by` is one of BY.

    An attempt counts when its machine was given back, as it does in budgets. Raises: KeyError for another `by`.
    """
    key_of = _keys(tag_key)[by]
    sums: dict[str, _Sum] = {}
    total, not_included, oldest, not_compared = _Sum(), dict[str, None](), None, 0
    for row in rows:
        at_seconds = counted_at_seconds(row)
        if since_seconds is not None and at_seconds < since_seconds:
            continue
        if until_seconds is not None and at_seconds >= until_seconds:
            continue
        key = key_of(row)
        found = sums.get(key)
        if found is None:
            found = sums[key] = _Sum()
        found.add(row)
        total.add(row)
        not_included.update(dict.fromkeys(row.not_included))
        if row.price_as_of is not None and (oldest is None or row.price_as_of < oldest):
            oldest = row.price_as_of
        not_compared += (
            row.billed_seconds is not None and row.billed_seconds > 0 and not row.usd_on_demand_asked
        )
    lines = [found.line(key) for key, found in sums.items()]
    lines.sort(key=lambda line: line.key)
    if by != "day":
        lines.sort(key=lambda line: -line.usd)
    return Costs(
        by=f"tag {tag_key}" if by == "tag" else by,
        since_seconds=since_seconds,
        until_seconds=until_seconds,
        lines=tuple(lines),
        total=total.line("total"),
        not_included=tuple(not_included),
        prices_as_of=oldest,
        not_compared=not_compared,
    )


def nano_usd(text: str) -> int:
    return int(Decimal(text).scaleb(9).to_integral_value())


def is_held(row: AttemptRow) -> bool:
    """Whether a machine of the governor's still costs on for it."""
    return row.provider is not None and row.released_at_seconds is None


def counted_at_seconds(row: AttemptRow) -> float:
    """When its charge was known: its machine was given back, or the command ended, or (still running) it started."""
    if row.released_at_seconds is not None:
        return row.released_at_seconds
    return row.started_at_seconds + (row.wall_seconds or 0.0)


def _usd(nano: int) -> Decimal:
    return Decimal(nano).scaleb(-9)


def _overhead(row: AttemptRow, usd: int) -> int:
    billed = row.billed_seconds
    if not billed:
        return 0
    share = min(1.0, ((row.boot_seconds or 0.0) + (row.idle_seconds or 0.0)) / billed)
    return round(usd * share)


def _keys(tag_key: str | None) -> dict[str, Callable[[AttemptRow], str]]:
    return {
        "job": lambda row: row.job,
        "tag": lambda row: row.tags.get(tag_key or "", f"(no {tag_key})"),
        "day": lambda row: datetime.fromtimestamp(counted_at_seconds(row), UTC).strftime("%Y-%m-%d"),
        "provider": lambda row: row.provider or HERE,
        "outcome": lambda row: "running" if row.outcome is None else row.outcome.value,
        "market": lambda row: row.market or HERE,
    }
