"""`flyball costs` and `flyball machines`: sums, pages, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from money_setting import (
    HOUR,
    SPOT,
    T0,
    after,
    ended,
    give_back,
    host_launched,
    host_planned,
    known,
    launched,
    planned,
    released,
    started,
    submitted,
)

from flyball.app.costs_pages import costs_csv, costs_json, costs_of, costs_page, moment
from flyball.app.look import Look
from flyball.app.machines_pages import machines_json, machines_page
from flyball.errors import InputError
from flyball.model import facts as f
from flyball.model.history import AttemptRow
from flyball.model.machine import Machine, Stage
from flyball.model.outcome import Outcome
from flyball.policy.charges import charge_of
from flyball.policy.commands import GiveBack
from flyball.policy.costs import costs
from flyball.policy.machines import machines_overview
from flyball.ports.store import MemoryStore

DAY = 24 * HOUR
WIDE, NARROW = Look(width=120), Look(width=40)


def a_row(n: int = 1, **changes) -> AttemptRow:
    """A governed attempt on spot that cost $0.25 instead of $1."""
    fields = {
        "run_id": f"r{n}", "attempt_id": f"r{n}.1", "job": "train", "origin": "run", "started_at_seconds": T0 + 40,
        "outcome": Outcome.SUCCEEDED, "wall_seconds": 600.0, "tags": {"team": "data"}, "cost_usd": "0.250000000",
        "provider": "sim", "market": "spot", "launched_at_seconds": T0, "released_at_seconds": T0 + 800,
        "billed_seconds": 800.0, "boot_seconds": 40.0, "idle_seconds": 160.0, "usd_on_demand_asked": "1",
        "price_as_of": "2026-10-01", "not_included": ("network traffic",),
    }  # fmt: skip
    return AttemptRow(**fields | changes)


HERE = {"provider": None, "market": None, "launched_at_seconds": None, "released_at_seconds": None,
        "billed_seconds": None, "boot_seconds": None, "idle_seconds": None, "usd_on_demand_asked": None,
        "price_as_of": None, "not_included": ()}  # fmt: skip
ROWS = [
    a_row(1),
    a_row(2, outcome=Outcome.INTERRUPTED, usd_on_demand_asked="0", attempt_id="r2.1"),
    a_row(2, attempt_id="r2.2", released_at_seconds=T0 + DAY + 5),
    a_row(3, job="etl", tags={}, usd_on_demand_asked=None, market="on_demand", price_as_of="2026-09-01"),
    a_row(4, job="etl", cost_usd=None),  # nobody knows its price
    a_row(
        5, job="etl", cost_usd=None, released_at_seconds=None, outcome=None, wall_seconds=None
    ),  # still running
    a_row(6, job="here", cost_usd="0", **HERE),
]


def test_costs_by_job_add_up():
    found = costs(ROWS)
    assert [(line.key, line.runs, line.attempts, line.usd) for line in found.lines] == [
        ("train", 2, 3, Decimal("0.75")),
        ("etl", 3, 3, Decimal("0.25")),
        ("here", 1, 1, Decimal(0)),
    ]
    total = found.total
    assert (total.runs, total.attempts, total.usd) == (6, 7, Decimal(1))
    assert (total.usd_unsuccessful, total.usd_boot_and_idle) == (Decimal("0.25"), Decimal("0.25"))
    assert (total.cost_unknown, total.still_held, found.not_compared) == (1, 1, 1)
    assert (found.not_included, found.prices_as_of) == (("network traffic",), "2026-09-01")


def test_savings_are_counted_where_there_is_something_to_compare_with():
    total = costs(ROWS).total
    assert (total.usd_compared, total.usd_on_demand_asked, total.usd_saved) == (
        Decimal("0.75"),
        Decimal(2),
        Decimal("1.25"),
    )
    assert total.saved_share == 0.625
    assert costs([a_row(usd_on_demand_asked="0.2")]).total.usd_saved == Decimal("-0.05")
    assert costs([a_row(usd_on_demand_asked=None)]).total.saved_share is None


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("job", ["train", "etl", "here"]),
        ("tag:team", ["data", "(no team)"]),
        ("day", ["2026-11-01", "2026-11-02"]),
        ("provider", ["sim", "here"]),
        ("outcome", ["succeeded", "interrupted", "running"]),
        ("market", ["spot", "on_demand", "here"]),
    ],
)
def test_costs_can_be_grouped_in_six_ways(by, keys):
    found = costs_of(ROWS, by=by, now_seconds=T0)
    assert [line.key for line in found.lines] == keys
    assert sum(line.usd for line in found.lines) == found.total.usd == Decimal(1)


def test_an_attempt_counts_when_its_machine_was_given_back():
    assert costs(ROWS, since_seconds=T0 + DAY).total.usd == Decimal("0.25")
    assert costs(ROWS, until_seconds=T0 + DAY).total.usd == Decimal("0.75")
    assert [costs(ROWS[:1], until_seconds=T0 + at).total.attempts for at in (800, 800.001)] == [0, 1]
    assert [costs(ROWS[:1], since_seconds=T0 + at).total.attempts for at in (800, 800.001)] == [1, 0]
    assert costs(ROWS, since_seconds=T0 + 801, until_seconds=T0 + DAY).lines == ()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("30d", T0 - 30 * DAY),
        ("2026-11-01", T0),
        ("2026-11-01 06:30", T0 + 6.5 * HOUR),
        ("2026-11-01T01:00+01:00", T0),
    ],
)
def test_moments_are_a_length_of_time_ago_or_a_day(text, at):
    assert moment(text, T0) == at


@pytest.mark.parametrize(
    ("by", "since", "until"),
    [("colour", None, None), ("tag", None, None), ("job:x", None, None), ("tag:", None, None), ("job", "yesterdy", None),
     ("job", None, "30"), ("job", "2026-11-02", "2026-11-01")],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_with_what_can(by, since, until):
    with pytest.raises(InputError) as caught:
        costs_of(ROWS, by=by, since=since, until=until, now_seconds=T0)
    assert caught.value.hint or caught.value.why


def test_the_page_says_what_was_spent_saved_and_left_out():
    page = " ".join(costs_page(costs(ROWS), WIDE).split())
    for words in (
        "train 2 3 $0.750 $0.250 $0.188 $2.00 62%",
        "total",
        "$1.25 saved (62%) against the same jobs on demand at the size they were asked for: $2.00 instead of $0.750",
        "1 attempt without a price on demand",
        "1 attempt whose cost nobody knows",
        "1 attempt whose machine is still held",
        "not included: network traffic",
        "the oldest as of 2026-09-01",
    ):
        assert words in page


@pytest.mark.parametrize("rows", [[], ROWS, ROWS[:1], ROWS[-1:], [a_row(usd_on_demand_asked="0.1")]])
@pytest.mark.parametrize("look", [WIDE, NARROW, Look(width=80, colour=True, unicode=False)])
def test_the_page_fits_its_terminal(rows, look):
    from flyball.app.look import columns_of, unpainted

    page = costs_page(costs(rows), look)
    assert page
    assert all(columns_of(unpainted(line)) <= look.width for line in page.splitlines())


def test_no_saving_is_claimed_where_it_cost_more():
    assert "$0.150 more (150%) against" in costs_page(costs([a_row(usd_on_demand_asked="0.1")]), WIDE)


def test_own_hardware_is_said_to_be_counted_as_nothing():
    assert "own hardware is counted as $0" in costs_page(costs(ROWS[-1:]), WIDE)


def test_json_gives_exact_dollars_as_text():
    page = json.loads(json.dumps(costs_json(costs_of(ROWS, since="2026-11-01", now_seconds=T0 + DAY))))
    assert page["by"] == "job"
    assert page["since"] == "2026-11-01T00:00:00Z"
    assert page["total"]["usd"] == "1.000000000"
    assert page["total"]["usd_saved"] == "1.250000000"
    assert [line["key"] for line in page["lines"]] == ["train", "etl", "here"]


def test_csv_has_a_row_a_group_and_nothing_that_a_spreadsheet_would_obey():
    rows = [*ROWS, a_row(9, job="=cmd()"), a_row(10, job='a "b", c')]
    read = list(csv.DictReader(io.StringIO(costs_csv(costs(rows)))))
    assert {row["job"] for row in read} == {"train", "etl", "here", "'=cmd()", 'a "b", c'}
    assert sum(Decimal(row["usd"]) for row in read) == Decimal("1.5")


def test_costs_of_a_governed_run_are_those_of_its_charges():
    facts = [submitted(), planned(of=SPOT), launched(), started(), ended()]
    charge = charge_of(give_back(after(*facts)), known(), T0 + 650)
    store = MemoryStore()
    store.append([*facts, released("r1", "r1.1", charge, at=T0 + 650)])
    total = costs(store.rows()).total
    assert (total.usd, total.usd_on_demand_asked) == (charge.usd, charge.usd_on_demand_asked)
    assert total.usd == Decimal("0.0065")


def test_what_nobody_paid_of_a_shared_machine_is_a_cost_of_shared_machines():
    facts = [host_planned(), host_launched(), submitted(), planned(host_id="h1", cores=0.5), launched()]
    facts += [started(at=T0), ended(at=T0 + 600)]
    charge = charge_of(give_back(after(*facts)), known(), T0 + 600)
    facts.append(released("r1", "r1.1", charge, at=T0 + 600))
    host = after(*facts).hosts["h1"]
    rest = charge_of(GiveBack(provider="sim", attempt_id="h1", host=host), known(), T0 + 1000)
    store = MemoryStore()
    store.append([*facts, released("", "h1", rest, at=T0 + 1000)])
    found = costs(store.rows())
    assert {line.key: (line.runs, line.usd) for line in found.lines} == {
        "train": (1, Decimal("0.015")),
        "shared machines": (0, Decimal("0.085")),
    }
    assert found.total.usd == Decimal("0.1")  # 1000 s of the machine
    assert found.total.usd_on_demand_asked == charge.usd_on_demand_asked


# Machines


def overview(now=T0 + 400):
    facts = [submitted("a"), planned("a"), launched("a"), started("a")]
    facts += [submitted("b"), planned("b", of=SPOT)]
    facts += [submitted("c"), planned("c"), launched("c"), started("c"), ended("c", at=T0 + 100, wall=60)]
    facts += [host_planned(), host_launched(at=T0 + 200)]
    facts += [f.ZombieFound(at_seconds=T0 + 50, provider="sim", attempt_id="z.1", reason="nobody's")]
    listing = [
        Machine(attempt_id="a.1", stage=Stage.RUNNING),
        Machine(
            attempt_id="z.1", stage=Stage.RUNNING, offer_id="sim/r-a/m.large/spot", price_usd_per_hour="0.36"
        ),
        Machine(attempt_id="y.1", stage=Stage.RUNNING, launched_at_seconds=T0 + 390),
    ]
    return machines_overview(after(*facts), {"sim": listing}, now, known().supplies)


def test_every_machine_is_listed_with_what_it_is_for_and_what_it_has_cost():
    seen = {row.attempt_id: (row.state, row.age_seconds, row.cost_usd, row.is_listed) for row in overview()}
    assert seen == {
        "a.1": ("running", 400, Decimal("0.04"), True),
        "b.1": ("planned", None, Decimal(0), False),
        "c.1": ("unreleased", 400, Decimal("0.04"), False),
        "h1": ("shared", 200, Decimal("0.02"), False),
        "z.1": ("zombie", 350, Decimal("0.035"), True),
        "y.1": ("zombie", 10, None, True),
    }


def test_a_provider_that_did_not_answer_says_nothing_about_its_machines():
    snapshot = after(submitted("a"), planned("a"), launched("a"))
    (row,) = machines_overview(snapshot, {}, T0 + 5)
    assert (row.state, row.is_listed) == ("starting", None)


def test_machines_are_shown_as_a_page_and_as_json():
    page = machines_page(overview(), WIDE)
    assert "zombie" in page
    assert "unreleased, not listed" in page
    assert "6 machines, $0.135 so far; 2 that nobody owns: flyball up gives them back" in page
    assert machines_page((), WIDE) == "no machine is held"
    rows = json.loads(json.dumps(machines_json(overview())))
    assert {row["attempt_id"]: row["cost_usd"] for row in rows}["a.1"] == "0.040000000"
    assert all(len(line) <= 40 for line in machines_page(overview(), NARROW).splitlines())
