"""A terminal of the command's own between it and ours, so that what it shows can be kept (as script(1) does)."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import termios
import threading
import time
import tty
from collections.abc import Callable
from typing import Any

STDIN, STDOUT, STDERR = 0, 1, 2
LOCAL_FLAGS, CONTROL_CHARACTERS = 3, 6  # where tcgetattr puts them


class Terminal:
    """Copies keys in and screen out. The command leads a session whose terminal is ours to read."""

    def __init__(self) -> None:
        """Raises OSError when no more terminals can be had."""
        self._outer = STDOUT if os.isatty(STDOUT) else STDERR
        self._master, self._slave = os.openpty()
        self._takes_keys = os.isatty(STDIN)
        self._before: list[Any] | None = None
        try:
            termios.tcsetattr(self._slave, termios.TCSANOW, termios.tcgetattr(self._outer))
        except termios.error:
            pass  # the new terminal's own settings will do
        self.resize()
        self._stop, self._stopper = os.pipe()
        self._threads: list[threading.Thread] = []
        self._leader = 0
        self.bytes, self.last_at, self.is_waiting = 0, time.monotonic(), False

    def attach(self) -> None:
        """In the child: makes the new terminal its controlling one, in place of each stream that is one."""
        os.setsid()
        fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)
        for stream in (STDIN, STDOUT, STDERR):
            try:
                if os.isatty(stream):
                    os.dup2(self._slave, stream)
            except OSError:
                continue  # closed, and stays so

    def start(self, keep: Callable[[memoryview], None], leader: int) -> None:
        """Copies from now on; `leader` is the command."""
        self._leader = leader
        os.close(self._slave)
        self.raw()
        self._threads = [threading.Thread(target=self._show, args=(keep,), daemon=True)]
        if self._takes_keys:
            self._threads.append(threading.Thread(target=self._type, daemon=True))
        for thread in self._threads:
            thread.start()

    def raw(self) -> None:
        """Our terminal passes every key on untouched; not when another job has it now."""
        try:
            if self._takes_keys and os.tcgetpgrp(STDIN) == os.getpgrp():
                self._before = self._before or termios.tcgetattr(STDIN)
                tty.setraw(STDIN, termios.TCSADRAIN)
        except (OSError, termios.error):
            self._before = None

    def restore(self) -> None:
        """Our terminal as it was."""
        if self._before is not None:
            try:
                termios.tcsetattr(STDIN, termios.TCSADRAIN, self._before)
            except termios.error:
                pass  # it hung up

    def resize(self) -> None:
        """Gives the inner terminal the outer one's size; its foreground group is told by the kernel."""
        try:
            size = fcntl.ioctl(self._outer, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        except OSError:
            pass

    def suspend(self) -> None:
        """Ctrl-Z: stops the command and then us; goes on when the shell says so."""
        self._signal(signal.SIGSTOP)  # its group is orphaned, so the kernel would drop a SIGTSTP
        self.restore()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.raw()
        self._signal(signal.SIGCONT)

    def done(self, seconds: float) -> bool:
        """Whether everything has been shown, after waiting for it that long at most."""
        if self._threads:
            self._threads[0].join(seconds)
        return not (self._threads and self._threads[0].is_alive())

    def stop(self) -> None:
        """Ends the copying and puts our terminal back."""
        os.write(self._stopper, b".")
        self.restore()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._leader, number)
        except OSError:
            pass  # it has just ended

    def _show(self, keep: Callable[[memoryview], None]) -> None:
        while True:
            self.is_waiting = True
            ready, _, _ = select.select([self._master, self._stop], [], [])
            self.is_waiting = False
            if self._master not in ready:
                break
            try:
                data = os.read(self._master, 65536)
                if not data:
                    break
                self.bytes += len(data)
                self.last_at = time.monotonic()
                keep(memoryview(data))
                _write_all(self._outer, data)
            except OSError:  # EIO: nobody has the inner terminal open any more
                break
        self.is_waiting = True

    def _type(self) -> None:
        while True:
            ready, _, _ = select.select([STDIN, self._stop], [], [])
            if self._stop in ready:
                return
            try:
                data = os.read(STDIN, 4096)
                if not data:
                    return
                if self._suspends(data):
                    os.kill(os.getpid(), signal.SIGTSTP)  # the main loop does it
                    data = data.replace(b"\x1a", b"")
                _write_all(self._master, data)
            except OSError:
                return

    def _suspends(self, data: bytes) -> bool:
        """Whether the keys hold a Ctrl-Z meant for the command itself, not for a job of a shell inside."""
        if b"\x1a" not in data:
            return False
        try:
            modes = termios.tcgetattr(self._master)
            return bool(
                modes[LOCAL_FLAGS] & termios.ISIG
                and modes[CONTROL_CHARACTERS][termios.VSUSP] == b"\x1a"
                and os.tcgetpgrp(self._master) == self._leader
            )
        except (OSError, termios.error):
            return False


def _write_all(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
