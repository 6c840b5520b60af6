"""From when on a run takes or costs more than its job's own past explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome

if TYPE_CHECKING:
    from flyball.model.plan import Quantiles

RUNS_LEAST = 5  # fewer say nothing; nor do fewer of one weekday say anything about it
RUNS_NEWEST = 200
DEVIATIONS = 4.0  # about 1 in 30,000 of what varies like a bell in logarithms
DEVIATION_LEAST = 0.1  # a job that always took the same may take half as much again
DEVIATION_PER_MAD = 1.4826  # standard deviations in a median absolute deviation, of a normal distribution
TAIL_SHARE, TAIL_TIMES = 0.95, 1.2  # what one run in twenty takes is not unusual, nor what is a little above
TAIL_RUNS = 20  # of fewer, two that hung would make the tail
SECONDS_LEAST, USD_LEAST = 60.0, 0.05  # above the median: less is not worth an alert
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday


def weekday_of(at_seconds: float, utc_offset_seconds: int) -> int:
    """Monday is 0."""
    return (int((at_seconds + utc_offset_seconds) // 86_400) + _FIRST_WEEKDAY) % 7


def unusual_wall_seconds(rows: Sequence[AttemptRow]) -> tuple[float, ...]:
    """For each weekday, Monday first, the seconds beyond which an attempt is unusual; () when too few are known."""
    done = [row for row in rows if row.outcome is Outcome.SUCCEEDED and row.wall_seconds is not None]
    return _by_weekday(
        [
            (weekday_of(row.started_at_seconds, row.utc_offset_seconds), row.wall_seconds or 0.0)
            for row in done
        ],
        SECONDS_LEAST,
    )


def unusual_cost_usd(rows: Sequence[AttemptRow]) -> tuple[float, ...]:
    """The same for dollars a run, all its attempts together; runs whose cost is not known do not count."""
    usd: dict[str, float] = {}
    weekdays: dict[str, int] = {}
    for row in rows:
        if row.cost_usd is not None:
            usd[row.run_id] = usd.get(row.run_id, 0.0) + float(row.cost_usd)
            weekdays.setdefault(row.run_id, weekday_of(row.started_at_seconds, row.utc_offset_seconds))
    return _by_weekday([(weekdays[run_id], cost) for run_id, cost in usd.items()], USD_LEAST)


def limit_of(
    by_weekday: Sequence[float], quantiles: Quantiles | None, runs: int, weekday: int
) -> float | None:
    """The limit of that weekday; where only quantiles are known, from them; None: too few runs to say."""
    if by_weekday:
        return by_weekday[weekday]
    if quantiles is None or runs < RUNS_LEAST:
        return None
    return max(quantiles.p99, quantiles.p50 * math.exp(DEVIATIONS * DEVIATION_LEAST))


def _by_weekday(amounts: Sequence[tuple[int, float]], least_above: float) -> tuple[float, ...]:
    amounts = amounts[-RUNS_NEWEST:]
    if len(amounts) < RUNS_LEAST:
        return ()
    of_all = _limit([amount for _, amount in amounts], least_above)
    days = [[amount for day, amount in amounts if day == weekday] for weekday in range(7)]
    return tuple(_limit(day, least_above) if len(day) >= RUNS_LEAST else of_all for day in days)


def _limit(amounts: list[float], least_above: float) -> float:
    """Median and median absolute deviation, in logarithms: neither is moved by a few runs that hung.

    What is common is not unusual, though: the upper tail counts as well (jobs whose month ends are long).
    """
    logs = [math.log(max(amount, 1e-9)) for amount in amounts]
    middle = _quantile(logs, 0.5)
    mad = _quantile([abs(log - middle) for log in logs], 0.5)
    deviation = max(mad * DEVIATION_PER_MAD, DEVIATION_LEAST)
    tail = _quantile(amounts, TAIL_SHARE) * TAIL_TIMES if len(amounts) >= TAIL_RUNS else 0.0
    return max(math.exp(middle + DEVIATIONS * deviation), tail, math.exp(middle) + least_above)


def _quantile(values: Sequence[float], share: float) -> float:
    """The value below which at least that share lies, the lower one of two."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * (len(ordered) - 1)))]
