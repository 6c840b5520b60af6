"""Where alerts go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flyball.errors import Unavailable
from flyball.model.facts import AlertRaised


class Channel(Protocol):
    @property
    def name(self) -> str:
        """Short, and the same after a restart: an alert that was sent over this name is not sent over it again."""
        ...

    def wants(self, alert: AlertRaised) -> bool:
        """Whether it is sent here at all."""
        ...

    def send(self, alert: AlertRaised) -> None:
        """Handed over when it returns; may be called again for an alert that was. It ends by itself within a time
        of its own and says nothing secret in its errors. Raises: Unavailable, however it failed."""
        ...


class MemoryChannel:
    """The whole promise without a network: refuses as often as it is told to."""

    def __init__(self, name: str = "memory", *, refusals: Sequence[str] = ()) -> None:
        self.name = name
        self.sent: list[AlertRaised] = []
        self.refusals = list(refusals)

    def wants(self, alert: AlertRaised) -> bool:  # noqa: ARG002 - everything
        return True

    def send(self, alert: AlertRaised) -> None:
        if self.refusals:
            raise Unavailable(f"{self.name} refused", why=self.refusals.pop(0))
        self.sent.append(alert)
