"""`flyball run`: parse, hand over, render."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from flyball.app.shown_errors import say

if TYPE_CHECKING:
    from flyball.engine.one_run import Finished

EPILOG = """\b
Exit codes: the command's own; 124 timed out or stalled; 125 flyball itself failed before the command started;
126 cannot be executed; 127 not found; 128+n ended by signal n; 2 wrong options.

\b
Examples:
  flyball run -- python train.py
  flyball run --input data/ --memory auto --retries 2 -t team=data -- python train.py --day 2026-11-21
  flyball run --memory 512MiB..8GiB --timeout 2h -- Rscript model.R
"""


@click.command(
    "run",
    epilog=EPILOG,
    context_settings={
        "ignore_unknown_options": False,
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
    },
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("-n", "--name", help="Name of the job. Default: derived from the command.")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="PATH_OR_URL",
    help="Input whose bytes explain the run: a file, folder, s3://, gs://, az://, https://, or @FILE with one path a line.",
)
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="K=V",
    help="A parameter that may explain what the run needs.",
)
@click.option(
    "-t",
    "--tag",
    "tags",
    multiple=True,
    metavar="K=V",
    help="Customer, team or unit of work, for accounting.",
)
@click.option(
    "-e",
    "--env",
    "env",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Environment of the command. Values are never recorded.",
)
@click.option(
    "--env-file",
    "env_files",
    multiple=True,
    metavar="FILE",
    help="NAME=VALUE lines. Values are never recorded.",
)
@click.option(
    "-m",
    "--memory",
    metavar="SIZE",
    help="Limit: 2GiB; 512MiB..8GiB to come back bigger after running out; auto for what was planned.",
)
@click.option("-c", "--cpus", metavar="CORES", help="Limit: 1.5, or auto for what was planned.")
@click.option("--timeout", metavar="TIME", help="End it after this long, e.g. 2h.")
@click.option(
    "--stalled-after", metavar="TIME", help="End it after this long without CPU, IO or output, e.g. 20m."
)
@click.option(
    "--grace", metavar="TIME", default="10s", show_default=True, help="Between SIGTERM and SIGKILL."
)
@click.option(
    "--retries",
    type=click.IntRange(0, 10),
    default=0,
    show_default=True,
    help="Start it again this often after a failure.",
)
@click.option(
    "--log/--no-log",
    "log",
    default=None,
    help="Keep its output for flyball logs. Default: unless it goes to a terminal.",
)
@click.option(
    "--leave-background", is_flag=True, help="Do not end what the command leaves running in the background."
)
@click.option("-C", "--workdir", metavar="FOLDER", help="Run it in this folder.")
@click.option("-q", "--quiet", is_flag=True, help="No summary.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="The receipt as one line of JSON on stdout after the command has ended.",
)
@click.option("--receipt", "receipt_file", metavar="FILE", help="Write the receipt as JSON to this file.")
def run_command(**options: Any) -> int:
    """Run COMMAND, record what it used, and say what the next run should get.

    Nothing about the command changes: its input, output, signals and exit code are its own.
    """
    from flyball.app.request import request_of
    from flyball.app.wiring import client_for_run, tidy_in_background

    client, warnings = client_for_run()
    request, more = request_of(options, client)
    quiet = bool(options["quiet"])
    finished = client.run(request, tell=_silent if quiet else say)
    for warning in (*warnings, *more, *finished.warnings):
        say(f"warning: {warning}")
    _show(finished, options)
    if finished.is_time_to_tidy:
        tidy_in_background()
    return finished.exit_code


def _show(finished: Finished, options: dict[str, Any]) -> None:
    from flyball.app import run_output

    if not options["quiet"]:
        print(run_output.summary(finished), file=sys.stderr, flush=True)  # noqa: T201
    if options["as_json"]:
        print(run_output.receipt_line(finished), flush=True)  # noqa: T201
    if options["receipt_file"]:
        _write_receipt(options["receipt_file"], run_output.receipt_line(finished))


def _write_receipt(file: str, line: str) -> None:
    try:
        with open(file, "w", encoding="utf-8") as out:  # noqa: PTH123 - pathlib is not loaded on this path
            out.write(line + "\n")
    except OSError as error:
        say(f"warning: cannot write --receipt {file}: {error.strerror}")


def _silent(_: str) -> None:
    return
