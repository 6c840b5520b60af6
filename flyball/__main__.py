"""`flyball` and `python -m flyball`. `flyball run` loads only what starting a command needs."""

from __future__ import annotations

import sys

from flyball import __version__


def main() -> int:
    """The exit code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(f"flyball {__version__}")  # noqa: T201
        return 0
    from flyball.app.shown_errors import exit_code_of

    if arguments[:1] == ["run"]:
        from flyball.app.cli_run import run_command

        return exit_code_of(run_command, arguments[1:], name="flyball run")
    from flyball.app.cli import cli

    return exit_code_of(cli, arguments, name="flyball")


if __name__ == "__main__":
    sys.exit(main())
