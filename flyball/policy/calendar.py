"""Heavy runs that come by the calendar: found only where forecasting them has worked before."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from flyball.policy.evidence import Flags, Floats

Groups = NDArray[np.int64]

RUNS_MIN = 24  # fewer hold no calendar that could prove itself
HEAVY_MIN = 2
HEAVY_SHARE_MAX = 0.4  # more than that is no exception
HEAVY_FACTOR_MIN = 1.4  # against the median of the runs around it
HEAVY_SPREADS = 4.0  # and that many robust standard deviations away from it
LEVEL_BLOCK = 128  # runs; the median follows a drifting job in steps of this

# A calendar proves itself by forecasting: F1 over the runs it called or missed, newer ones counting more.
FORGETTING = 0.93  # per heavy or called run
SCORE_MIN = 0.6
HITS_MIN = 1.8  # two right calls, the older one slightly forgotten
LEAD_MIN = 0.1  # in F1, over "as the last runs were": a burst within one hour is no calendar

_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


class Season(msgspec.Struct, frozen=True, kw_only=True):
    """The past runs that are like the next one by the calendar, and the calendar in words."""

    rows: Flags
    heavy: bool  # the next run is one of the heavy ones
    words: str


def season(
    values: Floats,
    *,
    started_at_seconds: Floats,
    utc_offset_seconds: Floats,
    input_bytes: Floats,
    next_at_seconds: float,
    next_utc_offset_seconds: float,
) -> Season | None:
    """The runs that tell about the next one, when some calendar has proved that it tells heavy runs from others.

    `values` are logarithms (of bytes or seconds). Every calendar (hour, weekday, both, first, last or any day of the
    month) forecasts that a run is heavy when at least half of the last three in its place were; the one with the
    best record is used, and none without a record.
    """
    if len(values) < RUNS_MIN or not np.isfinite(started_at_seconds).all():
        return None
    heavy = heavy_runs(values, input_bytes)
    if not HEAVY_MIN <= heavy.sum() <= HEAVY_SHARE_MAX * len(heavy):
        return None
    local = np.append(started_at_seconds + utc_offset_seconds, next_at_seconds + next_utc_offset_seconds)
    best, best_calls, best_score = (
        "",
        np.zeros(0, dtype=np.bool_),
        max(SCORE_MIN, _persistence(heavy) + LEAD_MIN),
    )
    for name, groups in _calendars(local).items():
        calls = _calls(groups, heavy)
        score = _record(calls[:-1], heavy)
        if score > best_score:
            best, best_calls, best_score = name, calls, score
    if not best:
        return None
    called, is_heavy = best_calls[:-1], bool(best_calls[-1])
    rows = (called | heavy) if is_heavy else ~called
    return Season(rows=rows, heavy=is_heavy, words=_in_words(best, local[-1]))


def heavy_runs(values: Floats, input_bytes: Floats) -> Flags:
    """Which runs stand out above those around them, beyond what their input explains."""
    excess = values - _level(values)
    known = np.isfinite(input_bytes)
    if known.all():
        excess = _unexplained(excess, np.log(np.maximum(input_bytes, 1.0)))
    spread = 1.4826 * float(np.median(np.abs(excess - np.median(excess))))
    heavy: Flags = excess > max(np.log(HEAVY_FACTOR_MIN), HEAVY_SPREADS * spread)
    return heavy


def _level(values: Floats) -> Floats:
    """The median around each run: of its block and the one before."""
    level = np.empty(len(values))
    for start in range(0, len(values), LEVEL_BLOCK):
        end = start + LEVEL_BLOCK
        level[start:end] = np.median(values[max(0, start - LEVEL_BLOCK) : end])
    return level


def _unexplained(excess: Floats, inputs: Floats) -> Floats:
    """What a straight line over the input leaves, where the line explains at least half of it."""
    x, y = inputs - inputs.mean(), excess - excess.mean()
    xx, xy, yy = float(x @ x), float(x @ y), float(y @ y)
    if xx <= 0 or yy <= 0 or xy * xy < 0.5 * xx * yy:
        return excess
    rest: Floats = excess - x * (xy / xx)
    return rest


def _calendars(local_seconds: Floats) -> dict[str, Groups]:
    """For every calendar, the place of each run in it (-1: in none)."""
    hour = (local_seconds // 3600 % 24).astype(np.int64)
    day = (local_seconds // 86400).astype(np.int64)
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    dates = day.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    day_of_month = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
    is_last = (dates + 1).astype("datetime64[M]") != months
    is_first = day_of_month == 1
    return {
        "hour": hour,
        "weekday": weekday,
        "weekday and hour": weekday * 24 + hour,
        "last day": is_last.astype(np.int64),
        "last day and hour": np.where(is_last, hour, -1),
        "first day": is_first.astype(np.int64),
        "first day and hour": np.where(is_first, hour, -1),
        "day of month": day_of_month,
        "day of month and hour": day_of_month * 24 + hour,
    }


def _calls(groups: Groups, heavy: Flags) -> Flags:
    """Whether each run was to be called heavy: at least half of the last three in its place were.

    `groups` has one more entry than `heavy`: the next run.
    """
    order = np.argsort(groups, kind="stable")
    place, was = groups[order], np.append(heavy, False)[order].astype(np.int64)
    seen, hits = np.zeros(len(place), dtype=np.int64), np.zeros(len(place), dtype=np.int64)
    for back in (1, 2, 3):
        same = place[back:] == place[:-back]
        seen[back:] += same
        hits[back:] += same * was[:-back]
    calls = np.empty(len(place), dtype=np.bool_)
    calls[order] = (seen > 0) & (2 * hits >= seen)
    return calls


def _record(calls: Flags, heavy: Flags) -> float:
    """F1 of the calls, newer ones counting more; 0 with fewer than two right ones."""
    event = calls | heavy
    called, was = calls[event], heavy[event]
    weight = FORGETTING ** np.arange(len(called) - 1, -1, -1)
    hits = float(weight @ (called & was))
    return 2 * hits / float(weight @ called + weight @ was) if hits >= HITS_MIN else 0.0


def _persistence(heavy: Flags) -> float:
    """The record of "heavy when the last runs were"."""
    return _record(_calls(np.zeros(len(heavy) + 1, dtype=np.int64), heavy)[:-1], heavy)


def _in_words(calendar: str, local_seconds: float) -> str:
    """ "on Sundays at 02 h": the place of that moment in the calendar."""
    hour = f"at {int(local_seconds // 3600 % 24):02d} h"
    date = np.datetime64(int(local_seconds // 86400), "D")
    weekday = _WEEKDAYS[(int(local_seconds // 86400) + 3) % 7]
    day_of_month = int((date - date.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)) + 1
    is_last = bool((date + 1).astype("datetime64[M]") != date.astype("datetime64[M]"))
    place = {
        "hour": "",
        "weekday": f"on {weekday}",
        "last day": "on the last day of the month" if is_last else "not on the last day of the month",
        "first day": "on the first day of the month"
        if day_of_month == 1
        else "not on the first day of the month",
        "day of month": f"on day {day_of_month} of the month",
    }[calendar.removesuffix(" and hour")]
    return f"{place} {hour}".strip() if calendar.endswith("hour") else place
