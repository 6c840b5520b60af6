"""What a job says it makes: where that is, whether it is new, and how it is put in its place once it is whole.

A declared output NAME is looked for under the attempt's own output folder first ($FLYBALL_OUTPUT/NAME), then where it
belongs (NAME in the working folder). A name outside the working folder, /data/x, is $FLYBALL_OUTPUT/_root/data/x.
"""

from __future__ import annotations

import glob
import os
import shutil
from typing import NamedTuple

ROOT = "_root"
REMEMBERED_MAX = 50_000  # files; what is beyond is judged by its time
Signature = tuple[int, int, int, int]


class Declared(NamedTuple):
    """One declared output, as patterns for its places."""

    name: str
    staged: tuple[
        str, ...
    ]  # in the attempt's own folder: by its place in the working folder, and from the root
    final: str
    staging: str  # the attempt's own folder

    @classmethod
    def of(cls, name: str, workdir: str, staging: str) -> Declared:
        final = os.path.normpath(os.path.join(workdir, name))
        own = glob.escape(staging)  # no pattern, whatever characters are in it; the name may be one
        from_root = os.path.join(own, ROOT + final)
        workdir = os.path.normpath(workdir).rstrip(os.sep) + os.sep
        if not final.startswith(workdir):
            return cls(name, (from_root,), final, staging)
        inside = final[len(workdir) :]
        return cls(
            name, (os.path.join(own, inside), from_root), os.path.join(glob.escape(workdir), inside), staging
        )

    def staged_paths(self) -> list[str]:
        return [path for pattern in self.staged for path in _found(pattern)]

    def final_paths(self) -> list[str]:
        return _found(self.final)

    def destination(self, staged: str, workdir: str) -> str:
        """Where something that was found in the attempt's own folder belongs."""
        inside = os.path.relpath(staged, self.staging)
        first, _, rest = inside.partition(os.sep)
        return os.sep + rest if first == ROOT else os.path.join(workdir, inside)


def _found(pattern: str) -> list[str]:
    if glob.has_magic(pattern):
        return sorted(path for path in glob.glob(pattern, recursive=True) if os.path.lexists(path))
    return [pattern] if os.path.lexists(pattern) else []


def files_of(path: str) -> list[str]:
    """The file itself, or every file below a folder."""
    if not os.path.isdir(path):
        return [path]
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)


def is_data(path: str) -> bool:
    """Not a marker or a hidden file that a folder of data holds beside it (_SUCCESS, .part-0.crc)."""
    return not os.path.basename(path).startswith(("_", "."))


def signature(path: str) -> Signature | None:
    """What changes when a file is written again; None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def signatures(paths: list[str]) -> dict[str, Signature]:
    """Of all files at or below those paths, up to a number that takes half a second."""
    seen: dict[str, Signature] = {}
    for path in paths:
        for file in files_of(path):
            if len(seen) >= REMEMBERED_MAX:
                return seen
            found = signature(file)
            if found is not None:
                seen[file] = found
    return seen


def is_new(path: str, before: dict[str, Signature], started_at_seconds: float) -> bool:
    """Written since `before` was taken. Compares no clocks, which network file systems have of their own, unless
    there were too many files to remember."""
    now = signature(path)
    if now is None:
        return False
    if path in before:
        return now != before[path]
    return len(before) < REMEMBERED_MAX or max(now[2], now[3]) >= started_at_seconds * 1e9


def promote(staged: str, destination: str, mark: str) -> None:
    """Puts a file or folder in its place: each file appears there whole or not at all, durable. Raises OSError.

    A folder that is not there yet, or is empty, appears as a whole. One that holds files gets the new ones one by
    one, names that start with _ or . (markers such as _SUCCESS) last; what it had and the new one has not, stays.
    `mark`: what makes names of our own unique.
    """
    _sync_tree(staged)
    _make_folder(os.path.dirname(destination))
    if not os.path.isdir(staged):
        _move(staged, destination, mark)
    elif _is_missing_or_empty(destination):
        _move_folder(staged, destination, mark)
    else:
        for file in sorted(files_of(staged), key=lambda path: (not is_data(path), path)):
            target = os.path.join(destination, os.path.relpath(file, staged))
            _make_folder(os.path.dirname(target))
            _move(file, target, mark)


def _is_missing_or_empty(folder: str) -> bool:
    try:
        return not os.listdir(folder)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False


def _make_folder(folder: str) -> None:
    if folder and not os.path.isdir(folder):
        os.makedirs(folder, exist_ok=True)
        _sync(os.path.dirname(folder) or ".")


def _move(source: str, target: str, mark: str) -> None:
    if not _renamed(source, target):
        beside = f"{target}.{mark}.part"
        try:
            shutil.copy2(source, beside)
            _sync(beside)
            os.replace(beside, target)
        except OSError:
            _forget(beside)
            raise
        os.unlink(source)
    _sync(os.path.dirname(target))


def _move_folder(source: str, target: str, mark: str) -> None:
    if os.path.isdir(target):
        os.rmdir(target)  # empty; on Linux rename would replace it too
    if not _renamed(source, target):
        beside = f"{target}.{mark}.part"
        try:
            shutil.copytree(source, beside, symlinks=True)
            _sync_tree(beside)
            os.rename(beside, target)
        except OSError:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        shutil.rmtree(source, ignore_errors=True)
    _sync(os.path.dirname(target))


def _renamed(source: str, target: str) -> bool:
    """False: they are on different file systems. Raises OSError."""
    if os.stat(source).st_dev != os.stat(os.path.dirname(target)).st_dev:
        return False
    os.replace(source, target)
    return True


def _sync_tree(path: str) -> None:
    for file in files_of(path):
        _sync(file)
    if os.path.isdir(path):
        for folder, _, _ in os.walk(path):
            _sync(folder)


def _sync(path: str) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return  # a link to nowhere, a pipe
    try:
        os.fsync(handle)
    except OSError:
        pass  # some file systems refuse to sync a folder
    finally:
        os.close(handle)


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
