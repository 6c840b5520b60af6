"""Job definitions: from flyball.toml or Python to JobSpecs, all mistakes at once, and what applying them changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flyball.app.config import Settings
from flyball.app.jobs_file_fields import Fields, Notes
from flyball.app.jobs_file_governor import TICK_SECONDS, governor_of
from flyball.app.jobs_file_job import Defined, Setting, job_of
from flyball.app.jobs_file_values import as_pairs, near
from flyball.errors import InputError
from flyball.model.ceilings import Ceilings
from flyball.model.facts import AnyFact, JobApplied, JobRemoved
from flyball.model.snapshot import Snapshot
from flyball.model.spec import JobSpec
from flyball.policy.triggers import cycle_in
from flyball.ports.papers import Paper

Known = Collection[str] | Mapping[str, Sequence[str]]


class Definitions(msgspec.Struct, frozen=True, kw_only=True):
    """All that one file defines."""

    jobs: tuple[JobSpec, ...]
    ceilings: Ceilings = Ceilings()
    alerts: dict[str, Any] = {}
    tick_seconds: float = TICK_SECONDS
    warnings: tuple[str, ...] = ()


def parse_jobs(
    text: str,
    *,
    file: str,
    providers: Sequence[str],
    papers_keep: Callable[[Paper], str],
    now_seconds: float,
    known_jobs: Known = (),
    check_folders: bool = True,
) -> Definitions:
    """What a flyball.toml defines. `file` is its whole path; `known_jobs` are defined elsewhere and may be followed;
    as a mapping it says what each of them follows, so that circles through several files are found.

    Raises: InputError that tells everything that is wrong, each with its line; then no paper was kept. StoreError.
    """
    raw = _toml(text, file)
    notes = Notes(file, text)
    whole = Fields(raw, path=(), where="", notes=notes)
    for key in Settings.__struct_fields__:
        whole.raw(key)
    tags = whole.read("tags", as_pairs) or {}
    tables = whole.tables("job", hint="[[job]]")
    whole.finish()
    setting = Setting(
        folder=Path(file).absolute().parent,
        providers=tuple(providers),
        tags=tags,
        now_seconds=now_seconds,
        check_folders=check_folders,
    )
    defined = _jobs(tables, setting, notes, known_jobs)
    ceilings, tick_seconds = Ceilings(), TICK_SECONDS
    if (governor := whole.table("governor")) is not None:
        names = [one.spec.name for one in defined] + list(known_jobs)
        ceilings, tick_seconds = governor_of(governor, providers=providers, jobs=names)
    alerts = whole.table("alerts")
    notes.raise_all()
    return Definitions(
        jobs=_kept(defined, papers_keep),
        ceilings=ceilings,
        alerts=dict(raw["alerts"]) if alerts is not None else {},
        tick_seconds=tick_seconds,
        warnings=notes.warnings,
    )


def parse_collected(
    collected: Sequence[Mapping[str, Any]],
    *,
    file: str,
    providers: Sequence[str],
    papers_keep: Callable[[Paper], str],
    now_seconds: float,
    known_jobs: Known = (),
    tags: Mapping[str, str] | None = None,
) -> Definitions:
    """What flyball.definitions.collect found in a Python file; a table's "line" says where. Raises: as parse_jobs."""
    lines: dict[tuple[str | int, ...], int] = {
        ("job", n): one["line"] for n, one in enumerate(collected) if "line" in one
    }
    notes = Notes(file, lines=lines)
    tables = [
        Fields(
            {key: value for key, value in one.items() if key != "line"},
            path=("job", n),
            where="",
            notes=notes,
        )
        for n, one in enumerate(collected)
    ]
    setting = Setting(
        folder=Path(file).absolute().parent,
        providers=tuple(providers),
        tags=tags or {},
        now_seconds=now_seconds,
    )
    defined = _jobs(tables, setting, notes, known_jobs)
    notes.raise_all()
    return Definitions(jobs=_kept(defined, papers_keep), warnings=notes.warnings)


