"""What each provider has for sale, out of the catalogue and the user's wishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import msgspec

from flyball.engine.planning import Preferences
from flyball.model.offers import OfferTable
from flyball.policy.known import Supply
from flyball.ports.provider import Provider

if TYPE_CHECKING:
    from flyball.ports.catalog import Catalog

LOOK_AGAIN_SECONDS = 3600.0  # at the catalogue


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    supplies: Mapping[str, Supply]
    catalog_age_seconds: float | None = None  # None: nothing is bought from it


class Goods:
    """The same tables as long as the catalogue stays as it is, so that rankings made of them stay good."""

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        catalog: Callable[[], Catalog] | None,
        own_offers: Mapping[str, OfferTable],
        preferences: Preferences,
    ) -> None:
        self._providers, self._catalog, self._wishes = providers, catalog, preferences
        self._tables: dict[str, OfferTable] = dict(own_offers)
        self._bought = [name for name in providers if name not in own_offers]
        self._looked_at_seconds: float | None = None
        self._as_of: date | None = None
        self._whole = -1  # offers in the catalogue
        self._shelf: Shelf | None = None

    def as_of(self, now_seconds: float) -> Shelf:
        """Raises: StoreError, InputError for a catalogue that cannot be read."""
        looked = self._looked_at_seconds
        if self._shelf is not None and looked is not None and now_seconds - looked < LOOK_AGAIN_SECONDS:
            return self._shelf
        if self._bought:
            self._look()
        self._looked_at_seconds = now_seconds
        age_seconds = None
        if self._as_of is not None:
            dated = datetime(self._as_of.year, self._as_of.month, self._as_of.day, tzinfo=UTC)
            age_seconds = max(0.0, now_seconds - dated.timestamp())
        self._shelf = Shelf(
            supplies={
                name: Supply(name=name, capabilities=provider.capabilities, offers=self._tables[name])
                for name, provider in self._providers.items()
            },
            catalog_age_seconds=age_seconds,
        )
        return self._shelf

    def _look(self) -> None:
        if self._catalog is None:
            self._tables |= {name: OfferTable.of([]) for name in self._bought}
            return
        catalog = self._catalog()
        everything = catalog.offers()
        if self._as_of == catalog.as_of() and self._whole == len(everything):
            return
        self._as_of, self._whole = catalog.as_of(), len(everything)
        wished = wished_for(everything, self._wishes)
        self._tables |= {name: _of_cloud(wished, name) for name in self._bought}


def wished_for(table: OfferTable, wishes: Preferences) -> OfferTable:
    """Offers that the user's preferences leave."""
    import numpy as np

    fits = np.ones(len(table), dtype=np.bool_)
    for column, values in (
        ("cloud", wishes.clouds),
        ("region", wishes.regions),
        ("arch", tuple(arch.value for arch in wishes.archs)),
        ("market", tuple(market.value for market in wishes.markets)),
    ):
        if values:
            fits &= table.text[column].where({value.lower() for value in values}.__contains__)
    if wishes.price_usd_per_hour_max is not None:
        fits &= table.numbers["price_usd_per_hour"] <= wishes.price_usd_per_hour_max
    return table.take(np.flatnonzero(fits))


def _of_cloud(table: OfferTable, name: str) -> OfferTable:
    """What the cloud of that name sells; everything, when there is no such cloud."""
    import numpy as np

    mine = table.text["cloud"].where(name.__eq__)
    return table.take(np.flatnonzero(mine)) if mine.any() else table
