"""From errors to words on stderr and an exit code; a traceback is shown for bugs only."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from flyball.errors import EXIT_SIGNAL_BASE, FlyballError
from flyball.meter.order import CannotLimit

_SIGINT, _SIGPIPE = 2, 13


def exit_code_of(command: click.Command, arguments: Sequence[str], *, name: str) -> int:
    """Run a command of the command line; its exit code. What a user can mend is said in words."""
    try:
        code = command.main(args=list(arguments), prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        say("interrupted")
        return EXIT_SIGNAL_BASE + _SIGINT
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FlyballError as error:
        say(str(error))
        return error.exit_code
    except CannotLimit as error:
        say(str(FlyballError(error.what, why=error.why, hint=error.hint)))
        return FlyballError.exit_code
    except (
        BrokenPipeError
    ):  # the reader of our output went away (| head): not an error, but Python would say so at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_SIGNAL_BASE + _SIGPIPE
    return code if isinstance(code, int) else 0


def say(words: str) -> None:
    """One message on stderr, marked as ours."""
    print(f"flyball: {words}", file=sys.stderr, flush=True)  # noqa: T201
