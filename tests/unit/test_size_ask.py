"""The size of the next attempt, from what the user said and what is planned."""

from __future__ import annotations

import pytest

from flyball.model.machine import Capabilities
from flyball.model.plan import Forecast, Plan, Quantiles
from flyball.model.resource import Size
from flyball.model.spec import SizeAsk
from flyball.model.units import GIB
from flyball.policy.next_step import Launchable
from flyball.policy.size_ask import FIRST_SIZE, size_for

STEP = Launchable(attempt_id="r.1", reason="")
CLOUD = Capabilities()
SHARED = Capabilities(shared_machine=Size(cpu_cores=8, memory_bytes=32 * GIB))


def about(value):
    return Quantiles(p50=value, p90=value, p99=value)


KNOWN = Plan(
    job="j",
    size=Size(cpu_cores=3, memory_bytes=6 * GIB),
    forecast=Forecast(runs=9, memory_bytes=about(5 * GIB), cpu_cores=about(3)),
    reasons=("memory 6 GiB: peak", "3 cores: used"),
)
UNKNOWN = Plan(
    job="j", size=Size(cpu_cores=0.25, memory_bytes=GIB // 8), forecast=Forecast(runs=0), reasons=()
)


@pytest.mark.parametrize(
    ("ask", "plan", "gib", "cores"),
    [
        (SizeAsk(), KNOWN, 6, 3),
        (SizeAsk(memory_bytes=2 * GIB, cpu_cores=1), KNOWN, 2, 1),
        (SizeAsk(memory_bytes=8 * GIB, memory_bytes_max=16 * GIB), KNOWN, 8, 3),
        (SizeAsk(memory_bytes=GIB, memory_bytes_max=4 * GIB), KNOWN, 4, 3),
        (SizeAsk(memory_bytes=GIB, memory_bytes_max=16 * GIB), KNOWN, 6, 3),
        (SizeAsk(memory_bytes=GIB, memory_bytes_max=16 * GIB), UNKNOWN, 1, FIRST_SIZE.cpu_cores),
        (SizeAsk(memory_bytes_max=2 * GIB), UNKNOWN, 2, FIRST_SIZE.cpu_cores),
        (SizeAsk(), UNKNOWN, 4, 2),
        (SizeAsk(cpu_cores=4, cpu_cores_max=8), KNOWN, 6, 4),
        (SizeAsk(cpu_cores=1, cpu_cores_max=2), KNOWN, 6, 2),
        (SizeAsk(cpu_cores=1, cpu_cores_max=2), UNKNOWN, 4, 1),
    ],
)
def test_what_is_fixed_stays_and_ranges_bound_the_plan(ask, plan, gib, cores):
    sized = size_for(ask, plan, STEP, CLOUD)
    assert sized.size == Size(cpu_cores=cores, memory_bytes=gib * GIB)
    assert sized.memory_limit_bytes == gib * GIB
    assert sized.reason


def test_a_stranger_gets_a_quarter_of_a_shared_machine():
    assert size_for(SizeAsk(), UNKNOWN, STEP, SHARED).size == Size(cpu_cores=2, memory_bytes=8 * GIB)


def test_cores_of_a_shared_machine_can_be_too_few_but_memory_cannot():
    small = Capabilities(shared_machine=Size(cpu_cores=2, memory_bytes=GIB))
    assert size_for(SizeAsk(), KNOWN, STEP, small).size == Size(cpu_cores=2, memory_bytes=6 * GIB)
    assert size_for(SizeAsk(cpu_cores=4), KNOWN, STEP, small).size.cpu_cores == 4


def test_growth_after_running_out_goes_before_the_plan():
    step = Launchable(attempt_id="r.2", reason="", memory_limit_bytes=20 * GIB)
    assert size_for(SizeAsk(), KNOWN, step, CLOUD).size.memory_bytes == 20 * GIB


def test_only_cores_that_the_user_set_are_a_limit():
    assert size_for(SizeAsk(), KNOWN, STEP, CLOUD).cpu_limit is None
    assert size_for(SizeAsk(cpu_cores=2), KNOWN, STEP, CLOUD).cpu_limit == 2
    assert size_for(SizeAsk(cpu_cores=2, cpu_cores_max=5), KNOWN, STEP, CLOUD).cpu_limit == 5


def test_gpus_are_as_asked():
    assert size_for(SizeAsk(gpus=2), KNOWN, STEP, CLOUD).size.gpus == 2


def test_what_is_over_in_a_moment_shares_a_core_on_a_shared_machine_only():
    moment = Quantiles(p50=0.01, p90=0.02, p99=0.05)
    forecast = Forecast(runs=9, wall_seconds=moment, memory_bytes=moment, cpu_cores=moment)
    brief = Plan(job="j", size=Size(cpu_cores=1, memory_bytes=GIB), forecast=forecast, reasons=("m", "c"))
    shared = Capabilities(shared_machine=Size(cpu_cores=4, memory_bytes=16 * GIB))
    step = Launchable(attempt_id="r.1", reason="first attempt")
    assert size_for(SizeAsk(), brief, step, shared).size.cpu_cores == 0.25
    assert size_for(SizeAsk(cpu_cores=1.0, cpu_cores_max=2.0), brief, step, shared).size.cpu_cores == 1
    assert size_for(SizeAsk(), brief, step, Capabilities()).size.cpu_cores == 1


def test_an_unknown_job_gets_half_of_the_most_it_may_have_and_all_of_it_when_there_is_no_time_to_be_wrong():
    unknown = Plan(job="j", size=Size(cpu_cores=1, memory_bytes=GIB), forecast=Forecast(runs=0), reasons=())
    step = Launchable(attempt_id="r.1", reason="first attempt")
    ask = SizeAsk(memory_bytes_max=64 * GIB, cpu_cores_max=16.0)
    guess = size_for(ask, unknown, step, Capabilities()).size
    assert (guess.cpu_cores, guess.memory_bytes) == (8.0, 32 * GIB)
    sure = size_for(ask, unknown, step, Capabilities(), cautious=True).size
    assert (sure.cpu_cores, sure.memory_bytes) == (16.0, 64 * GIB)
    small = Capabilities(shared_machine=Size(cpu_cores=4, memory_bytes=16 * GIB))
    here = size_for(ask, unknown, step, small).size
    assert (here.cpu_cores, here.memory_bytes) == (4, 16 * GIB)
