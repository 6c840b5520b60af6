"""Definitions from any number of files, .toml or .py, as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flyball.app.jobs_file import Definitions, changes, file_of, parse_collected, parse_jobs, taken_over
from flyball.errors import InputError
from flyball.model.ceilings import Ceilings
from flyball.model.facts import AnyFact
from flyball.model.snapshot import Snapshot
from flyball.model.spec import JobSpec
from flyball.ports.papers import Paper


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What the files define together; ceilings and alerts are those of the last .toml that has any."""

    by_file: tuple[tuple[Path, Definitions], ...]
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for file, _ in self.by_file)

    @property
    def jobs(self) -> tuple[JobSpec, ...]:
        return tuple(spec for _, found in self.by_file for spec in found.jobs)

    @property
    def _settings(self) -> Definitions:
        return next(
            (found for file, found in reversed(self.by_file) if file.suffix == ".toml"), Definitions(jobs=())
        )

    @property
    def ceilings(self) -> Ceilings:
        return self._settings.ceilings

    @property
    def alerts(self) -> dict[str, Any]:
        return self._settings.alerts

    @property
    def tick_seconds(self) -> float:
        return self._settings.tick_seconds

    def changes(self, snapshot: Snapshot, now_seconds: float) -> list[AnyFact]:
        """What applying them changes."""
        return [
            fact for file, found in self.by_file for fact in changes(snapshot, found, now_seconds, str(file))
        ]


def load_definitions(
    files: Sequence[Path],
    *,
    providers: Sequence[str],
    papers_keep: Callable[[Paper], str],
    now_seconds: float,
    snapshot: Snapshot,
    tags: Mapping[str, str],
) -> Loaded:
    """Raises: InputError that tells everything that is wrong with a file, StoreError."""
    by_file: list[tuple[Path, Definitions]] = []
    warnings: list[str] = []
    for file in (given.absolute() for given in files):
        known = _known_elsewhere(file, snapshot, by_file)
        if file.suffix == ".py":
            from flyball.definitions import collect

            found = parse_collected(
                collect(file),
                file=str(file),
                providers=providers,
                papers_keep=papers_keep,
                now_seconds=now_seconds,
                known_jobs=known,
                tags=tags,
            )
        else:
            found = parse_jobs(
                _text(file),
                file=str(file),
                providers=providers,
                papers_keep=papers_keep,
                now_seconds=now_seconds,
                known_jobs=known,
            )
        warnings += [*found.warnings, *taken_over(snapshot, found, str(file))]
        by_file.append((file, found))
    return Loaded(by_file=tuple(by_file), warnings=tuple(warnings))


def _known_elsewhere(
    file: Path, snapshot: Snapshot, by_file: Sequence[tuple[Path, Definitions]]
) -> dict[str, tuple[str, ...]]:
    """Jobs that other files define -> the jobs that they run after."""
    specs = [
        job.spec
        for job in snapshot.jobs.values()
        if not job.removed and file_of(job.spec.source) != str(file)
    ]
    specs += [spec for _, found in by_file for spec in found.jobs]
    return {spec.name: spec.after.jobs if spec.after else () for spec in specs}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {file}", why=why, hint="flyball apply flyball.toml") from None
