"""Pages of text about one run: what it used over time, and why each decision was taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from flyball.app.charts import LIMIT_SIGN, line_chart
from flyball.app.decisions import comparisons, decisions, limits_words
from flyball.app.figures import figures, unknown_figures
from flyball.app.look import Look, join_wrapped, wrap
from flyball.app.narrate import (
    cores_available,
    cores_words,
    memory_available,
    of_words,
    outcome_style,
    outcome_words,
    stall_parts,
)
from flyball.app.tables import Cell, Column, table
from flyball.app.when import local_time
from flyball.model.facts import AttemptEnded
from flyball.model.history import RunState
from flyball.model.receipt import Host, Receipt
from flyball.model.samples import Samples
from flyball.model.units import show_bytes, show_cores, show_seconds, show_usd

CHART_ROWS, CHART_COLUMNS_MAX = 8, 100


def run_page(state: RunState, samples: Samples | None, look: Look) -> str:
    """What `show RUN` prints: how it ended, charts of memory and CPU of its last attempt, figures, attempts."""
    last = state.ended[-1] if state.ended else None
    blocks = [_head(state, last, look)]
    if last is not None:
        blocks += _charts(last.receipt, samples, look)
        blocks.append(_figures_table(last.receipt, look))
    if len(state.started) > 1:
        blocks.append(_attempts_table(state, look))
    run_id = state.run.run_id
    hints = [f"flyball why {run_id}", f"flyball logs {run_id}", f"flyball report {run_id} -o run.html"]
    blocks.append("\n".join(look.paint(line, "dim") for line in join_wrapped(hints, look, first="", rest="")))
    return "\n\n".join(blocks)


def _head(state: RunState, last: AttemptEnded | None, look: Look) -> str:
    run, offset = state.run, state.run.features.utc_offset_seconds
    outcome = None if last is None else last.receipt.outcome
    words = look.paint(outcome_words(outcome), outcome_style(outcome), "bold")
    took = (
        "" if last is None else f" after {show_seconds(last.receipt.wall_seconds)}: {last.receipt.exit_cause}"
    )
    title = look.paint(look.clean(f"run {run.run_id}"), "bold")
    lines = join_wrapped(
        [title, look.clean(f"job {state.job}"), words + look.clean(took)], look, first="", rest="  "
    )
    lines += wrap(shell_words(run.command), look, first="  $ ", rest="    ")
    lines += wrap(f"started {local_time(run.features.started_at_seconds, offset)}", look, first="  ")
    if last is not None:
        lines += wrap(f"on {host_words(last.receipt.host)}", look, first="  ")
        lines += wrap(f"limits: {limits_words(last.receipt.limits)}", look, first="  ")
        if last.cost_usd is not None or last.cost_reason:
            cost = show_usd(None if last.cost_usd is None else float(last.cost_usd))
            lines += wrap(
                f"cost {cost}" + (f" ({last.cost_reason})" if last.cost_reason else ""), look, first="  "
            )
        stalls = stall_parts(last.receipt, look)
        lines += join_wrapped(stalls, look, first="  ", rest="  ") if stalls else []
    if run.tags:
        lines += wrap("tags " + " ".join(f"{k}={v}" for k, v in sorted(run.tags.items())), look, first="  ")
    return "\n".join(lines)


def shell_words(command: Sequence[str]) -> str:
    """The command as one would type it."""
    import shlex

    return shlex.join(command)


def host_words(host: Host) -> str:
    """ "worker-1 (AMD EPYC 7R13, 2 cores, 24.0 GiB, aws m6i.large in us-east-1, cgroup v2)"."""
    facts = [host.cpu_model] if host.cpu_model else []
    if host.cpu_cores is not None:
        facts.append(cores_words(host.cpu_cores))
    if host.memory_bytes is not None:
        facts.append(show_bytes(host.memory_bytes))
    if host.cloud and host.instance_type:
        facts.append(
            f"{host.cloud} {host.instance_type}" + (f" in {host.zone or host.region}" if host.region else "")
        )
    facts.append(f"cgroup {host.cgroup}" if host.cgroup else "no cgroup")
    return f"{host.hostname or 'an unknown machine'} ({', '.join(facts)})"


def _charts(receipt: Receipt, samples: Samples | None, look: Look) -> list[str]:
    if samples is None or len(samples) < 2:
        return []
    samples = samples.from_zero()
    memory_limit, what = memory_available(receipt)
    of_memory = of_words(show_bytes, memory_limit, what)
    cores, what = cores_available(receipt)
    of_cores = of_words(show_cores, cores, what)
    memory_title = _peak_title("memory", samples.seconds, samples.memory_bytes, show_bytes, of_memory)
    cores_title = _peak_title("CPU cores", samples.seconds, samples.cpu_cores, show_cores, of_cores)
    charts = (
        (memory_title, samples.memory_bytes, memory_limit, show_bytes, True, "cyan"),
        (cores_title, samples.cpu_cores, cores, show_cores, False, "blue"),
    )
    blocks = []
    for title, values, limit, show, binary, style in charts:
        drawn = line_chart(
            samples.seconds,
            values,
            width=min(look.width, CHART_COLUMNS_MAX),
            height=CHART_ROWS,
            limit=limit,
            unicode=look.unicode,
            show=show,
            binary=binary,
        )
        if drawn:
            painted = "\n".join(_painted(line, style, look) for line in drawn.split("\n"))
            blocks.append("\n".join([*wrap(title, look), painted]))
    return blocks


def _painted(line: str, style: str, look: Look) -> str:
    """The limit in red, the rest in the chart's colour."""
    runs = groupby(line, key=lambda sign: sign == LIMIT_SIGN)
    return "".join(look.paint("".join(signs), "red" if limit else style) for limit, signs in runs)


