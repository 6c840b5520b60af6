"""`flyball costs`: what runs cost, what of it was lost, and what was saved; as a page, JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flyball.app.look import Look, wrap
from flyball.app.tables import Cell, Column, table
from flyball.app.when import utc_time
from flyball.errors import InputError
from flyball.model.history import AttemptRow
from flyball.model.units import parse_seconds, show_usd
from flyball.policy.costs import BY, Costs, Line, costs

_NUMBERS = (
    "runs", "attempts", "usd", "usd_unsuccessful", "usd_boot_and_idle", "usd_compared", "usd_on_demand_asked",
    "usd_saved", "cost_unknown", "still_held",
)  # fmt: skip


def costs_of(
    rows: Sequence[AttemptRow],
    *,
    by: str = "job",
    since: str | None = None,
    until: str | None = None,
    now_seconds: float,
) -> Costs:
    """`by` is "job", "tag:KEY", ...; `since` and `until` are "30d" ago or a day such as "2026-11-01", in UTC.

    Raises: InputError.
    """
    kind, _, tag_key = by.partition(":")
    if kind not in BY or (kind == "tag") != bool(tag_key):
        kinds = ", ".join("tag:KEY" if name == "tag" else name for name in BY)
        raise InputError(f"costs cannot be shown by {by!r}", why=f"they can by {kinds}", hint="--by job")
    since_seconds = None if since is None else moment(since, now_seconds)
    until_seconds = None if until is None else moment(until, now_seconds)
    if since_seconds is not None and until_seconds is not None and since_seconds >= until_seconds:
        raise InputError(f"nothing is since {since} and until {until}", why="the one is not before the other")
    return costs(
        rows, by=kind, tag_key=tag_key or None, since_seconds=since_seconds, until_seconds=until_seconds
    )


def moment(text: str, now_seconds: float) -> float:
    """Seconds since the epoch of "30d" (before now) or "2026-11-01" or "2026-11-01 06:30" (UTC). Raises: InputError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now_seconds - parse_seconds(text)
        except InputError as error:
            raise InputError(
                f"{text!r} is neither a day nor a length of time", hint="30d or 2026-11-01"
            ) from error
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def costs_page(found: Costs, look: Look) -> str:
    """One line a group, the total, and what the figures leave out."""
    if not found.lines:
        when = "" if found.since_seconds is None and found.until_seconds is None else " in that time"
        return "\n".join(wrap(f"No runs are recorded{when}. Put flyball in front of a command: "
                              "flyball run -- python train.py", look))  # fmt: skip
    columns = (
        Column(title=found.by, cut=True, least=10, keep=99),
        Column(title="runs", right=True, keep=8),
        Column(title="attempts", right=True, keep=2),
        Column(title="cost", right=True, keep=98),
        Column(title="no success", right=True, keep=6),
        Column(title="boot, idle", right=True, keep=5),
        Column(title="on demand", right=True, keep=7),
        Column(title="saved", right=True, keep=9),
        Column(title="unknown", right=True, keep=4),
    )
    cells = [_cells(line) for line in found.lines]
    if len(found.lines) > 1:
        cells.append([Cell(cell.text, ("bold",)) for cell in _cells(found.total)])
    return "\n".join([table(columns, cells, look), "", *_notes(found, look)])


def _cells(line: Line) -> list[Cell]:
    share = line.saved_share
    return [
        Cell(line.key),
        Cell(f"{line.runs:,}" if line.runs else ""),
        Cell(f"{line.attempts:,}" if line.attempts != line.runs else ""),
        Cell(show_usd(line.usd), ("bold",)),
        Cell(show_usd(line.usd_unsuccessful) if line.usd_unsuccessful else ""),
        Cell(show_usd(line.usd_boot_and_idle) if line.usd_boot_and_idle else ""),
        Cell(show_usd(line.usd_on_demand_asked) if line.usd_on_demand_asked else ""),
        Cell("" if share is None else f"{share:.0%}", ("green",) if (share or 0) > 0 else ()),
        Cell(f"{line.cost_unknown:,}" if line.cost_unknown else ""),
    ]


def _notes(found: Costs, look: Look) -> list[str]:
    total, lines = found.total, list[str]()
    if total.saved_share is not None:
        more_or_less = "saved" if total.usd_saved >= 0 else "more"
        lines.append(
            f"{show_usd(abs(total.usd_saved))} {more_or_less} ({abs(total.saved_share):.0%}) against the same jobs on "
            "demand at the size they were asked for: "
            f"{show_usd(total.usd_on_demand_asked)} instead of {show_usd(total.usd_compared)}"
        )
    if not total.usd and total.attempts > total.cost_unknown:
        lines.append("what runs on own hardware is counted as $0")
    if found.not_compared:
        lines.append(f"{_attempts(found.not_compared)} without a price on demand to compare with")
    if total.cost_unknown:
        lines.append(f"{_attempts(total.cost_unknown)} whose cost nobody knows: no price was found")
    if total.still_held:
        lines.append(
            f"{_attempts(total.still_held)} whose machine is still held: counted when it is given back"
        )
    if found.not_included:
        lines.append(f"not included: {', '.join(found.not_included)}")
    if found.prices_as_of is not None:
        lines.append(
            f"reckoned from listed prices, the oldest as of {found.prices_as_of}; an invoice may differ"
        )
    shown = [line for text in lines for line in wrap(text, look, rest="  ")]
    return [look.paint(line, "dim") for line in shown]


def _attempts(count: int) -> str:
    return f"{count:,} attempt{'' if count == 1 else 's'}"


def costs_json(found: Costs) -> dict[str, Any]:
    """Lines and total; dollars as decimal text, exact to the nano-dollar."""
    return {
        "by": found.by,
        "since": None if found.since_seconds is None else utc_time(found.since_seconds),
        "until": None if found.until_seconds is None else utc_time(found.until_seconds),
        "lines": [_line(line) for line in found.lines],
        "total": _line(found.total),
        "not_included": list(found.not_included),
        "prices_as_of": found.prices_as_of,
        "not_compared": found.not_compared,
    }


def _line(line: Line) -> dict[str, Any]:
    values = {name: getattr(line, name) for name in _NUMBERS}
    plain = {name: f"{value:f}" if name.startswith("usd") else value for name, value in values.items()}
    return {"key": line.key, **plain, "saved_share": line.saved_share}


def costs_csv(found: Costs) -> str:
    """One row a group with a header, no total; dollars in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([found.by, *_NUMBERS])
    for line in found.lines:
        row = _line(line)
        writer.writerow([_safe(line.key), *(row[name] for name in _NUMBERS)])
    return text.getvalue().rstrip("\n")


def _safe(text: str) -> str:
    """Not to be taken for a formula by a spreadsheet."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
