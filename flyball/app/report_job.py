"""The report about a job: its runs, what was expected of them, what they cost, what comes next. Values in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.app.decisions import hit_words
from flyball.app.markup import Markup, tag
from flyball.app.narrate import (
    choice_words,
    outcome_words,
    size_words,
)
from flyball.app.plot_frame import BYTES, SECONDS, USD, Unit
from flyball.app.report_page import (
    TableCell,
    badge,
    card,
    header,
    html_table,
    page,
    plots,
    tile,
    tiles,
    tone,
)
from flyball.app.report_plots import Line, line_plot
from flyball.app.report_spread import Dot, bars_plot, dots_plot
from flyball.app.when import local_time
from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome
from flyball.model.plan import Choice, Plan
from flyball.model.resource import Market
from flyball.model.summary import JobSummary
from flyball.model.units import show_bytes, show_cores, show_seconds, show_usd

RUNS_PLOTTED = 400  # the newest; more dots than that run into each other
RUNS_IN_TABLE = 50


def job_report(
    summary: JobSummary,
    rows: Sequence[AttemptRow],
    *,
    plan: Plan | None = None,
    alternatives: Sequence[Choice] = (),
    plans: Mapping[str, Plan] | None = None,
) -> str:
    """A job: what its runs used and were expected to use, how they ended, what they cost, what the next one gets.

    `rows` are oldest first; `plans` are those its runs were started with, by run id.
    """
    shown = list(rows)[-RUNS_PLOTTED:]
    newest = f", the newest {len(shown)} of {len(rows):,} in the plots" if len(rows) > len(shown) else ""
    last = f"last {local_time(summary.last_at_seconds, summary.last_utc_offset_seconds)}"
    outcome = summary.recent_outcomes[-1] if summary.recent_outcomes else None
    body = [
        _job_tiles(summary, rows),
        None if plan is None else _next_card(plan, alternatives),
        plots(_job_plots(shown, plan, plans or {})),
        _recent_card(shown[-RUNS_IN_TABLE:], len(rows)),
    ]
    return page(
        f"job {summary.job}",
        header=header(
            summary.job,
            f"job · {_runs(summary.runs)}{newest} · {last}",
            badge(f"last {outcome_words(outcome)}", outcome),
        ),
        body=body,
    )


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"


def _attempts(count: int) -> str:
    return f"{count:,} attempt{'' if count == 1 else 's'}"


def _job_tiles(summary: JobSummary, rows: Sequence[AttemptRow]) -> Markup:
    good = summary.runs - summary.runs_failed
    lost = sum(float(row.cost_usd) for row in rows if row.cost_usd and row.outcome is not Outcome.SUCCEEDED)
    out_of_memory = summary.attempts_out_of_memory
    return tiles(
        tile(
            "runs",
            f"{summary.runs:,}",
            _attempts(summary.attempts) if summary.attempts > summary.runs else "",
        ),
        tile(
            "succeeded",
            f"{100 * good / max(1, summary.runs):.0f} %",
            f"{_attempts(out_of_memory)} out of memory"
            if out_of_memory
            else f"{summary.runs_failed} did not",
        ),
        tile("time, half of runs", show_seconds(summary.wall_seconds_p50)),
        tile("highest peak memory", show_bytes(summary.memory_bytes_max)),
        tile(
            "cost in all",
            show_usd(summary.cost_usd),
            f"{show_usd(lost)} of it in attempts that did not succeed" if lost else "",
        ),
    )


def _next_card(plan: Plan, alternatives: Sequence[Choice]) -> Markup:
    where = "no offer known that holds it" if plan.choice is None else choice_words(plan.choice)
    reasons = [*plan.reasons, *plan.forecast.reasons]
    if plan.hit_limit_probability is not None:
        reasons.append(hit_words(plan.hit_limit_probability))
    if plan.choice is not None:
        reasons.append(plan.choice.reason)
    if plan.catalog_as_of is not None:
        reasons.append(f"prices as of {plan.catalog_as_of}")
    return card(
        "Next run",
        tag("div", f"{size_words(plan.size)} → {where}", class_="size"),
        tag("ul", [tag("li", reason) for reason in reasons]),
        _offers_table(alternatives) if alternatives else None,
        class_="card next",
    )


def _offers_table(choices: Sequence[Choice]) -> Markup:
    rows: list[list[TableCell]] = [
        [
            f"{choice.offer.cloud} {choice.offer.instance_type}",
            "spot" if choice.offer.market is Market.SPOT else "on demand",
            choice.offer.zone or choice.offer.region,
            f"{choice.offer.vcpus}",
            show_bytes(choice.offer.memory_bytes),
            f"${choice.offer.price_usd_per_hour:.4f}",
            show_usd(choice.expected_usd),
            show_seconds(choice.expected_seconds),
        ]
        for choice in choices
    ]
    titles = ("offer", "market", "where", "vCPUs", "memory", "$/hour", "$/run", "time")
    return html_table(titles, rows, numbers=frozenset({3, 4, 5, 6, 7}))


_KINDS = {Outcome.SUCCEEDED: "good", Outcome.OUT_OF_MEMORY: "memory"}
_RUN = Unit(name="run", show=lambda index: f"run {index + 1:.0f}")


def _job_plots(
    rows: Sequence[AttemptRow], plan: Plan | None, plans: Mapping[str, Plan]
) -> list[Markup | None]:
    good = [row for row in rows if row.outcome is Outcome.SUCCEEDED]
    memory = [_dot(row, row.memory_bytes_max, show_bytes, limit=row.memory_limit_bytes) for row in rows]
    seconds = [_dot(row, row.wall_seconds, show_seconds) for row in rows]
    memory = [
        _expecting(dot, plans.get(row.run_id), "memory_bytes") for dot, row in zip(memory, rows, strict=True)
    ]
    seconds = [
        _expecting(dot, plans.get(row.run_id), "wall_seconds") for dot, row in zip(seconds, rows, strict=True)
    ]
    dates = _date_labels(rows)
    planned = None if plan is None else float(plan.size.memory_bytes)
    middle = None if plan is None or plan.forecast.wall_seconds is None else plan.forecast.wall_seconds.p50
    return [
        dots_plot("Peak memory of each run", memory, unit=BYTES, x_labels=dates, says=_kept_words(memory)),
        dots_plot("Time of each run", seconds, unit=SECONDS, x_labels=dates, says=_kept_words(seconds)),
        bars_plot("Spread of peak memory", [row.memory_bytes_max for row in good], unit=BYTES, mark=planned),
        bars_plot(
            "Spread of times",
            [row.wall_seconds for row in good],
            unit=SECONDS,
            mark=middle,
            mark_name="forecast",
        ),
        _input_plot(good),
        _cost_plot(rows, dates),
    ]


def _dot(row: AttemptRow, value: float | None, show: object, *, limit: float | None = None) -> Dot:
    words = show(value) if callable(show) else ""
    when = local_time(row.started_at_seconds, row.utc_offset_seconds)
    label = f"{words}, {outcome_words(row.outcome)}\n{when}, run {row.run_id}"
    if row.input_bytes is not None:
        label += f"\ninput {show_bytes(row.input_bytes)}"
    kind = "other" if row.outcome is None else _KINDS.get(row.outcome, "bad")
    return Dot(y=value, label=label, kind=kind, limit=limit)


def _expecting(dot: Dot, plan: Plan | None, quantity: str) -> Dot:
    quantiles = None if plan is None else getattr(plan.forecast, quantity)
    if quantiles is None:
        return dot
    return Dot(
        y=dot.y, label=dot.label, kind=dot.kind, limit=dot.limit, low=quantiles.p50, high=quantiles.p99
    )  # fmt: skip


def _kept_words(dots: Sequence[Dot]) -> str:
    """How good the forecasts were, counted."""
    told = [dot for dot in dots if dot.high is not None and dot.y is not None and dot.kind == "good"]
    if not told:
        return ""
    kept = sum(dot.y <= dot.high for dot in told if dot.y is not None and dot.high is not None)
    return f"{kept} of {len(told)} forecast runs stayed within what was expected in 99 of 100"


def _date_labels(rows: Sequence[AttemptRow]) -> list[tuple[float, str]]:
    if not rows:
        return []
    places = sorted({0, (len(rows) - 1) // 2, len(rows) - 1})
    return [(i, local_time(rows[i].started_at_seconds, rows[i].utc_offset_seconds)[:10]) for i in places]


def _input_plot(rows: Sequence[AttemptRow]) -> Markup | None:
    """Memory over input size, where runs differ in it: what a forecast by input can and cannot explain."""
    sized = [row for row in rows if row.input_bytes is not None and row.memory_bytes_max is not None]
    if len({row.input_bytes for row in sized}) < 4:
        return None
    dots = [
        Dot(y=dot.y, label=dot.label, kind=dot.kind, x=float(row.input_bytes or 0))
        for row in sized
        for dot in (_dot(row, row.memory_bytes_max, show_bytes),)
    ]
    return dots_plot("Peak memory by size of input", dots, unit=BYTES, x_unit=BYTES)


def _cost_plot(rows: Sequence[AttemptRow], dates: Sequence[tuple[float, str]]) -> Markup | None:
    total, totals = 0.0, []
    for row in rows:
        total += float(row.cost_usd) if row.cost_usd else 0.0
        totals.append(total)
    if total <= 0:
        return None
    xs = [float(i) for i in range(len(rows))]
    line = Line(name="cost so far", ys=totals, colour="c4")
    return line_plot("Cost, added up", xs, [line], unit=USD, x_unit=_RUN, x_labels=dates, peak=False)


def _recent_card(rows: Sequence[AttemptRow], total: int) -> Markup:
    cells: list[list[TableCell]] = [
        [
            row.run_id,
            local_time(row.started_at_seconds, row.utc_offset_seconds),
            (outcome_words(row.outcome), tone(row.outcome)),
            _or_blank(row.wall_seconds, show_seconds),
            _or_blank(row.memory_bytes_max, show_bytes),
            _or_blank(row.memory_limit_bytes, show_bytes),
            _or_blank(row.cpu_cores_p95, show_cores),
            _or_blank(row.input_bytes, show_bytes),
            _or_blank(None if row.cost_usd is None else float(row.cost_usd), show_usd),
            (" ".join(f"{key}={value}" for key, value in sorted(row.tags.items())), "muted"),
        ]
        for row in reversed(rows)
    ]
    titles = ("run", "started", "ended", "time", "peak memory", "limit", "cores", "input", "cost", "tags")
    name = "Attempts" if total <= len(rows) else f"The newest {len(rows)} of {total:,} attempts"
    return card(name, html_table(titles, cells, numbers=frozenset({3, 4, 5, 6, 7, 8})))


def _or_blank(value: float | None, show: object) -> str:
    return str(show(value)) if value is not None and callable(show) else ""
