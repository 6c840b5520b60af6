"""Pages of text about jobs and offers: values in, lines out. Runs are in run_pages.py, the line after a run in narrate.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flyball.app.charts import histogram, sparkline
from flyball.app.decisions import expected_words, hit_words
from flyball.app.json_pages import (
    job_json,
    jobs_json,
    offers_json,
    plan_json,
    receipt_json,
    run_json,
    runs_json,
    why_json,
)
from flyball.app.look import Look, join_wrapped, wrap
from flyball.app.narrate import (
    choice_words,
    outcome_mark,
    outcome_style,
    outcome_words,
    run_summary,
    size_words,
)
from flyball.app.run_pages import run_page, why_page
from flyball.app.tables import Cell, Column, table
from flyball.app.when import local_time
from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome
from flyball.model.plan import Choice, Plan
from flyball.model.resource import Market
from flyball.model.summary import JobSummary
from flyball.model.units import show_bytes, show_cores, show_seconds, show_usd

if TYPE_CHECKING:
    from flyball.client import JobView

__all__ = [
    "job_json", "job_page", "jobs_json", "jobs_table", "offers_json", "offers_table", "plan_json", "plan_page",
    "receipt_json", "run_json", "run_page", "run_summary", "runs_json", "runs_table", "why_json", "why_page",
]  # fmt: skip

RUNS_LISTED = 15  # of a job's page; `runs` lists them all


def jobs_table(rows: Sequence[JobSummary], look: Look) -> str:
    """One line a job, the latest first, with how its last runs went."""
    if not rows:
        return no_runs(look)
    columns = (
        Column(title="job", cut=True, least=10),
        Column(title="runs", right=True),
        Column(title="last run", keep=6),
        Column(title="last ended", keep=7, cut=True, least=9),
        Column(title="time", right=True),
        Column(title="last runs", keep=3),
        Column(title="peak memory", right=True),
        Column(title="last runs", keep=4),
        Column(title="cost", right=True, keep=5),
        Column(title="next run", keep=5, cut=True, least=17),
    )
    return table(columns, [_job_cells(row, look) for row in rows], look)


def _job_cells(row: JobSummary, look: Look) -> list[Cell | str]:
    last = row.recent_outcomes[-1] if row.recent_outcomes else None
    return [
        Cell(row.job, ("bold",)),
        f"{row.runs:,}",
        local_time(row.last_at_seconds, row.last_utc_offset_seconds),
        Cell(outcome_words(last), (outcome_style(last),)),
        _or_blank(row.wall_seconds_p50, show_seconds),
        Cell(sparkline(row.recent_wall_seconds, unicode=look.unicode), ("blue",)),
        _or_blank(row.memory_bytes_max, show_bytes),
        Cell(sparkline(row.recent_memory_bytes, unicode=look.unicode), ("cyan",)),
        _or_blank(row.cost_usd, show_usd),
        row.next_plan or "",
    ]


def no_runs(look: Look) -> str:
    return "\n".join(
        wrap(
            "No runs are recorded yet. Put flyball in front of a command: flyball run -- python train.py",
            look,
        )
    )


def runs_table(rows: Sequence[AttemptRow], look: Look) -> str:
    """One line an attempt, in the order given."""
    if not rows:
        return no_runs(look)
    several = len({row.job for row in rows}) > 1
    columns = (
        Column(title="run", keep=10),
        Column(title="job", cut=True, least=8, keep=8),
        Column(title="started", keep=6),
        Column(title="ended", cut=True, least=9),
        Column(title="time", right=True),
        Column(title="CPU time", right=True, keep=4),
        Column(title="cores", right=True, keep=3),
        Column(title="peak memory", right=True),
        Column(title="limit", right=True, keep=7),
        Column(title="input", right=True, keep=5),
        Column(title="cost", right=True, keep=2),
        Column(title="tags", cut=True, least=8, keep=1),
    )
    return table(columns, [_run_cells(row, several=several) for row in rows], look)


def _run_cells(row: AttemptRow, *, several: bool) -> list[Cell | str]:
    exit_code = f" ({row.exit_code})" if row.outcome is Outcome.FAILED and row.exit_code is not None else ""
    return [
        row.run_id,
        row.job if several else "",
        local_time(row.started_at_seconds, row.utc_offset_seconds),
        Cell(outcome_words(row.outcome) + exit_code, (outcome_style(row.outcome),)),
        _or_blank(row.wall_seconds, show_seconds),
        _or_blank(row.cpu_seconds, show_seconds),
        _or_blank(row.cpu_cores_p95, show_cores),
        _or_blank(row.memory_bytes_max, show_bytes),
        _or_blank(row.memory_limit_bytes, show_bytes),
        _or_blank(row.input_bytes, show_bytes),
        _or_blank(None if row.cost_usd is None else float(row.cost_usd), show_usd),
        " ".join(f"{key}={value}" for key, value in sorted(row.tags.items())),
    ]


def _or_blank(value: float | None, show: object) -> str:
    return str(show(value)) if value is not None and callable(show) else ""


def job_page(view: JobView, look: Look) -> str:
    """What a job's runs used, how they ended, and what the next one will get."""
    summary, rows = view.summary, view.rows
    blocks = [_job_head(summary, look)]
    recent = list(rows)[-RUNS_LISTED:]
    memory = [row.memory_bytes_max for row in rows if row.outcome is Outcome.SUCCEEDED]
    if len([m for m in memory if m is not None]) >= 3:
        bars = histogram(memory, width=min(look.width, 72), bins=6, unicode=look.unicode, show=show_bytes)
        blocks.append(look.paint("peak memory of the runs that succeeded", "bold") + "\n" + bars)
    blocks.append(plan_page(view.plan, view.alternatives, look))
    blocks.append(_recent_runs(recent, len(rows), summary.job, look))
    return "\n\n".join(blocks)


