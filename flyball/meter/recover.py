"""Closes the record of an attempt whose wrapper died (kill -9, out of memory, crash)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from flyball.meter import record
from flyball.meter.counters import Reading
from flyball.meter.ending import Ending
from flyball.meter.group import Group, reopen
from flyball.meter.logfile import join
from flyball.meter.process import is_alive
from flyball.meter.receipt import receipt
from flyball.meter.spool import COLUMNS, read_rows
from flyball.meter.tally import CoreUse, MemoryUse, beside_bytes, cores_wanted

if TYPE_CHECKING:
    from flyball.meter.spool import Row

CAUSE = "the wrapper was killed; figures are up to its last sample, or the kernel's own"


class Recovery(NamedTuple):
    """closed: it has its outcome; running: leave it alone; ended: it had none and was closed now.

    "ended" without a receipt: there is no intent, so nothing was started.
    """

    state: str
    receipt: dict[str, Any] | None = None


def recover(folder: str) -> Recovery:
    """What became of the attempt in that folder; its outcome is written when nobody else will. Raises OSError
    when that cannot be written. Two at once do no harm: the first outcome stands."""
    outcome = record.read_json(os.path.join(folder, record.OUTCOME))
    intent = record.read_json(os.path.join(folder, record.INTENT))
    if intent is None:
        return Recovery("closed" if outcome else "ended", outcome)
    if outcome is None and _is_running(intent):
        return Recovery("running")
    group = reopen(intent.get("groups", {}))
    try:
        if group and group.pids():
            return Recovery("closed", outcome) if outcome else Recovery("running")
        if outcome is None:
            closed = _closed(folder, intent, group)
            outcome = record.close_once(folder, closed)
            _join_log(folder)
            return Recovery("ended", outcome)
        return Recovery("closed", outcome)
    finally:
        if group:
            if not group.pids():
                group.remove()
            group.close()


def _is_running(intent: dict[str, Any]) -> bool:
    """Whether the wrapper, or the command it started, still runs."""
    who = ((intent.get("wrapper_pid"), "wrapper_started_ticks"), (intent.get("pid"), "pid_started_ticks"))
    return any(
        is_alive(int(pid), intent.get(ticks), intent.get("boot_id")) for pid, ticks in who if pid is not None
    )


def _closed(folder: str, intent: dict[str, Any], group: Group | None) -> dict[str, Any]:
    rows = read_rows(os.path.join(folder, record.SAMPLES))
    seconds = rows[-1][0] if rows else 0.0
    started = float(intent["started_at_seconds"])
    figures = _figures(rows, intent, group)
    kills = figures["oom_kills"]
    cause = CAUSE + (f"; {kills} of its processes ran out of memory" if kills else "")
    return {
        **receipt(
            attempt_id=str(intent["attempt_id"]),
            end=Ending("lost", None, None, cause),
            pid=intent.get("pid"),
            started_at_seconds=started,
            ended_at_seconds=started + (seconds or 0.0),
            wall_seconds=seconds or 0.0,
            figures=figures,
            output_bytes=None,
            host=intent.get("host", {}),
            limits=intent.get("limits", {}),
        ),
        "complete": False,
    }


def _figures(rows: list[Row], intent: dict[str, Any], group: Group | None) -> dict[str, Any]:
    """The receipt's measured fields from the rows, overruled by the group's counters, which went on."""
    last: Reading = _known(rows[-1]) if rows else {}
    sources = dict.fromkeys(last, str(intent.get("source", "proc")))
    cores, memory = _core_use(rows), _memory_use(rows)
    if group:
        counters: Reading = {}
        group.read(counters, sources)
        last.update(counters)
        _add_last_peak(memory, group, float(last.get("seconds", 0.0)), last.get("cache_bytes", 0.0))
    wall, cpu = last.get("seconds", 0.0), last.get("cpu_seconds")
    threads = last.get("threads_peak", _most(rows, "threads"))
    sources = {name: source for name, source in sources.items() if name in FROM_LAST}
    return {
        **{name: _typed(name, last.get(name)) for name in FROM_LAST},
        "cpu_cores_mean": min(cpu, _cpu_at_end(rows)) / wall if cpu is not None and wall > 0 else None,
        "cpu_cores_p95": cores.p95(),
        "cpu_cores_max": cores.cores_max,
        "cpu_parallel_share": cores.parallel_share(),
        "memory_bytes_max": memory.bytes_max,
        "memory_bytes_mean": memory.mean(),
        "swap_bytes_max": _whole(_most(rows, "swap_bytes")),
        "network_scope": None,
        "processes_max": _whole(_most(rows, "processes")),
        "threads_max": _whole(threads),
        "cpu_cores_wanted": cores_wanted(
            wall_seconds=wall,
            cpu_seconds=_cpu_at_end(rows) if rows else None,
            waited_seconds=_known(rows[-1]).get("pressure_cpu_seconds") if rows and group else None,
            threads_max=threads,
        ),
        "gpus": None,
        "samples": len(rows),
        "sources": {**sources, "memory_bytes_max": sources.get("cpu_seconds", "proc")},
    }


FROM_LAST = (
    "cpu_user_seconds", "cpu_system_seconds", "cpu_seconds", "major_faults", "disk_read_bytes",
    "disk_write_bytes", "disk_read_operations", "disk_write_operations", "pressure_cpu_seconds",
    "pressure_memory_seconds", "pressure_io_seconds", "throttled_seconds", "oom_kills",
)  # fmt: skip


def _core_use(rows: list[Row]) -> CoreUse:
    cores = CoreUse()
    for earlier, later in zip(rows, rows[1:]):  # noqa: B905, RUF007 - strict= and pairwise came with 3.10
        before, after = _known(earlier), _known(later)
        if "cpu_seconds" in before and "cpu_seconds" in after:
            cores.add(after["seconds"] - before["seconds"], after["cpu_seconds"] - before["cpu_seconds"])
    return cores


def _memory_use(rows: list[Row]) -> MemoryUse:
    memory = MemoryUse()
    for row in map(_known, rows):
        if "memory_bytes" in row:
            memory.add(row["seconds"], int(row["memory_bytes"]))
            memory.bytes_max = max(int(row.get("memory_bytes_max", 0)), memory.bytes_max or 0)
    return memory


def _add_last_peak(memory: MemoryUse, group: Group, seconds: float, cache_bytes: float) -> None:
    """What the kernel saw after the wrapper's last look."""
    peak, now = group.take_peak_bytes(), group.memory()
    if "memory_bytes" not in now or peak is None:
        return
    memory.expect_other(int(cache_bytes))
    memory.add(seconds, int(now["memory_bytes"]))
    memory.add_kernel_peak(peak, beside_bytes(now))


def _join_log(folder: str) -> None:
    try:
        join(os.path.join(folder, record.LOG))
    except OSError:
        pass  # the pieces stay where they are


def _known(row: Row) -> Reading:
    return {name: value for name, value in zip(COLUMNS, row) if value is not None}  # noqa: B905


def _most(rows: list[Row], name: str) -> float | None:
    return max((row[name] for row in map(_known, rows) if name in row), default=None)


def _cpu_at_end(rows: list[Row]) -> float:
    return _known(rows[-1]).get("cpu_seconds", 0.0) if rows else 0.0


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _typed(name: str, value: float | None) -> float | int | None:
    return value if name.endswith("_seconds") else _whole(value)
