"""Soak runs take minutes and install packages: only `-m soak` (make soak) collects them."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "soak" in str(config.getoption("markexpr")):
        return
    soaks = [item for item in items if item.get_closest_marker("soak")]
    if soaks:
        items[:] = [item for item in items if item not in soaks]
        config.hook.pytest_deselected(items=soaks)
