"""The report page: nothing hostile gets through, nothing is loaded, peaks survive, it stays small."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown_runs import a_choice, a_plan, a_receipt, a_run, a_state, some_rows, some_samples

from flyball.app.markup import asset, tag, text
from flyball.app.plot_frame import BYTES, SECONDS
from flyball.app.report import job_report, run_report
from flyball.app.report_plots import Line, line_plot, thin
from flyball.app.report_spread import bars_plot
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Quantiles
from flyball.model.receipt import Gpu, Limits
from flyball.model.samples import Samples
from flyball.model.units import GIB
from flyball.policy.summary import summarise

VOID = {"meta", "br", "hr", "img", "input", "link"}
hostile = st.one_of(
    st.text(st.characters(codec=None), max_size=60),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "</script><script>alert(1)</script>",
            "</style><img src=x onerror=alert(1)>",
            '" onmouseover="alert(1)',
            "' autofocus onfocus='alert(1)",
            "<!--", "]]>", "&lt;script&gt;", "\u202egnp.exe", "\x00\x1b[31m", "\udc80",
        ]
    ),
)  # fmt: skip


class Page(HTMLParser):
    """What a browser would find, and whether every element is closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        self.words.append(data)

    def count(self, name: str) -> int:
        return sum(found == name for found, _ in self.tags)


