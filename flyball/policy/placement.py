"""Offers ranked by what a finished run on them is expected to cost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import msgspec

from flyball.model.offers import OfferTable, family_of
from flyball.model.plan import Choice
from flyball.model.processor import HYPERTHREAD_SHARE
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.units import GIB, show_bytes, show_cores, show_seconds, show_usd

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# From the answer to the launch call to the first user command. Medians of Spare Cores' boot timings of 2026-05 to
# 2026-08: AWS 31.5 s (73 starts), Azure 41 s (963), Google Cloud 42 s (613).
BOOT_SECONDS = 40.0
MINIMUM_BILLED_SECONDS = 60.0  # AWS and Google bill Linux by the second, but at least a minute
# The firmware and kernel keep about 3 % of a machine for page tables and reserved ranges, an idle system (init, ssh,
# agents) another 3 % and 0.25 GiB on small machines.
SYSTEM_MEMORY_SHARE = 0.06
SYSTEM_MEMORY_BYTES = GIB // 4
_MOST_EXPECTED = 600.0  # interruptions in one try: e**600 is out of all reach, and still a finite number

_ESTIMATED_FROM = (
    "vcpus",
    "price_usd_per_hour",
    "interruptions_per_hour",
    "speed_one_core",
    "speed_all_cores",
    "sustained_cpu_share",
)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What one run does, as it was seen on one processor."""

    wall_seconds: float
    core_seconds: float
    cores: float = 1.0  # most it kept busy at once
    memory_bytes: int | None = (
        None  # it needs for itself, beside what a system keeps; None: the need says all
    )
    processor: str | None = None  # it was seen on; None: an m6i
    speed_one_core: float = 1.0  # of that processor
    speed_all_cores: float = 1.0
    vcpus: float | None = None  # of the machine it was seen on; None: enough for a whole core each
    arch: Arch | None = None  # its programs were built for, to be passed on in Wanted; None: not known

    @classmethod
    def hour_of(cls, need: Size) -> Work:
        """How machines compare while no run is known: an hour of all the cores asked for, as on an m6i of that size.

        With GPUs the hour is theirs and as long on any processor: no speed of a GPU for a job is known beforehand.
        """
        cores = max(1.0, need.cpu_cores)
        core_seconds = 0.0 if need.gpus else 3600.0 * cores
        return cls(wall_seconds=3600.0, core_seconds=core_seconds, cores=cores, vcpus=cores)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What an offer must be; empty or None: anything."""

    clouds: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    arch: Arch | None = None
    market: Market | None = None
    max_price_usd_per_hour: float | None = None
    gpu_models: tuple[str, ...] = ()  # "a100", "L4"; case, blanks and dashes do not matter
    families: tuple[str, ...] = ()  # "m6i", "n2", "Ds_v5"
    instance_types: tuple[str, ...] = ()


class Ranking(Sequence[Choice]):
    """Choices, cheapest first; each is made only when it is looked at."""

    def __init__(
        self,
        table: OfferTable,
        candidates: NDArray[np.intp],
        estimate: Mapping[str, Floats],
        refusals: Mapping[str, int],
    ) -> None:
        import numpy as np

        self._table, self._candidates, self._estimate = table, candidates, estimate
        self._order = np.argsort(estimate["usd"], kind="stable")  # the table's own order breaks ties
        self.considered = len(table)  # offers looked at
        self.refusals = refusals  # what offers failed on -> how many, each counted at the first

    def __len__(self) -> int:
        return len(self._candidates)

    @overload
    def __getitem__(self, index: int) -> Choice: ...
    @overload
    def __getitem__(self, index: slice) -> list[Choice]: ...
    def __getitem__(self, index: int | slice) -> Choice | list[Choice]:
        if isinstance(index, slice):
            return [self._choice(row) for row in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._choice(index % len(self))

    def _choice(self, place: int) -> Choice:
        row = int(self._order[place])
        offer = self._table[int(self._candidates[row])]
        figures = {name: column[row].item() for name, column in self._estimate.items()}
        return Choice(
            offer=offer,
            expected_usd=figures["usd"],
            expected_seconds=figures["run_seconds"],
            reason=_reason(offer, figures),
        )

    def rows(self) -> NDArray[np.intp]:
        """Of the table of offers, cheapest first."""
        return self._candidates[self._order]

    def column(self, name: str) -> Floats:
        """Estimates, cheapest first: "usd", "run_seconds", "busy_seconds", "interrupted"."""
        return self._estimate[name][self._order]

    def why_empty(self) -> str:
        """In words, what the offers failed on, the commonest first; "" when something is left."""
        if len(self):
            return ""
        if not self.considered:
            return "the catalogue is empty"
        most = sorted(self.refusals.items(), key=lambda item: -item[1])
        return f"of {self.considered} offers " + ", ".join(f"{count} {why}" for why, count in most if count)


def rank(
    offers: OfferTable | Iterable[Offer],
    *,
    need: Size,
    work: Work | None = None,
    wanted: Wanted | None = None,
    speed_corrections: Mapping[str, float] | None = None,
    boot_seconds: float = BOOT_SECONDS,
    redo_seconds: float | None = None,
) -> Ranking:
    """Offers that hold the need, by expected dollars per finished run; ties by cloud, place, type and market.

    `need` is the machine itself: vCPUs, nominal memory and GPUs it must have. `work` is what will run on it; on fewer
    cores than it could keep busy it takes longer, and `work.memory_bytes` must fit into what a system leaves free.
    Without it, an hour of the cores asked for. `speed_corrections` are this job's own, by processor (policy/speed.py).

    A run of T seconds, boot counted, that starts over after each interruption (r a second) keeps machines busy for
    (e**(r T) - 1) / r seconds on average; at least 60 s are billed. One that resumes loses `redo_seconds` to each, so
    that only pieces of that length start over.
    """
    import numpy as np

    table = OfferTable.of(offers)
    work = work or Work.hour_of(need)
    fits, refusals = _fitting(table, need, work, wanted or Wanted())
    candidates = np.flatnonzero(fits)
    estimate = _estimate(
        table,
        candidates,
        work,
        speed_corrections or {},
        boot_seconds=boot_seconds,
        redo_seconds=redo_seconds,
    )
    return Ranking(table, candidates, estimate, refusals)


def usable_memory_bytes(nominal_bytes: int) -> int:
    """What a job may use of a machine's nominal memory: 94 % less 0.25 GiB."""
    return max(0, int(nominal_bytes * (1 - SYSTEM_MEMORY_SHARE)) - SYSTEM_MEMORY_BYTES)


