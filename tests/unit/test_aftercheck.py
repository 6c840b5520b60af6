"""Exit code 0 is not enough: what was to be made is there, whole and new, and only then in its place."""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
from pathlib import Path

import pytest

from flyball.meter.aftercheck import Aftercheck
from flyball.meter.declared import promote
from flyball.meter.keeper import MACHINE, STOP, Keeper
from flyball.outputs import attempt_output, report_progress

SUCCEEDED = {"outcome": "succeeded", "exit_cause": "exit 0"}


class Attempt:
    """One attempt's folders, and what its wrapper does around the command."""

    def __init__(self, root: Path, **rules) -> None:
        self.workdir, self.staging, self.machine = root / "work", root / "run/output", root / "machine"
        for folder in (self.workdir, self.staging, self.machine):
            folder.mkdir(parents=True, exist_ok=True)
        (self.machine / MACHINE).touch()
        self.asked = {
            "attempt_id": "r.1",
            "folder": str(root / "run"),
            "workdir": str(self.workdir),
            "rules": {
                "outputs": [],
                "rows": [],
                "check": [],
                "check_seconds": 20.0,
                "url_check": None,
                **rules,
            },
        }
        env = {**os.environ, "FLYBALL_OUTPUT": str(self.staging)}
        self.check = Aftercheck.before_start(self.asked, str(self.staging), env)

    def end(self) -> tuple[str, str]:
        keeper = Keeper(str(self.machine), lease_seconds=900.0, grace_seconds=1.0, judge=self.check.judged)
        receipt = keeper.judged(dict(SUCCEEDED))
        return receipt["outcome"], receipt["exit_cause"]


