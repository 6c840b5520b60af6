"""What `flyball run` does: hand the request over, then say how it went."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flyball.app.request import request_of
from flyball.app.shown_errors import say
from flyball.app.wiring import client_for_run, tidy_in_background
from flyball.errors import InputError

if TYPE_CHECKING:
    from flyball.engine.one_run import Finished


def run_command(options: Mapping[str, Any]) -> int:
    """The exit code. Raises: InputError, CannotLimit before anything has started."""
    client, warnings = client_for_run(hit_limit=options["hit_limit"])
    if options["on"]:
        from flyball.app.run_on import run_on

        return run_on(options, client)
    for name in ("deadline", "spot", "checkpoint"):
        if options[name]:
            raise InputError(
                f"--{name} is for runs that the governor looks after", hint=f"--on local --{name} ..."
            )
    request, more = request_of(options, client)
    finished = client.run(request, tell=_silent if options["quiet"] else say, prepare=_load_output)
    for warning in (*warnings, *more, *finished.warnings):
        say(f"warning: {warning}")
    _show(finished, options)
    if finished.is_time_to_tidy:
        tidy_in_background()
    return finished.exit_code


def _show(finished: Finished, options: Mapping[str, Any]) -> None:
    from flyball.app import run_output

    if not options["quiet"]:
        print(run_output.summary(finished), file=sys.stderr, flush=True)  # noqa: T201
    if options["as_json"]:
        own_line = "" if finished.stdout_ends_line else "\n"
        print(own_line + run_output.receipt_line(finished), flush=True)  # noqa: T201
    if options["receipt_file"]:
        _write_receipt(options["receipt_file"], run_output.receipt_line(finished))


def _write_receipt(file: str, line: str) -> None:
    try:
        with open(file, "w", encoding="utf-8") as out:  # noqa: PTH123 - pathlib is not loaded on this path
            out.write(line + "\n")
    except OSError as error:
        say(f"warning: cannot write --receipt {file}: {error.strerror}")


def _load_output() -> None:
    gc.enable()  # see __main__.py
    from flyball.app import run_output  # noqa: F401 - it is needed when the command has ended


def _silent(_: str) -> None:
    return
