"""What a run truly does, which no governor is told: how much work it is, its memory, how its tries go."""

from __future__ import annotations

import enum

import msgspec

from flyball.model.processor import HYPERTHREAD_SHARE
from flyball.model.resource import Offer
from flyball.model.units import MIB


class How(enum.Enum):
    ENDS = "ends"
    HANGS = "hangs"  # computes for ever: only a time-out ends it
    STALLS = "stalls"  # waits for ever: the wrapper's stall rule sees it


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the command, counted over the whole run."""

    how: How = How.ENDS
    at_share: float = 1.0  # of the work, where it ends, hangs or stalls
    exit_code: int = 0
    complete: bool = (
        True  # False: it ends with 0 and its output is not whole; rules beside the exit code see it
    )
    reports: bool = True  # False: its wrapper is never heard of; the machine stays "starting"


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds are those of one thread alone on a core of an m6i, the unit that offers' speeds are in."""

    waiting_seconds: float = 0.0  # for databases and the like: as long on any machine
    serial_seconds: float = 0.0  # one thread busy
    parallel_core_seconds: float = 0.0  # on up to `cores` threads
    cores: float = 1.0
    memory_bytes: int = 64 * MIB  # at its peak
    out_of_memory_at: float = 0.5  # share of the work at which the peak comes
    tries: tuple[Try, ...] = ()  # the first, second... start of the command; later ones go well
    checkpoint_every_seconds: float | None = None  # of its work; None: it starts over
    resume_seconds: float = 0.0  # to read its checkpoint
    progress_every_seconds: float | None = None  # None: it does not report progress

    def nth(self, starts_before: int) -> Try:
        return self.tries[starts_before] if starts_before < len(self.tries) else Try()


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The whole work on one machine."""

    wall_seconds: float
    cpu_seconds: float


def pace_on(offer: Offer, truth: Truth, cores_limit: float | None = None) -> Pace:
    """How long the whole work takes there; the same law as placement's, for one offer and without numpy.

    `cores_limit`: of its own share of a machine that others use too.
    """
    threads = max(1.0, truth.cores)
    here = max(0.01, min(threads, float(offer.vcpus), cores_limit or threads))
    one = thread_speed(offer, 1.0)
    many = thread_speed(offer, here)
    wall = truth.serial_seconds / one + truth.parallel_core_seconds / here / many
    cpu = truth.serial_seconds / one + truth.parallel_core_seconds / many
    if offer.sustained_cpu_share < 1:
        wall = max(wall, cpu / (offer.vcpus * offer.sustained_cpu_share))
    return Pace(wall_seconds=max(1e-3, wall + truth.waiting_seconds), cpu_seconds=cpu)


def thread_speed(offer: Offer, threads: float) -> float:
    """Of one of `threads` threads: beyond half the vCPUs busy, hyperthreads share cores."""
    shared = min(1.0, max(0.0, 2 * threads / offer.vcpus - 1))
    return offer.speed_one_core + (offer.speed_all_cores * HYPERTHREAD_SHARE - offer.speed_one_core) * shared
