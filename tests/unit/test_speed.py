from __future__ import annotations

import math
import random

import pytest

from flyball.model.history import AttemptRow
from flyball.model.outcome import Outcome
from flyball.model.plan import Forecast, Quantiles
from flyball.model.processor import processor_of, seen
from flyball.model.resource import Arch
from flyball.policy.speed import learn_speeds, work_of_job

ICE_LAKE, ZEN4 = "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", "AMD EPYC 9R14"


def a_row(
    index: int, *, cpu_model: str | None = ICE_LAKE, cpu_seconds: float | None = 100.0, **changes
) -> AttemptRow:
    fields = {
        "run_id": f"r{index}",
        "attempt_id": f"a{index}",
        "job": "job",
        "origin": "run",
        "started_at_seconds": float(index),
        "outcome": Outcome.SUCCEEDED,
        "wall_seconds": cpu_seconds,
        "cpu_seconds": cpu_seconds,
        "cpu_model": cpu_model,
        "cpu_cores_p95": 1.0,
        "host_cores": 4.0,
    }
    return AttemptRow(**fields | changes)


def runs(
    true_speed: dict[str, float], *, count: int, noise: float = 0.03, seed: int = 3, inputs: bool = False
):
    """Rows of a job that is `true_speed` times as fast on each CPU as on an m6i."""
    rng, rows = random.Random(seed), []
    for index in range(count):
        model = sorted(true_speed)[index % len(true_speed)]
        size = rng.randrange(10**8, 10**10) if inputs else None
        work = 100.0 * (size / 10**9) ** 0.9 if size else 100.0
        rows.append(
            a_row(
                index,
                cpu_model=model,
                cpu_seconds=work / true_speed[model] * math.exp(rng.gauss(0, noise)),
                input_bytes=size,
            )
        )
    return rows


def relative(speeds) -> float:
    """How many times as fast on Zen 4 as on Ice Lake."""
    ice, zen = seen("icelake", ""), seen("zen4", "")
    return (speeds.corrections["zen4"] * zen.speed_one_core) / (
        speeds.corrections["icelake"] * ice.speed_one_core
    )


def test_one_processor_teaches_nothing_about_others():
    learnt = learn_speeds([a_row(i) for i in range(50)])
    assert learnt.corrections == {}
    assert learnt.runs == 50


def test_many_runs_outweigh_the_benchmark():
    learnt = learn_speeds(runs({ICE_LAKE: 1.0, ZEN4: 1.6}, count=40))
    assert relative(learnt) == pytest.approx(1.6, rel=0.05)
    assert any(
        "zen4" in reason and "20 runs" in reason and "benchmarks said 1.15" in reason
        for reason in learnt.reasons
    )


def test_few_runs_move_the_benchmark_only_part_of_the_way():
    noisy = runs({ICE_LAKE: 1.0, ZEN4: 3.0}, count=2, noise=0.0)
    learnt = relative(learn_speeds(noisy))
    assert 1.15 < learnt < 2.9


def test_bigger_inputs_are_not_taken_for_a_slower_processor():
    rows = runs({ICE_LAKE: 1.0, ZEN4: 1.15}, count=60, inputs=True)
    assert relative(learn_speeds(rows)) == pytest.approx(1.15, rel=0.06)


def test_odd_runs_do_not_decide():
    rows = runs({ICE_LAKE: 1.0, ZEN4: 1.3}, count=40)
    odd = [a_row(100 + i, cpu_model=ZEN4, cpu_seconds=2000.0) for i in range(3)]
    assert relative(learn_speeds([*rows, *odd])) == pytest.approx(1.3, rel=0.1)


def test_failed_runs_and_runs_too_short_to_tell_are_not_counted():
    rows = [
        a_row(0),
        a_row(1, outcome=Outcome.FAILED),
        a_row(2, cpu_seconds=0.001),
        a_row(3, cpu_seconds=None),
        a_row(4, cpu_model=None),
    ]
    assert learn_speeds(rows).runs == 1
    assert learn_speeds([]).runs == 0


