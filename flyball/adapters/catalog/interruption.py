"""Interruptions per hour, from the share of spot machines a cloud says it took back in a month."""

from __future__ import annotations

import math

HOURS_PER_MONTH = 730.0  # 365 days x 24 h / 12

# AWS Spot Advisor publishes one of five bands per type and region. The middle of each stands for it; the open one
# (over 20 %) is read as 25 %.
BAND_SHARES = {"<5%": 0.025, "5-10%": 0.075, "10-15%": 0.125, "15-20%": 0.175, ">20%": 0.25}


def interruptions_per_hour(monthly_share: float) -> float:
    """-ln(1 - share) / 730: the constant rate at which a machine kept for a month is taken back with that chance.

    It is a floor: the share counts machines that were returned after an hour along with those kept all month.
    Raises: ValueError outside 0 <= share < 1.
    """
    if not 0 <= monthly_share < 1:
        raise ValueError(f"{monthly_share} is not a share")
    return -math.log1p(-monthly_share) / HOURS_PER_MONTH
