"""What goes wrong between the governor and the cloud, and how long machines take to start."""

from __future__ import annotations

import math
from random import Random

import msgspec

P95_SIGMAS = 1.6449  # of a normal distribution


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the launch call to the command, lognormal.

    The defaults lie between what Spare Cores measured from 2026-05 to 2026-08: medians 31.5 s (AWS, p95 46 s), 41 s
    (Azure, p95 141 s), 42 s (Google Cloud, p95 128 s).
    """

    median_seconds: float = 40.0
    p95_seconds: float = 100.0

    def draw(self, rng: Random) -> float:
        sigma = math.log(self.p95_seconds / self.median_seconds) / P95_SIGMAS
        return rng.lognormvariate(math.log(self.median_seconds), sigma)


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Rates are chances per call or per machine. None of them by default."""

    throttle_rate: float = 0.0  # a call does nothing and raises Unavailable
    lost_answer_rate: float = 0.0  # a call works and raises Unavailable all the same
    listing_lag_seconds: float = 0.0  # listings show the past, each another one, at most so old
    silent_rate: float = 0.0  # machines that never report
    vanish_per_hour: float = 0.0  # machines gone without a trace
    no_notice_rate: float = 0.0  # of interruptions: no warning
    late_notice_rate: float = 0.0  # of the warnings: at a time somewhere in their two minutes
    doubled_notice_rate: float = 0.0  # of the warnings: also seen with other times, in any order
    no_receipt_rate: float = 0.0  # ended machines whose wrapper's record is lost
