"""Instants as the user's clock showed them."""

from __future__ import annotations

import time


def local_time(at_seconds: float, utc_offset_seconds: int = 0) -> str:
    """ "2026-11-21 09:31" in the time zone the run was started in; "?" for an instant no calendar holds."""
    return _written(at_seconds + utc_offset_seconds, "%Y-%m-%d %H:%M")


def utc_time(at_seconds: float) -> str:
    """ "2026-11-21T09:31:12Z"."""
    return _written(at_seconds, "%Y-%m-%dT%H:%M:%SZ")


def _written(seconds: float, pattern: str) -> str:
    try:
        return time.strftime(pattern, time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "?"
