"""Many offers at once, in columns, so that 100,000 of them can be ranked in milliseconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, overload

from flyball.model.plan import Choice
from flyball.model.resource import Arch, Market, Offer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXT_COLUMNS = (
    "cloud",
    "region",
    "zone",
    "instance_type",
    "arch",
    "gpu_model",
    "market",
    "processor",
    "as_of",
    "source",
)
NUMBER_COLUMNS = {
    "vcpus": "int64",
    "memory_bytes": "int64",
    "gpus": "int64",
    "gpu_memory_bytes": "float64",  # NaN: no GPU, or unknown
    "price_usd_per_hour": "float64",
    "interruptions_per_hour": "float64",
    "speed_one_core": "float64",
    "speed_all_cores": "float64",
    "sustained_cpu_share": "float64",
}
COLUMNS = (*TEXT_COLUMNS, *NUMBER_COLUMNS)


class Coded:
    """A column of few different texts, as numbers into the sorted list of them."""

    def __init__(self, texts: Sequence[str | None]) -> None:
        import numpy as np

        self.values: list[str | None] = sorted(set(texts), key=lambda text: (text is not None, text or ""))
        code = {text: index for index, text in enumerate(self.values)}
        self.codes = np.array(list(map(code.__getitem__, texts)), dtype=np.int32)

    def taken(self, rows: NDArray[Any]) -> Coded:
        """The column of those rows; `values` is shared and may hold texts that are no longer used."""
        some = Coded.__new__(Coded)
        some.values, some.codes = self.values, self.codes[rows]
        return some

    def where(self, wanted: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Rows whose text is wanted; each different text is looked at once. None is never wanted."""
        import numpy as np

        return np.array([v is not None and wanted(v) for v in self.values], dtype=np.bool_)[self.codes]

    def lookup(self, number: Callable[[str | None], float]) -> NDArray[np.float64]:
        import numpy as np

        return np.array([number(v) for v in self.values], dtype=np.float64)[self.codes]

    def __getitem__(self, row: int) -> str | None:
        return self.values[int(self.codes[row])]

    def to_list(self) -> list[str | None]:
        return [self.values[code] for code in self.codes]


class OfferTable(Sequence[Offer]):
    """Offers ordered by cloud, place, machine type and market; an Offer is made only when one is looked at."""

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """From columns named as the fields of Offer; enums and dates as text. Raises: KeyError for a missing one."""
        import numpy as np

        text = {name: Coded(columns[name]) for name in TEXT_COLUMNS}
        numbers = {name: np.asarray(columns[name], dtype=kind) for name, kind in NUMBER_COLUMNS.items()}
        place = Coded([z or r for z, r in zip(columns["zone"], columns["region"], strict=True)])
        order = np.lexsort(
            (text["market"].codes, text["instance_type"].codes, place.codes, text["cloud"].codes)
        )
        self.text = {name: column.taken(order) for name, column in text.items()}
        self.numbers = {name: column[order] for name, column in numbers.items()}
        # What decisions have worked out about this table; it goes when the table goes.
        self.kept: dict[str, Any] = {}

    @classmethod
    def of(cls, offers: Iterable[Offer]) -> OfferTable:
        if isinstance(offers, OfferTable):
            return offers
        rows = [_cells(offer) for offer in offers]
        return cls(dict(zip(COLUMNS, zip(*rows, strict=True) if rows else [()] * len(COLUMNS), strict=True)))

    def take(self, rows: NDArray[Any]) -> OfferTable:
        """Those rows (a mask or indices in order)."""
        some = OfferTable.__new__(OfferTable)
        some.text = {name: column.taken(rows) for name, column in self.text.items()}
        some.numbers = {name: column[rows] for name, column in self.numbers.items()}
        some.kept = {}
        return some

    def columns(self) -> dict[str, list[Any]]:
        """Every column as plain values, NaN as None: what OfferTable() reads back."""
        plain: dict[str, list[Any]] = {name: column.to_list() for name, column in self.text.items()}
        for name, column in self.numbers.items():
            plain[name] = column.tolist()
        return plain

    def __len__(self) -> int:
        return len(self.numbers["vcpus"])

    @overload
    def __getitem__(self, index: int) -> Offer: ...
    @overload
    def __getitem__(self, index: slice) -> OfferTable: ...
    def __getitem__(self, index: int | slice) -> Offer | OfferTable:
        import numpy as np

        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._offer(index)

    def _offer(self, row: int) -> Offer:
        text = {name: column[row] for name, column in self.text.items()}
        number = {name: column[row].item() for name, column in self.numbers.items()}
        gpu_memory = number["gpu_memory_bytes"]
        text["arch"], text["market"] = Arch(text["arch"]), Market(text["market"])  # type: ignore[assignment]
        text["as_of"] = date.fromisoformat(text["as_of"] or "")  # type: ignore[assignment]
        return Offer(
            **text,  # type: ignore[arg-type]
            **{
                **number,
                "gpu_memory_bytes": None if gpu_memory != gpu_memory else int(gpu_memory),  # noqa: PLR0124 - NaN
                "price_usd_per_hour": decimal_usd(number["price_usd_per_hour"]),
            },
        )

    def find(
        self, *, cloud: str, instance_type: str, region: str | None = None, market: Market = Market.ON_DEMAND
    ) -> Offer | None:
        """The cheapest offer of that machine type in that region (any region: None); None when not for sale."""
        import numpy as np

        wanted = {"cloud": cloud, "instance_type": instance_type, "market": market.value}
        if region is not None:
            wanted["region"] = region
        mask = np.ones(len(self), dtype=np.bool_)
        for name, value in wanted.items():
            mask &= self.text[name].where(value.__eq__)
        rows = np.flatnonzero(mask)
        if not len(rows):
            return None
        return self._offer(int(rows[np.argmin(self.numbers["price_usd_per_hour"][rows])]))


