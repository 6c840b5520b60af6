"""Starting the command: inside its groups, with its streams, and with signals as we found them."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

PYTHON_IGNORES = tuple(getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name))
SHELL = "/bin/sh"


class Started(NamedTuple):
    """What became of a start: `error` when the command could not be executed."""

    at: float  # monotonic
    error: OSError | None
    entered: bool  # it stands in its groups


def fork(
    command: tuple[str, ...],
    *,
    doors: list[int],
    attach: Callable[[], None],
    mask: set[Any],
    workdir: str | None,
    env: dict[str, str] | None,
) -> tuple[int, int]:
    """The child's pid, and the file to hand to `wait_until_started`.

    Fork, not spawn: the child must be inside its groups before it is the command, and in a process with one
    thread this is safe and the fastest way (0.3 ms; a launcher program would add 1 to 9 ms).
    """
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of threads; see run_metered
        pid = os.fork()
    if pid == 0:
        _become(command, write, doors, attach, mask, workdir, env)
    os.close(write)
    return pid, read


def wait_until_started(read: int) -> Started:
    """When the command began, or why it could not."""
    text = b""
    while piece := os.read(read, 4096):
        text += piece
    os.close(read)
    entered, at, error = True, time.monotonic(), None
    for line in text.decode(errors="surrogateescape").splitlines():
        word, _, rest = line.partition(" ")
        if word == "outside":
            entered = False
        elif word == "exec":
            at = float(rest)
        elif word == "error":
            number, _, name = rest.partition(" ")
            error = OSError(int(number), os.strerror(int(number)), name)
    return Started(at, error, entered)


def _become(  # noqa: PLR0917 - all of it must cross the fork
    command: tuple[str, ...],
    report: int,
    doors: list[int],
    attach: Callable[[], None],
    mask: set[Any],
    workdir: str | None,
    env: dict[str, str] | None,
) -> NoReturn:
    """The child's side. Leaves by exec or by _exit, never by an exception."""
    stage = command[0]
    try:
        for door in doors:
            try:
                os.write(door, b"0")
            except OSError as refused:
                os.write(report, b"outside %d\n" % (refused.errno or 0))
        attach()
        for number in PYTHON_IGNORES:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if workdir is not None:
            stage = workdir
            os.chdir(workdir)
            stage = command[0]
        os.write(report, b"exec %.6f\n" % time.monotonic())
        _execute(command, os.environ if env is None else env)
    except OSError as failed:
        os.write(report, f"error {failed.errno or errno.EIO} {stage}\n".encode(errors="surrogateescape"))
    except BaseException as failed:  # ValueError: a NUL byte in an argument
        os.write(report, f"error {errno.EINVAL} {stage}\n".encode(errors="replace"))
        sys.stderr.write(f"flyball: {failed}\n")
    finally:
        os._exit(127)


def _execute(command: tuple[str, ...], env: Any) -> None:
    """Replaces this process, or raises OSError. A file that is no binary and names no interpreter goes to sh,
    as with execvp(3)."""
    if not command[0]:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "")
    refused: OSError | None = None
    for path in _candidates(command[0], env):
        try:
            os.execve(path, command, env)  # noqa: S606 - the command is the user's
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                os.execve(SHELL, (SHELL, path, *command[1:]), env)  # noqa: S606
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                refused = refused or error
    raise refused or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])


def _candidates(name: str, env: Any) -> list[str]:
    if "/" in name:
        return [name]
    return [os.path.join(folder or ".", name) for folder in env.get("PATH", os.defpath).split(os.pathsep)]


def shell_exit_code(error: OSError) -> int:
    """127: not found; 126: found, but not to be executed."""
    return 127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126


def shell_message(error: OSError) -> str:
    """The line a shell would print."""
    found = error.errno == errno.ENOENT and "/" not in str(error.filename)
    return f"flyball: {error.filename}: {'command not found' if found else error.strerror}"
