"""The catalogue every flyball carries: the main families of three clouds, no network needed."""

from __future__ import annotations

from functools import lru_cache

from flyball.adapters.catalog.aws_families import AWS_US_EAST_1
from flyball.adapters.catalog.azure_families import AZURE_EASTUS
from flyball.adapters.catalog.family_table import columns
from flyball.adapters.catalog.gcp_families import GCP_US_CENTRAL1
from flyball.model.offers import OfferTable

CLOUDS = (AWS_US_EAST_1, GCP_US_CENTRAL1, AZURE_EASTUS)


@lru_cache(maxsize=1)
def builtin_offers() -> OfferTable:
    """Every built-in machine type, on demand and on spot; unfolded on the first call."""
    return OfferTable(columns(CLOUDS))
