"""The commit and the place of a script, against real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flyball.adapters.code_version import code_version, place_of


def git(folder: Path, *args: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    (root / "jobs").mkdir(parents=True)
    (root / "jobs" / "train.py").write_text("")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def test_the_commit_is_what_git_says(repository: Path, tmp_path: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")[:12]
    assert code_version(repository / "jobs") == head
    git(repository, "pack-refs", "--all")
    assert code_version(repository) == head
    git(repository, "checkout", "-q", "--detach")
    assert code_version(repository) == head
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    assert code_version(tmp_path / "side") == head
    git(repository, "pack-refs", "--all")
    assert code_version(tmp_path / "side") == head


def test_there_is_no_commit_outside_a_repository_or_before_the_first(tmp_path: Path) -> None:
    assert code_version(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert code_version(tmp_path) is None
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert code_version(tmp_path) is None


def test_a_script_has_one_place_from_every_folder_and_clone(repository: Path, tmp_path: Path) -> None:
    git(repository, "remote", "add", "origin", "git@example.com:acme/etl.git")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    git(clone, "remote", "set-url", "origin", "https://example.com/acme/etl")
    place = "acme/etl/jobs/train.py"
    assert place_of(repository)("jobs/train.py") == place
    assert place_of(repository / "jobs")("train.py") == place
    assert place_of(tmp_path)(str(clone / "jobs" / "train.py")) == place


def test_namesakes_in_different_folders_have_different_places(repository: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / "train.py").write_text("")
    places = {place_of(tmp_path / folder)("train.py") for folder in ("a", "b", "work/jobs")}
    assert len(places) == 3
    assert place_of(tmp_path)("not-there.py") == "not-there.py"


def test_a_home_folder_is_written_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "train.py").write_text("")
    assert place_of(tmp_path)("train.py") == "~/train.py"
