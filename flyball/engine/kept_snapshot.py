"""The snapshot kept in a file, so that a start folds only what was recorded since.

The file is a cache and nothing else: it is believed only when it is whole, was written by this very fold, and the
log still says what it said then. Whatever is wrong with it, the log is folded from its beginning instead.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pkgutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from flyball import __version__, model
from flyball.model.facts import RunSubmitted
from flyball.model.snapshot import SNAPSHOT_VERSION, JobState, LiveRun, Snapshot
from flyball.model.spec import JobSpec
from flyball.ports.store import Store

_MAGIC = b"flyball snapshot 1\n"
_DIGEST_BYTES = 16
_TORN_SECONDS = 3600.0  # a file half written for so long belongs to a process that died

_Specs = Sequence[JobSpec]


def load_snapshot(path: Path, store: Store) -> Snapshot:
    """The snapshot kept there, as far as the log had got then; an empty one when there is none to be believed.

    Raises: StoreError when the log itself cannot be read.
    """
    kept = _read(path)
    if kept is None or not all(_fact_digest(store, at) == digest for at, digest in kept.probes.items()):
        return Snapshot()
    try:
        return _opened(kept)
    except (msgspec.MsgspecError, LookupError, ValueError):
        return Snapshot()


def keep_snapshot(path: Path, snapshot: Snapshot, store: Store) -> bool:
    """Whether it was kept. A reader sees the old file or the new one, never a part; a full disk costs the next start
    some seconds and nothing else, so it is no error. Raises: StoreError when the log itself cannot be read."""
    probes = {at: _fact_digest(store, at) for at in _probed(snapshot.position)}
    if not snapshot.position or "" in probes.values():
        return False  # the log is behind what was folded: not the store it was folded from
    payload = _encode(_closed(snapshot, probes))
    torn = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        _remove_torn(path)
        with open(torn, "wb", opener=_private) as file:
            file.write(_MAGIC + _digest(payload))
            file.write(payload)
        torn.replace(path)  # without fsync: after a power cut the digest tells a torn file from a whole one
    except OSError:
        with contextlib.suppress(OSError):
            torn.unlink(missing_ok=True)
        return False
    return True


# What is written: runs and jobs name their definition by number, for 10,000 runs share a few.


def _with_types(kind: type[msgspec.Struct], **types: Any) -> list[Any]:
    """Fields of a struct, some with another type; new fields come along by themselves."""
    fields = msgspec.structs.fields(kind)
    return [(field.name, types.get(field.name, field.type)) for field in fields]


_LIVE = [field.name for field in msgspec.structs.fields(LiveRun)]
_JOB = [field.name for field in msgspec.structs.fields(JobState)]
_KeptRun = msgspec.defstruct(
    "_KeptRun", [*_with_types(LiveRun, spec=int), ("submitted_spec", int | None)], array_like=True, gc=False
)
_KeptJob = msgspec.defstruct("_KeptJob", _with_types(JobState, spec=int), array_like=True)
_Body: Any = msgspec.defstruct(
    "_Body",
    _with_types(Snapshot, runs=list[_KeptRun], jobs=dict[str, _KeptJob]),  # type: ignore[valid-type]
    array_like=True,
)


class _Kept(msgspec.Struct, array_like=True):
    fold: str
    probes: dict[int, str]  # position -> digest of the fact there
    specs: list[JobSpec]
    body: msgspec.Raw


def _plain(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise NotImplementedError(type(value))


_encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decode_kept = msgspec.msgpack.Decoder(_Kept).decode
_decode_body = msgspec.msgpack.Decoder(_Body).decode


class _Numbers:
    """Gives equal definitions one number."""

    def __init__(self) -> None:
        self.specs: list[JobSpec] = []
        self._by_identity: dict[int, int] = {}
        self._by_value: dict[bytes, int] = {}

    def of(self, spec: JobSpec) -> int:
        number = self._by_identity.get(id(spec))
        if number is None:
            number = self._by_value.setdefault(_encode(spec), len(self.specs))
            if number == len(self.specs):
                self.specs.append(spec)
            self._by_identity[id(spec)] = number
        return number


def _closed(snapshot: Snapshot, probes: dict[int, str]) -> _Kept:
    numbers, replace = _Numbers(), msgspec.structs.replace
    runs = []
    for run in snapshot.runs.values():
        values = {name: getattr(run, name) for name in _LIVE}
        given = run.submitted.spec
        values["spec"] = numbers.of(run.spec)
        values["submitted_spec"] = None if given is None else numbers.of(given)
        values["submitted"] = replace(run.submitted, spec=None)
        runs.append(_KeptRun(**values))
    jobs = {
        name: _KeptJob(**{**{field: getattr(state, field) for field in _JOB}, "spec": numbers.of(state.spec)})
        for name, state in snapshot.jobs.items()
    }
    values = {field.name: getattr(snapshot, field.name) for field in msgspec.structs.fields(Snapshot)}
    body = _Body(**{**values, "runs": runs, "jobs": jobs})
    return _Kept(fold=fold_version(), probes=probes, specs=numbers.specs, body=msgspec.Raw(_encode(body)))


def _opened(kept: _Kept) -> Snapshot:
    body: Any = _decode_body(kept.body)
    specs = kept.specs
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Snapshot):
        value = getattr(body, field.name)
        values[field.name] = MappingProxyType(value) if isinstance(value, dict) else value
    values["runs"] = MappingProxyType({run.submitted.run.run_id: _live(run, specs) for run in body.runs})
    values["jobs"] = MappingProxyType({name: _job(job, specs) for name, job in body.jobs.items()})
    return Snapshot(**values)


def _live(kept: Any, specs: _Specs) -> LiveRun:
    values = {name: getattr(kept, name) for name in _LIVE}
    submitted: RunSubmitted = kept.submitted
    given = None if kept.submitted_spec is None else specs[kept.submitted_spec]
    values["submitted"] = msgspec.structs.replace(submitted, spec=given)
    values["spec"] = specs[kept.spec]
    return LiveRun(**values)


def _job(kept: Any, specs: _Specs) -> JobState:
    values = {name: getattr(kept, name) for name in _JOB}
    for name, value in values.items():
        if isinstance(value, dict):
            values[name] = MappingProxyType(value)
    values["spec"] = specs[kept.spec]
    return JobState(**values)


# What makes it believed


@functools.cache
def fold_version() -> str:
    """Names the fold that is running: another flyball, or a changed model, folds the log anew.

    The text of the model's modules is part of it, so that nobody has to remember to raise a number.
    """
    digest = hashlib.blake2b(f"{__version__} {SNAPSHOT_VERSION}".encode(), digest_size=_DIGEST_BYTES)
    for module in sorted(pkgutil.iter_modules(model.__path__), key=lambda found: found.name):
        with contextlib.suppress(OSError):  # compiled only: the version has to do
            digest.update(pkgutil.get_data(model.__name__, f"{module.name}.py") or b"")
    return digest.hexdigest()


def _probed(position: int) -> Sequence[int]:
    """The facts that stand for the whole log: the last, the one in the middle, and the first."""
    return sorted({1, (position + 1) // 2, position}) if position else ()


def _fact_digest(store: Store, position: int) -> str:
    """Of the fact at that position; "" when there is none."""
    found = store.read(position - 1, limit=1)
    return _digest(msgspec.json.encode(found[0], order="deterministic")).hex() if found else ""


def _digest(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def _read(path: Path) -> _Kept | None:
    try:
        data = memoryview(path.read_bytes())
    except OSError:
        return None
    start = len(_MAGIC) + _DIGEST_BYTES
    payload = data[start:]
    if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : start] != _digest(payload):
        return None
    try:
        kept = _decode_kept(payload)
    except msgspec.MsgspecError:
        return None
    return kept if kept.fold == fold_version() else None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _remove_torn(path: Path) -> None:
    for torn in path.parent.glob(f"{path.name}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - torn.stat().st_mtime > _TORN_SECONDS:
                torn.unlink()