def changes(
    snapshot: Snapshot, definitions: Definitions, now_seconds: float, source: str
) -> tuple[AnyFact, ...]:
    """What applying the file `source` changes: JobApplied where a definition is new or another, JobRemoved for what it
    defined before and does not define any more."""
    facts: list[AnyFact] = []
    for spec in definitions.jobs:
        known = snapshot.jobs.get(spec.name)
        same = known is not None and not known.removed and _same(known.spec, spec)
        if not same:
            facts.append(JobApplied(at_seconds=now_seconds, spec=spec))
    names = {spec.name for spec in definitions.jobs}
    facts += [
        JobRemoved(at_seconds=now_seconds, job=name)
        for name, state in snapshot.jobs.items()
        if name not in names and not state.removed and file_of(state.spec.source) == source
    ]
    return tuple(facts)


def taken_over(snapshot: Snapshot, definitions: Definitions, source: str) -> tuple[str, ...]:
    """A warning for each job that another file has defined: from here on both would change it back and forth."""
    found = []
    for spec in definitions.jobs:
        state = snapshot.jobs.get(spec.name)
        if state is not None and not state.removed and file_of(state.spec.source) not in {source, ""}:
            found.append(f"job {spec.name} was defined in {state.spec.source}; now it is what {source} says")
    return tuple(found)


def file_of(source: str) -> str:
    """ "/x/flyball.toml" of "/x/flyball.toml:12"."""
    file, colon, line = source.rpartition(":")
    return file if colon and line.isdecimal() else source


def _same(one: JobSpec, other: JobSpec) -> bool:
    """Where it stands in its file is not a change; the file is."""
    return file_of(one.source) == file_of(other.source) and one == msgspec.structs.replace(
        other, source=one.source
    )


def _toml(text: str, file: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said, _, place = str(error).partition(" (at line ")
        line = place.partition(",")[0]
        name = file.rsplit("/", 1)[-1]
        raise InputError(
            f"{name}:{line}: {said}" if line.isdecimal() else f"{name}: {error}",
            why="it is not TOML",
            hint='texts stand in quotes: name = "nightly"',
        ) from None


def _jobs(tables: Iterable[Fields], setting: Setting, notes: Notes, known_jobs: Known) -> list[Defined]:
    defined: dict[str, Defined] = {}
    paths: dict[str, Fields] = {}
    for fields in tables:
        name = fields.raw("name")
        fields.where = f"job {name}" if isinstance(name, str) and name else "a job"
        one = job_of(fields, setting)
        if one.spec.name in defined:
            first = notes.line(paths[one.spec.name].path)
            why = f"the first is on line {first}" if first else ""
            fields.problem("name", InputError(f"there are two jobs {one.spec.name!r}", why=why))
        elif one.spec.name:
            defined[one.spec.name], paths[one.spec.name] = one, fields
    _check_after(defined, paths, known_jobs)
    return list(defined.values())


def _check_after(defined: Mapping[str, Defined], paths: Mapping[str, Fields], known_jobs: Known) -> None:
    after = {name: one.spec.after.jobs for name, one in defined.items() if one.spec.after is not None}
    for name, upstreams in after.items():
        for upstream in upstreams:
            if upstream not in defined and upstream not in known_jobs:
                meant = near(upstream, [*defined, *known_jobs])
                why = f"did you mean {meant}?" if meant else "it is defined neither here nor elsewhere"
                paths[name].problem("after", InputError(f"there is no job {upstream!r}", why=why))
    elsewhere = known_jobs if isinstance(known_jobs, Mapping) else {}
    cycle = cycle_in({**elsewhere, **after})
    here = next((name for name in cycle or () if name in paths), None)
    if cycle is not None and here is not None:
        words = " after ".join(cycle)
        why = "none of them would ever start"
        paths[here].problem("after", InputError(f"jobs wait for each other: {words}", why=why))


def _kept(defined: Iterable[Defined], papers_keep: Callable[[Paper], str]) -> tuple[JobSpec, ...]:
    return tuple(msgspec.structs.replace(one.spec, paper=papers_keep(one.paper)) for one in defined)
