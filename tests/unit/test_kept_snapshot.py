from __future__ import annotations

import hashlib
import os
import random
import resource
import stat
import threading
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.adapters.sqlite_store import SqliteStore
from flyball.engine.kept_snapshot import keep_snapshot, load_snapshot
from flyball.model import facts as f
from flyball.model.charge import Charge
from flyball.model.folding import fold
from flyball.model.job import Features, RunSpec
from flyball.model.outcome import Outcome
from flyball.model.receipt import Host, Limits, Receipt
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import Snapshot
from flyball.model.spec import After, JobSpec, Schedule, SpotAsk
from flyball.ports.store import MemoryStore

NOW = 1_780_000_000.0
OFFER = Offer(
    cloud="sim",
    region="r",
    instance_type="t",
    arch=Arch.ARM64,
    vcpus=4,
    memory_bytes=2**34,
    market=Market.SPOT,
    price_usd_per_hour=Decimal("0.1234567890123"),
    as_of=date(2026, 5, 1),
    source="test",
)
SPECS = [
    JobSpec(name="a", command=("true",), paper="p", schedule=Schedule(cron="0 6 * * *"), tags={"team": "x"}),
    JobSpec(name="b", command=("b", "{day}"), paper="p", after=After(jobs=("a",), even_failed=True)),
    JobSpec(name="c", command=("c", "ü"), paper="q", spot=SpotAsk(checkpoint="s3://c/")),
]
RUNS = [f"r{n}" for n in range(6)]


def some_fact(rng, at):
    """Any fact, about a few runs and jobs, in any order."""
    run_id, spec, attempt = rng.choice(RUNS), rng.choice(SPECS), rng.randrange(1, 4)
    name = {"run_id": run_id, "attempt_id": f"{run_id}.{attempt}"}
    run = RunSpec(run_id=run_id, job=spec.name, command=("true",), features=Features(started_at_seconds=at))
    charge = Charge(usd=Decimal("0.5"), billed_seconds=1, price_usd_per_hour=Decimal(1), reason="test")
    receipt = Receipt(
        attempt_id=name["attempt_id"],
        outcome=rng.choice([Outcome.SUCCEEDED, Outcome.FAILED, Outcome.INTERRUPTED, Outcome.OUT_OF_MEMORY]),
        exit_code=None,
        exit_cause="exit",
        started_at_seconds=at - 10,
        ended_at_seconds=at,
        wall_seconds=10,
        samples=rng.randrange(2),
        host=Host(),
        limits=Limits(),
        sources={},
    )
    plan = f.AttemptPlanned(
        at_seconds=at,
        **name,
        provider="sim",
        offer=OFFER,
        size=Size(cpu_cores=1, memory_bytes=2**30),
        limits=Limits(memory_bytes=2**30),
        reason="fits",
        host_id=rng.choice([None, "h1"]),
    )
    refused = {"provider": "sim", "offer_id": OFFER.offer_id, "kind": "no_capacity", "reason": "none"}
    key = f"held r{rng.randrange(9)}"
    return rng.choice(
        [
            f.JobApplied(at_seconds=at, spec=spec),
            f.JobPaused(at_seconds=at, job=spec.name),
            f.JobRenamed(at_seconds=at, old="old", new=spec.name),
            f.SlotSkipped(at_seconds=at, job=spec.name, slot_seconds=at, reason="late"),
            f.ObjectsArrived(at_seconds=at, job=spec.name, batch=f"b{at}", objects=("s3://x/1",)),
            f.RunSubmitted(
                at_seconds=at,
                run=run,
                spec=spec,
                slot_seconds=at,
                fills={"day": "1"},
                deadline_seconds=at + 9,
            ),
            f.RunSubmitted(at_seconds=at, run=run, spec=None),
            f.RunHeld(at_seconds=at, run_id=run_id, kind="slots", reason="2 at once"),
            f.CancelAsked(at_seconds=at, run_id=run_id),
            f.RunEnded(
                at_seconds=at, run_id=run_id, job=spec.name, result=rng.choice(list(f.RunResult)), reason="so"
            ),
            plan,
            plan,
            f.AttemptLaunched(at_seconds=at, **name),
            f.LaunchRefused(at_seconds=at, **name, **refused),
            f.AttemptStarted(at_seconds=at, **name, limits=Limits(), reason="fits"),
            f.ProgressReported(at_seconds=at, **name, share=rng.random()),
            f.NoticeReceived(at_seconds=at, **name, ends_at_seconds=at + 120),
            f.MachineMissed(at_seconds=at, **name),
            f.AttemptStopping(at_seconds=at, **name, outcome=Outcome.CANCELLED, reason="cancelled"),
            f.AttemptEnded(at_seconds=at, **name, receipt=receipt),
            f.MachineReleased(at_seconds=at, **name, charge=charge, job=spec.name, tags={"team": "x"}),
            f.HostPlanned(at_seconds=at, host_id="h1", provider="sim", offer=OFFER, reason="small"),
            f.HostLaunched(at_seconds=at, host_id="h1"),
            f.ZombieFound(at_seconds=at, provider="sim", attempt_id=f"z{rng.randrange(9)}", reason="nobody"),
            f.AlertRaised(at_seconds=at, key=key, kind="held", words="held"),
            f.AlertSent(at_seconds=at, key=key, channel="webhook"),
        ]
    )


