"""The governor for batch jobs: record what a run used, choose what the next one gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["__version__", "jobs", "plan", "run", "runs"]

if TYPE_CHECKING:
    from flyball.api import jobs, plan, run, runs


def __getattr__(name: str) -> object:
    """The API is loaded when it is first used, so that `flyball --version` and the wrapper start at once."""
    if name in __all__:
        from flyball import api

        return getattr(api, name)
    raise AttributeError(f"module 'flyball' has no attribute {name!r}")
