"""Jobs, offers and a log in a few words, for the tests of holds, time-outs, charges and costs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from msgspec.structs import replace

from flyball.model import facts as f
from flyball.model.ceilings import Ceilings
from flyball.model.charge import Charge
from flyball.model.folding import fold
from flyball.model.job import Features, RunSpec
from flyball.model.machine import Capabilities
from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Plan
from flyball.model.receipt import Host, Limits, Receipt
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import LiveRun, Snapshot
from flyball.model.spec import JobSpec
from flyball.policy.commands import GiveBack
from flyball.policy.known import Known, Supply, Usual

GIB = 2**30
T0 = 1_793_491_200.0  # 2026-11-01 00:00 UTC
HOUR = 3600.0


def offer(
    instance_type: str = "m.large", *, usd: str = "0.36", market: Market = Market.ON_DEMAND, vcpus: int = 2, gib: float = 8,
    gpus: int = 0, arch: Arch = Arch.X86_64, **more: object,
) -> Offer:  # fmt: skip
    made = Offer(
        cloud="sim", region="r", zone="r-a", instance_type=instance_type, arch=arch, vcpus=vcpus,
        memory_bytes=int(gib * GIB), gpus=gpus, market=market, price_usd_per_hour=Decimal(usd), as_of=date(2026, 10, 1),
        source="list",
    )  # fmt: skip
    return replace(made, **more)


LARGE, XLARGE = offer(), offer("m.xlarge", usd="0.72", vcpus=4, gib=16)
SPOT = offer(market=Market.SPOT, usd="0.036")
CLOUD = Capabilities(boot_seconds=40.0, minimum_billed_seconds=60.0, not_included=("network traffic",))
OWN = Capabilities(bills_by_machine=False, shared_machine=Size(cpu_cores=4, memory_bytes=16 * GIB))


def known(
    ceilings: Ceilings | None = None, *, usual: Usual | None = None, **capabilities: Capabilities
) -> Known:
    """With the providers named; "sim", when none is. Each sells LARGE, XLARGE and SPOT."""
    table = OfferTable.of([LARGE, XLARGE, SPOT])
    supplies = {
        name: Supply(name=name, capabilities=each, offers=table)
        for name, each in (capabilities or {"sim": CLOUD}).items()
    }
    return Known(
        supplies=supplies,
        plan=lambda run: Plan(
            job=run.job, size=Size(cpu_cores=1, memory_bytes=GIB), forecast=Forecast(runs=0), reasons=()
        ),
        usual=lambda _: usual or Usual(),
        ceilings=ceilings or Ceilings(),
    )


def job(name: str = "train", **changes: object) -> JobSpec:
    return replace(JobSpec(name=name, command=("true",), paper="p", providers=("sim",)), **changes)


def submitted(
    run_id: str = "r1", spec: JobSpec | None = None, *, at: float = T0, tags: dict[str, str] | None = None, **more: object
) -> f.RunSubmitted:  # fmt: skip
    spec = spec or job()
    run = RunSpec(
        run_id=run_id, job=spec.name, command=("true",), features=Features(started_at_seconds=at), tags=tags or {}
    )  # fmt: skip
    return f.RunSubmitted(at_seconds=at, run=run, spec=spec, **more)


def planned(
    run_id: str = "r1", n: int = 1, *, at: float = T0, of: Offer = LARGE, provider: str = "sim", cores: float = 1.0,
    gib: float = 1.0, host_id: str | None = None, limits: Limits | None = None,
) -> f.AttemptPlanned:  # fmt: skip
    return f.AttemptPlanned(
        at_seconds=at, run_id=run_id, attempt_id=f"{run_id}.{n}", provider=provider, offer=of, host_id=host_id,
        size=Size(cpu_cores=cores, memory_bytes=int(gib * GIB)), limits=limits or Limits(grace_seconds=10.0), reason="first",
    )  # fmt: skip


def launched(run_id: str = "r1", n: int = 1, *, at: float = T0) -> f.AttemptLaunched:
    return f.AttemptLaunched(at_seconds=at, run_id=run_id, attempt_id=f"{run_id}.{n}")


def started(run_id: str = "r1", n: int = 1, *, at: float = T0 + 40) -> f.AttemptStarted:
    return f.AttemptStarted(
        at_seconds=at, run_id=run_id, attempt_id=f"{run_id}.{n}", limits=Limits(), reason="first"
    )


def ended(
    run_id: str = "r1", n: int = 1, *, at: float = T0 + 640, wall: float = 600.0, outcome: Outcome = Outcome.SUCCEEDED,
    seen_at: float | None = None,
) -> f.AttemptEnded:  # fmt: skip
    """The command ended at `at`; it was noticed at `seen_at`."""
    receipt = Receipt(
        attempt_id=f"{run_id}.{n}", outcome=outcome, exit_code=0, exit_cause=outcome.value, started_at_seconds=at - wall,
        ended_at_seconds=at, wall_seconds=wall, host=Host(), limits=Limits(), sources={},
    )  # fmt: skip
    return f.AttemptEnded(
        at_seconds=seen_at or at, run_id=run_id, attempt_id=f"{run_id}.{n}", receipt=receipt
    )


def released(run_id: str, attempt_id: str, charge: Charge, *, at: float) -> f.MachineReleased:
    return f.MachineReleased(at_seconds=at, run_id=run_id, attempt_id=attempt_id, charge=charge)


def host_planned(host_id: str = "h1", *, at: float = T0, of: Offer = LARGE) -> f.HostPlanned:
    return f.HostPlanned(at_seconds=at, host_id=host_id, provider="sim", offer=of, reason="small runs")


def host_launched(host_id: str = "h1", *, at: float = T0) -> f.HostLaunched:
    return f.HostLaunched(at_seconds=at, host_id=host_id)


def after(*facts: f.AnyFact, since: Snapshot | None = None) -> Snapshot:
    return fold(since or Snapshot(), facts)


def the_run(snapshot: Snapshot, run_id: str = "r1") -> LiveRun:
    return snapshot.runs[run_id]


def give_back(snapshot: Snapshot, attempt_id: str = "r1.1", *, together: int = 1) -> GiveBack:
    """As `correct` says it."""
    left = snapshot.unreleased[attempt_id]
    host_id = left.planned.host_id
    return GiveBack(
        provider=left.planned.provider,
        attempt_id=attempt_id,
        left=left,
        host=None if host_id is None else snapshot.hosts.get(host_id),
        leaving_together=together,
    )


def one_attempt(*facts: f.AnyFact, of: Offer = LARGE, spec: JobSpec | None = None) -> Snapshot:
    """Planned and launched at T0; then the facts."""
    return after(submitted(spec=spec), planned(of=of), launched(), *facts)


def dollars(values: Iterable[Decimal]) -> Decimal:
    return sum(values, Decimal(0))
