"""Ten thousand random worlds, on all processors; the figures go to .soak/worlds.json and docs/reliability.md."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

SIM = Path(__file__).parents[1] / "sim"
FIGURES = Path(__file__).parents[2] / ".soak" / "worlds.json"
WORLDS = int(os.environ.get("FLYBALL_SOAK_WORLDS", "10000"))
FIRST_SEED = int(os.environ.get("FLYBALL_SOAK_SEED", "100000"))


def lived(seed: int) -> tuple[int, list[str], Counter[str]]:
    """One world: its seed, what was broken, and what happened in it."""
    sys.path.insert(0, str(SIM))
    from worlds import World

    from flyball.model import facts as f

    world = World(seed)
    start = world.clock.now_seconds()
    broken = world.run()
    facts = world.store.read()
    counts = Counter(type(fact).__name__ for fact in facts)
    counts.update(f"outcome {x.receipt.outcome.value}" for x in facts if isinstance(x, f.AttemptEnded))
    counts.update(f"run {x.result.value}" for x in facts if isinstance(x, f.RunEnded))
    counts.update(
        facts=len(facts),
        ticks=world.ticks,
        crashes=world.crashes,
        conflicts=world.conflicts,
        with_two_governors=len(world.governors) > 1,
        launch_calls=sum(provider.calls for provider in world.providers.values()),
        virtual_hours=round((world.clock.now_seconds() - start) / 3600),
    )
    return seed, broken, counts


@pytest.mark.soak
def test_ten_thousand_worlds():
    started, totals, broken = time.monotonic(), Counter[str](), {}
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for seed, words, counts in pool.imap_unordered(lived, range(FIRST_SEED, FIRST_SEED + WORLDS), 20):
            totals.update(counts)
            if words:
                broken[seed] = words
    figures = {
        "worlds": WORLDS,
        "first_seed": FIRST_SEED,
        "seconds": round(time.monotonic() - started),
        "broken": broken,
        **dict(sorted(totals.items())),
    }
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(figures, indent=2))
    print(json.dumps(figures, indent=2))
    assert not broken
    assert totals["AttemptLaunched"] > WORLDS
