"""The promise about deadlines, against a spot market that refuses and takes machines away at the worst of times."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.model import facts as f
from flyball.model.charge import nothing
from flyball.model.folding import fold
from flyball.model.job import Features, RunSpec
from flyball.model.machine import Capabilities
from flyball.model.offers import OfferTable
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Plan, Quantiles
from flyball.model.receipt import Host, Receipt
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.snapshot import Snapshot
from flyball.model.spec import JobSpec, SpotAsk
from flyball.model.units import GIB
from flyball.policy.failover import Placed, place
from flyball.policy.holds import Room
from flyball.policy.known import Known, Supply, Usual
from flyball.policy.next_step import Launchable, next_step

NOW = 1_780_000_000.0
TICK = 60.0
LOST_AFTER = 300.0  # ceilings' own default


def sold(kind, market, usd, rate=0.0):
    return Offer(
        cloud="sim", region="r1", zone="a", instance_type=kind, arch=Arch.X86_64, vcpus=4, memory_bytes=16 * GIB,
        market=market, price_usd_per_hour=Decimal(usd), interruptions_per_hour=rate, as_of=date(2026, 1, 1),
        source="test",
    )  # fmt: skip


OFFERS = [
    sold("m", Market.ON_DEMAND, "0.20"),
    *(sold(f"s{i}", Market.SPOT, f"0.0{i + 4}", 0.05 * i) for i in range(4)),
]


def known_for(seconds):
    size = Size(cpu_cores=1, memory_bytes=GIB)
    wall = Quantiles(p50=seconds / 1.3, p90=seconds, p99=seconds * 1.2)
    told = Forecast(runs=9, wall_seconds=wall, cpu_core_seconds=wall, memory_bytes=wall, cpu_cores=wall)
    told = Forecast(
        runs=9,
        wall_seconds=wall,
        cpu_core_seconds=wall,
        cpu_cores=Quantiles(p50=1, p90=1, p99=1),
        memory_bytes=Quantiles(p50=GIB, p90=GIB, p99=GIB),
    )
    plan = Plan(job="j", size=size, forecast=told, reasons=("memory", "cores"))
    supply = Supply(name="cloud", capabilities=Capabilities(), offers=OfferTable.of(OFFERS))
    return Known(supplies={"cloud": supply}, plan=lambda _: plan, usual=lambda _: Usual())


class Story:
    """One run, told by facts; `fates` says what becomes of each try on spot."""

    def __init__(self, *, work, changeover, deadline, resumes, fates):
        self.work, self.changeover, self.resumes = work, changeover, resumes
        self.fates = list(fates)
        spec = JobSpec(
            name="j", command=("x",), paper="p", providers=("cloud",),
            spot=SpotAsk(checkpoint="there" if resumes else None, changeover_seconds=changeover),
        )  # fmt: skip
        run = RunSpec(run_id="r", job="j", command=("x",), features=Features(started_at_seconds=NOW))
        self.deadline = NOW + deadline
        first = f.RunSubmitted(at_seconds=NOW, run=run, spec=spec, deadline_seconds=self.deadline)
        self.snapshot = fold(Snapshot(), [first])
        self.known, self.now, self.on_demand = known_for(work), NOW, 0

    def tell(self, *facts):
        self.snapshot = fold(self.snapshot, facts)

    def goes_on(self):
        """One decision; the time at which the run ended, or None."""
        run = self.snapshot.runs["r"]
        step = next_step(run, self.known, self.now)
        if not isinstance(step, Launchable):
            return float("inf")
        room = Room(self.snapshot, self.known, self.now)
        got = place(run, step, room=room, snapshot=self.snapshot, known=self.known, now_seconds=self.now)
        if not isinstance(got, Placed):
            self.now += TICK
            return None
        planned = got.facts[-1]
        self.tell(*got.facts)
        left = self.work * (1 - run.progress)
        if planned.offer.market is Market.ON_DEMAND:
            return self.now + self.changeover + left
        refused, share = self.fates.pop() if self.fates else (False, 1.0)
        name = {"run_id": "r", "attempt_id": planned.attempt_id}
        if refused:
            offer_id = planned.offer.offer_id
            no = f.LaunchRefused(
                at_seconds=self.now,
                **name,
                provider="cloud",
                offer_id=offer_id,
                kind="no_capacity",
                reason="no",
            )
            self.tell(no)
            self.now += 1.0
            return None
        if share >= 1.0:
            return self.now + self.changeover + left
        return self.lost(planned, name, run.progress, self.now + share * (self.changeover + left))

    def lost(self, planned, name, before, at):
        started = self.now + self.changeover
        self.tell(f.AttemptLaunched(at_seconds=self.now, **name))
        if at > started:
            done = min(1.0, before + (at - started) / self.work)
            self.tell(f.AttemptStarted(at_seconds=started, **name, limits=planned.limits, reason=""))
            if self.resumes:
                self.tell(f.ProgressReported(at_seconds=at, **name, share=done))
        receipt = Receipt(
            attempt_id=planned.attempt_id, outcome=Outcome.LOST, exit_code=None, exit_cause="lost",
            started_at_seconds=started, ended_at_seconds=at, wall_seconds=0.0, host=Host(), limits=planned.limits,
            sources={},
        )  # fmt: skip
        self.now = at + LOST_AFTER
        self.tell(
            f.AttemptEnded(at_seconds=self.now, **name, receipt=receipt),
            f.MachineReleased(at_seconds=self.now, **name, charge=nothing("")),
        )


fates = st.lists(
    st.tuples(st.sampled_from([False, False, True]), st.sampled_from([0.0, 0.05, 0.3, 0.9, 0.999, 1.0])),
    max_size=12,
)


@given(
    work=st.floats(30, 50_000),
    changeover=st.floats(5, 900),
    spare=st.floats(1.06, 8.0),
    resumes=st.booleans(),
    fates=fates,
)
@settings(max_examples=250, deadline=None)
def test_a_deadline_that_on_demand_can_keep_is_kept(work, changeover, spare, resumes, fates):
    """Spot machines vanish without notice, also right at their end; on demand is always to be had."""
    deadline = spare * work + changeover  # forecasts are taken in steps of 5 %
    story = Story(work=work, changeover=changeover, deadline=deadline, resumes=resumes, fates=fates)
    ended = None
    for _ in range(10_000):
        ended = story.goes_on()
        if ended is not None:
            break
    assert ended is not None
    assert ended <= story.deadline + 1.0


def test_spot_is_used_when_there_is_time():
    story = Story(work=3600.0, changeover=60.0, deadline=20_000.0, resumes=True, fates=[])
    assert story.goes_on() is not None
    assert story.snapshot.runs["r"].live.planned.offer.market is Market.SPOT
