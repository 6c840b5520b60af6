"""The simulated cloud keeps the promises of the provider's port."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest
from msgspec.structs import replace

from flyball.model.machine import Launch, Machine, Stage
from flyball.model.receipt import Limits
from flyball.model.resource import Arch, Market, Offer, Size
from flyball.model.units import GIB
from flyball.ports.clock import FakeClock
from flyball.ports.provider import Provider, Refused
from flyball.ports.provider_contract import FAIL_EXIT_CODE, Kind, ProviderContract
from flyball.sim.cloud import Quotas, SimCloud
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
    cloud_type: type[SimCloud] = SimCloud

    @pytest.fixture
    def provider(self) -> Provider:
        return self.made()

    def made(self) -> SimCloud:
        self.clock = FakeClock()
        never_up = Trace(start_seconds=0.0, step_seconds=60.0, up=[False])
        self.cloud = self.cloud_type(
            clock=self.clock,
            truth_of=lambda order: TRUTHS[order.command[0]],
            offers=[offer_of(), offer_of(market=Market.SPOT)],
            weather=Weather(traces={("r1a", "m6i.large"): never_up}),
            quotas=Quotas(machines_max=9),
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


# Clouds that break one promise each: the suite has to notice.


class Forgetful(SimCloud):
    """Takes an attempt id that was given back for a new one."""

    def launch(self, order: Launch) -> None:
        if order.attempt_id not in self._held:
            self._known.pop(order.attempt_id, None)
        super().launch(order)


class Consuming(SimCloud):
    """Shows what has ended once."""

    def machines(self) -> Sequence[Machine]:
        seen = super().machines()
        for machine in seen:
            if machine.stage is Stage.ENDED:
                self._held.pop(machine.attempt_id)
        return seen


class Deaf(SimCloud):
    def stop(self, attempt_ids: Sequence[str]) -> None:
        pass


class Holding(SimCloud):
    """Keeps what is given back."""

    def release(self, attempt_id: str) -> None:
        pass


class Undying(SimCloud):
    """Its machines outlive their leases."""

    def launch(self, order: Launch) -> None:
        super().launch(replace(order, lease_seconds=1e9))


class Hasty(SimCloud):
    """Ends everything when one thing is stopped."""

    def stop(self, attempt_ids: Sequence[str]) -> None:
        super().stop(list(self._held))


class Vague(SimCloud):
    """Says no without saying why."""

    def launch(self, order: Launch) -> None:
        try:
            super().launch(order)
        except Refused as error:
            raise Refused(str(error)) from None


@pytest.mark.parametrize("broken", [Forgetful, Consuming, Deaf, Holding, Undying, Hasty, Vague])
def test_the_suite_notices_a_provider_that_breaks_a_promise(broken):
    noticed = []
    for name in [name for name in dir(TestSimCloud) if name.startswith("test_")]:
        suite = TestSimCloud()
        suite.cloud_type, suite.looks_max = broken, 500
        try:
            getattr(suite, name)(suite.made())
        except (AssertionError, Refused, KeyError):
            noticed.append(name)
    assert noticed
