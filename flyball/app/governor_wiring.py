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
from flyball.model.facts import AnyFact, RunSubmitted
from flyball.model.snapshot import Snapshot
from flyball.policy.known import Known
from flyball.policy.schedule_run import filled

if TYPE_CHECKING:
    from flyball.adapters.arrivals import Arrivals
    from flyball.adapters.papers import FolderPapers
    from flyball.app.load_definitions import Loaded
    from flyball.engine.alerting import Alerting
    from flyball.engine.forecasts import Forecasts
    from flyball.policy.machines import MachineLine
    from flyball.ports.provider import Provider
    from flyball.ports.store import Store

PROVIDERS = ("local",)
SNAPSHOT_FILE = "snapshot.msgpack"
MEASURE_SECONDS = 5.0


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


def _measure_inputs(inputs: Sequence[str], workdir: str | None) -> tuple[int | None, int | None]:
    """Unknown as soon as one of them is: the run goes on without it."""
    from flyball.app.wiring import measure_input

    sizes = []
    for text in inputs:
        try:
            sizes.append(measure_input(_located(text, workdir)))
        except FlyballError:
            return None, None
    return (sum(b for b, _ in sizes), sum(n for _, n in sizes)) if sizes else (None, None)


def _located(text: str, workdir: str | None) -> str:
    """A path as the command will see it: from its workdir."""
    sign, path = ("@", text[1:]) if text.startswith("@") else ("", text)
    if workdir is None or "://" in path:
        return text
    return sign + str(Path(workdir) / Path(path).expanduser())


def providers(place: Workplace) -> Mapping[str, Provider]:
    """Every provider that can be used from here."""
    from flyball.adapters.local_provider import LocalProvider

    return {"local": LocalProvider(place.home)}


def _forecasts(place: Workplace, found: Mapping[str, Provider], ceilings: Ceilings) -> Forecasts:
    from flyball.adapters.local_provider import LocalProvider
    from flyball.engine.forecasts import Forecasts
    from flyball.engine.planning import HistoryPlanner

    HistoryPlanner.load_numpy()  # before anything else imports it, with the threads that it takes
    from flyball.model.offers import OfferTable

    return Forecasts(
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


def governor(
    place: Workplace,
    *,
    ceilings: Ceilings,
    only: Callable[[], frozenset[str]] | None = None,
    news: Callable[[Snapshot, float], Sequence[AnyFact]] = lambda _, __: (),
) -> tuple[Governor, Callable[[float], object]]:
    """(the loop, how to wait between its ticks). `only`: ids of the runs to look after; None: all, and whatever falls due."""
    from flyball.adapters.local_provider import LocalProvider

    found = providers(place)
    forecasts = _forecasts(place, found, ceilings)

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
        complete=_Completing(world(place.settings).code_version),
    )
    local = found["local"]
    return loop, local.wait_for_news if isinstance(local, LocalProvider) else time.sleep


class _Completing:
    """What is known about a run that falls due: how big its inputs are, and which code it will run.

    Listings of far-away inputs may take long; a tick waits a few seconds for them, and then the run goes without.
    """

    def __init__(self, code_version: Callable[[str], str | None]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._code_version = code_version
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="flyball-inputs")

    def __call__(self, submitted: RunSubmitted) -> RunSubmitted:
        run, features = submitted.run, submitted.run.features
        if features.code_version is None and run.workdir is not None:
            features = msgspec.structs.replace(features, code_version=self._code_version(run.workdir))
        if run.inputs and features.input_bytes is None:
            inputs = tuple(filled(text, submitted.fills) for text in run.inputs)
            size_bytes, objects = self._measured(inputs, run.workdir)
            features = msgspec.structs.replace(features, input_bytes=size_bytes, input_objects=objects)
        return msgspec.structs.replace(submitted, run=msgspec.structs.replace(run, features=features))

    def _measured(self, inputs: Sequence[str], workdir: str | None) -> tuple[int | None, int | None]:
        waiting = self._threads.submit(_measure_inputs, inputs, workdir)
        try:
            return waiting.result(timeout=MEASURE_SECONDS)
        except TimeoutError:
            return None, None


def machines(place: Workplace) -> Sequence[MachineLine]:
    """Every machine that is held, or that a provider shows. Raises: StoreError."""
    from flyball.errors import Unavailable
    from flyball.policy.machines import machines_overview

    listings, found, snapshot = {}, providers(place), place.governed.snapshot
    for name, each in found.items():
        with suppress(Unavailable):
            listings[name] = each.machines()
    supplies = _forecasts(place, found, Ceilings()).known(snapshot).supplies
    return machines_overview(snapshot, listings, time.time(), supplies)


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
