"""One thing looked at on this machine."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`ok`: True works, False does not, None: is not there or worth knowing, and nothing is broken."""

    name: str
    ok: bool | None
    says: str
    fix: str = ""  # what to do about it
