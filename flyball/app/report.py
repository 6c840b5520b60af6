"""The report: one self-contained HTML page about a run or a job. Values in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.app.decisions import comparisons, decisions, hit_words, limits_words
from flyball.app.figures import figures, unknown_figures
from flyball.app.look import Look
from flyball.app.markup import Markup, tag
from flyball.app.narrate import (
    choice_words,
    cores_available,
    memory_available,
    outcome_words,
    size_words,
    stall_parts,
)
from flyball.app.report_page import (
    TableCell,
    badge,
    card,
    decision_list,
    header,
    html_table,
    page,
    plots,
    tile,
    tiles,
    tone,
)
from flyball.app.report_plots import (
    BYTES,
    BYTES_PER_SECOND,
    CORES,
    SECONDS,
    SHARE,
    USD,
    Dot,
    Line,
    Unit,
    bars_plot,
    dots_plot,
    line_plot,
)
from flyball.app.run_pages import host_words, shell_words
from flyball.app.when import local_time
from flyball.model.history import AttemptRow, RunState
from flyball.model.outcome import Outcome
from flyball.model.plan import Choice, Plan
from flyball.model.receipt import Receipt
from flyball.model.resource import Market
from flyball.model.samples import Samples
from flyball.model.summary import JobSummary
from flyball.model.units import show_bytes, show_cores, show_seconds, show_usd

RUNS_PLOTTED = 400  # the newest; more dots than that run into each other
RUNS_IN_TABLE = 50
_LOOK = Look()


def run_report(state: RunState, samples: Samples | None) -> str:
    """A run: figures in large letters, its last attempt over time, every figure with its source, every decision."""
    run = state.run
    last = state.ended[-1] if state.ended else None
    receipt = None if last is None else last.receipt
    outcome = None if receipt is None else receipt.outcome
    started = local_time(run.features.started_at_seconds, run.features.utc_offset_seconds)
    tags = "".join(f" · {key}={value}" for key, value in sorted(run.tags.items()))
    cost = None if last is None or last.cost_usd is None else float(last.cost_usd)
    body = [
        tag("pre", tag("code", shell_words(run.command)), class_="command"),
        None if receipt is None else _run_tiles(receipt, cost, "" if last is None else last.cost_reason),
        None if receipt is None or samples is None else plots(_time_plots(receipt, samples)),
        _forecast_card(state),
        card("Why: every decision of this run", decision_list(decisions(state))),
        _attempts_card(state),
        None if receipt is None else _figures_card(receipt),
    ]
    return page(
        f"run {run.run_id} of {state.job}",
        header=header(
            state.job, f"run {run.run_id} · started {started}{tags}", badge(outcome_words(outcome), outcome)
        ),
        body=body,
    )


def _run_tiles(receipt: Receipt, cost_usd: float | None, cost_reason: str) -> Markup:
    memory, what_memory = memory_available(receipt)
    cores, what_cores = cores_available(receipt)
    stalls = stall_parts(receipt, _LOOK)
    return tiles(
        tile("wall time", show_seconds(receipt.wall_seconds), receipt.exit_cause),
        tile(
            "peak memory",
            show_bytes(receipt.memory_bytes_max),
            "" if memory is None else f"of {show_bytes(memory)} {what_memory or 'on this machine'}",
            share=_share(receipt.memory_bytes_max, memory),
        ),
        tile(
            "mean cores",
            show_cores(receipt.cpu_cores_mean),
            "" if cores is None else f"of {show_cores(cores)} {what_cores or 'on this machine'}",
            share=_share(receipt.cpu_cores_mean, cores),
        ),
        tile("CPU time", show_seconds(receipt.cpu_seconds)),
        tile("cost", show_usd(cost_usd), cost_reason),
        tile("stalls", "some", "; ".join(stalls)) if stalls else tile("stalls", "none", "nothing held it up"),
    )


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _time_plots(receipt: Receipt, samples: Samples) -> list[Markup | None]:
    xs = samples.seconds
    memory, what_memory = memory_available(receipt)
    cores, what_cores = cores_available(receipt)
    return [
        line_plot(
            "Memory",
            xs,
            [Line(name="memory", ys=samples.memory_bytes, colour="c1")],
            unit=BYTES,
            limit=memory,
            limit_name=what_memory or "machine",
        ),
        line_plot(
            "CPU",
            xs,
            [Line(name="cores", ys=samples.cpu_cores, colour="c2")],
            unit=CORES,
            limit=cores,
            limit_name=f"{what_cores or 'machine'}: cores",
        ),
        line_plot(
            "Disk",
            xs,
            [
                Line(name="read", ys=samples.disk_read_bytes_per_second, colour="c3"),
                Line(name="written", ys=samples.disk_write_bytes_per_second, colour="c4"),
            ],
            unit=BYTES_PER_SECOND,
        ),
        line_plot(
            "Network, whole machine" if receipt.network_scope == "host" else "Network",
            xs,
            [
                Line(name="received", ys=samples.network_receive_bytes_per_second, colour="c1"),
                Line(name="sent", ys=samples.network_send_bytes_per_second, colour="c5"),
            ],
            unit=BYTES_PER_SECOND,
        ),
        line_plot(
            "GPU memory", xs, [Line(name="GPU memory", ys=samples.gpu_memory_bytes, colour="c3")], unit=BYTES
        ),
        line_plot("GPU use", xs, [Line(name="GPU use", ys=samples.gpu_utilization, colour="c4")], unit=SHARE),
    ]


def _forecast_card(state: RunState) -> Markup | None:
    if state.plan is None or not state.ended:
        return None
    compared = comparisons(state.plan, state.ended[-1].receipt)
    rows: list[list[TableCell]] = [
        [c.name, c.expected, c.used, (c.verdict, "bad" if c.verdict.startswith("more") else "good")]
        for c in compared
    ]
    return card("Forecast against actual", html_table(("", "expected", "used", ""), rows)) if rows else None


def _attempts_card(state: RunState) -> Markup | None:
    if len(state.started) < 2:
        return None
    ends = {end.attempt_id: end.receipt for end in state.ended}
    rows: list[list[TableCell]] = []
    for number, start in enumerate(state.started, 1):
        receipt = ends.get(start.attempt_id)
        outcome = None if receipt is None else receipt.outcome
        rows.append(
            [
                f"{number}",
                (outcome_words(outcome), tone(outcome)),
                "" if receipt is None else show_seconds(receipt.wall_seconds),
                "" if receipt is None else show_bytes(receipt.memory_bytes_max),
                limits_words(start.limits),
                (start.reason, "muted"),
            ]
        )
    titles = ("attempt", "ended", "time", "peak memory", "limits", "why these limits")
    return card("Attempts", html_table(titles, rows, numbers=frozenset({2, 3})))


def _figures_card(receipt: Receipt) -> Markup:
    rows: list[list[TableCell]] = [
        [f.name, f.value, (f.note, "muted"), (f.source, "muted")] for f in figures(receipt)
    ]
    unknown = unknown_figures(receipt)
    missing = (
        tag("p", "Unknown on this machine: " + ", ".join(unknown) + ".", class_="sub") if unknown else None
    )
    return card(
        "Everything it used",
        tag("p", f"On {host_words(receipt.host)}.", class_="sub"),
        html_table(("what", "figure", "", "source"), rows, numbers=frozenset({1})),
        missing,
    )


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
