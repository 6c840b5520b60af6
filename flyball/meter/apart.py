"""A wrapper process of its own, for callers that have threads: fork and signal masks are only safe without."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flyball.meter.order import CannotLimit, Order

if TYPE_CHECKING:
    import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from flyball.meter.apart import serve; serve(*sys.argv[2:])"
)


def must_be_apart() -> bool:
    """Whether this process has more than the one thread that asks."""
    if threading.current_thread() is not threading.main_thread():
        return True
    try:
        return len(os.listdir("/proc/self/task")) > 1
    except OSError:
        return threading.active_count() > 1


def run_apart(order: Order, while_running: Callable[[], None] | None) -> dict[str, Any]:
    """As run_metered. Ctrl-C is the command's to answer; KeyboardInterrupt follows when it has ended."""
    import subprocess

    ask_read, ask_write = os.pipe()
    answer_read, answer_write = os.pipe()
    command = [sys.executable, "-I", "-S", "-c", START, ROOT, str(ask_read), str(answer_write)]
    wrapper = subprocess.Popen(command, pass_fds=(ask_read, answer_write))
    os.close(ask_read)
    os.close(answer_write)
    with open(ask_write, "w", encoding="utf-8") as ask:
        json.dump(order._asdict(), ask)
    error = _run_beside(while_running)
    answer, interrupted = _wait(wrapper, answer_read)
    if "cannot_limit" in answer:
        raise CannotLimit(*answer["cannot_limit"])
    if error:
        answer["while_running_error"] = error
    if interrupted:
        raise KeyboardInterrupt
    return answer


def _run_beside(work: Callable[[], None] | None) -> str | None:
    if work is None:
        return None
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _wait(wrapper: subprocess.Popen[bytes], answer_read: int) -> tuple[dict[str, Any], bool]:
    interrupted = False
    text = b""
    with open(answer_read, "rb") as answer:
        while True:
            try:
                text += answer.read()
                wrapper.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
    if not text:
        raise RuntimeError(f"the wrapper ended with {wrapper.returncode} and no receipt")
    decoded: dict[str, Any] = json.loads(text)
    return decoded, interrupted


def serve(ask: str, answer: str) -> None:
    """The wrapper process's side."""
    from flyball.meter.supervise import run_metered

    with open(int(ask), encoding="utf-8") as file:
        values = json.load(file)
    values["command"] = tuple(values["command"])
    os.set_inheritable(int(answer), False)
    try:
        receipt = run_metered(Order(**values))
    except CannotLimit as refusal:
        receipt = {"cannot_limit": [refusal.what, refusal.why, refusal.hint]}
    with open(int(answer), "w", encoding="utf-8") as file:
        json.dump(receipt, file)
