"""The governor for batch jobs: record what a run used, choose what the next one gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["__version__", "cancel", "job", "jobs", "plan", "run", "runs", "status", "submit", "wait"]

if TYPE_CHECKING:
    from flyball.api import cancel, jobs, plan, run, runs, status, submit, wait
    from flyball.definitions import job


def __getattr__(name: str) -> object:
    """The API is loaded when it is first used, so that `flyball --version` and the wrapper start at once."""
    if name == "job":
        from flyball.definitions import job

        return job
    if name in __all__:
        from flyball import api

        return getattr(api, name)
    raise AttributeError(f"module 'flyball' has no attribute {name!r}")
