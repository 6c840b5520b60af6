"""Alerts to a command of the user's own: JSON on its stdin, the same in its environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.adapters.notify_webhook import payload
from flyball.errors import Unavailable
from flyball.model.when import show_moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flyball.model.facts import AlertRaised

_ERROR_BYTES = 300


class CommandChannel:
    """Delivered when it ends with 0."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        kinds: frozenset[str] = frozenset(),
        timeout_seconds: float = 10.0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._argv, self._kinds, self._timeout_seconds = tuple(argv), kinds, timeout_seconds
        self._env = dict(env or {})

    def __repr__(self) -> str:
        return f"CommandChannel({self.name!r}, {self._argv[0]!r})"

    def wants(self, alert: AlertRaised) -> bool:
        return not self._kinds or alert.kind in self._kinds

    def send(self, alert: AlertRaised) -> None:
        """Raises: Unavailable."""
        import subprocess

        try:
            process = subprocess.Popen(  # noqa: S603 - it is what the user asked for
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**self._env, **_environment(alert)},
                start_new_session=True,  # so that all of it can be ended
            )
        except (OSError, ValueError) as error:
            raise self._refused(getattr(error, "strerror", None) or str(error)) from None
        with process:
            try:
                _, said = process.communicate(payload(alert), timeout=self._timeout_seconds)
            except subprocess.TimeoutExpired:
                _end_all(process.pid)
                raise self._refused(f"it did not end within {self._timeout_seconds:g} s") from None
        if process.returncode:
            words = " ".join(said[-_ERROR_BYTES:].decode("utf-8", "replace").split())
            raise self._refused(f"it ended with {process.returncode}" + (f": {words}" if words else ""))

    def _refused(self, why: str) -> Unavailable:
        return Unavailable(f"{self.name} ({self._argv[0]}) did not take an alert", why=why)


def _environment(alert: AlertRaised) -> dict[str, str]:
    fields = {
        "KIND": alert.kind,
        "WORDS": alert.words,
        "JOB": alert.job,
        "RUN_ID": alert.run_id,
        "KEY": alert.key,
        "AT": show_moment(alert.at_seconds),
    }
    return {f"FLYBALL_ALERT_{name}": value.replace("\0", " ") for name, value in fields.items()}


def _end_all(pid: int) -> None:
    import contextlib
    import os
    import signal

    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
