"""Moments as keys: by month and by hour, in UTC, as bills count them."""

from __future__ import annotations

from datetime import UTC, datetime


def month_key(at_seconds: float) -> str:
    """ "2026-11"."""
    return datetime.fromtimestamp(at_seconds, UTC).strftime("%Y-%m")


def hour_key(at_seconds: float) -> str:
    """ "hour 0491041": sorts as time passes."""
    return f"hour {int(at_seconds // 3600):07d}"


def show_moment(at_seconds: float) -> str:
    """ "2026-11-21 06:00:00 UTC"."""
    return datetime.fromtimestamp(at_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
