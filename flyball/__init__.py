"""The governor for batch jobs: record what a run used, choose what the next one gets."""

from __future__ import annotations

__version__ = "0.1.0"
