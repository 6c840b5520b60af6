"""The process beside a governor that forks its wrappers; see meter/zygote.py for its own side."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flyball.errors import Unavailable

ROOT = str(Path(__file__).parents[2])
START = "import sys; sys.path.insert(0, sys.argv[1]); from flyball.meter.zygote import serve; serve(int(sys.argv[2]))"
SEND_SECONDS = 10.0  # until a process that takes no orders is given up
NEWS_BYTES = 4096


class Zygote:
    """Started with the first order. Orders it may not have carried out when it died are sent to the next one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._pid = os.getpid()
        self.generation = 0  # grows with each start

    def send(self, order: Mapping[str, Any]) -> None:
        """Raises: Unavailable when it cannot be started or takes no orders."""
        line = json.dumps(order, separators=(",", ":")).encode() + b"\n"
        for _ in range(2):  # the second time to a fresh one
            link = self._link_now()
            try:
                link.sendall(line)
            except OSError:
                self.close()
                continue
            return
        raise Unavailable("the process that starts commands takes no orders")

    def is_gone(self) -> bool:
        """Whether it was started and has died; reads its news."""
        self.news(0.0)
        return self.generation > 0 and self._link is None

    def news(self, seconds: float) -> bool:
        """Whether a command has ended, or the process itself has; waits for it that long at most."""
        if self._link is None:
            return False
        if not select.select([self._link], [], [], seconds)[0]:
            return False
        try:
            if not self._link.recv(NEWS_BYTES):
                self.close()
        except OSError:
            self.close()
        return True

    def close(self) -> None:
        """It ends by itself when it can get no more orders; what it started goes on."""
        if self._link is not None:
            self._link.close()
        if self._process is not None and self._pid == os.getpid():
            try:
                self._process.wait(SEND_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._link = self._process = None

    def __del__(self) -> None:
        self.close()

    def _link_now(self) -> socket.socket:
        if self._pid != os.getpid():  # we are a fork of who started it: it is not ours to talk to
            self._process, self._link, self._pid = None, None, os.getpid()
        if self._link is None:
            self._start()
        assert self._link is not None
        return self._link

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own code
                [sys.executable, "-I", "-S", "-c", START, ROOT, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # keys of a terminal are not for it or what it starts
            )
        except OSError as error:
            ours.close()
            raise Unavailable(
                "the process that starts commands could not be started", why=str(error)
            ) from error
        finally:
            theirs.close()
        ours.settimeout(SEND_SECONDS)
        self._link = ours
        self.generation += 1
