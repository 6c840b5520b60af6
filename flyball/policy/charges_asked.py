"""What the same job would have cost on demand, at the size its user asked for: what savings are counted against."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from flyball.model.charge import NANO
from flyball.model.offers import OfferTable, family_of
from flyball.model.outcome import Outcome
from flyball.model.resource import Arch, Market, Size
from flyball.model.snapshot import Unreleased
from flyball.model.spec import SizeAsk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from flyball.policy.known import Known

# Ends that a machine on demand of the size asked for would not have met.
_SPARED = frozenset({
    Outcome.INTERRUPTED, Outcome.LOST, Outcome.LAUNCH_TIMED_OUT, Outcome.NO_CAPACITY, Outcome.OUT_OF_MEMORY,
})  # fmt: skip


def usd_on_demand_asked(left: Unreleased, known: Known, *, boot_seconds: float) -> Decimal | None:
    """Boot and command on the cheapest machine on demand that holds what was asked; None: nothing on sale does.

    The command takes as long there as it took. What an interrupted attempt did that nobody had to do again counts;
    the rest of it, and attempts given too little memory by flyball, would not have been there: $0.
    """
    supply = known.supplies.get(left.planned.provider)
    if supply is None:
        return None
    seconds = _command_seconds(left)
    if left.outcome in _SPARED:
        seconds, boot_seconds = min(seconds, left.useful_seconds or 0.0), 0.0
        if seconds == 0.0:
            return Decimal(0)
    ask = left.asked
    price = cheapest_on_demand(
        supply.offers, asked_size(ask, left.planned.size), ask, left.planned.offer.arch
    )
    if price is None:
        return None
    least = 0.0 if left.outcome in _SPARED else supply.capabilities.minimum_billed_seconds
    microseconds = round(max(least, boot_seconds + seconds) * 1e6)
    return (price * microseconds / 3_600_000_000).quantize(NANO, ROUND_HALF_EVEN)


def asked_size(ask: SizeAsk, planned: Size) -> Size:
    """The most that was asked for; what was not asked is as planned."""
    return Size(
        cpu_cores=ask.cpu_cores_max or ask.cpu_cores or planned.cpu_cores,
        memory_bytes=ask.memory_bytes_max or ask.memory_bytes or planned.memory_bytes,
        gpus=ask.gpus or planned.gpus,
    )


def _command_seconds(left: Unreleased) -> float:
    if left.wall_seconds is not None:
        return left.wall_seconds
    started = left.started_at_seconds
    return 0.0 if started is None else max(0.0, left.ended_at_seconds - started)


class _OnDemand:
    """One table's machines on demand for one wish, the cheapest first."""

    def __init__(self, offers: OfferTable, archs: tuple[str, ...], ask: SizeAsk) -> None:
        import numpy as np

        text, numbers = offers.text, offers.numbers
        mask = text["market"].where(Market.ON_DEMAND.value.__eq__) & text["arch"].where(archs.__contains__)
        if ask.instance_types:
            mask &= text["instance_type"].where(ask.instance_types.__contains__)
        if ask.families:
            mask &= text["instance_type"].where(lambda name: family_of(name) in ask.families)
        if ask.gpu_models:
            models = {_plain(model) for model in ask.gpu_models}
            mask &= text["gpu_model"].where(lambda name: _plain(name) in models)
        rows = np.flatnonzero(mask)
        rows = rows[np.argsort(numbers["price_usd_per_hour"][rows], kind="stable")]
        self._offers, self._rows = offers, rows
        self._cores: NDArray[np.float64] = (numbers["vcpus"] * numbers["sustained_cpu_share"])[rows]
        self._memory, self._gpus = numbers["memory_bytes"][rows], numbers["gpus"][rows]

    def price_for(self, size: Size) -> Decimal | None:
        holds = (
            (self._cores >= size.cpu_cores) & (self._memory >= size.memory_bytes) & (self._gpus >= size.gpus)
        )
        first = int(holds.argmax()) if len(holds) else 0
        if not len(holds) or not holds[first]:
            return None
        return self._offers[int(self._rows[first])].price_usd_per_hour


def cheapest_on_demand(offers: OfferTable, size: Size, ask: SizeAsk, arch: Arch) -> Decimal | None:
    """Dollars an hour of the cheapest machine on demand that holds the size and is as asked; `arch` when that was not
    asked."""
    archs = tuple(a.value for a in ask.archs) or (arch.value,)
    key = (archs, ask.instance_types, ask.families, ask.gpu_models)
    # Kept: sorting the table for every machine that is given back would take milliseconds each.
    of_table: dict[object, _OnDemand] = offers.kept.setdefault("on_demand", {})
    found = of_table.get(key)
    if found is None:
        found = of_table[key] = _OnDemand(offers, archs, ask)
    return found.price_for(size)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace(" ", "")
