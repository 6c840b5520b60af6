"""The governor with everything it needs from outside: the second place, beside wiring.py, that knows adapters."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from flyball.app.config import Settings, find_file, home_folder, load_settings
from flyball.app.wiring import catalog as load_catalog
from flyball.app.wiring import world
from flyball.engine.governor import Governor
from flyball.engine.kept_snapshot import keep_snapshot, load_snapshot
from flyball.errors import FlyballError
from flyball.governed import Governed
from flyball.model.ceilings import Ceilings
from flyball.model.facts import AnyFact
from flyball.model.snapshot import Snapshot
from flyball.policy.known import Known

if TYPE_CHECKING:
    from flyball.adapters.arrivals import Arrivals
    from flyball.adapters.papers import FolderPapers
    from flyball.app.load_definitions import Loaded
    from flyball.engine.alerting import Alerting
    from flyball.policy.machines import MachineLine
    from flyball.ports.provider import Provider
    from flyball.ports.store import Store

PROVIDERS = ("local",)
SNAPSHOT_FILE = "snapshot.msgpack"


class WallClock:
    def now_seconds(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Workplace(msgspec.Struct, frozen=True, kw_only=True):
    """One home, opened for governing."""

    home: Path
    settings: Settings
    store: Store
    papers: FolderPapers
    governed: Governed


def workplace() -> Workplace:
    """Raises: InputError for a flyball.toml that cannot be used, StoreError."""
    settings = load_settings()
    home = home_folder(settings, dict(os.environ))
    outside = world(settings)
    store = outside.open_store()
    from flyball.adapters.papers import FolderPapers

    governed = Governed(
        store=store,
        clock=WallClock(),
        load_snapshot=lambda: load_snapshot(home / SNAPSHOT_FILE, store),
        measure_inputs=_measure_inputs,
        code_version=outside.code_version,
    )
    return Workplace(home=home, settings=settings, store=store, papers=FolderPapers(home), governed=governed)


def _measure_inputs(inputs: Sequence[str]) -> tuple[int | None, int | None]:
    """Unknown as soon as one of them is: the run goes on without it."""
    from flyball.app.wiring import _measure_input

    sizes = []
    for text in inputs:
        try:
            sizes.append(_measure_input(text))
        except FlyballError:
            return None, None
    return (sum(b for b, _ in sizes), sum(n for _, n in sizes)) if sizes else (None, None)


def providers(place: Workplace) -> Mapping[str, Provider]:
    """Every provider that can be used from here."""
    from flyball.adapters.local_provider import LocalProvider

    return {"local": LocalProvider(place.home)}


def governor(
    place: Workplace,
    *,
    ceilings: Ceilings,
    only: Callable[[], frozenset[str]] | None = None,
    news: Callable[[Snapshot, float], Sequence[AnyFact]] = lambda _, __: (),
) -> tuple[Governor, Callable[[float], object]]:
    """(the loop, how to wait between its ticks). `only`: ids of the runs to look after; None: all, and whatever falls due."""
    from flyball.adapters.local_provider import LocalProvider
    from flyball.engine.forecasts import Forecasts
    from flyball.model.offers import OfferTable

    found = providers(place)
    forecasts = Forecasts(
        store=place.store,
        catalog=load_catalog,
        providers=found,
        own_offers={
            name: OfferTable.of(each.offers())
            for name, each in found.items()
            if isinstance(each, LocalProvider)
        },
        preferences=world(place.settings).preferences,
        ceilings=ceilings,
        now_seconds=time.time,
    )

    def known(snapshot: Snapshot) -> Known:
        all_known = forecasts.known(snapshot)
        return all_known if only is None else msgspec.structs.replace(all_known, only=only())

    loop = Governor(
        store=place.store,
        providers=found,
        known=known,
        papers=place.papers,
        clock=WallClock(),
        snapshot=place.governed.snapshot,
        news=news,
    )
    local = found["local"]
    return loop, local.wait_for_news if isinstance(local, LocalProvider) else time.sleep


def machines(place: Workplace) -> Sequence[MachineLine]:
    """Every machine that is held, or that a provider shows. Raises: StoreError."""
    from flyball.errors import Unavailable
    from flyball.policy.machines import machines_overview

    listings = {}
    for name, each in providers(place).items():
        with suppress(Unavailable):
            listings[name] = each.machines()
    return machines_overview(place.governed.snapshot, listings, time.time())


def keep(place: Workplace, snapshot: Snapshot) -> None:
    keep_snapshot(place.home / SNAPSHOT_FILE, snapshot, place.store)


def definitions(place: Workplace, files: Sequence[Path] = ()) -> Loaded | None:
    """What flyball.toml (the nearest one, when no file is named) and Python files define; None: there is no file.

    Raises: InputError with everything that is wrong.
    """
    from flyball.app.load_definitions import load_definitions

    if not files:
        nearest = find_file(Path.cwd())
        if nearest is None:
            return None
        files = (nearest,)
    snapshot = place.governed.snapshot
    return load_definitions(
        files,
        providers=PROVIDERS,
        papers_keep=place.papers.keep,
        now_seconds=time.time(),
        snapshot=snapshot,
        tags=place.settings.tags,
    )


def arrivals(place: Workplace) -> Arrivals:
    from flyball.adapters.arrivals import Arrivals

    return Arrivals(folder=place.home, read=place.store.read)


def alerting(table: dict[str, object]) -> Alerting | None:
    """Sends alerts over the channels of the [alerts] table; None when there are none. Raises: InputError."""
    from flyball.adapters.notify import channels_of
    from flyball.engine.alerting import Alerting

    channels = channels_of(table, dict(os.environ))
    return Alerting(channels) if channels else None
