"""What is for sale, and how old that knowledge is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Protocol

from flyball.model.offers import OfferTable
from flyball.model.resource import Offer


class Catalog(Protocol):
    def offers(self) -> OfferTable:
        """Everything for sale; each offer_id once, no price at or below zero. Raises: StoreError, InputError."""
        ...

    def as_of(self) -> date | None:
        """Date of the oldest price in it; None when it is empty."""
        ...


class MemoryCatalog:
    """A catalogue of the given offers; of two with one offer_id the later stays."""

    def __init__(self, offers: Iterable[Offer] = ()) -> None:
        self._offers = {offer.offer_id: offer for offer in offers}

    def offers(self) -> OfferTable:
        return OfferTable.of(self._offers.values())

    def as_of(self) -> date | None:
        return min((offer.as_of for offer in self._offers.values()), default=None)