def some_facts(seed, count):
    rng = random.Random(seed)
    return [some_fact(rng, NOW + n) for n in range(count)]


def kept(path, facts):
    """A store of these facts, and the snapshot of all of them, kept."""
    store = MemoryStore()
    store.append(facts)
    snapshot = fold(Snapshot(), facts)
    assert keep_snapshot(path, snapshot, store)
    return store, snapshot


@given(st.integers(0, 2**32), st.integers(1, 400), st.integers(0, 100))
@settings(derandomize=True, max_examples=150, deadline=None)
def test_what_was_kept_goes_on_as_if_it_had_never_left_memory(tmp_path_factory, seed, count, later):
    path = tmp_path_factory.getbasetemp() / "snapshot"
    store, snapshot = kept(path, some_facts(seed, count))
    loaded = load_snapshot(path, store)
    assert loaded == snapshot
    more = some_facts(seed + 1, later)
    assert fold(loaded, more) == fold(snapshot, more)


def test_the_property_above_covers_every_table():
    seen = [fold(Snapshot(), some_facts(seed, 300)) for seed in range(20)]
    tables = set(Snapshot.__struct_fields__) - {"position"}
    filled = {name for name in tables if any(getattr(snapshot, name) for snapshot in seen)}
    assert tables - filled <= {"launches", "given_back"}
    assert any(run.live for snapshot in seen for run in snapshot.runs.values())
    assert any(job.fresh for snapshot in seen for job in snapshot.jobs.values())


def proxies(value):
    """Names of mappings in a snapshot that could be written to."""
    found = []
    for name in value.__struct_fields__:
        each = getattr(value, name)
        if isinstance(each, Mapping) and not isinstance(each, MappingProxyType):
            found.append(name)
    return found


def test_what_is_loaded_cannot_be_changed_and_shares_its_definitions(tmp_path):
    facts = [
        f.RunSubmitted(
            at_seconds=NOW,
            run=RunSpec(
                run_id=f"r{n}", job="a", command=("true",), features=Features(started_at_seconds=NOW)
            ),
            spec=msgspec.structs.replace(SPECS[0]),  # equal, not the same
        )
        for n in range(50)
    ]
    store, _ = kept(tmp_path / "s", [f.JobApplied(at_seconds=NOW, spec=SPECS[0]), *facts])
    loaded = load_snapshot(tmp_path / "s", store)
    assert proxies(loaded) == []
    assert all(proxies(job) == [] for job in loaded.jobs.values())
    assert len({id(run.spec) for run in loaded.runs.values()}) == 1
    assert len({id(run.submitted.spec) for run in loaded.runs.values()}) == 1


# when it is not believed


@given(st.integers(0, 2**32), st.data())
@settings(derandomize=True, max_examples=150, deadline=None)
def test_any_damage_means_folding_anew(tmp_path_factory, seed, data):
    path = tmp_path_factory.getbasetemp() / "damaged"
    store, _ = kept(path, some_facts(seed, 60))
    body = bytearray(path.read_bytes())
    how = data.draw(st.sampled_from(["flip", "cut", "longer", "empty", "garbage"]))
    at = data.draw(st.integers(0, len(body) - 1))
    if how == "flip":
        body[at] ^= 1 << data.draw(st.integers(0, 7))
    elif how == "cut":
        body = body[:at]
    else:
        body = {"longer": body + b"x", "empty": bytearray(), "garbage": bytearray(os.urandom(at))}[how]
    path.write_bytes(body)
    assert load_snapshot(path, store) == Snapshot()


@pytest.mark.parametrize("how", ["missing", "folder", "unreadable parent"])
def test_a_file_that_is_not_there_means_folding_anew(tmp_path, how):
    path = tmp_path / "s"
    if how == "folder":
        path.mkdir()
    if how == "unreadable parent":
        path = tmp_path / "file" / "s"
        (tmp_path / "file").write_text("")
    assert load_snapshot(path, MemoryStore()) == Snapshot()


