"""The one place that knows which adapters there are. Imports are inside: a run pays only for what it uses."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flyball.app.config import Settings, home_folder, load_settings
from flyball.client import Client, World
from flyball.engine.planning import Preferences
from flyball.errors import InputError
from flyball.model.resource import Arch, Market, Offer

if TYPE_CHECKING:
    from flyball.adapters.catalog.aws import RefreshResult as RefreshResult  # noqa: PLC0414 - for callers, who may not import adapters
    from flyball.adapters.catalog.cache import LayeredCatalog
    from flyball.adapters.catalog.imported import ImportResult as ImportResult  # noqa: PLC0414 - likewise
    from flyball.adapters.history_files import ImportedHistory
    from flyball.adapters.sqlite_repair import Repaired
    from flyball.model.receipt import Receipt
    from flyball.model.samples import Samples
    from flyball.policy.cost import Cost
    from flyball.ports.store import Store

STORE_FILE, CATALOG_FOLDER = "flyball.db", "catalog"
_E = TypeVar("_E", Arch, Market)


def client(*, hit_limit: str | None = None) -> Client:
    """A client for the nearest flyball.toml. Raises: InputError when that, or the share ("2%"), cannot be used."""
    return Client(world(load_settings(), share_of(hit_limit)))


def client_for_run(*, hit_limit: str | None = None) -> tuple[Client, list[str]]:
    """(a client, warnings): a broken flyball.toml never keeps a command from running. Raises: InputError for the share."""
    share = share_of(hit_limit)
    try:
        return Client(world(load_settings(), share)), []
    except InputError as error:
        return Client(world(Settings(), share)), [f"{error}\n  the command runs with the default settings"]


def share_of(percent: str | None) -> float | None:
    """0.02 of "2%" or "2". Raises: InputError."""
    if percent is None:
        return None
    try:
        share = float(percent.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise InputError(
            f"--hit-limit {percent!r} is not a percentage between 0 and 100", hint="--hit-limit 2%"
        )
    return share


def world(settings: Settings, hit_limit_share_max: float | None = None) -> World:
    """`hit_limit_share_max` goes before the one in the settings. Raises: InputError."""
    home = home_folder(settings, dict(os.environ))
    return World(
        home=home,
        preferences=_preferences(settings, hit_limit_share_max),
        default_tags=settings.tags,
        open_store=lambda: _open_store(home),
        load_catalog=lambda: _load_catalog(home),
        load_samples=lambda attempt_id: _load_samples(home, attempt_id),
        pack_samples=lambda attempt_ids: _pack_samples(home, attempt_ids),
        measure_input=measure_input,
        code_version=_code_version,
        place_of=_place_of,
        scratch=_scratch,
        now_seconds=time.time,
        memory_of_machine_bytes=_memory_of_machine_bytes,
        cost_of=lambda receipt: _cost_of(home, receipt),
    )


def _preferences(settings: Settings, share: float | None) -> Preferences:
    plan, percent = settings.plan, settings.plan.hit_limit_percent
    if percent is not None and not 0 < percent < 100:
        raise InputError(
            f"hit_limit_percent = {percent} is not between 0 and 100", hint="hit_limit_percent = 2.0"
        )
    return Preferences(
        hit_limit_share_max=share if share is not None or percent is None else percent / 100,
        clouds=plan.clouds,
        regions=plan.regions,
        archs=tuple(_member(Arch, name, "archs") for name in plan.archs),
        markets=tuple(_member(Market, name, "markets") for name in plan.markets),
        price_usd_per_hour_max=plan.price_usd_per_hour_max,
    )


def _member(kind: type[_E], name: str, key: str) -> _E:
    try:
        return kind(name)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise InputError(f"{key} in flyball.toml: {name!r} is unknown", why=f"there are {known}") from None


def _open_store(home: Path) -> Store:
    from flyball.adapters.sqlite_store import SqliteStore

    return SqliteStore(home / STORE_FILE)


def _load_catalog(home: Path) -> LayeredCatalog:
    from flyball.adapters.catalog.cache import load_catalog

    return load_catalog(home / CATALOG_FOLDER)


def _load_samples(home: Path, attempt_id: str) -> Samples | None:
    from flyball.adapters.samples import read_samples
    from flyball.model.samples import samples_from_columns

    try:
        table = read_samples(home, attempt_id)
    except InputError:
        return None  # imported, or never sampled
    return samples_from_columns(table.to_dict(as_series=False)) if len(table) else None


def measure_input(text: str) -> tuple[int, int]:
    """(bytes, objects) of a path, a URL, or a "@FILE" that lists them. Raises: FlyballError."""
    from flyball.adapters.object_sizes import measure_input as sized

    if not text.startswith("@"):
        size = sized(text)
        return size.size_bytes, size.objects
    try:
        listed = Path(text[1:]).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the list --input {text}", why=getattr(error, "strerror", None) or str(error)
        ) from None
    sizes = [sized(line.strip()) for line in listed if line.strip()]
    return sum(size.size_bytes for size in sizes), sum(size.objects for size in sizes)


def _code_version(folder: str) -> str | None:
    from flyball.adapters.code_version import code_version

    return code_version(folder)


def _place_of(folder: str) -> Callable[[str], str]:
    from flyball.adapters.code_version import place_of

    return place_of(folder)


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="flyball-", ignore_cleanup_errors=True) as folder:
        yield folder


def _memory_of_machine_bytes() -> int:
    from flyball.meter.host import host_facts

    return int(host_facts()["memory_bytes"])


def _cost_of(home: Path, receipt: Receipt) -> Cost:
    from flyball.policy.cost import cost_here

    return cost_here(
        receipt, lambda cloud, kind, region, market: _find_offer(home, cloud, kind, region, market)
    )


def _find_offer(
    home: Path, cloud: str, instance_type: str, region: str | None, market: Market
) -> Offer | None:
    """Of that machine in its own region, else where it is cheapest: the right order of magnitude beats nothing."""
    offers = _load_catalog(home).offers()
    return offers.find(cloud=cloud, instance_type=instance_type, region=region, market=market) or offers.find(
        cloud=cloud, instance_type=instance_type, market=market
    )


def refresh_aws_catalog(
    *, regions: Sequence[str], profile: str | None, spot_advisor: str | None, progress: Callable[[str], None]
) -> RefreshResult:
    """Raises: InputError, Unavailable, StoreError."""
    from datetime import UTC, datetime

    from flyball.adapters.catalog.aws import refresh_aws

    if profile:
        os.environ["AWS_PROFILE"] = profile
    return refresh_aws(
        cache_folder=home_folder(load_settings(), dict(os.environ)) / CATALOG_FOLDER,
        now=datetime.now(UTC),
        regions=regions,
        spot_advisor=Path(spot_advisor) if spot_advisor else None,
        progress=progress,
    )


def import_catalog_file(file: str) -> ImportResult:
    """Raises: InputError, StoreError."""
    from datetime import UTC, datetime

    from flyball.adapters.catalog.imported import import_catalog

    folder = home_folder(load_settings(), dict(os.environ)) / CATALOG_FOLDER
    return import_catalog(Path(file), folder, datetime.now(UTC))


def catalog() -> LayeredCatalog:
    return _load_catalog(home_folder(load_settings(), dict(os.environ)))


def read_history_file(format_: str, file: str) -> ImportedHistory:
    """Raises: InputError."""
    from flyball.adapters.history_files import import_history

    return import_history(format_, Path(file), now=time.time())


def repair_store() -> Repaired:
    """Raises: StoreError."""
    from flyball.adapters.sqlite_repair import rebuild

    return rebuild(home_folder(load_settings(), dict(os.environ)) / STORE_FILE)


def _pack_samples(home: Path, attempt_ids: Sequence[str]) -> int:
    from flyball.adapters.samples import pack

    return pack(home, attempt_ids)


def tidy_in_background() -> None:
    """Start `flyball store tidy` apart from us: it outlives this process, and no one waits for it."""
    import subprocess
    import sys

    subprocess.Popen(
        [sys.executable, "-m", "flyball", "store", "tidy"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