def nominal_memory_bytes(usable_bytes: int) -> int:
    """The smallest nominal memory that leaves so much to a job."""
    return -int(-(usable_bytes + SYSTEM_MEMORY_BYTES) // (1 - SYSTEM_MEMORY_SHARE))


def expected_busy_seconds(seconds: float, interruptions_per_hour: float) -> float:
    """Machine time until `seconds` of work come to an end in one piece, when every interruption starts it anew."""
    import math

    expected = min(seconds * interruptions_per_hour / 3600, _MOST_EXPECTED)
    return seconds * (math.expm1(expected) / expected) if expected > 0 else seconds


def _fitting(
    table: OfferTable, need: Size, work: Work, wanted: Wanted
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    import numpy as np

    number, text = table.numbers, table.text
    tests: list[tuple[str, NDArray[np.bool_]]] = [
        (name, text[column].where(test)) for name, column, test in _text_tests(wanted)
    ]
    if wanted.max_price_usd_per_hour is not None:
        tests.append(
            ("cost more than allowed", number["price_usd_per_hour"] <= wanted.max_price_usd_per_hour)
        )
    if need.gpus:
        tests.append((f"have fewer than {need.gpus} GPUs", number["gpus"] >= need.gpus))
    tests += [
        (f"have fewer than {show_cores(need.cpu_cores)} vCPUs", number["vcpus"] >= need.cpu_cores),
        (f"have less than {show_bytes(need.memory_bytes)}", number["memory_bytes"] >= need.memory_bytes),
    ]
    if work.memory_bytes is not None:
        nominal = nominal_memory_bytes(work.memory_bytes)
        tests.append(
            (f"leave less than {show_bytes(work.memory_bytes)} to a job", number["memory_bytes"] >= nominal)
        )
    fits = np.ones(len(table), dtype=np.bool_)
    refusals: dict[str, int] = {}
    for why, passed in tests:
        left = fits & passed
        refusals[why] = int(fits.sum() - left.sum())
        fits = left
    return fits, refusals


def _text_tests(wanted: Wanted) -> list[tuple[str, str, Callable[[str], bool]]]:
    """What is said of offers that fail it, the column, and the test."""
    chosen: list[tuple[str, str, tuple[str, ...], Callable[[str], str]]] = [
        ("are in other clouds", "cloud", wanted.clouds, str.lower),
        ("are in other regions", "region", wanted.regions, str.lower),
        ("are in other zones", "zone", wanted.zones, str.lower),
        ("have another architecture", "arch", (wanted.arch.value,) if wanted.arch else (), str),
        ("are on another market", "market", (wanted.market.value,) if wanted.market else (), str),
        ("have another GPU", "gpu_model", wanted.gpu_models, _plain),
        ("are of other families", "instance_type", wanted.families, lambda t: family_of(t).lower()),
        ("are other machine types", "instance_type", wanted.instance_types, str.lower),
    ]
    return [
        (why, column, _is_one_of({_asked(column, value) for value in values}, key))
        for why, column, values, key in chosen
        if values
    ]


def _is_one_of(values: set[str], key: Callable[[str], str]) -> Callable[[str], bool]:
    return lambda text: key(text) in values


def _asked(column: str, value: str) -> str:
    return _plain(value) if column == "gpu_model" else value.lower()


def _plain(model: str) -> str:
    return re.sub(r"[^a-z0-9]", "", model.lower()).removeprefix("nvidia").removeprefix("tesla")


def _estimate(
    table: OfferTable,
    rows: NDArray[np.intp],
    work: Work,
    corrections: Mapping[str, float],
    *,
    boot_seconds: float,
    redo_seconds: float | None,
) -> dict[str, Floats]:
    """Per row: seconds of the run itself, machine seconds until it ends, dollars, chance of an interruption."""
    import numpy as np

    number = {name: table.numbers[name][rows] for name in _ESTIMATED_FROM}
    processor = table.text["processor"].taken(rows)
    speed = processor.lookup(lambda name: corrections.get(name or "", 1.0))
    speed = speed / corrections.get(work.processor or "", 1.0)
    run = _run_seconds(number, work, speed)
    rate = number["interruptions_per_hour"] / 3600
    once = boot_seconds + run
    piece = once if redo_seconds is None else np.minimum(once, redo_seconds)
    expected = np.clip(
        rate * piece, 1e-300, _MOST_EXPECTED
    )  # interruptions in one try; expm1(x) / x is 1 near 0
    busy = once * (np.expm1(expected) / expected)
    usd = number["price_usd_per_hour"] * np.maximum(busy, MINIMUM_BILLED_SECONDS) / 3600
    return {"usd": usd, "run_seconds": run, "busy_seconds": busy, "interrupted": -np.expm1(-rate * once)}


def _run_seconds(number: Mapping[str, NDArray[Any]], work: Work, speed: Floats) -> Floats:
    """Waiting stays as it is; one thread's part and the parallel part go as fast as their threads do there.

    A run that kept B = min(wall, core-seconds) seconds busy and at most p cores at once is read as one thread for
    s seconds and p threads for q, with s + q = B and s + p q = core-seconds. On n < p vCPUs the second part takes
    q p / n. A burstable machine adds a floor: no more core-seconds than its vCPUs' sustained share gives.
    """
    import numpy as np

    busy = min(work.wall_seconds, work.core_seconds)
    threads = max(work.cores, 1.0, work.core_seconds / max(busy, 1e-9))
    parallel = (work.core_seconds - busy) / (threads - 1) if threads > 1 else 0.0
    vcpus, seen_vcpus = number["vcpus"].astype(np.float64), work.vcpus or 2 * threads
    here = np.minimum(threads, vcpus)
    seen_one = _thread_speed(work.speed_one_core, work.speed_all_cores, 1.0, seen_vcpus)
    seen_many = _thread_speed(work.speed_one_core, work.speed_all_cores, min(threads, seen_vcpus), seen_vcpus)
    one = speed * _thread_speed(number["speed_one_core"], number["speed_all_cores"], 1.0, vcpus) / seen_one
    many = speed * _thread_speed(number["speed_one_core"], number["speed_all_cores"], here, vcpus) / seen_many
    running = (busy - parallel) / one + parallel * threads / here / many
    core_seconds = (busy - parallel) / one + parallel * threads / many
    sustained = core_seconds / (vcpus * number["sustained_cpu_share"])
    floor = np.where(number["sustained_cpu_share"] < 1, sustained, 0.0)
    seconds: Floats = np.maximum(running, floor) + max(0.0, work.wall_seconds - work.core_seconds)
    return seconds


def _thread_speed(one: Any, every: Any, threads: Any, vcpus: Any) -> Any:
    """Of one of `threads` threads on a machine of `vcpus`, beside one thread alone on an m6i.

    Up to half the vCPUs busy each thread has a core to itself; from there to all busy, hyperthreads share them.
    """
    import numpy as np

    shared = np.clip(2 * threads / vcpus - 1, 0.0, 1.0)
    return one + (every * HYPERTHREAD_SHARE - one) * shared


def _reason(offer: Offer, figures: Mapping[str, float]) -> str:
    market = "spot" if offer.market is Market.SPOT else "on demand"
    work = f"{show_usd(figures['usd'])} a run: {show_seconds(figures['run_seconds'])} of work"
    words = [f"{work} at {show_usd(offer.price_usd_per_hour)}/h {market}"]
    if offer.market is Market.SPOT:
        words.append(_chance(figures["interrupted"]))
    if "estimated" in offer.source:
        words.append("price estimated")
    if figures["busy_seconds"] < MINIMUM_BILLED_SECONDS:
        words.append("billed for its least, 60 s")
    if offer.sustained_cpu_share < 1:
        words.append(f"burstable: {offer.sustained_cpu_share:.0%} of each vCPU counted")
    return ", ".join(words)


def _chance(interrupted: float) -> str:
    return (
        f"{interrupted:.1%} chance of interruption"
        if interrupted >= 0.001
        else "interruption unlikely (under 0.1%)"
    )
