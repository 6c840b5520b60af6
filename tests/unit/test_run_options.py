from __future__ import annotations

import pytest

from flyball.app.run_options import cpus_ask, environment, memory_ask, numbers_and_words, pairs
from flyball.engine.one_run import MemoryAsk
from flyball.errors import InputError
from flyball.model.units import GIB, MIB


@pytest.mark.parametrize(
    ("text", "ask"),
    [
        (None, MemoryAsk()),
        ("2GiB", MemoryAsk(first_bytes=2 * GIB)),
        ("512MiB..8GiB", MemoryAsk(first_bytes=512 * MIB, ceiling_bytes=8 * GIB)),
        ("auto", MemoryAsk(planned=True)),
        ("auto..8GiB", MemoryAsk(planned=True, ceiling_bytes=8 * GIB)),
    ],
)
def test_memory_is_a_limit_a_range_or_what_was_planned(text, ask):
    assert memory_ask(text) == ask


@pytest.mark.parametrize("text", ["2", "8GiB..2GiB", "..2GiB", "2GiB..", "automatic"])
def test_memory_that_makes_no_sense_is_refused(text):
    with pytest.raises(InputError):
        memory_ask(text)


def test_cpus_are_a_number_or_what_was_planned():
    assert [cpus_ask(text) for text in (None, "1.5", "auto")] == [(None, False), (1.5, False), (None, True)]


def test_pairs_keep_everything_after_the_first_equals_sign():
    assert pairs(["team=data", "note=a=b"], "--tag") == {"team": "data", "note": "a=b"}
    with pytest.raises(InputError):
        pairs(["team"], "--tag")


def test_parameters_are_numbers_where_they_can_be():
    assert numbers_and_words({"rows": "1e6", "table": "orders", "bad": "nan", "huge": "inf"}) == (
        {"rows": 1e6},
        {"table": "orders"},
    )


def test_an_env_file_adds_to_the_environment_and_only_names_are_kept(tmp_path):
    file = tmp_path / "job.env"
    file.write_text("# comment\nexport A=1\nB='two words'\n\n")
    env, names = environment(["C=3"], [str(file)])
    assert env is not None
    assert (env["A"], env["B"], env["C"], names) == ("1", "two words", "3", ("A", "B", "C"))


def test_a_wrong_line_in_an_env_file_is_named_but_never_shown(tmp_path):
    file = tmp_path / "job.env"
    file.write_text("A=1\nhunter2 is my password\n")
    with pytest.raises(InputError) as caught:
        environment([], [str(file)])
    assert "line 2" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_passing_on_a_variable_that_is_not_set_is_refused():
    with pytest.raises(InputError, match="not set here"):
        environment(["FLYBALL_NO_SUCH_VARIABLE"], [])
