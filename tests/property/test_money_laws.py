"""Laws of money: nothing is charged twice, nothing is negative, and sums do not depend on how they are grouped."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from money_setting import (
    GIB,
    LARGE,
    SPOT,
    T0,
    XLARGE,
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
from msgspec.structs import replace

from flyball.adapters.sqlite_store import SqliteStore
from flyball.model import facts as f
from flyball.model.charge import NANO
from flyball.model.machine import Capabilities
from flyball.model.outcome import Outcome
from flyball.model.snapshot import Snapshot
from flyball.model.spec import SizeAsk
from flyball.policy.charges import bill_of_host, charge_of, share_of, usd_for
from flyball.policy.charges_open import open_costs
from flyball.policy.commands import GiveBack
from flyball.policy.costs import BY, costs
from flyball.ports.store import MemoryStore

MOMENTS = st.floats(-100, 5000).map(lambda seconds: T0 + round(seconds, 3))
OFFERS = st.sampled_from([LARGE, XLARGE, SPOT])
OUTCOMES = st.sampled_from(Outcome)
KNOWN = known()


@st.composite
def attempts(draw: st.DrawFn) -> tuple[Snapshot, float]:
    """One attempt that is over, at any moments in any order, and when its machine is given back."""
    facts: list[f.AnyFact] = [
        submitted(),
        planned(of=draw(OFFERS), cores=draw(st.floats(0, 4)), gib=draw(st.floats(0.1, 20))),
    ]
    if draw(st.booleans()):
        facts.append(launched(at=draw(MOMENTS)))
    if draw(st.booleans()):
        facts.append(started(at=draw(MOMENTS)))
    if draw(st.booleans()):
        facts.append(f.MachineMissed(at_seconds=draw(MOMENTS), run_id="r1", attempt_id="r1.1"))
    if draw(st.booleans()):
        facts.append(
            f.NoticeReceived(at_seconds=T0, run_id="r1", attempt_id="r1.1", ends_at_seconds=draw(MOMENTS))
        )
    wall = draw(st.floats(0, 5000))
    facts.append(ended(at=draw(MOMENTS), wall=wall, outcome=draw(OUTCOMES), seen_at=draw(MOMENTS)))
    return after(*facts), draw(MOMENTS)


@given(attempts(), st.sampled_from([0.0, 60.0, 3600.0]))
def test_a_charge_is_never_negative_and_its_parts_are_within_it(attempt, least):
    snapshot, at = attempt
    kind = known(sim=Capabilities(minimum_billed_seconds=least))
    charge = charge_of(give_back(snapshot), kind, at)
    left = snapshot.unreleased["r1.1"]
    assert charge.usd >= 0
    assert charge.usd == charge.usd.quantize(NANO)
    assert charge.boot_seconds >= 0
    assert charge.idle_seconds >= 0
    assert charge.boot_seconds + charge.idle_seconds <= charge.billed_seconds + 1e-6
    if left.launched_at_seconds is None:
        assert charge.usd == 0
    else:
        assert charge.billed_seconds >= least
        assert charge.usd == usd_for(left.planned.offer.price_usd_per_hour, charge.billed_seconds)


@given(attempts(), st.floats(0, 1e4))
def test_giving_back_later_never_costs_less(attempt, later):
    snapshot, at = attempt
    command = give_back(snapshot)
    assert charge_of(command, KNOWN, at).usd <= charge_of(command, KNOWN, at + later).usd


@given(attempts(), st.integers(1, 64), st.integers(1, 8))
def test_asking_for_more_never_makes_on_demand_cheaper(attempt, gib, cores):
    snapshot, at = attempt
    left = snapshot.unreleased["r1.1"]

    def baseline(ask: SizeAsk) -> Decimal | None:
        command = replace(give_back(snapshot), left=replace(left, asked=ask))
        return charge_of(command, KNOWN, at).usd_on_demand_asked

    small = baseline(SizeAsk(memory_bytes=gib * GIB, cpu_cores=cores))
    large = baseline(SizeAsk(memory_bytes=(gib + 4) * GIB, cpu_cores=cores + 1))
    assert large is None or (small is not None and small <= large)


@given(attempts())
def test_what_is_open_is_what_the_charge_will_be(attempt):
    snapshot, at = attempt
    open_nano = sum(held.nano_usd for held in open_costs(snapshot, KNOWN.supplies, at))
    assert abs(open_nano - charge_of(give_back(snapshot), KNOWN, at).nano_usd) <= 1


# Shared machines

GUESTS = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0.1, 8), st.floats(0, 3000), st.floats(0, 3000), st.floats(0, 50)),
    max_size=8,
)


@settings(max_examples=200)
@given(GUESTS, st.floats(0, 4000), st.integers(1, 3))
def test_shares_and_the_rest_are_the_machines_bill(guests, until, at_a_time):
    """However many leave at once, and also when their shares add up to more than the machine."""
    snapshot = after(host_planned(), host_launched())
    leaving = []
    for n, (cores, gib, begin, lasts, late) in enumerate(guests):
        name, at = f"g{n}", T0 + begin
        facts = [
            submitted(name),
            planned(name, at=at, cores=cores, gib=gib, host_id="h1"),
            launched(name, at=at),
        ]
        facts += [started(name, at=at), ended(name, at=at + lasts, wall=lasts)]
        snapshot = after(*facts, since=snapshot)
        leaving.append((at + lasts + late, f"{name}.1"))
    leaving.sort()
    paid, last = [], T0
    for begin in range(0, len(leaving), at_a_time):
        together = leaving[begin : begin + at_a_time]
        last = max(at for at, _ in together)
        given_back = [
            (i, charge_of(give_back(snapshot, i, together=len(together)), KNOWN, last)) for _, i in together
        ]
        snapshot = after(*(released(i.split(".")[0], i, c, at=last) for i, c in given_back), since=snapshot)
        paid += [charge for _, charge in given_back]
    at = max(last, T0 + until)
    host = snapshot.hosts["h1"]
    rest = charge_of(GiveBack(provider="sim", attempt_id="h1", host=host), KNOWN, at)
    assert all(charge.usd >= 0 for charge in [*paid, rest])
    assert sum((charge.usd for charge in paid), rest.usd) == bill_of_host(host, KNOWN, at)
    assert bill_of_host(host, KNOWN, at) == usd_for(LARGE.price_usd_per_hour, max(60.0, at - T0))


@given(st.floats(0, 64), st.floats(0, 256), OFFERS)
def test_a_share_is_part_of_a_machine(cores, gib, at_offer):
    assert 0 <= share_of(planned(cores=cores, gib=gib).size, at_offer) <= 1


# Logs: facts repeated, late, grouped in any way


@st.composite
def logs(draw: st.DrawFn) -> list[f.AnyFact]:
    """Runs with some attempts, each planned, launched, ended, given back: whole, or as far as they got."""
    log: list[f.AnyFact] = []
    for n in range(draw(st.integers(1, 4))):
        run_id, spec_tags = f"r{n}", draw(st.sampled_from([{}, {"team": "a"}, {"team": "b"}]))
        log.append(submitted(run_id, tags=spec_tags))
        for k in range(1, draw(st.integers(1, 3)) + 1):
            at = T0 + draw(st.integers(0, 200_000))
            snapshot = after(*log)
            if snapshot.unreleased or (run_id in snapshot.runs and snapshot.runs[run_id].live):
                break
            steps = [
                planned(run_id, k, at=at, of=draw(OFFERS)), launched(run_id, k, at=at), started(run_id, k, at=at + 40),
                ended(run_id, k, at=at + 640, outcome=draw(OUTCOMES)),
            ]  # fmt: skip
            log += steps[: draw(st.integers(1, 5))]
            over = after(*log)
            if f"{run_id}.{k}" in over.unreleased:
                charge = charge_of(give_back(over, f"{run_id}.{k}"), KNOWN, at + 650)
                log.append(released(run_id, f"{run_id}.{k}", charge, at=at + 650))
    return log


def repeated(log: list[f.AnyFact], picks: list[int]) -> list[f.AnyFact]:
    """The log with facts told again, later than they happened."""
    out = list(log)
    for pick in picks:
        begin = pick % len(log)
        out.insert(min(len(out), begin + 1 + pick % 7 + out.index(log[begin])), log[begin])
    return out


@settings(deadline=None)
@given(logs(), st.lists(st.integers(0, 1000), max_size=12))
def test_however_often_facts_are_repeated_nothing_is_charged_twice(log, picks):
    once, often = after(*log), after(*repeated(log, picks))
    assert often.spent_nano_usd == once.spent_nano_usd
    assert {i: r.spent_nano_usd for i, r in often.runs.items()} == {
        i: r.spent_nano_usd for i, r in once.runs.items()
    }
    first, second = MemoryStore(), MemoryStore()
    first.append(log)
    second.append(repeated(log, picks))
    assert costs(second.rows()) == costs(first.rows())


@settings(deadline=None)
@given(logs())
def test_what_budgets_count_is_what_costs_show(log):
    store = MemoryStore()
    store.append(log)
    months = {key: nano for key, nano in after(*log).spent_nano_usd.items() if " " not in key}
    assert sum(months.values()) == int(costs(store.rows()).total.usd / NANO)


@settings(deadline=None)
@given(logs(), st.lists(st.integers(0, 200_000), max_size=3))
def test_however_costs_are_grouped_or_cut_in_time_they_add_up_to_the_same(log, cuts):
    store = MemoryStore()
    store.append(log)
    rows = store.rows()
    total = costs(rows).total
    for by in BY:
        found = costs(rows, by=by, tag_key="team")
        assert found.total == total
        for name in ("attempts", "usd", "usd_unsuccessful", "usd_boot_and_idle", "usd_compared", "usd_on_demand_asked",
                     "cost_unknown", "still_held"):  # fmt: skip
            assert sum(getattr(line, name) for line in found.lines) == getattr(total, name)
    edges = [None, *(T0 + cut for cut in sorted(set(cuts))), None]
    parts = [
        costs(rows, since_seconds=since, until_seconds=until).total.usd
        for since, until in itertools.pairwise(edges)
    ]
    assert sum(parts) == total.usd


@pytest.mark.parametrize("by", BY)
def test_costs_from_a_file_are_those_from_memory(tmp_path, by):
    log = [submitted(), planned(of=SPOT), launched(), started(), ended()]
    log.append(released("r1", "r1.1", charge_of(give_back(after(*log)), KNOWN, T0 + 650), at=T0 + 650))
    memory = MemoryStore()
    memory.append(log)
    with SqliteStore(tmp_path / "s.sqlite") as store:
        for fact in log:
            store.append([fact])
        assert costs(store.rows(), by=by, tag_key="team") == costs(memory.rows(), by=by, tag_key="team")
