"""The simulated cloud keeps the promises of the provider's port."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from msgspec.structs import replace

from flyball.model.machine import Launch
from flyball.model.receipt import Limits
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.units import GIB
from flyball.ports.clock import FakeClock
from flyball.ports.provider import Provider
from flyball.ports.provider_contract import FAIL_EXIT_CODE, Kind, ProviderContract
from flyball.sim.cloud import Quotas, SimCloud
from flyball.sim.faults import Faults
from flyball.sim.truth import Truth, Try
from flyball.sim.weather import Trace, Weather

TRUTHS = {
    "succeed": Truth(serial_seconds=20.0),
    "fail": Truth(serial_seconds=20.0, tries=(Try(exit_code=FAIL_EXIT_CODE, at_share=0.5),)),
    "sleep": Truth(waiting_seconds=7200.0),
    "out_of_memory": Truth(serial_seconds=20.0, memory_bytes=3 * GIB),
}


def offer_of(instance_type: str = "m6i.large", market: Market = Market.ON_DEMAND) -> Offer:
    return Offer(
        cloud="sim",
        region="r1",
        zone="r1a",
        instance_type=instance_type,
        arch=Arch.X86_64,
        vcpus=2,
        memory_bytes=8 * GIB,
        market=market,
        price_usd_per_hour=Decimal("0.096"),
        as_of=date(2026, 11, 1),
        source="test",
    )


class TestSimCloud(ProviderContract):
    poll_seconds = 5.0
    faults = Faults()

    @pytest.fixture
    def provider(self) -> Provider:
        self.clock = FakeClock()
        never_up = Trace(start_seconds=0.0, step_seconds=60.0, up=[False])
        self.cloud = SimCloud(
            clock=self.clock,
            truth_of=lambda order: TRUTHS[order.command[0]],
            offers=[offer_of(), offer_of(market=Market.SPOT)],
            weather=Weather(traces={("r1a", "m6i.large"): never_up}),
            quotas=Quotas(machines_max=9),
            faults=self.faults,
        )
        return self.cloud

    def launch_of(self, kind: Kind, attempt_id: str) -> Launch:
        return Launch(
            run_id=attempt_id.partition(".")[0],
            attempt_id=attempt_id,
            job="job",
            offer=offer_of(),
            size=Size(cpu_cores=1, memory_bytes=2 * GIB),
            limits=Limits(memory_bytes=2 * GIB, grace_seconds=10.0),
            command=(kind,),
            lease_seconds=10_000.0,
        )

    def advance(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    def refused_launch(self, kind: str, provider: Provider) -> Launch | None:
        order = self.launch_of("succeed", f"{kind}.1")
        if kind == "no_capacity":
            return replace(order, offer=offer_of(market=Market.SPOT))
        if kind == "bad_request":
            return replace(order, offer=offer_of("m99.large"))
        for n in range(9):
            provider.launch(self.launch_of("sleep", f"many{n}.1"))
        return order

    def still_runs(self, attempt_id: str) -> bool:
        return attempt_id in {held.order.attempt_id for held in self.cloud.alive()}

    def still_runs_command(self, attempt_id: str) -> bool:
        return self.cloud.launched()[attempt_id].command_ended_at > self.clock.now_seconds()