def test_a_processor_without_a_benchmark_is_learnt_from_its_runs():
    learnt = learn_speeds(runs({ICE_LAKE: 1.0, "Loongson-3A6000": 0.4}, count=40))
    assert learnt.corrections["Loongson-3A6000"] / learnt.corrections["icelake"] == pytest.approx(
        0.4, rel=0.1
    )
    assert any("no benchmark" in reason for reason in learnt.reasons)


@pytest.mark.parametrize(
    ("cpu_model", "instance_type", "name"),
    [
        (ICE_LAKE, None, "icelake"),
        (ZEN4, None, "zen4"),
        ("AMD EPYC 7R13 Processor", None, "zen3"),
        ("Intel(R) Xeon(R) Platinum 8488C", None, "sapphirerapids"),
        ("Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", None, "cascadelake"),
        ("Intel(R) Xeon(R) Platinum 8275CL CPU @ 3.00GHz", None, "cascadelake-fast"),
        ("INTEL(R) XEON(R) PLATINUM 8573C", None, "emeraldrapids"),
        ("Intel(R) Xeon(R) 6975P-C", None, "graniterapids"),
        ("AMD EPYC 9R45", None, "zen5"),
        ("AMD EPYC 9V74 80-Core Processor", None, "zen4"),
        ("AMD EPYC 7763 64-Core Processor", None, "zen3"),
        ("Neoverse-N1", None, "graviton2"),
        ("Apple M2 Pro", None, "apple-m1"),
        ("AMD Ryzen 9 7950X 16-Core Processor", None, "desktop-new"),
        ("13th Gen Intel(R) Core(TM) i7-13700K", None, "desktop-new"),
        ("Intel(R) Core(TM) i5-8250U CPU @ 1.60GHz", None, "desktop"),
        (None, "m7g.large", "graviton3"),
        ("Neoverse-N1", "Standard_D4ps_v5", "altra"),
        (None, "Standard_D4s_v5", "icelake"),
        (None, "n2d-standard-4", "zen3"),
    ],
)
def test_a_processor_is_known_by_its_name_or_its_machine(cpu_model, instance_type, name):
    assert processor_of(cpu_model=cpu_model, instance_type=instance_type).name == name


def test_an_unknown_processor_keeps_its_own_name_and_is_marked():
    unknown = processor_of(cpu_model="  VIA  Nano   X2 ")
    assert (unknown.name, unknown.known, unknown.speed_one_core) == ("VIA Nano X2", False, 1.0)
    assert not processor_of().known


def test_a_vcpu_that_is_a_whole_core_loses_nothing_when_all_are_busy():
    assert (
        processor_of(instance_type="m7a.large").speed_all_cores
        > processor_of(instance_type="m7a.large").speed_one_core
    )
    assert (
        processor_of(instance_type="c3d-standard-4").speed_all_cores
        == processor_of(instance_type="c3d-standard-4").speed_one_core
    )
    assert processor_of(instance_type="m8g.large").speed_all_cores == pytest.approx(1.5 * 1.15)


def test_the_work_of_a_job_is_taken_from_its_forecast_and_its_last_machine():
    def q(value: float) -> Quantiles:
        return Quantiles(p50=value, p90=2 * value, p99=3 * value)

    forecast = Forecast(
        runs=3, wall_seconds=q(60), cpu_core_seconds=q(120), memory_bytes=q(2**30), cpu_cores=q(2)
    )
    work = work_of_job(forecast, [a_row(0, cpu_model=ZEN4), a_row(1)])
    assert work is not None
    assert (work.wall_seconds, work.core_seconds, work.cores, work.memory_bytes) == (60, 120, 4, 3 * 2**30)
    assert (work.processor, work.vcpus, work.arch) == ("icelake", 4.0, Arch.X86_64)
    assert work_of_job(forecast, [a_row(0, cpu_model="Intel Future 1")]).arch is Arch.X86_64
    assert work_of_job(forecast, [a_row(0, cpu_model=None, instance_type="m8g.large")]).arch is Arch.ARM64
    assert work_of_job(forecast, [a_row(0, cpu_model="Loongson")]).arch is None
    assert work_of_job(Forecast(runs=0), []) is None
    assert work_of_job(forecast, []).processor == "unknown"
