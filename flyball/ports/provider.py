"""Where attempts run. Decisions see capabilities and listings only, never a provider's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flyball.errors import FlyballError
from flyball.model.machine import Capabilities, Launch, Machine


class Refused(FlyballError):
    """The provider said no, and nothing was started: there is no machine and no charge."""

    kind = "refused"


class NoCapacity(Refused):
    """The offer exists but cannot be had now; another may, or this one later."""

    kind = "no_capacity"


class QuotaReached(Refused):
    """This account may not have more of it; other kinds of offer may still be had."""

    kind = "quota"


class BadRequest(Refused):
    """It would be refused however often it is asked; `why` says what is wrong with it."""

    kind = "bad_request"


class Provider(Protocol):
    """Every provider passes ports/provider_contract.py. Unavailable may come from any call, and then nobody knows
    whether the call worked: the same call is made again."""

    @property
    def capabilities(self) -> Capabilities: ...

    def launch(self, order: Launch) -> None:
        """Start it. Repeating an attempt id does nothing, also when it has ended or was released since.

        Raises: NoCapacity, QuotaReached, BadRequest (nothing was started), Unavailable (nobody knows).
        """
        ...

    def machines(self) -> Sequence[Machine]:
        """Every launch not yet released, ended ones included; reading consumes nothing. It may lag behind launches
        by the capabilities' listing lag. A machine whose end left no trace is missing. Raises: Unavailable."""
        ...

    def stop(self, attempt_ids: Sequence[str]) -> None:
        """End these commands (SIGTERM, then SIGKILL after their grace); they stay listed, ended as cancelled, with
        their receipts. Does nothing to what has ended. Raises: Unavailable."""
        ...

    def release(self, attempt_id: str) -> None:
        """Give the machine back, running or not, and forget it; does nothing when it is gone. Raises: Unavailable."""
        ...

    def renew(self, attempt_ids: Sequence[str]) -> None:
        """The governor lives: their dead man's switches start anew. Raises: Unavailable."""
        ...
