"""Waiting for the next thing to do: a signal, the child's end, or a moment to look at the counters."""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import Any, NamedTuple

SI_KERNEL = 0x80  # the terminal driver sent it, to the whole foreground group (asm-generic/siginfo.h)

PASSED_ON = tuple(
    getattr(signal, name)
    for name in (
        "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGWINCH", "SIGTSTP",
        "SIGALRM", "SIGPROF", "SIGVTALRM", "SIGIO", "SIGPWR", "SIGURG",
    )
    if hasattr(signal, name)
)  # fmt: skip


class Got(NamedTuple):
    """A signal that came in."""

    number: int
    from_terminal: bool  # the child had it too: both are in the foreground group


class SignalWait:
    """Waits with the signals blocked, so that none interrupts anything and each tells where it came from.

    Every thread started later inherits the mask. Only right for a process that has one thread now.
    """

    def __init__(self) -> None:
        self._set = {*PASSED_ON, signal.SIGCHLD}
        # an inherited SIG_IGN would let the kernel reap the child and lose its exit code
        self._sigchld = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.mask_before = signal.pthread_sigmask(signal.SIG_BLOCK, self._set)

    def wait(self, seconds: float) -> Got | None:
        """The next signal, or None after that many seconds."""
        info = signal.sigtimedwait(self._set, max(0.0, seconds))
        return None if info is None else Got(info.si_signo, info.si_code == SI_KERNEL)

    def close(self) -> None:
        """Drops what is still waiting and lets signals through as before."""
        while signal.sigtimedwait(self._set, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask_before)
        _restore(signal.SIGCHLD, self._sigchld)


class HandlerWait:
    """The same through handlers and a pipe, where sigtimedwait is missing (macOS).

    It cannot see who sent a signal: keys of a terminal whose foreground group is ours are taken to have
    reached the child already.
    """

    def __init__(self) -> None:
        self.mask_before: set[Any] = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._waiting: list[int] = []
        self._before = {number: signal.getsignal(number) for number in (*PASSED_ON, signal.SIGCHLD)}
        for number in (*PASSED_ON, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float) -> Got | None:
        """The next signal, or None after that many seconds."""
        if not self._waiting:
            ready, _, _ = select.select([self._read], [], [], max(0.0, seconds))
            self._waiting = list(os.read(self._read, 512)) if ready else []
        if not self._waiting:
            return None
        number = self._waiting.pop(0)
        return Got(number, number in KEYS and _our_terminal())

    def close(self) -> None:
        """Puts the handlers back."""
        for number, before in self._before.items():
            _restore(number, before)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._read)
        os.close(self._write)


KEYS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH)


def open_wait() -> SignalWait | HandlerWait:
    """The best way to wait that this system has."""
    return SignalWait() if hasattr(signal, "sigtimedwait") and sys.platform != "darwin" else HandlerWait()


def _our_terminal() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _restore(number: int, before: Any) -> None:
    if before is not None:  # None: set by something that is not Python
        signal.signal(number, before)
