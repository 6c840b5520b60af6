"""The options of `flyball run`, in one table: read here without loading the command-line library, shown by cli_run.py with it.

Loading that library takes longer than everything else before the command starts. Whatever is not plain (--help, an
unknown option, a missing value, a wrong number) is left to it, for its messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

RETRIES_MAX = 10


class Flag(NamedTuple):
    names: tuple[str, ...]
    to: str
    help: str
    metavar: str | None = None  # None: a switch
    several: bool = False
    default: Any = None
    sets: Any = True  # what a switch sets


FLAGS = (
    Flag(
        ("--on",),
        "on",
        "Submit it to the governor, to run there: local. Its output is passed on; its code is ours.",
        "PROVIDER",
    ),
    Flag(("--deadline",), "deadline", "With --on: it must be done this long from now, e.g. 6h.", "TIME"),
    Flag(
        ("--spot",), "spot", "With --on: spot machines auto (by cost and deadline), always or never.", "WHEN"
    ),
    Flag(
        ("--checkpoint",),
        "checkpoint",
        "With --on: the folder or URL that it resumes from after an interruption. Default: it starts over.",
        "PLACE",
    ),
    Flag(("-n", "--name"), "name", "Name of the job. Default: derived from the command.", "TEXT"),
    Flag(
        ("-i", "--input"),
        "inputs",
        "Input whose bytes explain the run: a file, folder, s3://, gs://, az://, https://, or @FILE with one path a line.",
        "PATH_OR_URL",
        several=True,
    ),
    Flag(
        ("-p", "--param"), "params", "A parameter that may explain what the run needs.", "K=V", several=True
    ),
    Flag(("-t", "--tag"), "tags", "Customer, team or unit of work, for accounting.", "K=V", several=True),
    Flag(
        ("-e", "--env"),
        "env",
        "Environment of the command. Values are never recorded.",
        "NAME[=VALUE]",
        several=True,
    ),
    Flag(("--env-file",), "env_files", "NAME=VALUE lines. Values are never recorded.", "FILE", several=True),
    Flag(
        ("-m", "--memory"),
        "memory",
        "Limit: 2GiB; 512MiB..8GiB to come back bigger after running out; auto for what was planned.",
        "SIZE",
    ),
    Flag(("-c", "--cpus"), "cpus", "Limit: 1.5, or auto for what was planned.", "CORES"),
    Flag(
        ("--hit-limit",),
        "hit_limit",
        "At most this share of runs may hit a planned memory limit, e.g. 2%. Default: priced.",
        "PERCENT",
    ),
    Flag(("--timeout",), "timeout", "End it after this long, e.g. 2h.", "TIME"),
    Flag(
        ("--stalled-after",),
        "stalled_after",
        "End it after this long without CPU, IO or output, e.g. 20m.",
        "TIME",
    ),
    Flag(("--grace",), "grace", "Between SIGTERM and SIGKILL.", "TIME", default="10s"),
    Flag(
        ("--retries",),
        "retries",
        f"Start it again this often after a failure, at most {RETRIES_MAX}.",
        "N",
        default="0",
    ),
    Flag(("--log",), "log", "Keep its output for flyball logs, also when it goes to a terminal."),
    Flag(("--no-log",), "log", "Do not keep its output.", sets=False),
    Flag(
        ("--leave-background",),
        "leave_background",
        "Do not end what the command leaves running in the background.",
    ),
    Flag(("-C", "--workdir"), "workdir", "Run it in this folder.", "FOLDER"),
    Flag(("-q", "--quiet"), "quiet", "No summary."),
    Flag(("--json",), "as_json", "The receipt as one line of JSON on stdout after the command has ended."),
    Flag(("--receipt",), "receipt_file", "Write the receipt as JSON to this file.", "FILE"),
)


def defaults() -> dict[str, Any]:
    """The options when nothing is given."""
    return {flag.to: () if flag.several else _default(flag) for flag in FLAGS}


def plain_options(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The options and the command, when all of them are plain; None: let the command-line library look."""
    by_name = {name: flag for flag in FLAGS for name in flag.names}
    options, at = defaults(), 0
    while at < len(arguments) and arguments[at].startswith("-") and arguments[at] != "--":
        name, equals, value = arguments[at].partition("=")
        flag = by_name.get(name)
        if flag is None or (equals and (flag.metavar is None or not name.startswith("--"))):
            return None
        at += 1
        if flag.metavar is None:
            options[flag.to] = flag.sets
            continue
        if not equals:
            if at == len(arguments):
                return None
            value, at = arguments[at], at + 1
        options[flag.to] = (*options[flag.to], value) if flag.several else value
    command = arguments[at + 1 :] if arguments[at : at + 1] == ["--"] else arguments[at:]
    return {**options, "command": tuple(command)} if command and options["retries"].isdecimal() else None


def _default(flag: Flag) -> Any:
    return flag.default if flag.metavar is not None else None if flag.to == "log" else False
