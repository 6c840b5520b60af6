"""From errors to words on stderr and an exit code; a traceback is shown for bugs only."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from flyball.errors import EXIT_SIGNAL_BASE, FlyballError
from flyball.meter.order import CannotLimit

_SIGINT, _SIGPIPE = 2, 13


def exit_code_of(work: Callable[[], int]) -> int:
    """What `work` gives, or the exit code of what it raised; what a user can mend is said in words."""
    try:
        code = work()
        sys.stdout.flush()
    except FlyballError as error:
        say(str(error))
        return error.exit_code
    except CannotLimit as error:
        say(str(error))
        return FlyballError.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return EXIT_SIGNAL_BASE + _SIGINT
    except (
        BrokenPipeError
    ):  # the reader of our output went away (| head): not an error, but Python would say so at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_SIGNAL_BASE + _SIGPIPE
    return code


def say(words: str) -> None:
    """One message on stderr, marked as ours."""
    print(f"flyball: {words}", file=sys.stderr, flush=True)  # noqa: T201
