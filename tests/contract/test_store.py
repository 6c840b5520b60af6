"""What every Store promises, for the one in memory and the one on disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.adapters.sqlite_store import SqliteStore
from flyball.errors import Conflict
from flyball.model.charge import Charge
from flyball.model.facts import (
    AnyFact,
    AttemptEnded,
    AttemptLaunched,
    AttemptPlanned,
    AttemptStarted,
    HostLaunched,
    HostPlanned,
    JobRenamed,
    LaunchRefused,
    MachineReleased,
    RunEnded,
    RunHeld,
    RunPlanned,
    RunResult,
    RunSubmitted,
    ZombieFound,
)
from flyball.model.history import SHARED_MACHINES, UNOWNED_MACHINES, History, fold_history
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Plan
from flyball.model.receipt import Gpu, Host, Limits, Receipt
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.ports.store import MemoryStore, Store


def submitted(run_id: str, job: str = "train.py", at: float = 1000.0) -> RunSubmitted:
    features = Features(
        started_at_seconds=at, input_bytes=7, numbers={"rows": 1e6}, words={"date": "2026-11-01"}
    )
    run = RunSpec(run_id=run_id, job=job, command=("train.py",), features=features, tags={"team": "blue"})
    return RunSubmitted(at_seconds=at, run=run)


def started(run_id: str, n: int = 1, at: float = 1000.0) -> AttemptStarted:
    return AttemptStarted(
        at_seconds=at,
        run_id=run_id,
        attempt_id=f"{run_id}.{n}",
        limits=Limits(memory_bytes=2**31),
        reason="your limit",
    )


def ended(
    run_id: str, n: int = 1, at: float = 1000.0, outcome: Outcome = Outcome.SUCCEEDED, wall: float = 5.0
) -> AttemptEnded:
    receipt = Receipt(
        attempt_id=f"{run_id}.{n}",
        outcome=outcome,
        exit_code=0,
        exit_cause="exit 0",
        started_at_seconds=at,
        ended_at_seconds=at + wall,
        wall_seconds=wall,
        cpu_seconds=1.5 * wall,
        memory_bytes_max=10**9,
        gpus=(Gpu(index=0, name="H200"),),
        host=Host(cpu_model="EPYC", cpu_cores=2.0, memory_bytes=2**33),
        limits=Limits(memory_bytes=2**31),
        sources={"cpu_seconds": "cgroup v2"},
    )
    return AttemptEnded(
        at_seconds=at + wall, run_id=run_id, attempt_id=f"{run_id}.{n}", receipt=receipt, cost_usd="0.0125"
    )


def planned(run_id: str, cores: float = 2.0) -> RunPlanned:
    size = Size(cpu_cores=cores, memory_bytes=2**31)
    return RunPlanned(
        at_seconds=999.0,
        run_id=run_id,
        plan=Plan(job="train.py", size=size, forecast=Forecast(runs=3), reasons=("because",)),
    )


def whole_run(run_id: str, job: str = "train.py", at: float = 1000.0) -> list[AnyFact]:
    return [submitted(run_id, job, at), started(run_id, at=at), ended(run_id, at=at)]


SPOT = Offer(
    cloud="sim", region="r", zone="r-a", instance_type="m7a.large", arch=Arch.X86_64, vcpus=2, memory_bytes=2**33,
    market=Market.SPOT, price_usd_per_hour=Decimal("0.05"), as_of=date(2026, 11, 1), source="list",
)  # fmt: skip


def attempt_planned(run_id: str, n: int = 1, at: float = 990.0, host_id: str | None = None) -> AttemptPlanned:
    return AttemptPlanned(
        at_seconds=at,
        run_id=run_id,
        attempt_id=f"{run_id}.{n}",
        provider="sim",
        offer=SPOT,
        size=Size(cpu_cores=1.0, memory_bytes=2**31),
        limits=Limits(memory_bytes=2**31),
        reason="first attempt",
        host_id=host_id,
    )


def launched(run_id: str, n: int = 1, at: float = 991.0) -> AttemptLaunched:
    return AttemptLaunched(at_seconds=at, run_id=run_id, attempt_id=f"{run_id}.{n}")


def refused(run_id: str, n: int = 1, at: float = 991.0) -> LaunchRefused:
    return LaunchRefused(
        at_seconds=at, run_id=run_id, attempt_id=f"{run_id}.{n}", provider="sim", offer_id=SPOT.offer_id,
        kind="no_capacity", reason="none left",
    )  # fmt: skip


def released(run_id: str, attempt_id: str, at: float = 1010.0, usd: str = "0.0003") -> MachineReleased:
    charge = Charge(
        usd=Decimal(usd), usd_on_demand_asked=Decimal("0.002"), billed_seconds=19.0, boot_seconds=9.0, idle_seconds=5.0,
        price_usd_per_hour=Decimal("0.05"), price_as_of="2026-11-01", not_included=("network",), reason="19 s",
    )  # fmt: skip
    return MachineReleased(at_seconds=at, run_id=run_id, attempt_id=attempt_id, charge=charge)


def run_ended(run_id: str, at: float = 1010.0) -> RunEnded:
    return RunEnded(at_seconds=at, run_id=run_id, job="x", result=RunResult.SUCCEEDED, reason="succeeded")


def held(run_id: str, at: float = 985.0, reason: str = "full") -> RunHeld:
    return RunHeld(at_seconds=at, run_id=run_id, kind="slots", reason=reason)


def host_planned(host_id: str, at: float = 900.0) -> HostPlanned:
    return HostPlanned(at_seconds=at, host_id=host_id, provider="sim", offer=SPOT, reason="for small runs")


def zombie(attempt_id: str, at: float = 1.0) -> ZombieFound:
    return ZombieFound(at_seconds=at, provider="sim", attempt_id=attempt_id, reason="no live attempt owns it")


_RUN_IDS = st.sampled_from(["r1", "r2", "r3"])
_JOBS = st.sampled_from(["a", "b", "c"])
_SECONDS = st.floats(0, 5, allow_nan=False)
FACTS = st.lists(
    st.one_of(
        st.builds(submitted, _RUN_IDS, _JOBS, _SECONDS),
        st.builds(started, _RUN_IDS, st.integers(1, 3), _SECONDS),
        st.builds(ended, _RUN_IDS, st.integers(1, 3), _SECONDS, st.sampled_from(Outcome)),
        st.builds(planned, _RUN_IDS, _SECONDS),
        st.builds(attempt_planned, _RUN_IDS, st.integers(1, 3), _SECONDS),
        st.builds(launched, _RUN_IDS, st.integers(1, 3), _SECONDS),
        st.builds(refused, _RUN_IDS, st.integers(1, 3), _SECONDS),
        st.builds(held, _RUN_IDS, _SECONDS),
        st.builds(run_ended, _RUN_IDS, _SECONDS),
        _RUN_IDS.flatmap(
            lambda run_id: st.builds(released, st.just(run_id), st.just(f"{run_id}.1"), _SECONDS)
        ),
        st.builds(released, st.just(""), st.sampled_from(["h1", "z1"]), _SECONDS),
        st.builds(host_planned, st.just("h1"), _SECONDS),
        st.just(HostLaunched(at_seconds=2.0, host_id="h1")),
        st.builds(zombie, st.sampled_from(["z1", "r1.1"]), _SECONDS),
        st.builds(
            lambda old, new, only: JobRenamed(at_seconds=0.0, old=old, new=new, only_run_id=only),
            _JOBS,
            _JOBS,
            st.none() | _RUN_IDS,
        ),
    ),
    max_size=30,
)


class StoreContract:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        raise AssertionError(f"{type(self).__name__} says which store")

    def test_what_was_appended_is_read_back_in_order(self, store: Store) -> None:
        facts = [*whole_run("r1"), planned("r2"), JobRenamed(at_seconds=1.0, old="a", new="b")]
        assert store.append(facts[:2]) == 2
        assert store.append(facts[2:]) == 5
        assert list(store.read()) == facts
        assert list(store.read(3)) == facts[3:]
        assert list(store.read(1, limit=2)) == facts[1:3]
        assert list(store.read(5)) == []

    def test_appending_nothing_gives_the_position_and_changes_nothing(self, store: Store) -> None:
        assert store.append([]) == 0
        store.append(whole_run("r1"))
        assert store.append([]) == 3
        assert store.append([], after=3) == 3

    def test_an_append_after_an_old_position_is_refused_whole(self, store: Store) -> None:
        store.append([submitted("r1")], after=0)
        with pytest.raises(Conflict):
            store.append(whole_run("r2"), after=0)
        with pytest.raises(Conflict):
            store.append(whole_run("r2"), after=2)
        assert len(store.read()) == 1
        assert store.run("r2") is None
        assert store.append([started("r1")], after=1) == 2

    def test_a_row_says_what_its_receipt_said(self, store: Store) -> None:
        store.append(whole_run("r1"))
        (row,) = store.rows("train.py")
        assert (row.run_id, row.attempt_id, row.job, row.outcome) == (
            "r1",
            "r1.1",
            "train.py",
            Outcome.SUCCEEDED,
        )
        assert (row.wall_seconds, row.cpu_seconds, row.memory_bytes_max) == (5.0, 7.5, 10**9)
        assert (row.numbers, row.words, row.tags) == (
            {"rows": 1e6},
            {"date": "2026-11-01"},
            {"team": "blue"},
        )
        assert (row.gpus_used, row.cost_usd, row.memory_limit_bytes) == (1, "0.0125", 2**31)

    def test_a_run_still_going_has_a_row_without_an_outcome(self, store: Store) -> None:
        store.append([submitted("r1"), started("r1")])
        (row,) = store.rows()
        assert row.outcome is None
        assert row.wall_seconds is None

    def test_rows_come_oldest_first_and_newest_keeps_the_latest(self, store: Store) -> None:
        for n, at in enumerate([30.0, 10.0, 20.0, 10.0]):
            store.append(whole_run(f"r{n}", at=at))
        assert [row.run_id for row in store.rows("train.py")] == ["r1", "r3", "r2", "r0"]
        assert [row.run_id for row in store.rows(newest=2)] == ["r2", "r0"]
        assert list(store.rows(newest=0)) == []
        assert len(store.rows("train.py", newest=99)) == 4

    def test_rows_of_one_job_are_that_jobs_only(self, store: Store) -> None:
        store.append([*whole_run("r1", "a"), *whole_run("r2", "b")])
        assert [row.run_id for row in store.rows("a")] == ["r1"]
        assert list(store.rows("A")) == []
        assert len(store.rows()) == 2

    def test_jobs_come_last_run_first(self, store: Store) -> None:
        for run_id, job, at in [("r1", "a", 1.0), ("r2", "b", 2.0), ("r3", "c", 2.0), ("r4", "a", 3.0)]:
            store.append(whole_run(run_id, job, at))
        assert list(store.jobs()) == ["a", "b", "c"]

    def test_an_empty_store_has_nothing(self, store: Store) -> None:
        assert (list(store.read()), list(store.rows()), list(store.jobs()), store.run("r1")) == (
            [],
            [],
            [],
            None,
        )

    def test_a_renamed_job_keeps_its_history_and_gets_later_runs(self, store: Store) -> None:
        store.append(whole_run("r1", "a"))
        store.append([JobRenamed(at_seconds=2.0, old="a", new="nightly")])
        store.append(whole_run("r2", "a", 2000.0))
        assert [row.run_id for row in store.rows("nightly")] == ["r1", "r2"]
        assert {row.job for row in store.rows()} == {"nightly"}
        assert list(store.rows("a")) == list(store.rows("nightly"))  # its former name still finds it
        assert list(store.jobs()) == ["nightly"]
        run = store.run("r2")
        assert run is not None
        assert (run.job, run.run.job) == ("nightly", "a")

    def test_one_run_can_move_alone(self, store: Store) -> None:
        store.append([*whole_run("r1", "a"), *whole_run("r2", "a")])
        store.append([JobRenamed(at_seconds=2.0, old="a", new="b", only_run_id="r1")])
        assert [row.run_id for row in store.rows("a")] == ["r2"]
        assert [row.run_id for row in store.rows("b")] == ["r1"]

    def test_repeated_and_late_facts_change_nothing(self, store: Store) -> None:
        store.append([submitted("r1"), started("r1"), ended("r1", wall=5.0)])
        before = (store.rows(), store.run("r1"))
        store.append(
            [ended("r1", wall=9.0), submitted("r1", "other"), started("r1", at=7.0), ended("nobody")]
        )
        assert (store.rows(), store.run("r1")) == before

    def test_a_governed_attempt_has_a_row_that_says_where_it_ran_and_what_it_cost(self, store: Store) -> None:
        store.append([submitted("r1"), attempt_planned("r1")])
        assert list(store.rows()) == []  # nothing has been bought
        store.append([launched("r1")])
        (row,) = store.rows()
        assert (row.started_at_seconds, row.outcome, row.launched_at_seconds) == (991.0, None, 991.0)
        store.append([started("r1"), ended("r1")])
        store.append([released("r1", "r1.1"), run_ended("r1")])
        (row,) = store.rows("train.py")
        assert (row.provider, row.market, row.offer_id, row.zone, row.instance_type) == (
            "sim",
            "spot",
            "sim/r-a/m7a.large/spot",
            "r-a",
            "m7a.large",
        )
        assert (row.planned_at_seconds, row.started_at_seconds, row.released_at_seconds) == (
            990.0,
            1000.0,
            1010.0,
        )
        assert (row.cost_usd, row.usd_on_demand_asked, row.billed_seconds) == ("0.0003", "0.002", 19.0)
        assert (row.boot_seconds, row.idle_seconds, row.not_included) == (9.0, 5.0, ("network",))

    def test_a_refused_launch_has_no_row_and_one_that_timed_out_has(self, store: Store) -> None:
        late = ended("r1", 2, at=1600.0, outcome=Outcome.LAUNCH_TIMED_OUT, wall=0.0)
        store.append([submitted("r1"), attempt_planned("r1"), refused("r1")])
        store.append([attempt_planned("r1", 2), launched("r1", 2), late, released("r1", "r1.2", at=1600.0)])
        (row,) = store.rows()
        assert (row.attempt_id, row.outcome, row.started_at_seconds) == (
            "r1.2",
            Outcome.LAUNCH_TIMED_OUT,
            991.0,
        )
        assert row.cost_usd == "0.0003"

    def test_the_first_charge_of_an_attempt_counts(self, store: Store) -> None:
        store.append([submitted("r1"), attempt_planned("r1"), launched("r1"), started("r1"), ended("r1")])
        store.append([released("r1", "r1.1", usd="0.1")])
        store.append([released("r1", "r1.1", usd="0.1"), released("r1", "r1.1", at=1011.0, usd="0.2")])
        assert [row.cost_usd for row in store.rows()] == ["0.1"]

    def test_a_story_told_again_stays_as_it_was(self, store: Store) -> None:
        story = [held("r1"), attempt_planned("r1"), launched("r1"), released("r1", "r1.1"), run_ended("r1")]
        store.append([submitted("r1"), *story])
        before = store.run("r1")
        assert before is not None
        assert before.story == tuple(story)
        store.append(story)
        assert store.run("r1") == before

    def test_a_machine_of_nobody_that_was_gone_by_itself_is_not_listed(self, store: Store) -> None:
        store.append([zombie("z1"), released("", "z1", usd="0")])
        assert list(store.rows()) == []

    def test_machines_that_no_run_had_to_itself_are_listed_too(self, store: Store) -> None:
        store.append([host_planned("h1"), HostLaunched(at_seconds=901.0, host_id="h1")])
        (row,) = store.rows(SHARED_MACHINES)
        assert (row.run_id, row.outcome, row.cost_usd) == ("h1", None, None)
        store.append([released("", "h1", at=2000.0, usd="0.01"), zombie("r9.1", at=3000.0)])
        assert [(r.run_id, r.cost_usd) for r in store.rows()] == [("h1", "0.01")]
        store.append([released("", "r9.1", at=3100.0, usd="0.002")])
        (row,) = store.rows(UNOWNED_MACHINES)
        assert (row.attempt_id, row.cost_usd, row.outcome, row.provider) == (
            "r9.1",
            "0.002",
            Outcome.LOST,
            "sim",
        )
        assert list(store.jobs()) == [UNOWNED_MACHINES, SHARED_MACHINES]

    def test_a_run_tells_why_it_waits_how_it_ended_and_its_attempts_in_order(self, store: Store) -> None:
        store.append([submitted("r1"), held("r1", reason="first"), held("r1", at=986.0, reason="then")])
        run = store.run("r1")
        assert run is not None
        assert run.held is not None
        assert (run.held.reason, run.result, run.attempts) == ("then", None, ())
        store.append([attempt_planned("r1"), refused("r1"), attempt_planned("r1", 2), launched("r1", 2)])
        store.append([started("r1", 2), ended("r1", 2), released("r1", "r1.2"), run_ended("r1")])
        run = store.run("r1")
        assert run is not None
        assert run.result is not None
        assert (run.held, run.result.result) == (None, RunResult.SUCCEEDED)
        first, second = run.attempts
        assert (first.attempt_id, first.launched, first.refused is None) == ("r1.1", None, False)
        assert (second.attempt_id, second.started is None, second.released is None) == ("r1.2", False, False)

    def fresh(self) -> Store:
        raise AssertionError(f"{type(self).__name__} says which store")


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return self.fresh()

    def fresh(self) -> Store:
        return MemoryStore()


class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder, self.opened = tmp_path, []

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return self.fresh()

    @pytest.fixture(autouse=True)
    def _closed(self, _folder: None):
        yield
        for store in self.opened:
            store.close()

    def fresh(self) -> Store:
        store = SqliteStore(self.folder / f"store{len(self.opened)}.sqlite")
        self.opened.append(store)
        return store

    def test_rebuilding_the_rows_changes_nothing(self, store: SqliteStore) -> None:
        store.append(
            [*whole_run("r1", "a"), JobRenamed(at_seconds=2.0, old="a", new="b"), submitted("r2", "a")]
        )
        before = (store.rows(), store.run("r2"), store.jobs())
        store.rebuild_projection()
        assert (store.rows(), store.run("r2"), store.jobs()) == before
        store.append([started("r2")])
        assert len(store.rows("b")) == 2

    def test_rows_of_an_older_store_are_made_anew_with_what_they_did_not_say(
        self, store: SqliteStore
    ) -> None:
        store.append([submitted("r1"), attempt_planned("r1"), launched("r1"), started("r1"), ended("r1")])
        store.append([released("r1", "r1.1")])
        rows = store.rows()
        store.close()
        with closing(sqlite3.connect(store.path)) as db, db:
            db.execute("UPDATE meta SET value = '1' WHERE key = 'projection'")
            db.execute("DELETE FROM attempts")
        with SqliteStore(store.path) as reopened:
            assert reopened.rows() == rows
            assert rows[0].cost_usd == "0.0003"

    @settings(deadline=None, max_examples=60)
    @given(facts=FACTS, cuts=st.lists(st.integers(0, 25), max_size=3))
    def test_rows_and_runs_always_equal_the_folded_log(self, facts: list[AnyFact], cuts: list[int]) -> None:
        store, memory = self.fresh(), MemoryStore()
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
            assert store.append(facts[begin:end]) == memory.append(facts[begin:end])
        snapshot = fold_history(History(), facts)
        for _ in range(2):  # as kept up to date, and as rebuilt from the log
            assert list(store.read()) == facts
            assert {run_id: store.run(run_id) for run_id in snapshot.runs} == dict(snapshot.runs)
            assert (store.rows(), store.jobs()) == (memory.rows(), memory.jobs())
            for job in ("a", "b", "c", SHARED_MACHINES, UNOWNED_MACHINES):
                assert store.rows(job) == memory.rows(job)
            store.rebuild_projection()
