"""`flyball` and `python -m flyball`. `flyball run` loads only what starting a command needs."""

from __future__ import annotations

import gc
import os
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

        gc.disable()  # while loading; what is loaded stays, so looking through it again and again is for nothing
        options = plain_options(arguments[1:])
        if options is not None:
            _load_msgspec()
            from flyball.app.run_command import run_command

            return _leave_at_once(run_command(options))
    from flyball.app.cli import run_cli

    return run_cli(arguments)


def _load_msgspec() -> None:
    """Without typing_extensions, which it takes where it is installed: 5 of our 80 ms, for nothing that Python 3.11 lacks."""
    name = "typing_extensions"
    if name not in sys.modules:
        sys.modules[name] = None  # type: ignore[assignment]  # as the import system says: not to be had
        import msgspec  # noqa: F401

        del sys.modules[name]


def _leave_at_once(code: int) -> int:
    """Ends the process without taking the interpreter apart, which takes as long as recording the run did."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
