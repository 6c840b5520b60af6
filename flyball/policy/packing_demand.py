"""Which runs are small, and how many of them wait or are to be expected."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from flyball.model.plan import Plan
from flyball.model.resource import Arch, Offer
from flyball.model.snapshot import LiveRun
from flyball.policy.next_step import Launchable
from flyball.policy.placement import usable_memory_bytes
from flyball.policy.size_ask import size_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyball.policy.failover_errand import Errand, Stall
    from flyball.policy.size_ask import Sized

# Longer runs are not worth the company: a start is little beside them, and one of them keeps a whole machine from ending.
SMALL_SECONDS_MAX = 600.0
BURST = 8.0  # all at their peak together want at most so many times the cores there are
CORES_LEAST = 0.05
MEAN_HEADROOM = 1.1
LENGTHS_ALIKE, SIZES_ALIKE = 3.0, 4.0  # at most so many times each other: such runs are counted together
NOTHING_GROWN = Launchable(attempt_id="", reason="")
RATE_WINDOW_SECONDS = 1800.0  # small runs that ended lately say how many come


class Small(msgspec.Struct, frozen=True, kw_only=True):
    """A run that may share a machine. Reserved: its mean of cores, its limit of memory."""

    providers: tuple[str, ...]  # with warm machines
    arch: Arch | None
    seconds: float
    seconds_p90: float
    cpu_cores: float
    cpu_cores_most: float  # it may use when others leave them
    memory_bytes: int

    def may_be_on(self, provider: str, offer: Offer) -> bool:
        return provider in self.providers and self.arch in {None, offer.arch} and not offer.gpus

    def share_of(self, offer: Offer) -> float:
        """Of the machine: the larger of its shares of CPU and memory."""
        memory = self.memory_bytes / max(1, usable_memory_bytes(offer.memory_bytes))
        return max(memory, self.cpu_cores / offer.vcpus)


class Crowd(msgspec.Struct):
    """Small runs that could share a machine with this one: how many, and what they need together."""

    runs: float = 0.0
    seconds: float = 0.0
    cpu_cores: float = 0.0
    memory_bytes: float = 0.0

    def add(self, small: Small, runs: float = 1.0) -> None:
        self.runs += runs
        self.seconds += runs * small.seconds
        self.cpu_cores += runs * small.cpu_cores
        self.memory_bytes += runs * small.memory_bytes


def small_of(errand: Errand, stall: Stall) -> Small | None:
    """None: too long, too particular about its machine, or not known well enough."""
    return _small(errand.run, errand.plan, stall, errand.sized)


def _small(run: LiveRun, plan: Plan, stall: Stall, sizes: Mapping[str, Sized] | None = None) -> Small | None:
    ask, wall = run.spec.size, plan.forecast.wall_seconds
    if wall is None or wall.p50 > SMALL_SECONDS_MAX or ask.gpus or ask.families or ask.instance_types:
        return None
    providers = tuple(name for name in stall.providers(run) if stall.known.supplies[name].capabilities.hosts)
    if not providers:
        return None
    capabilities = stall.known.supplies[providers[0]].capabilities
    sized = sizes[providers[0]] if sizes else size_for(ask, plan, NOTHING_GROWN, capabilities)
    if ask.cpu_cores is not None and ask.cpu_cores_max is None:
        cores, most = ask.cpu_cores, ask.cpu_cores
    else:
        busy = plan.forecast.cpu_core_seconds
        mean = busy.p50 / max(wall.p50, 1e-9) if busy is not None else sized.size.cpu_cores
        cores = max(
            CORES_LEAST, min(MEAN_HEADROOM * mean, sized.size.cpu_cores), sized.size.cpu_cores / BURST
        )
        most = max(1.0, sized.size.cpu_cores)
    archs = set(ask.archs)
    work = stall.known.doing(run.run).work
    seen = work.arch if work is not None else None
    arch = seen if not archs else next(iter(archs)) if len(archs) == 1 else None
    return Small(
        providers=providers,
        arch=arch,
        seconds=wall.p50,
        seconds_p90=wall.p90,
        cpu_cores=cores,
        cpu_cores_most=most,
        memory_bytes=sized.size.memory_bytes,
    )


class Demand:
    """Small runs that wait now, less those that were placed in this tick, and those that will come."""

    def __init__(self, stall: Stall) -> None:
        self._stall = stall
        self._waiting: dict[str, Small] | None = None
        self._met: set[str] = set()
        self._ended: list[tuple[float, int]] | None = None  # usual seconds, and how many lately

    def met(self, run_id: str) -> None:
        self._met.add(run_id)
        if self._waiting is not None:
            self._waiting.pop(run_id, None)

    def crowd(self, provider: str, like: Small) -> Crowd:
        """That run, those that wait and could join it, and those that are to be expected while it runs."""
        crowd = Crowd()
        crowd.add(like)
        for small in self._who_waits().values():
            if provider in small.providers and _are_alike(small, like):
                crowd.add(small)
        boot_seconds = self._stall.known.supplies[provider].capabilities.boot_seconds
        expected = self._arrivals_per_second(like) * (boot_seconds + like.seconds) / 2
        # Nobody knows how big they will be: no more are counted on than are here, whose size is known.
        expected = min(expected, crowd.runs)
        mean = 1.0 / crowd.runs
        crowd.seconds += expected * crowd.seconds * mean
        crowd.cpu_cores += expected * crowd.cpu_cores * mean
        crowd.memory_bytes += expected * crowd.memory_bytes * mean
        crowd.runs += expected
        return crowd

    def _who_waits(self) -> dict[str, Small]:
        if self._waiting is None:
            snapshot, known = self._stall.snapshot, self._stall.known
            self._waiting = {}
            for run in snapshot.runs.values():
                if run.live is None and run.cancel_reason is None and run.run_id not in self._met:
                    small = _small(run, known.plan(run.run), self._stall)
                    if small is not None:
                        self._waiting[run.run_id] = small
        return self._waiting

    def _arrivals_per_second(self, like: Small) -> float:
        """Of runs about as long, from those that ended in the last half hour."""
        if self._ended is None:
            stall, ended = self._stall, Counter[str]()
            for end in reversed(list(stall.snapshot.ended.values())):
                if stall.now_seconds - end.at_seconds > RATE_WINDOW_SECONDS:
                    break
                ended[end.job] += 1
            walls = ((stall.known.usual(job).wall_seconds, count) for job, count in ended.items())
            self._ended = [(wall.p50, count) for wall, count in walls if wall is not None]
        near = (count for seconds, count in self._ended if _near(seconds, like.seconds, LENGTHS_ALIKE))
        return sum(near) / RATE_WINDOW_SECONDS


def _are_alike(one: Small, other: Small) -> bool:
    """Whether the mean of both says something about each."""
    return (
        (one.arch == other.arch or None in {one.arch, other.arch})
        and _near(one.seconds, other.seconds, LENGTHS_ALIKE)
        and _near(one.memory_bytes, other.memory_bytes, SIZES_ALIKE)
        and _near(one.cpu_cores, other.cpu_cores, SIZES_ALIKE)
    )


def _near(one: float, other: float, factor: float) -> bool:
    return one <= factor * other and other <= factor * one
