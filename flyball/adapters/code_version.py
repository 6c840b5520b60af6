"""Which code runs: the git commit of a folder, and where a script lives. Read from .git, without starting git."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

_REFERENCE_BYTES_MAX = 4096
_PACKED_REFS_BYTES_MAX = 16 * 2**20
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_ORIGIN_URL = re.compile(r'\[remote "origin"\][^\[]*?^\s*url\s*=\s*(\S+)', re.MULTILINE)


def code_version(workdir: Path | str) -> str | None:
    """The commit that is checked out around `workdir`, first 12 digits; None outside a repository.

    Changes that are not committed are not looked for: that takes git seconds in a large repository.
    """
    git = _git_folder(Path(workdir))
    commit = _commit(git) if git else None
    return commit[:12] if commit else None


def place_of(workdir: Path | str) -> Callable[[str], str]:
    """Names a script by where it lives: "owner/repository/etl/train.py" in a clone, else its full path, with `~`.

    The same script has the same place from every working directory, and in every clone of its repository.
    """
    start = Path(workdir)

    def place(path: str) -> str:
        full = Path(os.path.realpath(start / Path(path).expanduser()))
        if not full.exists():
            return path  # a program found on PATH, or one inside a container
        root = _work_tree(full.parent)
        if root is None:
            return _from_home(full)
        return f"{_repository_name(root)}/{full.relative_to(root).as_posix()}"

    return place


def _work_tree(folder: Path) -> Path | None:
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), None)


def _git_folder(folder: Path) -> Path | None:
    root = _work_tree(Path(os.path.realpath(folder)))
    if root is None:
        return None
    dot_git = root / ".git"
    if dot_git.is_dir():
        return dot_git
    pointed = _text(dot_git)  # "gitdir: ..." in a worktree or a submodule
    return (root / pointed.removeprefix("gitdir:").strip()) if pointed else None


def _commit(git: Path) -> str | None:
    head = _text(git / "HEAD") or ""
    if not head.startswith("ref:"):
        return head if _COMMIT.match(head) else None
    reference = head.removeprefix("ref:").strip()
    for folder in (git, _shared(git)):
        commit = _text(folder / reference)
        if commit and _COMMIT.match(commit):
            return commit
    return _packed(_shared(git), reference)


def _shared(git: Path) -> Path:
    """The main repository's .git of a worktree; the same folder otherwise."""
    shared = _text(git / "commondir")
    return git / shared if shared else git


def _packed(git: Path, reference: str) -> str | None:
    for line in (_text(git / "packed-refs", _PACKED_REFS_BYTES_MAX) or "").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference and _COMMIT.match(commit):
            return commit
    return None


def _repository_name(root: Path) -> str:
    """`owner/name` of where it was cloned from; the folder's own path for one that was not cloned."""
    git = _git_folder(root)
    config = _text(_shared(git) / "config", 2**20) if git else None
    found = _ORIGIN_URL.search(config or "")
    parts = [part for part in re.split(r"[/:]", found[1].removesuffix(".git")) if part] if found else []
    return "/".join(parts[-2:]) if len(parts) >= 2 else _from_home(root)


def _from_home(path: Path) -> str:
    home = Path(os.path.realpath(Path("~").expanduser()))
    return (
        f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) and path != home else str(path)
    )


def _text(path: Path, bytes_max: int = _REFERENCE_BYTES_MAX) -> str | None:
    try:
        with path.open("rb") as opened:
            return opened.read(bytes_max).decode("utf-8", "replace").strip()
    except OSError:
        return None
