"""Network bytes since a start, exact where the command has a network namespace of its own."""

from __future__ import annotations

import os
from typing import NamedTuple

NAMESPACE, HOST = "namespace", "host"


class Traffic(NamedTuple):
    """Bytes of one interface, or summed over interfaces."""

    received: int
    sent: int


class NetworkCounter:
    """Bytes received and sent since opening, loopback not counted.

    scope "namespace": the process has a network namespace of its own, so the figures are the command's alone.
    scope "host": it shares the wrapper's, so the figures are everything that this machine (or container) did.

    The open /proc/<pid>/net/dev keeps the namespace alive, so it is read to the end also after the process is
    gone. A process that enters another namespace later (`ip netns exec`) is followed from when that is noticed.
    """

    def __init__(self, pid: int) -> None:
        self._process = _opened(
            f"/proc/{pid}", os.O_DIRECTORY
        )  # never another process that got the pid later
        self._descriptor: int | None = None
        self._namespace: str | None = None
        self.scope = HOST
        self._physical: frozenset[str] = frozenset()
        self._last: dict[str, Traffic] = {}
        self._total = Traffic(0, 0)
        self._follow()

    @classmethod
    def open(cls, pid: int) -> NetworkCounter:
        """Counts from now. Never fails: what cannot be read makes read() answer None."""
        return cls(pid)

    def read(self) -> tuple[int, int] | None:
        """(received, sent) bytes since opening; None where this system does not tell."""
        self._follow()
        now = self._interfaces()
        if now is None:
            return None
        self._total = _grown(self._total, self._last, now)
        self._last.update(now)
        return self._total

    def close(self) -> None:
        """Lets the process and its namespace go; read() answers None from then on."""
        for descriptor in (self._process, self._descriptor):
            if descriptor is not None:
                os.close(descriptor)
        self._process = self._descriptor = None

    def _follow(self) -> None:
        """Opens the process's namespace, again when it has moved to another one."""
        namespace = _namespace_of(self._process)
        if namespace is None or namespace == self._namespace:
            return  # gone, or where it was: the open file goes on answering
        descriptor = _opened("net/dev", inside=self._process)
        if descriptor is None:
            return
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._namespace = descriptor, namespace
        self.scope = HOST if namespace == _link("/proc/self/ns/net") else NAMESPACE
        self._physical = _physical_interfaces() if self.scope == HOST else frozenset()
        self._total, self._last = Traffic(0, 0), self._interfaces() or {}

    def _interfaces(self) -> dict[str, Traffic] | None:
        if self._descriptor is None:
            return None
        try:
            text = _read_whole(self._descriptor)
        except OSError:
            return None
        found = _parsed(text)
        # On a machine, bridges, tunnels and containers' interfaces pass on what a card counts already.
        cards = {name: traffic for name, traffic in found.items() if name in self._physical}
        return cards or found


def _grown(total: Traffic, before: dict[str, Traffic], now: dict[str, Traffic]) -> Traffic:
    """The total plus what each interface counted since; one that was made anew starts from zero."""
    received, sent = total
    for name, traffic in now.items():
        last = before.get(name, Traffic(0, 0))
        restarted = traffic.received < last.received or traffic.sent < last.sent
        received += traffic.received - (0 if restarted else last.received)
        sent += traffic.sent - (0 if restarted else last.sent)
    return Traffic(received, sent)


def _parsed(text: str) -> dict[str, Traffic]:
    """Interfaces of /proc/net/dev (proc_pid_net(5)): column 1 is bytes received, column 9 bytes sent."""
    found = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        columns = rest.split()
        if colon and len(columns) >= 9 and name.strip() != "lo":
            found[name.strip()] = Traffic(int(columns[0]), int(columns[8]))
    return found


def _read_whole(descriptor: int) -> str:
    """The kernel's text anew: reading from the start makes it count again."""
    parts, offset = [], 0
    while part := os.pread(descriptor, 65536, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts).decode(errors="replace")


def _opened(path: str, flags: int = 0, *, inside: int | None = None) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=inside)
    except OSError:
        return None


def _namespace_of(process: int | None) -> str | None:
    return None if process is None else _link("ns/net", inside=process)


def _link(path: str, *, inside: int | None = None) -> str | None:
    try:
        return os.readlink(path, dir_fd=inside)
    except OSError:
        return None


def _physical_interfaces() -> frozenset[str]:
    """Interfaces that have a device behind them; empty in a container, where all are virtual."""
    try:
        names = os.listdir("/sys/class/net")
    except OSError:
        return frozenset()
    return frozenset(name for name in names if os.path.exists(f"/sys/class/net/{name}/device"))
