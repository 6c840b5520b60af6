"""What every Store promises, for the one in memory and the one on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.adapters.sqlite_store import SqliteStore
from flyball.errors import Conflict
from flyball.model.facts import AnyFact, AttemptEnded, AttemptStarted, JobRenamed, RunPlanned, RunSubmitted
from flyball.model.history import History, fold_history
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Plan
from flyball.model.receipt import Gpu, Host, Limits, Receipt
from flyball.model.resource import Size
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


_RUN_IDS = st.sampled_from(["r1", "r2", "r3"])
_JOBS = st.sampled_from(["a", "b", "c"])
_SECONDS = st.floats(0, 5, allow_nan=False)
FACTS = st.lists(
    st.one_of(
        st.builds(submitted, _RUN_IDS, _JOBS, _SECONDS),
        st.builds(started, _RUN_IDS, st.integers(1, 3), _SECONDS),
        st.builds(ended, _RUN_IDS, st.integers(1, 3), _SECONDS, st.sampled_from(Outcome)),
        st.builds(planned, _RUN_IDS, _SECONDS),
        st.builds(
            lambda old, new, only: JobRenamed(at_seconds=0.0, old=old, new=new, only_run_id=only),
            _JOBS,
            _JOBS,
            st.none() | _RUN_IDS,
        ),
    ),
    max_size=25,
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
            for job in "abc":
                assert store.rows(job) == memory.rows(job)
            store.rebuild_projection()