def _peak_title(
    name: str, seconds: Sequence[float], values: Sequence[float | None], show: Callable[[float], str], of: str
) -> str:
    """ "memory: highest sample 1.31 GiB of 24.0 GiB, at 12.3 s"."""
    known = [(value, at) for at, value in zip(seconds, values, strict=False) if value is not None]
    if not known:
        return name
    highest = max(value for value, _ in known)
    at = next(at for value, at in known if value == highest)
    return f"{name}: highest sample {show(highest)}{of}, at {show_seconds(at)}"


def _figures_table(receipt: Receipt, look: Look) -> str:
    columns = (
        Column(title="what it used", keep=10),
        Column(title="figure", right=True, keep=10),
        Column(title="", cut=True, least=10, keep=5),
        Column(title="source", keep=6),
    )
    rows: list[list[Cell | str]] = [
        [
            figure.name,
            Cell(figure.value, ("bold",)),
            Cell(figure.note, ("dim",)),
            Cell(figure.source, ("dim",)),
        ]
        for figure in figures(receipt)
    ]
    lines = [table(columns, rows, look)]
    unknown = unknown_figures(receipt)
    if unknown:
        lines += wrap("unknown on this machine: " + ", ".join(unknown), look)
    return "\n".join(lines)


def _attempts_table(state: RunState, look: Look) -> str:
    ends = {end.attempt_id: end for end in state.ended}
    columns = (
        Column(title="attempt", right=True),
        Column(title="ended", cut=True, least=12),
        Column(title="time", right=True),
        Column(title="peak memory", right=True),
        Column(title="limits", cut=True, least=12, keep=7),
    )
    rows: list[list[Cell | str]] = []
    for number, start in enumerate(state.started, 1):
        receipt = ends[start.attempt_id].receipt if start.attempt_id in ends else None
        outcome = None if receipt is None else receipt.outcome
        rows.append(
            [
                f"{number}",
                Cell(outcome_words(outcome), (outcome_style(outcome),)),
                "" if receipt is None else show_seconds(receipt.wall_seconds),
                "" if receipt is None else show_bytes(receipt.memory_bytes_max),
                limits_words(start.limits),
            ]
        )
    lines = [table(columns, rows, look)]
    for number, start in enumerate(state.started, 1):
        lines += wrap(f"limits of attempt {number}: {start.reason}", look, rest="  ") if start.reason else []
    return "\n".join(lines)


def why_page(state: RunState, look: Look) -> str:
    """Every decision of a run with its reason; then what was expected beside what happened."""
    lines = join_wrapped(
        [
            look.paint(look.clean(f"run {state.run.run_id}"), "bold"),
            look.clean(shell_words(state.run.command)),
        ],
        look,
        first="",
        rest="  ",
    )
    for decision in decisions(state):
        head = wrap(f"{decision.question}: {decision.answer}", look, rest="  ")
        question = look.clean(decision.question)
        if head[0].startswith(question):  # not broken inside the question
            head[0] = look.paint(question, "bold") + head[0][len(question) :]
        lines += ["", *head]
        for reason in decision.because:
            lines += wrap(reason, look, first="  - ")
    if state.plan is not None and state.ended:
        compared = comparisons(state.plan, state.ended[-1].receipt)
        if compared:
            rows = [[c.name, c.expected, c.used, c.verdict] for c in compared]
            columns = (
                Column(title="forecast against actual", keep=10),
                Column(title="expected", cut=True, least=8),
                Column(title="used", keep=10),
                Column(title="", keep=3),
            )
            lines += ["", table(columns, rows, look)]
    return "\n".join(lines)