def other_stores(facts):
    truncated, replaced, shifted = facts[:-1], list(facts), facts[1:] + facts[:1]
    replaced[-1] = f.CancelAsked(at_seconds=NOW, run_id="other")
    middle = list(facts)
    middle[(len(facts) + 1) // 2 - 1] = f.CancelAsked(at_seconds=NOW, run_id="other")
    regrown = truncated + [f.CancelAsked(at_seconds=NOW + n, run_id="other") for n in range(50)]
    lost_one = [*facts[:5], *facts[6:], *some_facts(99, 10)]
    return {
        "empty": [],
        "truncated": truncated,
        "truncated and grown": regrown,
        "last fact replaced": replaced,
        "middle fact replaced": middle,
        "another": some_facts(5, 200),
        "shifted": shifted,
        "one lost in a repair": lost_one,
    }


@pytest.mark.parametrize("what", other_stores(some_facts(1, 100)))
def test_a_log_that_is_not_the_one_it_was_folded_from_is_folded_anew(tmp_path, what):
    facts = some_facts(1, 100)
    kept(tmp_path / "s", facts)
    store = MemoryStore()
    store.append(other_stores(facts)[what])
    assert load_snapshot(tmp_path / "s", store) == Snapshot()


def test_a_log_that_has_grown_is_the_same_log(tmp_path):
    store, snapshot = kept(tmp_path / "s", some_facts(1, 100))
    store.append(some_facts(2, 50))
    assert load_snapshot(tmp_path / "s", store) == snapshot


def test_a_snapshot_of_another_fold_is_not_believed(tmp_path):
    path = tmp_path / "s"
    store, snapshot = kept(path, some_facts(1, 50))
    magic, _, rest = path.read_bytes().partition(b"\n")

    def rewritten(fold_version):
        fields = msgspec.msgpack.decode(rest[16:], type=list[msgspec.Raw])
        payload = msgspec.msgpack.encode([fold_version or fields[0], *fields[1:]])
        digest = hashlib.blake2b(payload, digest_size=16).digest()
        path.write_bytes(magic + b"\n" + digest + payload)
        return load_snapshot(path, store)

    assert rewritten(None) == snapshot
    assert rewritten("an older one") == Snapshot()


def test_it_works_the_same_on_the_real_store_through_a_new_process_of_it(tmp_path):
    facts = some_facts(3, 200)
    with SqliteStore(tmp_path / "facts.sqlite") as store:
        store.append(facts)
        snapshot = fold(Snapshot(), store.read())
        assert keep_snapshot(tmp_path / "s", snapshot, store)
    with SqliteStore(tmp_path / "facts.sqlite") as store:
        assert load_snapshot(tmp_path / "s", store) == snapshot


# keeping


def test_an_empty_snapshot_and_one_of_another_log_are_not_kept(tmp_path):
    store, snapshot = kept(tmp_path / "s", some_facts(1, 50))
    assert not keep_snapshot(tmp_path / "t", Snapshot(), store)
    assert not keep_snapshot(tmp_path / "t", snapshot, MemoryStore())
    assert not (tmp_path / "t").exists()


def test_only_its_owner_can_read_it_and_nothing_else_is_left_behind(tmp_path):
    kept(tmp_path / "s", some_facts(1, 50))
    kept(tmp_path / "s", some_facts(2, 50))
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_what_a_killed_writer_left_is_removed_in_time_and_that_of_a_live_one_is_not(tmp_path):
    torn, live = tmp_path / "s.1.part", tmp_path / "s.2.part"
    torn.write_bytes(b"half")
    live.write_bytes(b"half")
    os.utime(torn, (1, 1))
    kept(tmp_path / "s", some_facts(1, 50))
    assert not torn.exists()
    assert live.exists()


def test_a_place_that_takes_nothing_is_no_error_and_the_old_file_stays(tmp_path):
    store, snapshot = kept(tmp_path / "s", some_facts(1, 50))
    assert not keep_snapshot(tmp_path / "no" / "s", snapshot, store)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        assert not keep_snapshot(tmp_path / "s", snapshot, store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]
    assert load_snapshot(tmp_path / "s", store) == snapshot


def test_a_reader_never_sees_a_part_while_it_is_written(tmp_path):
    store, snapshot = kept(tmp_path / "s", some_facts(1, 300))
    seen, done = [], threading.Event()

    def read():
        while not done.is_set():
            seen.append(load_snapshot(tmp_path / "s", store).position)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        assert keep_snapshot(tmp_path / "s", snapshot, store)
    done.set()
    reader.join()
    assert set(seen) == {300}
