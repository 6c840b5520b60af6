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

    return exit_code_of(lambda: _command(arguments))


def _command(arguments: list[str]) -> int:
    if arguments[:1] == ["run"]:
        from flyball.app.run_flags import plain_options

        options = plain_options(arguments[1:])
        if options is not None:
            from flyball.app.run_command import run_command

            return run_command(options)
    from flyball.app.cli import run_cli

    return run_cli(arguments)


if __name__ == "__main__":
    sys.exit(main())
