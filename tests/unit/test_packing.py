"""Small runs on warm machines."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.folding import fold
from flyball.model.job import Features, RunSpec
from flyball.model.machine import Capabilities
from flyball.model.offers import OfferTable
from flyball.model.plan import Forecast, Plan, Quantiles
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import Snapshot
from flyball.model.spec import JobSpec, SizeAsk
from flyball.model.units import GIB
from flyball.policy.governor import decide
from flyball.policy.known import Known, Supply, Usual
from flyball.policy.observing import observe
from flyball.policy.packing import hosts_to_end
from flyball.policy.placement import usable_memory_bytes

NOW = 1_780_000_000.0
WARM = Capabilities(hosts=True, boot_seconds=40.0, minimum_billed_seconds=60.0)


def offer(kind, vcpus, usd):
    return Offer(
        cloud="sim", region="r1", zone="a", instance_type=kind, arch=Arch.X86_64, vcpus=vcpus,
        memory_bytes=4 * vcpus * GIB, market=Market.ON_DEMAND, price_usd_per_hour=Decimal(usd),
        as_of=date(2026, 1, 1), source="test",
    )  # fmt: skip


OFFERS = [offer("m1", 1, "0.05"), offer("m4", 4, "0.20"), offer("m16", 16, "0.80")]


def known_of(seconds=10.0, capabilities=WARM, mean_cores=0.05, gib=0.25, runs=20):
    def about(value):
        return Quantiles(p50=value, p90=value * 1.2, p99=value * 1.5)

    told = Forecast(
        runs=runs, wall_seconds=about(seconds), cpu_core_seconds=about(seconds * mean_cores),
        memory_bytes=about(gib * GIB / 2), cpu_cores=about(0.5),
    )  # fmt: skip
    size = Size(cpu_cores=0.5, memory_bytes=int(gib * GIB))
    plan = Plan(job="j", size=size, forecast=told, reasons=("memory", "cores"))
    supply = Supply(name="cloud", capabilities=capabilities, offers=OfferTable.of(OFFERS))
    return Known(supplies={"cloud": supply}, plan=lambda _: plan, usual=lambda _: Usual())


def waiting(count, **spec):
    job = JobSpec(name="j", command=("x",), paper="p", providers=("cloud",), **spec)
    return fold(
        Snapshot(),
        [
            f.RunSubmitted(
                at_seconds=NOW, spec=job,
                run=RunSpec(run_id=f"r{i:03}", job="j", command=("x",), features=Features(started_at_seconds=NOW)),
            )
            for i in range(count)
        ],
    )  # fmt: skip


def split(facts):
    hosts = [fact for fact in facts if isinstance(fact, f.HostPlanned)]
    attempts = [fact for fact in facts if isinstance(fact, f.AttemptPlanned)]
    return hosts, attempts


def test_many_small_runs_share_machines_and_a_single_one_does_not():
    hosts, attempts = split(decide(waiting(60), known_of(), NOW))
    assert 1 <= len(hosts) <= 6
    assert len(attempts) == 60
    shared = [a for a in attempts if a.host_id]
    assert len(shared) >= 55  # a few left over are too few for one more
    assert {a.host_id for a in shared} == {h.host_id for h in hosts}
    assert all("warm machine" in a.reason for a in shared)
    hosts, attempts = split(decide(waiting(1), known_of(), NOW))
    assert hosts == []
    assert attempts[0].host_id is None


def test_sharing_is_cheaper_by_the_numbers_that_decided_it():
    known = known_of()
    hosts, _ = split(decide(waiting(60), known, NOW))
    shared = sum(float(h.offer.price_usd_per_hour) * (2 * 40 + 13) / 3600 for h in hosts)
    alone = 60 * 0.05 * 60 / 3600
    assert shared < 0.7 * alone


@pytest.mark.parametrize(
    ("known", "spec"),
    [
        (known_of(seconds=7200.0), {}),
        (known_of(capabilities=replace(WARM, hosts=False)), {}),
        (known_of(), {"size": SizeAsk(gpus=1)}),
        (known_of(), {"size": SizeAsk(instance_types=("m4",))}),
    ],
    ids=["long", "no warm machines", "GPU", "particular"],
)
def test_who_does_not_go_on_a_warm_machine(known, spec):
    hosts, attempts = split(decide(waiting(40, **spec), known, NOW))
    assert hosts == []
    assert all(a.host_id is None for a in attempts)


def test_memory_is_never_promised_twice_and_cores_only_as_far_as_the_mean():
    snapshot, known = waiting(200), known_of(gib=0.9, mean_cores=0.3)
    for tick in range(3):
        snapshot = fold(snapshot, decide(snapshot, known, NOW + tick))
        for host_id, host in snapshot.hosts.items():
            on = [
                r.live.planned for r in snapshot.runs.values() if r.live and r.live.planned.host_id == host_id
            ]
            offered = host.planned.offer
            assert sum(a.size.memory_bytes for a in on) <= usable_memory_bytes(offered.memory_bytes)
            assert sum(a.size.cpu_cores for a in on) <= offered.vcpus + 1e-6
            assert all(a.limits.memory_bytes == a.size.memory_bytes for a in on)
    assert snapshot.hosts


def launched(snapshot):
    return fold(
        snapshot,
        [f.HostLaunched(at_seconds=NOW, host_id=host_id) for host_id in snapshot.hosts],
    )


def test_a_warm_machine_with_room_takes_the_next_small_run():
    known = known_of()
    snapshot = waiting(10)
    snapshot = launched(fold(snapshot, decide(snapshot, known, NOW)))
    more = waiting(11).runs["r010"].submitted
    snapshot = fold(snapshot, [more])
    hosts, attempts = split(decide(snapshot, known, NOW + 5))
    assert hosts == []
    assert attempts[0].host_id in snapshot.hosts


def test_one_long_guest_does_not_keep_a_big_machine_alive():
    known = known_of()
    snapshot = waiting(60)
    snapshot = launched(fold(snapshot, decide(snapshot, known, NOW)))
    snapshot = fold(snapshot, [waiting(61).runs["r060"].submitted])
    _, attempts = split(decide(snapshot, known_of(seconds=1500.0), NOW + 5))
    assert [a.host_id for a in attempts] == [None]


def idle(planned_at=NOW, launched_at=NOW, idle_since=None):
    host = f.HostPlanned(at_seconds=planned_at, host_id="h", provider="cloud", offer=OFFERS[1], reason="")
    snapshot = fold(Snapshot(), [host, f.HostLaunched(at_seconds=launched_at, host_id="h")])
    return snapshot if idle_since is None else replace(
        snapshot, hosts={"h": replace(snapshot.hosts["h"], idle_since_seconds=idle_since)}
    )  # fmt: skip


def test_an_idle_machine_is_kept_for_as_long_as_a_start_costs():
    snapshot, known = idle(idle_since=NOW + 100), known_of()
    assert hosts_to_end(snapshot, known, NOW + 139) == ()
    (ending,) = hosts_to_end(snapshot, known, NOW + 141)
    assert (ending.host_id, bool(ending.reason)) == ("h", True)


def test_what_is_paid_for_anyhow_is_kept():
    snapshot, known = idle(), known_of()
    assert hosts_to_end(snapshot, known, NOW + 59) == ()
    assert len(hosts_to_end(snapshot, known, NOW + 61)) == 1


def test_a_machine_that_was_refused_gives_its_runs_back_at_once():
    known = known_of()
    snapshot = waiting(60)
    snapshot = fold(snapshot, decide(snapshot, known, NOW))
    no = [f.HostEnding(at_seconds=NOW, host_id=h, reason="no_capacity: none") for h in snapshot.hosts]
    snapshot = fold(snapshot, no)
    snapshot = fold(snapshot, observe(snapshot, {"cloud": []}, known, NOW + 5))
    back = [run for run in snapshot.runs.values() if run.live is None]
    assert len(back) >= 55
    assert all(run.tried[-1].outcome.value == "no_capacity" for run in back)
    _, attempts = split(decide(snapshot, known, NOW + 5))
    assert len(attempts) == len(back)
    refused = {key.partition(" ")[2] for key in snapshot.refusals}
    assert not refused & {a.offer.offer_id for a in attempts}


def test_runs_that_are_looked_after_alone_buy_no_warm_machine():
    snapshot = waiting(60)
    known = replace(known_of(), only=frozenset(snapshot.runs))
    hosts, attempts = split(decide(snapshot, known, NOW))
    assert hosts == []
    assert len(attempts) == 60
