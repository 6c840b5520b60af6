"""Settings: from the environment, then flyball.toml, then what the platform expects."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from flyball.errors import InputError

FILE_NAME = "flyball.toml"


class PlanSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [plan] table: what the next run may be given, and where it may be bought."""

    hit_limit_percent: float | None = None  # at most this share of runs may hit the memory limit
    clouds: tuple[str, ...] = ("aws",)
    regions: tuple[str, ...] = ()  # empty: every region in the catalogue
    archs: tuple[str, ...] = ()  # empty: x86_64 and arm64
    markets: tuple[str, ...] = ()  # empty: spot and on_demand
    price_usd_per_hour_max: float | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of flyball.toml that this version reads."""

    home: str | None = None
    tags: dict[str, str] = {}
    plan: PlanSettings = PlanSettings()
    # Definitions are read by app/jobs_file.py, and only where they are needed: a run must start at once.
    job: Any = ()
    governor: Any = None
    alerts: Any = None


def home_folder(settings: Settings, env: dict[str, str]) -> Path:
    """Where facts, samples and logs are kept: FLYBALL_HOME, `home` of flyball.toml, or the platform's data folder."""
    if env.get("FLYBALL_HOME"):
        return Path(env["FLYBALL_HOME"]).expanduser().absolute()
    if settings.home:
        return Path(settings.home).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "flyball"
    base = env.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "flyball"


def find_file(start: Path) -> Path | None:
    """The nearest flyball.toml, from `start` upwards."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


def load_settings(start: Path | None = None) -> Settings:
    """Settings of the nearest flyball.toml, or the defaults when there is none. Raises: InputError."""
    path = find_file(start or Path(os.getcwd()))  # noqa: PTH109 - Path.cwd() is the same call, slower to import
    if path is None:
        return Settings()
    import tomllib

    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        settings = msgspec.convert(raw, Settings)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InputError(
            f"cannot use {path}", why=str(error), hint="docs/settings.md lists every key"
        ) from None
    if settings.home is None:
        return settings
    home = (path.parent / Path(settings.home).expanduser()).absolute()
    return msgspec.structs.replace(settings, home=str(home))
