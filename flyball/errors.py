"""Errors that say who must act. Anything that is not one of these is a bug and crashes."""

from __future__ import annotations

EXIT_INPUT = 2  # the user can mend it
EXIT_TIMED_OUT = 124  # as coreutils timeout(1)
EXIT_FLYBALL_FAILED = 125  # flyball itself, not the command; as docker run and timeout(1)
EXIT_CANNOT_EXECUTE = 126  # found, but not executable; as a shell
EXIT_NOT_FOUND = 127
EXIT_SIGNAL_BASE = 128  # 128 + n: ended by signal n


class FlyballError(Exception):
    """What happened, why, and what to type next, in that order; shown without a traceback."""

    exit_code = EXIT_FLYBALL_FAILED

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.hint = what, why, hint

    def __str__(self) -> str:
        return (
            self.what + (f": {self.why}" if self.why else "") + (f"\n  try: {self.hint}" if self.hint else "")
        )


class InputError(FlyballError):
    """The user gave something that cannot be used, and can mend it."""

    exit_code = EXIT_INPUT


class Unavailable(FlyballError):
    """Something outside does not answer or refuses now; the same call may work later."""


class StoreError(FlyballError):
    """The store cannot be read or written: corrupt, newer than this flyball, full disk, no permission."""


class Conflict(FlyballError):
    """Someone else appended first; read again, decide again."""
