"""Private papers on disk: the same name for the same paper, readable by their owner only, gone when nobody needs them."""

from __future__ import annotations

import os
import stat
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.adapters.papers import FolderPapers
from flyball.errors import StoreError
from flyball.ports.papers import MemoryPapers, Paper

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
PAPERS = st.builds(
    Paper,
    command=st.lists(WORDS, min_size=1, max_size=4).map(tuple),
    env=st.dictionaries(WORDS, WORDS, max_size=4),
    inherit_env=st.booleans(),
)
SECRET = Paper(command=("psql",), env={"PGPASSWORD": "s3cr3t"})
DAY_SECONDS = 86_400.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("papers")


@settings(derandomize=True, max_examples=60, deadline=None)
@given(paper=PAPERS)
def test_what_was_kept_is_found_by_another_process_under_the_name_that_memory_gives_it(folder, paper):
    name = FolderPapers(folder).keep(paper)
    assert FolderPapers(folder).get(name) == paper
    assert name == MemoryPapers().keep(paper)


def test_only_the_user_can_read_it(tmp_path):
    old = os.umask(0)
    try:
        FolderPapers(tmp_path).keep(SECRET)
    finally:
        os.umask(old)
    (file,) = (tmp_path / "private").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_order_of_variables_makes_no_other_paper(tmp_path):
    papers = FolderPapers(tmp_path)
    one = papers.keep(Paper(command=("a",), env={"A": "1", "B": "2"}))
    other = papers.keep(Paper(command=("a",), env={"B": "2", "A": "1"}))
    assert one == other


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"command":["rm"]}', None])
def test_a_damaged_paper_is_none_and_is_mended_by_keeping_it_again(tmp_path, damage):
    name = FolderPapers(tmp_path).keep(SECRET)
    file = tmp_path / "private" / f"{name}.json"
    file.write_bytes(file.read_bytes()[:-1] if damage is None else damage)
    papers = FolderPapers(tmp_path)
    assert papers.get(name) is None
    assert papers.keep(SECRET) == name
    assert papers.get(name) == SECRET


@pytest.mark.parametrize("name", ["", "nobody", "../../etc/passwd", "0" * 32])
def test_a_name_that_is_none_gives_none(tmp_path, name):
    assert FolderPapers(tmp_path).get(name) is None


def test_unused_papers_go_when_they_are_old_and_used_or_young_ones_stay(tmp_path):
    papers, now = FolderPapers(tmp_path), time.time()
    used, unused, young = (papers.keep(Paper(command=(word,))) for word in ("used", "unused", "young"))
    (tmp_path / "private" / "half.12-ab").write_bytes(b"a crash left this")
    for path in (tmp_path / "private").iterdir():
        if path.stem != young:
            os.utime(path, (now - 3 * DAY_SECONDS,) * 2)
    removed = papers.remove_unused({used}, older_than_seconds=2 * DAY_SECONDS, now_seconds=now)
    assert removed == 2
    assert (papers.get(used) is None, papers.get(unused) is None, papers.get(young) is None) == (
        False,
        True,
        False,
    )


def test_keeping_an_old_paper_again_makes_it_young(tmp_path):
    papers, now = FolderPapers(tmp_path), time.time()
    name = papers.keep(SECRET)
    os.utime(tmp_path / "private" / f"{name}.json", (now - 3 * DAY_SECONDS,) * 2)
    papers.keep(SECRET)
    assert papers.remove_unused((), older_than_seconds=DAY_SECONDS, now_seconds=now) == 0


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path):
    (tmp_path / "private").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="private file"):
        FolderPapers(tmp_path).keep(SECRET)


def test_a_command_that_is_no_text_is_an_error_in_words(tmp_path):
    with pytest.raises(StoreError, match="cannot be kept"):
        FolderPapers(tmp_path).keep(Paper(command=("\udcff",)))
