"""What is printed: golden texts for the common cases, properties for what must hold for any run."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown_runs import AT, a_choice, a_plan, a_receipt, a_run, a_state, some_rows, some_samples

from flyball.app import render
from flyball.app.figures import _FIELDS, unknown_figures
from flyball.app.look import Look, columns_of, join_wrapped, shorten, unpainted, wrap
from flyball.app.narrate import outcome_words, run_summary
from flyball.app.report import job_report, run_report
from flyball.app.tables import Cell, Column, table
from flyball.client import JobView
from flyball.model.outcome import Outcome
from flyball.model.receipt import Host, Limits
from flyball.model.summary import JobSummary
from flyball.model.units import GIB, MIB
from flyball.policy.cost import Cost
from flyball.policy.summary import summarise

OWN = Cost(usd=Decimal(0), reason="own machine")
nasty = st.text(st.characters(codec=None), max_size=80)  # lone surrogates too: argv may hold them


def out_of_memory(**changes: object):
    return a_receipt(
        attempt_id="7fk2.0",
        outcome=Outcome.OUT_OF_MEMORY,
        exit_code=137,
        signal=9,
        exit_cause="out of memory at its limit of 1.00 GiB",
        limits=Limits(memory_bytes=GIB, cpu_cores=1.0),
        memory_bytes_max=GIB,
        cpu_cores_mean=0.9,
        cpu_cores_wanted=3.9,
        wall_seconds=22.0,
        throttled_seconds=12.0,
        pressure_cpu_seconds=20.0,
        swap_bytes_max=200 * MIB,
        **changes,
    )


def summary(receipt, **changes):
    given = {"job": "train", "run_id": "7fk2", "cost": OWN, "plan": a_plan(), "width": 100}
    return run_summary(receipt, **{**given, **changes})


def test_a_good_run_is_told_in_two_lines():
    assert summary(a_receipt()) == (
        "flyball: train succeeded in 41.0 s · peak 1.31 GiB of 24.0 GiB · 1.8 of 2 cores\n"
        "         $0 here · next: 2 cores, 1.50 GiB → aws c7g.large spot, $0.0004 a run · flyball why 7fk2"
    )


def test_a_bad_end_is_told_first_and_in_words():
    cost = Cost(usd=None, reason="no price known for aws m9.huge")
    assert summary(out_of_memory(), cost=cost, plan=None, unicode=False, attempts=2) == (
        "flyball: train ran out of memory at its limit of 1.00 GiB after 22.0 s | attempt 2\n"
        "         peak 1.00 GiB of its limit of 1.00 GiB | 0.9 of its limit of 1 core\n"
        "         waited for a core 20.0 s (91 %) | held back by its CPU limit 12.0 s (55 %)\n"
        "         swapped 200 MiB | wanted 3.9 cores\n"
        "         cost unknown (no price known for aws m9.huge) | flyball why 7fk2"
    )


@pytest.mark.parametrize(
    ("outcome", "cause", "words"),
    [
        (Outcome.FAILED, "exit 3", "train failed after 41.0 s: exit 3"),
        (Outcome.TIMED_OUT, "longer than its 30 s", "train timed out after 41.0 s: longer than its 30 s"),
        (Outcome.LOST, "the wrapper died", "train was lost after 41.0 s: the wrapper died"),
    ],
)
def test_each_bad_end_names_its_cause(outcome, cause, words):
    assert words in summary(a_receipt(outcome=outcome, exit_code=1, exit_cause=cause))


def test_short_stalls_are_not_worth_a_word():
    assert "waited" not in summary(a_receipt(pressure_cpu_seconds=3.9, wall_seconds=40.0))
    assert "waited" not in summary(
        a_receipt(pressure_cpu_seconds=0.04, pressure_io_seconds=0.0, wall_seconds=0.05)
    )
    assert "waited for disk 8.00 s (20 %)" in summary(a_receipt(pressure_io_seconds=8.0, wall_seconds=40.0))


def test_what_is_unknown_is_left_out_of_the_line():
    bare = a_receipt(
        memory_bytes_max=None, cpu_cores_mean=None, pressure_cpu_seconds=None, pressure_io_seconds=None
    )
    line = summary(bare, plan=None, cost=None)
    assert line == "flyball: train succeeded in 41.0 s · flyball why 7fk2"


@given(nasty, st.integers(30, 160), st.booleans(), st.booleans())
def test_no_line_is_too_wide_and_no_character_is_obeyed(text, width, colour, unicode):
    shown = summary(
        out_of_memory(),
        job=text,
        cost=Cost(usd=Decimal("0.01"), reason=text),
        width=width,
        colour=colour,
        unicode=unicode,
    )
    plain = unpainted(shown)
    assert all(columns_of(line) <= width for line in plain.split("\n"))
    assert all(character.isprintable() or character == "\n" for character in plain)
    assert unicode or plain.isascii()


@given(nasty, nasty, st.integers(40, 140), st.booleans(), st.booleans())
def test_every_page_keeps_to_its_width_whatever_the_command_is_called(first, second, width, colour, unicode):
    look = Look(width=width, colour=colour, unicode=unicode)
    run = a_run(job=first or "j", command=(first, second), tags={first: second}, job_reason=second)
    state = a_state(
        out_of_memory(), a_receipt(exit_cause=second), run=run, plan=a_plan(job=first, reasons=(second,))
    )
    rows = some_rows(12, job=first or "j")
    view = JobView(summary=summarise(rows)[0], rows=rows, plan=a_plan(), alternatives=[a_choice(zone=second)])
    for page in (
        render.run_page(state, some_samples(30), look),
        render.why_page(state, look),
        render.job_page(view, look),
        render.jobs_table(summarise(rows), look),
        render.runs_table(rows, look),
        render.plan_page(a_plan(job=first), [a_choice()], look),
        render.offers_table([a_choice(gpus=1, gpu_model=first)], look),
    ):
        plain = unpainted(page)
        assert all(columns_of(line) <= width for line in plain.split("\n")), plain
        assert all(character.isprintable() or character == "\n" for character in plain)
        assert unicode or plain.isascii()


def test_jobs_are_told_in_one_line_each():
    told = JobSummary(
        job="train",
        runs=1_204,
        runs_failed=1,
        attempts=1_206,
        first_at_seconds=0.0,
        last_at_seconds=AT,
        last_run_id="7fk2",
        recent_outcomes=(Outcome.SUCCEEDED, Outcome.OUT_OF_MEMORY),
        recent_memory_bytes=(GIB, None, 2 * GIB),
        recent_wall_seconds=(10.0, 20.0, 15.0),
        wall_seconds_p50=15.0,
        memory_bytes_max=2 * GIB,
        cost_usd=1.5,
        next_plan="2 cores, 1.50 GiB",
    )
    assert render.jobs_table([told], Look(width=140)).split("\n") == [
        "job     runs  last run          last ended           time  last runs  peak memory  last runs   cost  next run",
        "train  1,204  2026-11-21 09:31  ran out of memory  15.0 s  ▁█▅           2.00 GiB  ▁ █        $1.50  2 cores, 1.50 GiB",
    ]


def test_narrow_terminals_lose_the_least_important_columns_first():
    narrow = render.jobs_table(summarise(some_rows(14)), Look(width=50)).split("\n")
    assert narrow[0].split("  ")[0] == "job"
    assert "peak memory" in narrow[0]
    assert "cost" not in narrow[0]


def test_a_page_of_nothing_says_what_to_type():
    for page in (render.jobs_table([], Look()), render.runs_table([], Look())):
        assert "flyball run --" in page


def test_a_run_page_has_charts_figures_with_their_source_and_attempts():
    state = a_state(out_of_memory(), a_receipt(limits=Limits(memory_bytes=2 * GIB)), plan=a_plan())
    page = render.run_page(state, some_samples(), Look(width=100))
    assert "memory: highest sample 1.31 GiB of its limit of 2.00 GiB, at 30.1 s" in page
    assert "$ python train.py --date 2026-11-20" in page
    assert "started 2026-11-21 10:31" in page  # in the time zone it was started in
    assert [
        "CPU",
        "time",
        "1",
        "min",
        "14",
        "s",
        "1",
        "min",
        "6",
        "s",
        "user,",
        "7.80",
        "s",
        "system",
        "cgroup",
        "v2",
    ] in [line.split() for line in page.split("\n")]
    assert "unknown on this machine: held back by its limit," in page
    assert "out of memory at 1.00 GiB: doubled" in page


def test_a_run_that_still_runs_can_be_shown():
    running = msgspec.structs.replace(a_state(a_receipt()), ended=())
    assert "running" in render.run_page(running, None, Look())
    assert "ending: running" in render.why_page(running, Look())
    assert render.run_json(running)["outcome"] is None
    assert render.why_json(running)["forecast_against_actual"] == []


def test_why_names_every_decision_with_its_evidence():
    state = a_state(out_of_memory(), a_receipt(memory_bytes_max=2 * GIB), plan=a_plan())
    page = render.why_page(state, Look(width=110))
    for said in (
        "which job: train\n  - named after the script of: python train.py",
        "told apart from its other runs by rows=12000000",
        "forecast before it started: from 41 earlier runs",
        "size planned: 2 cores, 1.50 GiB\n  - peak 1.31 GiB in 41 runs of this input size, +8 %",
        "2 of 100 such runs are expected to need more memory",
        "cheapest offer: aws c7g.large spot, $0.0004 a run",
        "prices as of 2026-11-01",
        "limits, attempt 2: none\n  - out of memory at 1.00 GiB: doubled",
        "ending, attempt 1: ran out of memory after 22.0 s",
        "cost, attempt 2: $0\n  - own machine",
    ):
        assert said in page
    assert page.split("\n")[-4].endswith("2.00 GiB    more than expected")


def test_colour_only_adds_colour():
    state = a_state(a_receipt(), plan=a_plan())
    for page in (render.run_page, lambda s, _, look: render.why_page(s, look)):
        plain, painted = (
            page(state, some_samples(50), Look(width=90, colour=colour)) for colour in (False, True)
        )
        assert "\x1b[" not in plain
        assert "\x1b[" in painted
        assert unpainted(painted) == plain


def test_the_receipt_in_json_has_what_programs_count_on():
    line = render.receipt_json(a_receipt(), job="train", run_id="7fk2", cost=OWN, plan=a_plan())
    decoded = msgspec.json.decode(msgspec.json.encode(line))
    wanted = {
        "run_id": "7fk2",
        "job": "train",
        "outcome": "succeeded",
        "exit_code": 0,
        "wall_seconds": 41.0,
        "cpu_seconds": 73.8,
        "memory_bytes_max": int(1.31 * GIB),
        "memory_bytes_kernel_peak": int(1.9 * GIB),
        "cost_usd": 0.0,
        "swap_bytes_max": None,
        "started_at": "2026-11-21T09:31:12Z",
    }
    assert {key: decoded[key] for key in wanted} == wanted
    assert decoded["sources"]["memory_bytes_max"] == "cgroup v2"
    assert decoded["plan_next"]["choice"]["price_usd_per_hour"] == 0.0341


def test_offers_in_json_have_the_documented_keys():
    (row,) = render.offers_json([a_choice()])
    keys = {"cloud", "region", "zone", "instance_type", "arch", "vcpus", "memory_bytes", "market"}
    assert {*keys, "price_usd_per_hour", "as_of", "source", "expected_usd_per_run"} <= row.keys()
    assert (row["market"], row["arch"], row["as_of"]) == ("spot", "arm64", "2026-11-01")


def test_every_json_page_can_be_encoded():
    rows = some_rows(5)
    view = JobView(summary=summarise(rows)[0], rows=rows, plan=a_plan(), alternatives=[a_choice()])
    state = a_state(out_of_memory(), a_receipt(), plan=a_plan())
    pages = [
        render.jobs_json(summarise(rows)),
        render.runs_json(rows),
        render.job_json(view),
        render.run_json(state, some_samples(5)),
        render.why_json(state),
        render.plan_json(a_plan(), [a_choice()]),
    ]
    for page in pages:
        assert msgspec.json.decode(msgspec.json.encode(page))
    assert render.run_json(state)["attempts"][0]["receipt"]["outcome"] == "out_of_memory"


@given(nasty, st.integers(1, 60))
def test_wrapping_loses_no_character_but_spaces(text, width):
    look = Look(width=width)
    lines = wrap(text, look)
    assert "".join("".join(lines).split()) == "".join(look.clean(text).split())
    assert all(columns_of(line) <= max(width, 2) for line in lines)


@given(st.text(max_size=40), st.integers(1, 30), st.booleans())
def test_shortened_text_fits(text, columns, unicode):
    look = Look(unicode=unicode)
    assert columns_of(shorten(look.clean(text), columns, look)) <= columns


def test_wide_characters_take_two_columns():
    assert columns_of("データ") == 6
    assert shorten("データ", 5, Look()) == "デー…"
    lines = table([Column(title="a"), Column(title="b")], [["データ", "x"], ["d", "y"]], Look()).split("\n")
    assert lines[1:] == ["データ  x", "d       y"]


def test_columns_without_any_value_are_left_out():
    shown = table([Column(title="a"), Column(title="b"), Column(title="c")], [["1", "", Cell("3")]], Look())
    assert shown.split("\n")[0].split() == ["a", "c"]


def test_parts_are_kept_whole_where_they_fit():
    assert join_wrapped(["one two", "three four"], Look(width=14), first="", rest="  ") == [
        "one two",
        "  three four",
    ]


FIGURES = [name for _, name, *_ in _FIELDS if name != "wall_seconds"]


@given(
    st.fixed_dictionaries({name: st.sampled_from([None, 0, 1, 10**15]) for name in FIGURES}),
    st.sampled_from([0.0, 0.001, 1e9]),
    st.sampled_from(Outcome),
    st.sampled_from([Host(), a_receipt().host]),
    st.sampled_from(
        [Limits(), Limits(memory_bytes=1, cpu_cores=0.01, timeout_seconds=1.0, stalled_after_seconds=1.0)]
    ),
)
def test_whatever_is_known_or_unknown_there_are_pages(known, wall_seconds, outcome, host, limits):
    receipt = a_receipt(
        **known, wall_seconds=wall_seconds, outcome=outcome, host=host, limits=limits, gpus=None
    )
    state = a_state(receipt, plan=a_plan(), cost_usd=None)
    unknown = [name for name, value in known.items() if value is None]
    page = render.run_page(state, some_samples(3), Look(width=120))
    assert outcome_words(outcome) in page
    assert "unknown on this machine: " in page
    assert len(unknown_figures(receipt)) == len(unknown) + 1  # and the GPU
    assert render.why_page(state, Look())
    assert outcome_words(outcome) in run_report(state, some_samples(3))
    rows = state.rows()
    assert render.runs_table(rows, Look())
    assert job_report(summarise(rows)[0], rows)
    assert msgspec.json.encode(render.run_json(state))
