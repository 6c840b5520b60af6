"""What a machine that is given back has cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.model.charge import Charge, nothing
from flyball.policy.commands import GiveBack

if TYPE_CHECKING:
    from flyball.policy.known import Known


def charge_of(command: GiveBack, known: Known, released_at_seconds: float) -> Charge:
    """Price of its offer from launch to release."""
    return nothing("not reckoned yet")
