"""A process that has everything loaded and forks a wrapper for each order: 2 ms where starting Python takes 40.

Orders come as lines of JSON. Wrappers are sessions of their own: they outlive this process and the one that asked.
It ends when nobody can send orders any more.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
from typing import Any, NoReturn

from flyball.meter import background
from flyball.meter.one_machine import refuse, run_machine

READ_BYTES = 1 << 18
NEWS = b"."  # a wrapper has ended


def serve(link: int) -> NoReturn:
    """Until the other end of `link` is closed; orders that came before are still carried out."""
    os.set_blocking(link, False)  # news that nobody reads must not stop us
    _look_up_what_all_need()
    wake_read, wake_write = os.pipe()
    for end in (wake_read, wake_write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(link, select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    gc.collect()
    gc.freeze()  # else the first collection in each child copies every page
    rest = b""
    while True:
        ready = dict(poll.poll())
        if wake_read in ready:
            _drain(wake_read)
            _reap(link)
        if link in ready:
            data = _received(link)
            if not data:
                os._exit(0)
            *orders, rest = (rest + data).split(b"\n")
            for order in orders:
                _fork(json.loads(order), (link, wake_read, wake_write))


def _received(link: int) -> bytes:
    """Empty: there will be no more."""
    try:
        return os.read(link, READ_BYTES)
    except ConnectionResetError:  # closed with news unread
        return b""


def _fork(order: dict[str, Any], ours: tuple[int, ...]) -> None:
    try:
        pid = os.fork()
    except OSError as error:
        refuse(order, f"no process could be started: {error.strerror}")
        return
    if pid:
        return
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for handle in ours:
            os.close(handle)
        run_machine(order)
    except BaseException as error:
        _leave_a_trace(order, error)
    finally:
        os._exit(0)


def _leave_a_trace(order: dict[str, Any], error: BaseException) -> None:
    """A wrapper that crashes says why in its attempt's folder; the listing finds it dead."""
    try:
        with open(os.path.join(order["folder"], "wrapper_error"), "w", encoding="utf-8") as file:
            file.write(f"{type(error).__name__}: {error}\n")
    except OSError:
        pass


def _reap(link: int) -> None:
    ended = False
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            ended = True
    except ChildProcessError:
        pass
    if ended:
        try:
            os.write(link, NEWS)
        except OSError:
            pass  # gone: the next read says so


def _drain(handle: int) -> None:
    try:
        while os.read(handle, 4096):
            pass
    except BlockingIOError:
        pass


def _look_up_what_all_need() -> None:
    """Modules that a wrapper loads when it needs them, and what the machine is."""
    import ctypes

    from flyball.meter import gpu, network, proctree, terminal  # noqa: F401 - loaded for the children
    from flyball.meter.host import cloud_facts, host_facts

    known = {name: value for name, value in cloud_facts(2.0).items() if value is not None}
    try:
        ctypes.CDLL(gpu.LIBRARY)
        gpus = True
    except OSError:
        gpus = False
    background.KNOWN[:] = [background.Known({**host_facts(), **known}, gpus)]


if __name__ == "__main__":
    serve(int(sys.argv[1]))
