"""What must not be in the log: commands and environments as they are, with their secrets."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """What is executed. {day} and the like in `command` and `env` are filled in per run."""

    command: tuple[str, ...]
    env: dict[str, str] = {}  # beside the environment of the provider
    inherit_env: bool = True  # a local attempt also gets the governor's environment
    log: str = "always"


class Papers(Protocol):
    def keep(self, paper: Paper) -> str:
        """Its name, which is the same for the same paper; durable on return, readable by this user only.

        Raises: StoreError.
        """
        ...

    def get(self, name: str) -> Paper | None:
        """None when it is gone or damaged: then what needs it cannot be started."""
        ...


class MemoryPapers:
    """The whole promise without a disk: for tests and simulations."""

    def __init__(self) -> None:
        self._papers: dict[str, Paper] = {}

    def keep(self, paper: Paper) -> str:
        import hashlib

        name = hashlib.sha256(msgspec.json.encode(paper, order="deterministic")).hexdigest()[:32]
        self._papers[name] = paper
        return name

    def get(self, name: str) -> Paper | None:
        return self._papers.get(name)