def write(path: Path, text: str = "x\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


CASES = {  # declared output: [(what there was, what the attempt wrote, what is wrong)]
    "out.csv": [
        ((), ("out.csv",), None),
        ((), (), "there is no out.csv"),
        (("out.csv",), (), "from before"),
        (("out.csv",), ("out.csv",), None),
        ((), ("out.csv=",), "out.csv is empty"),
    ],
    "day/*.csv": [
        ((), ("day/a.csv", "day/b.csv"), None),
        (("day/a.csv",), ("day/b.csv",), None),
        (("day/a.csv",), (), "from before"),
        ((), ("day/a.json",), "there is no"),
        ((), ("day/a.csv", "day/b.csv="), "b.csv, one of"),
    ],
    "day": [
        ((), ("day/part-0", "day/_SUCCESS="), None),
        ((), ("day/",), "day is empty"),
        ((), ("day/_SUCCESS=",), "day is empty"),
        (("day/old",), (), "from before"),
        (("day/old",), ("day/new",), None),
    ],
    "**/deep.csv": [((), ("a/b/deep.csv",), None), ((), ("a/b/deep.json",), "there is no")],
    "[odd] name": [((), ("[odd] name",), "there is no")],  # a pattern: it wants "o name", "d name"
    "[o]dd": [((), ("odd",), None)],
}


def make(root: Path, name: str) -> None:
    if name.endswith("/"):
        (root / name).mkdir(parents=True)
    else:
        write(root / name.removesuffix("="), "" if name.endswith("=") else "some\n")


@pytest.mark.parametrize("place", ["workdir", "staging"])
@pytest.mark.parametrize(
    ("output", "before", "made", "wrong"),
    [(output, *case) for output, cases in CASES.items() for case in cases],
)
def test_an_output_is_there_holds_something_and_is_new(  # noqa: PLR0917
    tmp_path, place, output, before, made, wrong
):
    odd = tmp_path / "work [1] *"  # folders of ours are no patterns
    for name in before:
        make(odd / "work", name)
    attempt = Attempt(odd, outputs=[output])
    for name in made:
        make(getattr(attempt, place), name)
    outcome, cause = attempt.end()
    if wrong is None:
        assert (outcome, cause) == ("succeeded", "exit 0")
        assert all((attempt.workdir / name.removesuffix("=")).exists() for name in made)
        assert [path for path in attempt.staging.rglob("*") if path.is_file()] == []
    else:
        assert outcome == "incomplete_output"
        assert wrong in cause
        assert place == "workdir" or not any((attempt.workdir / name).is_file() for name in made)


def test_writing_the_same_again_is_new_and_touching_nothing_is_not(tmp_path):
    write(tmp_path / "work/same.csv", "same\n")
    again = Attempt(tmp_path, outputs=["same.csv"])
    write(again.workdir / "same.csv", "same\n")
    assert again.end()[0] == "succeeded"
    assert Attempt(tmp_path, outputs=["same.csv"]).end()[0] == "incomplete_output"


def test_an_output_outside_the_working_folder_has_its_place_under_root(tmp_path, monkeypatch):
    final = tmp_path / "elsewhere/out.csv"
    attempt = Attempt(tmp_path, outputs=[str(final)])
    monkeypatch.setenv("FLYBALL_OUTPUT", str(attempt.staging))
    attempt_output(final).write_text("rows\n")
    assert attempt.end()[0] == "succeeded"
    assert final.read_text() == "rows\n"


@pytest.mark.parametrize("name", ["out.csv", "sub/out.csv", "../beside.csv"])
@pytest.mark.parametrize("absolute", [False, True])
def test_what_python_programs_write_by_the_helper_is_found_and_promoted(
    tmp_path, monkeypatch, name, absolute
):
    attempt = Attempt(tmp_path, outputs=[name])
    monkeypatch.setenv("FLYBALL_OUTPUT", str(attempt.staging))
    monkeypatch.chdir(attempt.workdir)
    attempt_output(attempt.workdir / name if absolute else name).write_text("rows\n")
    assert not (attempt.workdir / name).exists()
    assert attempt.end()[0] == "succeeded"
    assert (attempt.workdir / name).read_text() == "rows\n"


def test_by_hand_the_helper_gives_the_place_itself_and_progress_goes_nowhere(tmp_path, monkeypatch):
    for name in ("FLYBALL_OUTPUT", "FLYBALL_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    assert attempt_output(tmp_path / "new/out.csv") == tmp_path / "new/out.csv"
    assert (tmp_path / "new").is_dir()
    report_progress(0.5)
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]


def test_a_url_is_written_directly(monkeypatch, tmp_path):
    monkeypatch.setenv("FLYBALL_OUTPUT", str(tmp_path))
    with pytest.raises(ValueError, match="directly"):
        attempt_output("s3://bucket/x.parquet")


@pytest.mark.parametrize(("share", "said"), [(0.25, "0.250000\n"), (7.0, "1.000000\n"), (-1.0, "0.000000\n")])
def test_progress_is_written_whole(tmp_path, monkeypatch, share, said):
    monkeypatch.setenv("FLYBALL_PROGRESS", str(tmp_path / "progress"))
    report_progress(share)
    assert (tmp_path / "progress").read_text() == said
    assert len(list(tmp_path.iterdir())) == 1


# Rows and checks


@pytest.mark.parametrize(
    ("rows", "least", "most", "wrong"),
    [(3, 1, None, None), (3, 3, 3, None), (3, 4, None, "3 rows, fewer than 4"), (3, 0, 2, "more than 2")],
)
def test_rows_must_be_within_their_range(tmp_path, rows, least, most, wrong):
    attempt = Attempt(tmp_path, rows=[{"path": "*.csv", "rows_min": least, "rows_max": most}])
    write(attempt.workdir / "a.csv", "head\n" + "1\n" * (rows - 1))
    write(attempt.workdir / "b.csv", "head\n1\n")
    outcome, cause = attempt.end()
    assert outcome == ("succeeded" if wrong is None else "incomplete_output")
    assert (wrong or "exit 0") in cause


def test_rows_of_an_old_file_do_not_count(tmp_path):
    write(tmp_path / "work/a.csv", "head\n1\n")
    attempt = Attempt(tmp_path, rows=[{"path": "a.csv", "rows_min": 1, "rows_max": None}])
    assert "no new a.csv" in attempt.end()[1]


def test_rows_that_cannot_be_counted_are_not_taken_for_enough(tmp_path):
    attempt = Attempt(tmp_path, rows=[{"path": "a.parquet", "rows_min": 0, "rows_max": None}])
    write(attempt.workdir / "a.parquet", "half a file")
    outcome, cause = attempt.end()
    assert outcome == "incomplete_output"
    assert "cannot be counted" in cause


def test_a_check_decides_before_anything_is_put_in_its_place(tmp_path):
    attempt = Attempt(tmp_path, outputs=["out"], check=["sh", "-c", "echo far too few; test -e out"])
    write(attempt.staging / "out")
    outcome, cause = attempt.end()
    assert outcome == "incomplete_output"
    assert "far too few" in cause
    assert not (attempt.workdir / "out").exists()
    assert "far too few" in (tmp_path / "run/log").read_text()


def test_a_check_sees_what_the_attempt_made(tmp_path):
    attempt = Attempt(tmp_path, outputs=["out"], check=["sh", "-c", "test -s $FLYBALL_OUTPUT/out"])
    write(attempt.staging / "out")
    assert attempt.end()[0] == "succeeded"


@pytest.mark.parametrize(
    ("check", "words"),
    [(["no-such-check"], "could not be started"), (["sleep", "60"], "had not ended after 0.3 s")],
)
def test_a_check_that_gives_no_answer_is_no_success(tmp_path, check, words):
    outcome, cause = Attempt(tmp_path, check=check, check_seconds=0.3).end()
    assert outcome == "incomplete_output"
    assert words in cause


def test_a_stop_during_the_check_ends_it_and_the_attempt_is_cancelled(tmp_path):
    attempt = Attempt(tmp_path, outputs=["out"], check=["sleep", "60"])
    write(attempt.staging / "out")
    threading.Timer(0.2, (attempt.machine / STOP).touch).start()
    outcome, cause = attempt.end()
    assert outcome == "cancelled"
    assert "checked" in cause
    assert not (attempt.workdir / "out").exists()


def test_what_failed_is_left_as_it_is(tmp_path):
    attempt = Attempt(tmp_path, outputs=["out"], check=["touch", "ran"])
    failed = {"outcome": "failed", "exit_cause": "exit 3"}
    keeper = Keeper(str(attempt.machine), lease_seconds=9.0, grace_seconds=1.0, judge=attempt.check.judged)
    assert keeper.judged(failed) == failed
    assert not (attempt.workdir / "ran").exists()


# Putting things in their places


def test_a_new_folder_appears_as_a_whole_and_a_full_one_keeps_what_it_had(tmp_path):
    for name in ("a", "sub/b", "_SUCCESS"):
        write(tmp_path / "staged" / name, "new\n")
    write(tmp_path / "full/a", "old\n")
    write(tmp_path / "full/kept", "old\n")
    promote(str(tmp_path / "staged"), str(tmp_path / "full"), "m")
    found = {
        str(p.relative_to(tmp_path / "full")): p.read_text()
        for p in (tmp_path / "full").rglob("*")
        if p.is_file()
    }
    assert found == {"a": "new\n", "sub/b": "new\n", "_SUCCESS": "new\n", "kept": "old\n"}


def test_it_works_across_file_systems(tmp_path):
    other = Path("/dev/shm") / f"flyball-test-{os.getpid()}-{random.random()}"
    if not other.parent.is_dir() or other.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is only one file system here")
    try:
        for name in ("one", "folder/two"):
            write(other / name, "new\n")
        write(tmp_path / "one", "old\n")
        promote(str(other / "one"), str(tmp_path / "one"), "m")
        promote(str(other / "folder"), str(tmp_path / "folder"), "m")
        names = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
        assert names == ["folder/two", "one"]
        assert (tmp_path / "one").read_text() == "new\n"
        assert not (other / "one").exists()
    finally:
        shutil.rmtree(other)


def test_a_reader_never_sees_half_of_a_file_that_is_replaced(tmp_path):
    final, wrong, stop = tmp_path / "out", [], threading.Event()
    final.write_text("0" * 100_000)

    def read() -> None:
        while not stop.is_set():
            text = final.read_text()
            if len(text) != 100_000 or len(set(text)) != 1:
                wrong.append(text[:20])

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(20):
        write(tmp_path / f"staged{n}", str(n % 10) * 100_000)
        promote(str(tmp_path / f"staged{n}"), str(final), "m")
    stop.set()
    reader.join()
    assert wrong == []
    assert final.read_text()[0] == "9"


def test_an_output_that_cannot_be_put_in_its_place_is_said_and_kept(tmp_path):
    attempt = Attempt(tmp_path, outputs=["sub/out"])
    write(attempt.workdir / "sub", "a file where a folder should be")
    write(attempt.staging / "sub/out")
    outcome, cause = attempt.end()
    assert outcome == "incomplete_output"
    assert "could not be put in its place" in cause
    assert (attempt.staging / "sub/out").exists()


def test_python_is_the_one_that_runs_this() -> None:
    """The wrapper's rules import nothing that a bare python3 has not."""
    import subprocess

    code = "import flyball.meter.one_machine, sys; print('msgspec' in sys.modules)"
    root = str(Path(__file__).parents[2])
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {root!r}); {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "False"
