"""`flyball run` for the command-line library: its help and its messages. What it does is in run_command.py."""

from __future__ import annotations

from typing import Any

import click

from flyball.app.run_flags import FLAGS

EPILOG = """\b
Exit codes: the command's own; 124 timed out or stalled; 125 flyball itself failed before the command started;
126 cannot be executed; 127 not found; 128+n ended by signal n; 2 wrong options.

\b
Examples:
  flyball run -- python train.py
  flyball run --input data/ --memory auto --retries 2 -t team=data -- python train.py --day 2026-11-21
  flyball run --memory 512MiB..8GiB --timeout 2h -- Rscript model.R
"""


def _options() -> list[click.Parameter]:
    shown: list[click.Parameter] = [
        click.Argument(["command"], nargs=-1, required=True, type=click.UNPROCESSED)
    ]
    for flag in FLAGS:
        if flag.metavar is None:
            more: dict[str, Any] = {"is_flag": True, "flag_value": flag.sets, "default": None}
        else:
            more = {"metavar": flag.metavar, "multiple": flag.several, "default": flag.default}
            more |= {"show_default": flag.default is not None}
        shown.append(click.Option([*flag.names, flag.to], help=flag.help, **more))
    return shown


def _run(**options: Any) -> int:
    """Run COMMAND, record what it used, and say what the next run should get.

    Nothing about the command changes: its input, output, signals and exit code are its own.
    """
    from flyball.app.run_command import run_command as run

    return run(options)


run_command = click.Command(
    "run",
    callback=_run,
    params=_options(),
    help=_run.__doc__,
    epilog=EPILOG,
    context_settings={"allow_interspersed_args": False, "help_option_names": ["-h", "--help"]},
)
