"""Interruption rates from a copy of the Spot Advisor's public JSON (spot-advisor-data.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flyball.adapters.catalog.interruption import BAND_SHARES, interruptions_per_hour
from flyball.errors import InputError

_MOST_BYTES = 64 * 2**20  # the real one has about 6 MB
_HINT = "save https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json and give that file"


def read_spot_advisor(path: Path) -> dict[tuple[str, str], float]:
    """Interruptions per hour of Linux machines by (region, machine type). Raises: InputError."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is too large for Spot Advisor data", hint=_HINT)
        data = json.loads(path.read_bytes())
        return _rates(data)
    except OSError as error:
        raise InputError(f"{path} cannot be read", why=error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise InputError(f"{path} is no Spot Advisor data", why=repr(error)[:100], hint=_HINT) from error


def _rates(data: dict[str, Any]) -> dict[tuple[str, str], float]:
    bands = {
        int(band["index"]): interruptions_per_hour(BAND_SHARES[band["label"]]) for band in data["ranges"]
    }
    return {
        (region, name): bands[int(row["r"])]
        for region, systems in data["spot_advisor"].items()
        for name, row in systems.get("Linux", {}).items()
    }
