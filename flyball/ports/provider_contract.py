"""What every provider must do, as tests that pytest runs: subclass ProviderContract to prove one of your own.

    class TestMine(ProviderContract):
        @pytest.fixture
        def provider(self) -> Provider: ...                  # empty, one for each test

        def launch_of(self, kind: Kind, attempt_id: str) -> Launch: ...
        def advance(self, seconds: float) -> None: ...       # time.sleep, or the hands of a clock

All else has defaults to override: how long to wait for an end, launches that are refused, whether machines end
themselves when their lease is not renewed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec.structs import replace

from flyball.model.machine import Launch, Machine, Stage
from flyball.model.outcome import Outcome
from flyball.model.resource import Size
from flyball.ports.provider import BadRequest, NoCapacity, Provider, QuotaReached, Refused

Kind = Literal["succeed", "fail", "sleep", "out_of_memory"]
FAIL_EXIT_CODE = 3  # what "fail" ends with
REFUSALS: dict[str, type[Refused]] = {
    "no_capacity": NoCapacity,
    "quota": QuotaReached,
    "bad_request": BadRequest,
}


class ProviderContract:
    """Each test is one promise of ports/provider.py."""

    poll_seconds = 1.0  # between two looks at the listing
    looks_max = 600  # until an end that should come is given up
    lease_seconds: float | None = 900.0  # of the dead man's switch in its test; None: there is none

    # Hooks

    def launch_of(self, kind: Kind, attempt_id: str) -> Launch:
        """An order for that attempt. "succeed" ends with 0 soon, "fail" with 3 soon, "sleep" not within an hour, and
        "out_of_memory" takes more than its own limit."""
        raise NotImplementedError(f"{type(self).__name__} says what is launched")

    def advance(self, seconds: float) -> None:
        """Let so much time pass for the provider."""
        raise NotImplementedError(f"{type(self).__name__} says how time passes")

    def refused_launch(self, kind: str, provider: Provider) -> Launch | None:  # noqa: ARG002 - a hook
        """An order that is refused for that reason (no_capacity, quota, bad_request); None: it cannot be made here."""
        return None

    def still_runs(self, attempt_id: str) -> bool:  # noqa: ARG002
        """Whether its command runs or its machine costs money, asked of the world rather than of the listing."""
        return False

    def still_runs_command(self, attempt_id: str) -> bool:
        """As still_runs, but of the command alone: a stopped one's machine may be held until it is released."""
        return self.still_runs(attempt_id)

    def wait_for(self, true_at_last: Callable[[], bool]) -> None:
        """Let time pass until that holds. Raises: AssertionError when it never does."""
        for _ in range(self.looks_max):
            if true_at_last():
                return
            self.advance(self.poll_seconds)
        raise AssertionError(f"did not come to be within {self.looks_max} looks")

    # One launch

    def test_a_launch_is_listed_runs_and_ends_with_its_exit_code(self, provider: Provider) -> None:
        machine = self._run(provider, "succeed", "r.1")
        assert (machine.outcome, machine.run_id) in {(Outcome.SUCCEEDED, "r"), (Outcome.SUCCEEDED, "")}
        assert machine.receipt is not None
        assert (machine.receipt.attempt_id, machine.receipt.exit_code) == ("r.1", 0)

    def test_a_failure_is_an_outcome_with_the_exit_code(self, provider: Provider) -> None:
        machine = self._run(provider, "fail", "r.1")
        assert machine.outcome is Outcome.FAILED
        assert machine.receipt is not None
        assert machine.receipt.exit_code == FAIL_EXIT_CODE

    def test_running_out_of_memory_is_told_from_failing(self, provider: Provider) -> None:
        machine = self._run(provider, "out_of_memory", "r.1")
        assert machine.outcome is Outcome.OUT_OF_MEMORY
        assert machine.receipt is not None
        assert machine.receipt.limits.memory_bytes is not None

    def test_its_times_come_in_order(self, provider: Provider) -> None:
        machine = self._run(provider, "succeed", "r.1")
        receipt = machine.receipt
        assert receipt is not None
        assert machine.launched_at_seconds is not None
        assert machine.launched_at_seconds <= receipt.started_at_seconds <= receipt.ended_at_seconds
        assert 0 <= receipt.wall_seconds <= receipt.ended_at_seconds - receipt.started_at_seconds + 1.0

    def test_an_ended_launch_stays_listed_until_it_is_released(self, provider: Provider) -> None:
        before = self._run(provider, "succeed", "r.1")
        for _ in range(3):
            self.advance(self.poll_seconds)
            assert self._seen(provider, "r.1") == before
        provider.release("r.1")
        self._wait_until_gone(provider, "r.1")

    # Doing it again

    def test_a_repeated_launch_does_nothing_while_it_runs(self, provider: Provider) -> None:
        order = self.launch_of("sleep", "r.1")
        provider.launch(order)
        provider.launch(order)
        self._wait_for_stage(provider, "r.1", Stage.RUNNING)
        first = self._seen(provider, "r.1")
        provider.launch(order)
        assert [m.attempt_id for m in provider.machines()] == ["r.1"]
        again = self._seen(provider, "r.1")
        assert first is not None
        assert again is not None
        assert again.started_at_seconds == first.started_at_seconds
        provider.release("r.1")

    def test_a_repeated_launch_does_nothing_after_it_has_ended(self, provider: Provider) -> None:
        ended = self._run(provider, "fail", "r.1")
        provider.launch(self.launch_of("fail", "r.1"))
        self.advance(self.poll_seconds)
        assert list(provider.machines()) == [ended]

    def test_a_repeated_launch_does_nothing_after_its_release(self, provider: Provider) -> None:
        order = self.launch_of("sleep", "r.1")
        provider.launch(order)
        provider.release("r.1")
        self._wait_until_gone(provider, "r.1")
        provider.launch(order)
        self.advance(self.poll_seconds)
        assert list(provider.machines()) == []
        assert not self.still_runs("r.1")

    def test_reading_the_listing_consumes_nothing(self, provider: Provider) -> None:
        provider.launch(self.launch_of("sleep", "a.1"))
        self._run(provider, "succeed", "b.1")
        for _ in range(3):
            assert {m.attempt_id for m in provider.machines()} == {"a.1", "b.1"}
        provider.release("a.1")

    # Ending it

    def test_stop_ends_the_command_and_keeps_its_receipt(self, provider: Provider) -> None:
        provider.launch(self.launch_of("sleep", "r.1"))
        self._wait_for_stage(provider, "r.1", Stage.RUNNING)
        provider.stop(["r.1"])
        self._wait_for_stage(provider, "r.1", Stage.ENDED)
        machine = self._seen(provider, "r.1")
        assert machine is not None
        assert machine.outcome is Outcome.CANCELLED
        assert machine.receipt is not None
        assert not self.still_runs_command("r.1")

    def test_stop_changes_nothing_about_what_has_ended_or_never_was(self, provider: Provider) -> None:
        ended = self._run(provider, "fail", "r.1")
        provider.stop(["r.1", "nobody.1"])
        provider.stop([])
        self.advance(self.poll_seconds)
        assert list(provider.machines()) == [ended]

    def test_stop_twice_is_stop_once(self, provider: Provider) -> None:
        provider.launch(self.launch_of("sleep", "r.1"))
        self._wait_for_stage(provider, "r.1", Stage.RUNNING)
        provider.stop(["r.1"])
        provider.stop(["r.1"])
        self._wait_for_stage(provider, "r.1", Stage.ENDED)
        ended = self._seen(provider, "r.1")
        provider.stop(["r.1"])
        self.advance(self.poll_seconds)
        assert self._seen(provider, "r.1") == ended

    def test_stopping_one_leaves_the_others_alone(self, provider: Provider) -> None:
        for attempt_id in ("a.1", "b.1"):
            provider.launch(self.launch_of("sleep", attempt_id))
            self._wait_for_stage(provider, attempt_id, Stage.RUNNING)
        provider.stop(["a.1"])
        self._wait_for_stage(provider, "a.1", Stage.ENDED)
        other = self._seen(provider, "b.1")
        assert other is not None
        assert other.stage is Stage.RUNNING
        provider.release("b.1")

    def test_release_ends_what_runs(self, provider: Provider) -> None:
        provider.launch(self.launch_of("sleep", "r.1"))
        self._wait_for_stage(provider, "r.1", Stage.RUNNING)
        provider.release("r.1")
        self._wait_until_gone(provider, "r.1")
        self.wait_for(lambda: not self.still_runs("r.1"))

    def test_release_again_and_of_what_never_was_does_nothing(self, provider: Provider) -> None:
        self._run(provider, "succeed", "r.1")
        self._run(provider, "succeed", "s.1")
        provider.release("r.1")
        provider.release("r.1")
        provider.release("nobody.1")
        self._wait_until_gone(provider, "r.1")
        assert [m.attempt_id for m in provider.machines()] == ["s.1"]

    # The dead man's switch

    def test_renewed_machines_live_on_and_others_end_themselves(self, provider: Provider) -> None:
        import pytest

        lease = self.lease_seconds
        if lease is None:
            pytest.skip("no dead man's switch here")
        for attempt_id in ("kept.1", "left.1"):
            provider.launch(replace(self.launch_of("sleep", attempt_id), lease_seconds=lease))
            self._wait_for_stage(provider, attempt_id, Stage.RUNNING)
        for _ in range(8):
            provider.renew(["kept.1", "nobody.1"])
            self.advance(lease / 4)
        provider.renew(["kept.1"])
        self.wait_for(lambda: not self.still_runs("left.1") and self._ended_or_gone(provider, "left.1"))
        kept = self._seen(provider, "kept.1")
        assert kept is not None
        assert kept.stage is Stage.RUNNING
        provider.release("kept.1")

    # Refusals

    def test_refusals_say_their_kind_and_leave_nothing_behind(self, provider: Provider) -> None:
        import pytest

        for kind, error in REFUSALS.items():
            order = self.refused_launch(kind, provider)
            if order is None:
                continue
            with pytest.raises(error) as refusal:
                provider.launch(order)
            assert refusal.value.kind == kind
            assert order.attempt_id not in {m.attempt_id for m in provider.machines()}

    # Warm machines

    def test_a_warm_machine_takes_attempts_and_outlives_them(self, provider: Provider) -> None:
        import pytest

        if not provider.capabilities.hosts:
            pytest.skip("no warm machines here")
        host = self.launch_of("sleep", "host-1")
        offer = host.offer
        whole = Size(cpu_cores=offer.vcpus, memory_bytes=offer.memory_bytes, gpus=offer.gpus)
        provider.launch(replace(host, run_id="", job="", command=(), size=whole, is_host=True))
        for attempt_id, kind in (("a.1", "succeed"), ("b.1", "fail")):
            provider.launch(replace(self._launch(kind, attempt_id), host_id="host-1"))
        self._wait_for_stage(provider, "a.1", Stage.ENDED)
        self._wait_for_stage(provider, "b.1", Stage.ENDED)
        seen = {m.attempt_id: m for m in provider.machines()}
        assert (seen["a.1"].outcome, seen["b.1"].outcome) == (Outcome.SUCCEEDED, Outcome.FAILED)
        assert seen["host-1"].is_host
        assert seen["host-1"].stage is Stage.RUNNING
        for attempt_id in ("a.1", "b.1", "host-1"):
            provider.release(attempt_id)
            self._wait_until_gone(provider, attempt_id)
        assert list(provider.machines()) == []

    # Inside

    def _launch(self, kind: str, attempt_id: str) -> Launch:
        kinds: dict[str, Kind] = {"succeed": "succeed", "fail": "fail", "sleep": "sleep"}
        return self.launch_of(kinds[kind], attempt_id)

    def _run(self, provider: Provider, kind: Kind, attempt_id: str) -> Machine:
        """The machine after its end."""
        provider.launch(self.launch_of(kind, attempt_id))
        self._wait_for_stage(provider, attempt_id, Stage.ENDED)
        machine = self._seen(provider, attempt_id)
        assert machine is not None
        return machine

    def _seen(self, provider: Provider, attempt_id: str) -> Machine | None:
        return next((m for m in provider.machines() if m.attempt_id == attempt_id), None)

    def _wait_for_stage(self, provider: Provider, attempt_id: str, stage: Stage) -> None:
        def reached() -> bool:
            machine = self._seen(provider, attempt_id)
            return machine is not None and machine.stage is stage

        self.wait_for(reached)

    def _wait_until_gone(self, provider: Provider, attempt_id: str) -> None:
        self.wait_for(lambda: self._seen(provider, attempt_id) is None)

    def _ended_or_gone(self, provider: Provider, attempt_id: str) -> bool:
        machine = self._seen(provider, attempt_id)
        return machine is None or machine.stage is Stage.ENDED
