"""The report about a run: figures, its last attempt over time, every decision. Values in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.app.decisions import comparisons, decisions, limits_words
from flyball.app.figures import figures, unknown_figures
from flyball.app.look import Look
from flyball.app.markup import Markup, lines, tag
from flyball.app.narrate import (
    cores_available,
    cores_words,
    memory_available,
    outcome_words,
    stall_parts,
)
from flyball.app.plot_frame import BYTES, BYTES_PER_SECOND, CORES, SHARE
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
from flyball.app.report_plots import Line, line_plot
from flyball.app.run_pages import host_words, shell_words
from flyball.app.when import local_time
from flyball.model.history import RunState
from flyball.model.receipt import Receipt
from flyball.model.samples import Samples
from flyball.model.units import show_bytes, show_cores, show_seconds, show_usd

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
        tag("pre", tag("code", lines(shell_words(run.command))), class_="command"),
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
    samples = samples.from_zero()
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
            limit_words=f"{what_memory or 'machine'} {show_bytes(memory)}",
        ),
        line_plot(
            "CPU",
            xs,
            [Line(name="cores", ys=samples.cpu_cores, colour="c2")],
            unit=CORES,
            limit=cores,
            limit_words="" if cores is None else f"{what_cores or 'machine'} {cores_words(cores)}",
        ),
        line_plot(
            "Disk",
            xs,
            [
                *_used("read", samples.disk_read_bytes_per_second, "c3"),
                *_used("written", samples.disk_write_bytes_per_second, "c4"),
            ],
            unit=BYTES_PER_SECOND,
        ),
        line_plot(
            "Network, whole machine" if receipt.network_scope == "host" else "Network",
            xs,
            [
                *_used("received", samples.network_receive_bytes_per_second, "c1"),
                *_used("sent", samples.network_send_bytes_per_second, "c5"),
            ],
            unit=BYTES_PER_SECOND,
        ),
        line_plot("GPU memory", xs, _used("GPU memory", samples.gpu_memory_bytes, "c3"), unit=BYTES),
        line_plot("GPU use", xs, _used("GPU use", samples.gpu_utilization, "c4"), unit=SHARE),
    ]


def _used(name: str, values: Sequence[float | None], colour: str) -> list[Line]:
    """A line for what was used at all: a plot of nothing but 0 says less than the figure does."""
    return [Line(name=name, ys=values, colour=colour)] if any(values) else []


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
