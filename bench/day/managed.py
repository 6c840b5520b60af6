"""A managed batch service: jobs with asked sizes are packed onto shared machines, which go after ten idle minutes.

As AWS Batch on EC2 (or Kubernetes with its autoscaler) does it, with every choice left open made in its favour:

- machines: the families AWS Batch takes by default for x86 (default_x86_64: m6i, c6i, r6i, c7i); for GPU jobs all that
  have the model asked for. `families=()` gives it all of the catalogue instead;
- a job goes to the machine with the least room left that still holds its asked cores, memory and GPUs (best fit);
- what fits nowhere waits at most 30 s, then machines are bought for all that waits, together: of all types, again and
  again the one on which most of the waiting is packed per dollar, the smaller of equals;
- a machine that has been idle for ten minutes goes: the cluster autoscaler's default (scale-down-unneeded-time); AWS
  Batch's own delay, where one sets it, is 20 minutes or more (minScaleDownDelayMinutes);
- jobs on one machine do not slow each other down, and failed tries start again at once on what is there;
- on spot, machines are bought in the zone where they are cheapest and to be had, on demand where none is; what is taken
  away starts again without loss of a retry.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from random import Random
from typing import Any

from baselines import USD_PER_CORE_HOUR, USD_PER_GIB_HOUR, _usd
from lifeline import Lifeline
from outcome import DayOutcome, outcome_of
from workload import GIB, Day
from world import World

from flyball.model.offers import family_of
from flyball.model.resource import Market, Offer, Size
from flyball.policy.placement import usable_memory_bytes

DEFAULT_FAMILIES = ("m6i", "c6i", "r6i", "c7i")
IDLE_SECONDS = 600.0
DECIDES_EVERY_SECONDS = 30.0
NEARLY = (
    0.2  # a smaller machine is taken when it packs nearly as well: fewer jobs keep each other's machine up
)
GPU_USD = 0.5  # of a GPU beside cores and memory, when what is packed is weighed


class Node:
    def __init__(self, offer: Offer, launched_at: float, ready_at: float, taken_at: float) -> None:
        self.offer, self.launched_at, self.ready_at, self.taken_at = offer, launched_at, ready_at, taken_at
        self.cores, self.memory = float(offer.vcpus), usable_memory_bytes(offer.memory_bytes)
        self.gpus, self.busy = offer.gpus, dict[str, Lifeline]()
        self.idle_since = ready_at
        self.least_free = 0.0  # of anything, ever: less than nothing would be a fault
        self.gone_at: float | None = None

    def holds(self, line: Lifeline) -> bool:
        asked = line.run.job.asked
        return (
            self.gone_at is None
            and asked.cpu_cores <= self.cores
            and asked.memory_bytes <= self.memory
            and _suits(self.offer, line)
            and asked.gpus <= self.gpus
        )

    def take(self, asked: Size, sign: int = 1) -> None:
        self.cores -= sign * asked.cpu_cores
        self.memory -= sign * asked.memory_bytes
        self.gpus -= sign * asked.gpus
        self.least_free = min(self.least_free, self.cores, self.memory, self.gpus)


class ManagedBatch:
    def __init__(
        self, day: Day, world: World, *, spot: bool = False, families: tuple[str, ...] = DEFAULT_FAMILIES
    ) -> None:
        self.world, self.spot, self.rng = world, spot, Random(0)
        self.nodes: list[Node] = []
        self.past_nodes: list[Node] = []
        self.waiting: list[Lifeline] = []
        self.events: list[tuple[float, int, str, Any]] = []
        self.order = itertools.count()
        self.usd: dict[str, float] = defaultdict(float)
        self.machines = self.interruptions = 0
        self.lines = [Lifeline(world, run) for run in day.runs]
        self.decides_at: float | None = None
        self.name = "managed batch" + (" on spot" if spot else "") + ("" if families else ", any family")
        self.by_speed = not families
        self.menu = _menu(world, families)
        self.by_type: dict[str, list[Offer]] = defaultdict(list)
        for offer in world.offers:
            if offer.market is Market.SPOT:
                self.by_type[offer.instance_type].append(offer)
        for line in self.lines:
            self._at(line.run.due_seconds, "due", line)

    def run(self) -> DayOutcome:
        while self.events:
            at, _, what, about = heapq.heappop(self.events)
            getattr(self, f"_{what}")(at, about)
        ends = [(line.run, line.ended_at, line.succeeded) for line in self.lines]
        return outcome_of(
            self.name, ends, usd_by_kind=self.usd, machines=self.machines, interruptions=self.interruptions
        )

    def _at(self, at: float, what: str, about: Any) -> None:
        heapq.heappush(self.events, (at, next(self.order), what, about))

    def _due(self, at: float, line: Lifeline) -> None:
        fitting = [node for node in self.nodes if node.holds(line)]
        if fitting:
            self._start(at, line, min(fitting, key=lambda node: _worth(node.cores, node.memory, node.gpus)))
            return
        self.waiting.append(line)
        if self.decides_at is None:
            self.decides_at = at + DECIDES_EVERY_SECONDS
            self._at(self.decides_at, "buy", None)

    def _start(self, at: float, line: Lifeline, node: Node) -> None:
        node.take(line.run.job.asked)
        node.busy[line.run.run_id] = line
        ended_at = line.begin(node.offer, max(at, node.ready_at), line.run.job.asked)
        self._at(ended_at, "ended", (node, line, line.starts))

    def _ended(self, at: float, about: tuple[Node, Lifeline, int]) -> None:
        node, line, start = about
        if node.gone_at or line.starts != start or line.run.run_id not in node.busy:
            return  # its machine was taken away before
        self._leave(at, node, line)
        if not line.end(at):
            self._due(at, line)
        self._refill(at)

    def _leave(self, at: float, node: Node, line: Lifeline) -> None:
        del node.busy[line.run.run_id]
        node.take(line.run.job.asked, -1)
        if not node.busy:
            node.idle_since = at
            self._at(at + IDLE_SECONDS, "idle", node)

    def _refill(self, at: float) -> None:
        waiting, self.waiting = self.waiting, []
        for line in waiting:
            fitting = [node for node in self.nodes if node.holds(line)]
            if fitting:
                self._start(at, line, min(fitting, key=lambda n: _worth(n.cores, n.memory, n.gpus)))
            else:
                self.waiting.append(line)

    def _buy(self, at: float, _: None) -> None:
        self.decides_at = None
        waiting = sorted(self.waiting, key=lambda line: -_asked_worth(line.run.job.asked))
        self.waiting = []
        for pool in sorted({line.run.job.gpu_models for line in waiting}):
            left = [line for line in waiting if line.run.job.gpu_models == pool]
            while left:
                offer, taken = self._best(at, left)
                node = self._bought(at, offer)
                for line in taken:
                    self._start(at, line, node)
                names = {line.run.run_id for line in taken}
                left = [line for line in left if line.run.run_id not in names]

    def _best(self, at: float, left: list[Lifeline]) -> tuple[Offer, list[Lifeline]]:
        """The offer on which most of what waits is packed per dollar; it holds the largest of them."""
        found: list[tuple[float, float, Offer, list[Lifeline]]] = []
        for on_demand in self.menu:
            if not _suits(on_demand, left[0]):
                continue
            offer = self._spot_of(at, on_demand) or on_demand
            node, taken = Node(offer, at, at, at), []
            for line in left:
                if node.holds(line):
                    node.take(line.run.job.asked)
                    taken.append(line)
                if node.cores < 1:
                    break
            if left[0] not in taken:
                continue
            price = float(offer.price_usd_per_hour)
            worth = sum(_asked_worth(line.run.job.asked) for line in taken)
            speed = offer.speed_all_cores if self.by_speed and not offer.gpus else 1.0
            found.append((worth * speed / price, price, offer, taken))
        assert found, left[0].run.job.asked
        enough = max(per_usd for per_usd, *_ in found) * (1 - NEARLY)
        _, _, offer, taken = min((f for f in found if f[0] >= enough), key=lambda f: f[1])
        return offer, taken

    def _spot_of(self, at: float, on_demand: Offer) -> Offer | None:
        if not self.spot:
            return None
        weather = self.world.weather
        up = [o for o in self.by_type[on_demand.instance_type] if weather.has_capacity(o, at, self.rng)]
        return min(up, key=lambda o: weather.usd_per_hour(o, at), default=None)

    def _bought(self, at: float, offer: Offer) -> Node:
        ready_at = at + self.world.boot_seconds(f"node {self.machines} {self.name}")
        node = Node(offer, at, ready_at, self.world.weather.taken_at(offer, at, self.rng))
        self.machines += 1
        self.nodes.append(node)
        if node.taken_at < float("inf"):
            self._at(node.taken_at, "taken", node)
        return node

    def _taken(self, at: float, node: Node) -> None:
        if node.gone_at:
            return
        self._give_back(at, node)
        for line in list(node.busy.values()):
            line.interrupt(at)
            self.interruptions += 1
            self._due(at, line)

    def _idle(self, at: float, node: Node) -> None:
        if not node.gone_at and not node.busy and at >= node.idle_since + IDLE_SECONDS:
            self._give_back(at, node)

    def _give_back(self, at: float, node: Node) -> None:
        node.gone_at = at
        self.past_nodes.append(node)
        self.nodes.remove(node)
        kind = "gpu machines" if node.offer.gpus else "machines"
        self.usd[kind] += _usd(self.world, node.offer, node.launched_at, at)


def _menu(world: World, families: tuple[str, ...]) -> list[Offer]:
    """On-demand types: GPU machines all, of the others those families; burstable ones never. Cheaper ones first."""
    menu = [
        offer
        for offer in world.on_demand
        if offer.gpus
        or (offer.sustained_cpu_share >= 1 and (not families or family_of(offer.instance_type) in families))
    ]
    return sorted(menu, key=lambda offer: offer.price_usd_per_hour)


def _suits(offer: Offer, line: Lifeline) -> bool:
    models = line.run.job.gpu_models
    return offer.gpu_model in models if models else not offer.gpus


def _worth(cores: float, memory_bytes: float, gpus: float) -> float:
    return cores * USD_PER_CORE_HOUR + memory_bytes / GIB * USD_PER_GIB_HOUR + gpus * GPU_USD


def _asked_worth(asked: Size) -> float:
    return _worth(asked.cpu_cores, asked.memory_bytes, asked.gpus)
