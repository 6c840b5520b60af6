"""What only the machine as a whole can tell, and how long tasks stood in a run queue."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from flyball.meter.counters import Reading, known, open_counter, stall_seconds

TICKS = os.sysconf("SC_CLK_TCK")
STEAL_FIELD = 8  # proc_stat(5): cpu user nice system idle iowait irq softirq steal
TASKS_LOOKED_AT = 100  # 10 us each once a second: 0.1 % of a core


class Surroundings:
    """Steal, the host's PSI totals, and network counters, each as the growth since it was opened."""

    def __init__(self) -> None:
        self._stat = open_counter("/proc/stat")
        self._vmstat = open_counter("/proc/vmstat")
        self._pressure = {name: open_counter(f"/proc/pressure/{name}") for name in ("cpu", "memory", "io")}
        self._network: Any = None
        self._first = self._now()
        self._oom_kills = self.oom_kills()

    def watch_network(self, pid: int) -> None:
        """From now on also the network bytes of the namespace that process is in."""
        try:
            from flyball.meter.network import NetworkCounter

            self._network = NetworkCounter.open(pid)
        except (ImportError, OSError):
            self._network = None  # no counters on this system: unknown

    @property
    def network_scope(self) -> str | None:
        """ "namespace": the command's own; "host": everything on this machine; None: unknown."""
        known_bytes = self._network is not None and self._network.read() is not None
        return self._network.scope if known_bytes else None

    def read(self, reading: Reading, sources: dict[str, str]) -> None:
        """Adds the figures that are not there yet."""
        for name, value in self._now().items():
            if name not in reading and name in self._first:
                reading[name] = value - self._first[name]
                sources[name] = "host"
        self._read_network(reading, sources)

    def oom_kills_since(self) -> int | None:
        """Processes the kernel killed for memory anywhere on this machine since the start."""
        now = self.oom_kills()
        return None if now is None or self._oom_kills is None else now - self._oom_kills

    def oom_kills(self) -> int | None:
        return self._vmstat.table().get(b"oom_kill") if self._vmstat else None

    def _now(self) -> Reading:
        return known(
            steal_seconds=self._steal_seconds(),
            **{f"pressure_{name}_seconds": stall_seconds(file) for name, file in self._pressure.items()},
        )

    def _read_network(self, reading: Reading, sources: dict[str, str]) -> None:
        bytes_both = self._network.read() if self._network is not None else None
        if bytes_both is None:
            return
        reading["network_receive_bytes"], reading["network_send_bytes"] = bytes_both
        source = "proc" if self._network.scope == "namespace" else "host"
        sources["network_receive_bytes"] = sources["network_send_bytes"] = source

    def _steal_seconds(self) -> float | None:
        words = self._stat.text(256).split(None, STEAL_FIELD + 1) if self._stat else []
        return int(words[STEAL_FIELD]) / TICKS if len(words) > STEAL_FIELD else None

    def close(self) -> None:
        for file in (self._stat, self._vmstat, *self._pressure.values()):
            if file:
                file.close()
        if self._network is not None:
            self._network.close()


class RunQueue:
    """Seconds tasks stood runnable without a core, as far as they were seen alive."""

    def __init__(self) -> None:
        self._delay_ns: dict[int, int] = {}
        self.tasks = 0

    def grown_seconds(self, pids: Iterable[int]) -> float:
        """Growth since the last call over those processes' threads, at most some hundred of them."""
        grown = 0
        seen: dict[int, int] = {}
        for tid, path in _tasks(pids):
            delay = _delay_ns(path)
            if delay is None:
                continue
            grown += max(0, delay - self._delay_ns.get(tid, 0))
            seen[tid] = delay
        self._delay_ns, self.tasks = seen, len(seen)
        return grown / 1e9


def _tasks(pids: Iterable[int]) -> Iterable[tuple[int, str]]:
    left = TASKS_LOOKED_AT
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for name in names[:left]:
            yield int(name), f"/proc/{pid}/task/{name}/schedstat"
        left -= min(left, len(names))
        if not left:
            return


def _delay_ns(path: str) -> int | None:
    """Second field of schedstat: time spent waiting on a run queue (kernel: sched-stats.rst)."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        words = os.read(handle, 128).split()
    except OSError:
        return None
    finally:
        os.close(handle)
    return int(words[1]) if len(words) > 1 else None
