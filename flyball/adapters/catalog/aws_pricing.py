"""On-demand prices out of AWS's price list service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

# The price list is served in few regions; this one knows the prices of all.
PRICING_REGION = "us-east-1"


class _MakeClient(Protocol):
    def __call__(self, service: str, region: str) -> Any: ...


def on_demand_prices(make: _MakeClient, region: str) -> dict[str, float]:
    """Dollars per hour by machine type: Linux, shared tenancy, nothing pre-installed. Lowest where it lists several."""
    wanted = {
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    prices: dict[str, float] = {}
    pages = (
        make("pricing", PRICING_REGION)
        .get_paginator("get_products")
        .paginate(ServiceCode="AmazonEC2", Filters=filters)
    )
    for page in pages:
        for text in page.get("PriceList", ()):
            product = json.loads(text)
            name = product.get("product", {}).get("attributes", {}).get("instanceType")
            for usd in _hourly_usd(product):
                if name and usd > 0:
                    prices[name] = min(usd, prices.get(name, usd))
    return prices


def _hourly_usd(product: Mapping[str, Any]) -> Iterator[float]:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            usd = dimension.get("pricePerUnit", {}).get("USD")
            if dimension.get("unit") == "Hrs" and usd is not None:
                yield float(usd)
