"""The command's stdout and stderr: terminals untouched, all else copied byte for byte on its way."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import threading
import time
from collections.abc import Callable
from typing import Any

STDOUT, STDERR = 1, 2
SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux; Python names it from 3.10 on
NEWLINE = 10
CHUNK_BYTES = 1 << 18  # a pipe holds 64 KiB by default: four times fewer turns for a talkative command


class Relay:
    """One pipe from the command to one of our own streams."""

    def __init__(self, targets: tuple[int, ...]) -> None:
        self.targets = targets
        self.read, self.write = os.pipe()
        _widen(self.write)
        self.bytes = 0
        self.ends_line = True
        self.last_at = time.monotonic()
        self._stop, self._stopper = os.pipe()
        self.is_waiting = False
        self._thread: threading.Thread | None = None

    def start(self, keep: Callable[[memoryview], None]) -> None:
        """Copies from now on, in a thread."""
        os.close(self.write)
        self._thread = threading.Thread(target=self._copy, args=(keep,), name="flyball-relay", daemon=True)
        self._thread.start()

    def done(self, seconds: float) -> bool:
        """Whether all has been copied, after waiting for it that long at most."""
        if self._thread is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Ends it though somebody still holds the pipe."""
        os.write(self._stopper, b".")

    def _copy(self, keep: Callable[[memoryview], None]) -> None:
        """Until the pipe ends or our reader goes; then the command's next write fails as it would without us."""
        target = self.targets[0]
        space = memoryview(bytearray(CHUNK_BYTES))  # one for all: a new one each turn costs page faults
        poll = select.poll()
        poll.register(self.read, select.POLLIN)
        poll.register(target, 0)  # only errors: the reader went away
        poll.register(self._stop, select.POLLIN)
        try:
            while True:
                self.is_waiting = True
                ready = dict(poll.poll())
                self.is_waiting = False
                if self.read in ready:
                    count = os.readv(self.read, [space])
                    if not count:
                        return
                    self._pass_on(target, space[:count], keep)
                elif ready:
                    return
        except OSError:
            return  # EPIPE, ENOSPC: our stream takes no more
        finally:
            self.is_waiting = True
            os.close(self.read)

    def _pass_on(self, target: int, data: memoryview, keep: Callable[[memoryview], None]) -> None:
        self.bytes += len(data)
        self.ends_line = data[-1] == NEWLINE
        self.last_at = time.monotonic()
        keep(data)
        left = data
        while left:
            try:
                left = left[os.write(target, left) :]
            except BlockingIOError:  # somebody shares our stream and made it non-blocking
                select.select([], [target], [])


class Streams:
    """Which of stdout and stderr pass through us."""

    def __init__(self, log: str, *, end_background: bool) -> None:
        self.relays: list[Relay] = []
        self.terminal: Any = None
        if log == "always" and any(_is_open(fd) and os.isatty(fd) for fd in (STDOUT, STDERR)):
            self.terminal = _own_terminal()
        if log == "never" or (log == "auto" and not end_background):
            return  # what lives on in the background must keep a stream that lives on too
        passing = [fd for fd in (STDOUT, STDERR) if _is_open(fd) and not os.isatty(fd)]
        if len(passing) == 2 and same_open_file(STDOUT, STDERR):
            self.relays = [Relay((STDOUT, STDERR))]  # one pipe keeps their order
        else:
            self.relays = [Relay((fd,)) for fd in passing]

    def attach(self) -> None:
        """In the child: puts the pipes in place."""
        if self.terminal:
            self.terminal.attach()
        for relay in self.relays:
            for target in relay.targets:
                os.dup2(relay.write, target)

    def start(self, keep: Callable[[memoryview], None], pid: int) -> None:
        """Copies from now on what that process writes."""
        if self.terminal:
            self.terminal.start(keep, pid)
        for relay in self.relays:
            relay.start(keep)

    @property
    def bytes(self) -> int | None:
        """Copied so far; None when nothing passes through us."""
        return sum(copier.bytes for copier in self.copiers) if self.copiers else None

    @property
    def stdout_ends_line(self) -> bool:
        """Whether what is printed next starts a line; taken to be so where stdout does not pass through us."""
        return all(relay.ends_line for relay in self.relays if STDOUT in relay.targets)

    @property
    def copiers(self) -> list[Any]:
        return [*self.relays, self.terminal] if self.terminal else list(self.relays)

    @property
    def last_at(self) -> float:
        """Monotonic time of the last output seen; 0 when none passes through us."""
        return max((copier.last_at for copier in self.copiers), default=0.0)

    def done(self, seconds: float) -> bool:
        """Whether all output has been passed on, after waiting for it that long at most."""
        finished = [copier.done(seconds) for copier in self.copiers]
        return all(finished)

    def stop(self) -> None:
        for copier in self.copiers:
            copier.stop()

    def close(self) -> None:
        """Gives our terminal back."""
        if self.terminal:
            self.terminal.stop()


def hold_closed_streams() -> list[int]:
    """Fills closed standard streams with /dev/null, so that no file of ours lands there; close them after.

    What we open is closed at exec: a stream closed at our start is closed for the command too.
    """
    held: list[int] = []
    while True:
        handle = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if handle > STDERR:
            os.close(handle)
            return held
        held.append(handle)


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, getattr(fcntl, "F_SETPIPE_SZ", SET_PIPE_SIZE), CHUNK_BYTES)
    except OSError:
        pass  # not Linux, or more than this user may have: it works as it is


def _own_terminal() -> Any:
    try:
        from flyball.meter.terminal import Terminal

        return Terminal()
    except (ImportError, OSError):
        return None  # then the command has ours, and nothing is kept


def same_open_file(one: int, other: int) -> bool:
    """Whether two descriptors share their position: made by dup (2>&1), not by opening a file twice."""
    first, second = os.fstat(one), os.fstat(other)
    if (first.st_dev, first.st_ino) != (second.st_dev, second.st_ino):
        return False
    if not stat.S_ISREG(first.st_mode):
        return True
    if fcntl.fcntl(one, fcntl.F_GETFL) & fcntl.fcntl(other, fcntl.F_GETFL) & os.O_APPEND:
        return True  # both append: their order is all that matters
    before = os.lseek(one, 0, os.SEEK_CUR)
    try:
        os.lseek(one, before + 1, os.SEEK_SET)
        return os.lseek(other, 0, os.SEEK_CUR) == before + 1
    finally:
        os.lseek(one, before, os.SEEK_SET)


def _is_open(fd: int) -> bool:
    """Open and meant for children: what has close-on-exec set is a file of ours in a closed stream's place."""
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False