def _job_head(summary: JobSummary, look: Look) -> str:
    failed = f"{summary.runs_failed:,} did not succeed" if summary.runs_failed else "all succeeded"
    facts = [f"{summary.runs:,} run{'' if summary.runs == 1 else 's'}", failed]
    if summary.attempts_out_of_memory:
        facts.append(f"{summary.attempts_out_of_memory:,} out of memory")
    if summary.cost_usd is not None:
        facts.append(f"cost {show_usd(summary.cost_usd)} in all")
    facts.append(f"last {local_time(summary.last_at_seconds, summary.last_utc_offset_seconds)}")
    title = look.paint(look.clean(f"job {summary.job}"), "bold")
    lines = join_wrapped([title, *facts], look, first="", rest="  ")
    marks = "".join(outcome_mark(outcome, look) for outcome in summary.recent_outcomes)
    return "\n".join(
        [
            *lines,
            "",
            f"last {len(summary.recent_outcomes)} runs   {marks}",
            _spark_line("  time        ", summary.recent_wall_seconds, "blue", show_seconds, look),
            _spark_line("  peak memory ", summary.recent_memory_bytes, "cyan", show_bytes, look),
        ]
    )


def _spark_line(name: str, values: Sequence[float | None], style: str, show: object, look: Look) -> str:
    spark, span = sparkline(values, unicode=look.unicode), f"  {_span(values, show)}"
    room = look.width - len(name) - len(spark)
    return name + look.paint(spark, style) + (span if len(span) <= room else "")


def _span(values: Sequence[float | None], show: object) -> str:
    known = [value for value in values if value is not None]
    if not known or not callable(show):
        return "unknown"
    low, high = show(min(known)), show(max(known))
    return low if low == high else f"{low} to {high}"


def _recent_runs(recent: Sequence[AttemptRow], total: int, job: str, look: Look) -> str:
    more = (
        f" (the last {len(recent)} of {total:,}; flyball runs {job} lists all)" if total > len(recent) else ""
    )
    head = wrap(f"runs{more}", look)
    return "\n".join([look.paint(head[0], "bold"), *head[1:], runs_table(recent, look)])


def plan_page(plan: Plan, alternatives: Sequence[Choice], look: Look) -> str:
    """What the next run will get, why, and where it would be cheapest."""
    forecast, bullet = plan.forecast, "  - "
    known = f"from {forecast.runs:,} run{'' if forecast.runs == 1 else 's'}"
    lines = wrap(f"next run of {plan.job}: {size_words(plan.size)} ({known})", look)
    lines[0] = look.paint(lines[0], "bold")
    risk = () if plan.hit_limit_probability is None else (hit_words(plan.hit_limit_probability),)
    for reason in (*plan.reasons, *risk, *forecast.reasons):
        lines += wrap(reason, look, first=bullet)
    expected = [
        f"{name} {expected_words(q, show)}"
        for name, q, show in (
            ("time", forecast.wall_seconds, show_seconds),
            ("peak memory", forecast.memory_bytes, show_bytes),
            ("CPU time", forecast.cpu_core_seconds, show_seconds),
            ("cores", forecast.cpu_cores, show_cores),
        )
        if q is not None
    ]
    if expected:
        lines += ["", look.paint("expected", "bold")]
        for text in expected:
            lines += wrap(text, look, first=bullet)
    lines += ["", *_offer_lines(plan, alternatives, look)]
    return "\n".join(lines)


def _offer_lines(plan: Plan, alternatives: Sequence[Choice], look: Look) -> list[str]:
    if plan.choice is None and not alternatives:
        return wrap("No offer holds it, or no catalogue of prices could be read.", look)
    lines = []
    if plan.choice is not None:
        head = wrap(f"cheapest: {choice_words(plan.choice)}", look)
        lines += [look.paint(head[0], "bold"), *head[1:], *wrap(plan.choice.reason, look, first="  - ")]
    if plan.catalog_as_of is not None:
        lines += wrap(f"prices as of {plan.catalog_as_of}", look, first="  - ")
    if alternatives:
        lines += ["", offers_table(alternatives, look)]
    return lines


def offers_table(choices: Sequence[Choice], look: Look) -> str:
    """One line an offer, in the order given, with the dollars of one finished run beside those of an hour."""
    if not choices:
        return "\n".join(
            wrap(
                "No offer in the catalogue holds that. Ask for less, or another cloud, region or processor.",
                look,
            )
        )
    columns = (
        Column(title="cloud"),
        Column(title="type", keep=10),
        Column(title="market"),
        Column(title="where", keep=5, cut=True, least=9),
        Column(title="arch", keep=2),
        Column(title="vCPUs", right=True),
        Column(title="memory", right=True),
        Column(title="GPUs", keep=8),
        Column(title="$/hour", right=True),
        Column(title="$/run", right=True, keep=10),
        Column(title="time", right=True, keep=4),
        Column(title="price of", keep=1),
    )
    return table(columns, [_offer_cells(choice) for choice in choices], look)


def _offer_cells(choice: Choice) -> list[Cell | str]:
    offer = choice.offer
    gpus = f"{offer.gpus} x {offer.gpu_model or 'GPU'}" if offer.gpus else ""
    return [
        offer.cloud,
        Cell(offer.instance_type, ("bold",)),
        "spot" if offer.market is Market.SPOT else "on demand",
        offer.zone or offer.region,
        offer.arch.value,
        f"{offer.vcpus}",
        show_bytes(offer.memory_bytes),
        gpus,
        f"${offer.price_usd_per_hour:.4f}",
        show_usd(choice.expected_usd),
        show_seconds(choice.expected_seconds),
        offer.as_of.isoformat(),
    ]
