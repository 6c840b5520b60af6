"""`flyball machines`: every machine that is held, with its age and what it has cost so far."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from flyball.app.look import Look, wrap
from flyball.app.tables import Cell, Column, table
from flyball.app.when import utc_time
from flyball.model.units import show_seconds, show_usd
from flyball.policy.machines import MachineLine

_COLUMNS = (
    Column(title="machine of", keep=99),
    Column(title="job", cut=True, least=10, keep=8),
    Column(title="state", keep=9),
    Column(title="on", cut=True, least=8, keep=7),
    Column(title="type", cut=True, least=8, keep=6),
    Column(title="market", keep=4),
    Column(title="zone", cut=True, least=8, keep=3),
    Column(title="age", right=True, keep=8),
    Column(title="so far", right=True, keep=9),
)
_STYLES = {
    "running": ("cyan",),
    "starting": ("cyan",),
    "stopping": ("yellow",),
    "unreleased": ("yellow",),
    "zombie": ("red", "bold"),
}


def machines_page(rows: Sequence[MachineLine], look: Look) -> str:
    """One line a machine, the oldest first."""
    if not rows:
        return "no machine is held"
    lines = [table(_COLUMNS, [_cells(row) for row in rows], look)]
    own = [row for row in rows if row.host_id is None]
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    zombies = sum(row.state == "zombie" for row in rows)
    words = f"{len(own)} machine{'' if len(own) == 1 else 's'}, {show_usd(sum(costs, Decimal(0)))} so far"
    if zombies:
        words += f"; {zombies} that nobody owns: flyball up gives them back"
    return "\n".join([*lines, "", *(look.paint(line, "dim") for line in wrap(words, look))])


def _cells(row: MachineLine) -> list[Cell | str]:
    state = row.state if row.is_listed is not False or row.state == "planned" else f"{row.state}, not listed"
    return [
        row.attempt_id,
        row.job,
        Cell(state, _STYLES.get(row.state, ())),
        row.provider if row.host_id is None else f"{row.provider} {row.host_id}",
        row.instance_type,
        row.market.replace("_", " "),
        row.zone,
        "" if row.age_seconds is None else show_seconds(row.age_seconds),
        "unknown" if row.cost_usd is None else show_usd(row.cost_usd),
    ]


def machines_json(rows: Sequence[MachineLine]) -> list[dict[str, Any]]:
    """The fields of MachineLine; dollars as decimal text."""
    return [
        {
            **msgspec.to_builtins(row),
            "cost_usd": None if row.cost_usd is None else f"{row.cost_usd:f}",
            "since_at": None if row.since_seconds is None else utc_time(row.since_seconds),
        }
        for row in rows
    ]