def a_run_page(word: str) -> str:
    run = a_run(run_id=word, job=word, command=("sh", "-c", word), tags={word: word}, job_reason=word)
    receipt = a_receipt(
        exit_cause=word,
        outcome=Outcome.FAILED,
        sources={"wall_seconds": word},
        host=msgspec.structs.replace(a_receipt().host, cpu_model=word, hostname=word),
        gpus=(Gpu(index=0, name=word, memory_bytes_total=GIB, memory_bytes_max=GIB // 2),),
    )
    plan = a_plan(job=word, reasons=(word,), choice=a_choice(instance_type=word, cloud=word))
    return run_report(a_state(receipt, receipt, run=run, plan=plan), some_samples(20))


def a_job_page(word: str) -> str:
    rows = [
        msgspec.structs.replace(row, run_id=f"{word}{row.run_id}", tags={word: word})
        for row in some_rows(12, job=word)
    ]
    plan = a_plan(job=word, reasons=(word,), choice=a_choice(zone=word))
    return job_report(summarise(rows)[0], rows, plan=plan, alternatives=[a_choice(zone=word)])


@given(hostile, st.sampled_from([a_run_page, a_job_page]))
def test_whatever_a_command_is_called_the_page_is_only_ours(word, make):
    word = word or "x"  # an empty reason is left out
    harmless, page = Page(make("x")), Page(make(word))
    assert [name for name, _ in page.tags] == [name for name, _ in harmless.tags]
    assert page.count("script") == page.count("style") == 1
    for name, attributes in page.tags:
        assert not any(
            key.startswith("on") or key in {"style", "src", "href", "srcdoc"} for key in attributes
        ), name
    make(word).encode()  # a lone surrogate could not be written to a file


@given(hostile)
def test_text_is_shown_as_it_is_where_it_can_be(word):
    shown = Page(str(tag("p", word, title=word)))
    words = "".join(shown.words)
    assert shown.tags[0][1]["title"] == words
    if word.isprintable():
        assert words == word
    assert all(character.isprintable() for character in words)


@pytest.mark.parametrize("make", [a_run_page, a_job_page])
def test_the_page_may_load_and_send_nothing(make):
    page = make("x")
    policy = next(a["content"] for n, a in Page(page).tags if n == "meta" and a.get("http-equiv"))
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not re.search(r"https?://|//[a-z]", page)
    for element in ("style", "script"):  # then the policy lets exactly our own through
        inside = re.search(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_pictures_say_in_words_what_they_show():
    page = Page(run_report(a_state(a_receipt()), some_samples()))
    labels = [
        attributes.get("aria-label", "") for name, attributes in page.tags if attributes.get("role") == "img"
    ]
    assert "Memory: memory at most 1.31 GiB; machine 24.0 GiB is far above" in labels
    assert len(labels) == 4
    assert page.count("desc") == 4
    assert page.tags[0] == ("html", {"lang": "en"})


def test_ten_thousand_samples_fit_into_400_kb_and_keep_their_peak():
    page = run_report(
        a_state(a_receipt(limits=Limits(memory_bytes=2 * GIB)), plan=a_plan()), some_samples(10_000)
    )
    assert len(page.encode()) < 400_000
    assert "peak 1.31 GiB at 29.9 s" in page
    assert "limit 2.00 GiB" in page


def test_ten_thousand_runs_fit_as_well():
    rows = some_rows(10_000)
    plans = {row.run_id: a_plan() for row in rows}
    page = job_report(summarise(rows)[0], rows, plan=a_plan(), plans=plans)
    assert len(page.encode()) < 400_000
    assert "the newest 400 of 10,000 in the plots" in page


@given(st.lists(st.none() | st.floats(0, 1e12), min_size=2, max_size=2_000))
def test_thinning_keeps_the_extremes_the_ends_and_every_gap_between_them(ys):
    xs = [float(i) for i in range(len(ys))]
    kept = thin(xs, ys, columns=20)
    known = [y for y in ys if y is not None]
    left = [ys[i] for i in kept if ys[i] is not None]
    assert kept == sorted(set(kept))
    assert len(kept) <= max(80, 5 * 20 + 2)
    assert kept[0] == 0
    assert kept[-1] == len(ys) - 1
    assert max(left, default=None) == max(known, default=None)
    assert min(left, default=None) == min(known, default=None)


def test_unknown_samples_are_gaps_in_the_line():
    drawn = str(
        line_plot("m", [0, 1, 2, 3, 4], [Line(name="m", ys=[1, 2, None, 3, 4], colour="c1")], unit=BYTES)
    )
    edge = re.search(r'class="line c1" d="([^"]*)"', drawn)[1]
    assert edge.count("M") == 2
    assert line_plot("m", [0, 1], [Line(name="m", ys=[None, None], colour="c1")], unit=BYTES) is None


def test_a_run_that_never_ended_has_a_page_too():
    running = msgspec.structs.replace(a_state(a_receipt(), plan=a_plan()), ended=())
    assert "running" in run_report(running, None)


def test_the_job_page_counts_how_good_its_forecasts_were():
    rows = some_rows(10)
    tight = Forecast(runs=5, memory_bytes=Quantiles(p50=1.0, p90=1.0, p99=float(rows[3].memory_bytes_max)))
    plans = {row.run_id: a_plan(forecast=tight) for row in rows}
    kept = sum(row.memory_bytes_max <= rows[3].memory_bytes_max for row in rows)
    page = job_report(summarise(rows)[0], rows, plans=plans)
    assert f"{kept} of 10 forecast runs stayed within what was expected in 99 of 100" in page


def test_spread_needs_three_values_and_counts_them_all():
    assert bars_plot("t", [1.0, 2.0, None], unit=SECONDS) is None
    drawn = Page(str(bars_plot("t", [1.0, 1.0, 2.0, 9.0], unit=SECONDS, mark=10.0)))
    counts = [int(m[1]) for word in drawn.words if (m := re.search(r": (\d+) runs?$", word))]
    assert sum(counts) == 4
    assert "planned 10.0 s" in drawn.words
    assert str(bars_plot("t", [5.0, 5.0, 5.0], unit=SECONDS)).count('class="bar tip"') == 1


def test_a_run_that_took_no_time_has_a_page():
    flat = Samples(seconds=(0.0, 0.0), memory_bytes=(0, 0), cpu_cores=(0.0, 0.0))
    assert "Memory" in run_report(a_state(a_receipt(wall_seconds=0.0, memory_bytes_max=0)), flat)


def test_an_asset_cannot_end_its_element():
    with pytest.raises(ValueError, match="end tag"):
        asset("</style>")
    assert text('<a href="x">') == "&lt;a href=&quot;x&quot;&gt;"
