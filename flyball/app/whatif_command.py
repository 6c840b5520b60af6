"""`flyball whatif`: the recorded history, the offers that the settings allow, and a line that says how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from flyball.app.costs_pages import moment
from flyball.app.wiring import client
from flyball.engine.goods import wished_for
from flyball.sim.whatif import whatif

if TYPE_CHECKING:
    from flyball.sim.whatif import WhatIf


def replayed(*, since: str | None, until: str | None, jobs: Sequence[str], seed: int) -> WhatIf:
    """Raises: InputError when nothing can be replayed."""
    flyball, now_seconds = client(), time.time()
    rows = [row for job in jobs for row in flyball.rows_of(job)] if jobs else flyball.rows()
    return whatif(
        rows,
        wished_for(flyball.catalog.offers(), flyball.preferences),
        since=float("-inf") if since is None else moment(since, now_seconds),
        until=float("inf") if until is None else moment(until, now_seconds),
        seed=seed,
        progress=_progress(),
    )


def _progress() -> Callable[[float], None]:
    """One line, redrawn in place on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda _: None

    def show(share: float) -> None:
        end = "\r\x1b[K" if share >= 1 else ""
        sys.stderr.write(f"\rflyball: replaying {share:.0%}{end}")
        sys.stderr.flush()

    return show