def concat(tables: Sequence[OfferTable]) -> OfferTable:
    """One table of all their rows."""
    if len(tables) == 1:
        return tables[0]
    plain = [table.columns() for table in tables]
    return OfferTable({name: [v for columns in plain for v in columns[name]] for name in COLUMNS})


def _cells(offer: Offer) -> list[Any]:
    cells = {name: getattr(offer, name) for name in COLUMNS}
    cells["arch"], cells["market"] = offer.arch.value, offer.market.value
    cells["as_of"] = offer.as_of.isoformat()
    if offer.gpu_memory_bytes is None:
        cells["gpu_memory_bytes"] = float("nan")
    return [cells[name] for name in COLUMNS]


def decimal_usd(price: float) -> Decimal:
    """The price as it was written: a double gives back any decimal of up to 15 digits."""
    return Decimal(repr(price))


@lru_cache(maxsize=16384)
def family_of(instance_type: str) -> str:
    """Family in its cloud's own words: m6i of m6i.large, n2 of n2-standard-4, Ds_v5 of Standard_D4s_v5."""
    if instance_type.startswith("Standard_"):
        return re.sub(r"\d+(-\d+)?", "", instance_type.removeprefix("Standard_"), count=1)
    return instance_type.partition("." if "." in instance_type else "-")[0]


def offer_row(item: Choice | Offer) -> dict[str, Any]:
    """One row of `flyball offers --json`: plain JSON values, prices as numbers, unknown as null."""
    offer = item.offer if isinstance(item, Choice) else item
    row: dict[str, Any] = {
        "cloud": offer.cloud,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
        "arch": offer.arch.value,
        "vcpus": offer.vcpus,
        "memory_bytes": offer.memory_bytes,
        "gpus": offer.gpus,
        "gpu_model": offer.gpu_model,
        "gpu_memory_bytes": offer.gpu_memory_bytes,
        "market": offer.market.value,
        "price_usd_per_hour": float(offer.price_usd_per_hour),
        "interruptions_per_hour": offer.interruptions_per_hour,
        "processor": offer.processor,
        "speed_one_core": offer.speed_one_core,
        "speed_all_cores": offer.speed_all_cores,
        "sustained_cpu_share": offer.sustained_cpu_share,
        "as_of": offer.as_of.isoformat(),
        "source": offer.source,
    }
    if isinstance(item, Choice):
        row |= {
            "expected_usd_per_run": item.expected_usd,
            "expected_seconds": item.expected_seconds,
            "reason": item.reason,
        }
    return row
