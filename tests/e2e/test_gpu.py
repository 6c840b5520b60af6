"""GPU figures through a real shared library with NVML's C interface. NO REAL GPU WAS USED: the library is
tests/e2e/nvml_stand_in.c, compiled here; the real pynvml reads it beside our reader and must see the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.meter.gpu import GpuMeter, GpuSample

GIB = 2**30
TRAINER, LOADER, STRANGER = (
    4_100_001,
    4_100_002,
    4_100_003,
)  # made up: the library alone knows them
TWO_GPUS = f"device 0 {80 * GIB} Stand-in H100\ndevice 1 {24 * GIB} Stand-in L4\n"

pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="GPU TESTS SKIPPED: gcc is not installed"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GPU TESTS SKIPPED: NVML is for Linux"),
]
World = Callable[[str], None]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("nvml_stand_in.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", built, source], check=True)
    return built


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    state = tmp_path / "gpus"
    monkeypatch.setenv("NVML_STAND_IN", str(state))

    def become(text: str) -> None:
        state.write_text(TWO_GPUS + text)

    become("")
    return become


@pytest.fixture
def meter(library: Path, world: World) -> Iterator[GpuMeter]:
    opened = GpuMeter.open(str(library))
    assert opened is not None
    yield opened
    opened.close()


def test_a_machine_without_the_driver_library_has_no_meter() -> None:
    assert GpuMeter.open("libnvidia-ml-that-is-not-there.so.1") is None


@pytest.mark.parametrize("trouble", ["error nvmlInit_v2 9", "error nvmlDeviceGetCount_v2 999"])
def test_a_library_without_a_working_driver_gives_no_meter(library: Path, world: World, trouble: str) -> None:
    world(trouble)
    assert GpuMeter.open(str(library)) is None


def test_a_card_that_fails_while_named_hides_no_other(library: Path, world: World) -> None:
    world("error nvmlDeviceGetName 15")
    meter = GpuMeter.open(str(library))
    assert meter is not None
    assert [gpu["index"] for gpu in meter.summary()] == [0, 1]
    meter.close()


def test_memory_of_the_asked_processes_is_summed_over_gpus_and_strangers_are_left_out(
    meter: GpuMeter, world: World
) -> None:
    world(
        f"process 0 Compute {TRAINER} {10 * GIB}\nprocess 0 Compute {STRANGER} {30 * GIB}\n"
        f"process 1 Compute {LOADER} {2 * GIB}\nprocess 1 MPSCompute {TRAINER} {GIB}\n"
    )
    assert meter.sample({TRAINER, LOADER}).memory_bytes == 13 * GIB
    assert [gpu["memory_bytes_max"] for gpu in meter.summary()] == [10 * GIB, 3 * GIB]


def test_a_process_that_computes_and_draws_counts_once(meter: GpuMeter, world: World) -> None:
    world(f"process 0 Compute {TRAINER} {4 * GIB}\nprocess 0 Graphics {TRAINER} {4 * GIB}\n")
    assert meter.sample({TRAINER}).memory_bytes == 4 * GIB


def test_utilization_is_of_the_asked_processes_on_the_gpus_they_use(meter: GpuMeter, world: World) -> None:
    world(
        f"process 0 Compute {TRAINER} {GIB}\nutilization 0 {TRAINER} 1000 60\nutilization 0 {STRANGER} 1000 40\n"
        f"process 1 Compute {STRANGER} {GIB}\nutilization 1 {STRANGER} 1000 100\n"
    )
    assert meter.sample({TRAINER}) == GpuSample(GIB, pytest.approx(0.6))
    used, idle = meter.summary()
    assert (used["utilization_max"], idle["utilization_max"]) == (pytest.approx(0.6), 0.0)


def test_an_idle_second_is_zero_because_only_newer_samples_count(meter: GpuMeter, world: World) -> None:
    busy = f"process 0 Compute {TRAINER} {GIB}\nutilization 0 {TRAINER} 1000 90\n"
    world(busy)
    assert meter.sample({TRAINER}).utilization == pytest.approx(0.9)
    assert meter.sample({TRAINER}).utilization == 0.0  # the driver answers NOT_FOUND: nothing newer
    world(busy + f"utilization 0 {TRAINER} 2000 30\n")
    assert meter.sample({TRAINER}).utilization == pytest.approx(0.3)


def test_impossible_percentages_from_the_driver_are_thrown_away(meter: GpuMeter, world: World) -> None:
    world(
        f"process 0 Compute {TRAINER} {GIB}\nutilization 0 {TRAINER} 1000 4294967295\nutilization 0 {TRAINER} 1001 50\n"
    )
    assert meter.sample({TRAINER}).utilization == pytest.approx(0.5)


def test_without_figures_by_process_the_devices_own_counts_only_when_no_stranger_uses_it(
    meter: GpuMeter, world: World
) -> None:
    alone = f"error nvmlDeviceGetProcessUtilization 3\nprocess 0 Compute {TRAINER} {GIB}\nrate 0 70\n"
    world(alone)
    assert meter.sample({TRAINER}).utilization == pytest.approx(0.7)
    world(alone + f"process 0 Graphics {STRANGER} 1\n")
    assert meter.sample({TRAINER}) == GpuSample(GIB, None)


def test_what_the_driver_does_not_tell_is_unknown_not_zero(meter: GpuMeter, world: World) -> None:
    world(f"process 0 Compute {TRAINER} -1\n")
    assert meter.sample({TRAINER}).memory_bytes is None
    world("error nvmlDeviceGetComputeRunningProcesses_v3 4\n")
    assert meter.sample({TRAINER}) == GpuSample(None, None)


@pytest.mark.parametrize("code", [1, 9, 15, 16, 999])
def test_a_driver_that_goes_away_in_mid_run_leaves_what_was_measured(
    meter: GpuMeter, world: World, code: int
) -> None:
    # given a job that was measured
    world(f"process 0 Compute {TRAINER} {5 * GIB}\nutilization 0 {TRAINER} 1000 80\n")
    meter.sample({TRAINER})
    # when the driver goes
    world(f"error nvmlDeviceGetComputeRunningProcesses_v3 {code}\nerror nvmlShutdown {code}\n")
    # then now is unknown, and before is kept
    assert meter.sample({TRAINER}) == GpuSample(None, None)
    assert meter.summary()[0]["memory_bytes_max"] == 5 * GIB
    assert meter.summary()[0]["utilization_mean"] == pytest.approx(0.8)


def test_the_summary_has_the_receipts_fields(meter: GpuMeter, world: World) -> None:
    from flyball.model.receipt import Gpu

    world(f"process 1 Compute {TRAINER} {GIB}\n")
    meter.sample({TRAINER})
    first, second = (Gpu(**fields) for fields in meter.summary())
    assert (first.name, first.memory_bytes_total) == ("Stand-in H100", 80 * GIB)
    assert second.memory_bytes_max == GIB


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    held=st.dictionaries(
        st.tuples(st.integers(0, 1), st.integers(1, 40)), st.integers(0, 80 * GIB), max_size=40
    ),
    asked=st.sets(st.integers(1, 40)),
)
def test_memory_is_the_plain_sum_whatever_the_processes(
    library: Path, world: World, held: dict[tuple[int, int], int], asked: set[int]
) -> None:
    world(
        f"process 0 Compute {TRAINER} 7\n"
        + "".join(f"process {gpu} Compute {pid} {size}\n" for (gpu, pid), size in held.items())
    )
    meter = GpuMeter.open(str(library))
    assert meter is not None
    sample = meter.sample(
        asked | {TRAINER}
    )  # one pid that is surely seen: figures are known in any pid namespace
    assert sample.memory_bytes == 7 + sum(size for (_, pid), size in held.items() if pid in asked)
    meter.close()


READ_WITH_PYNVML = """
import json, pynvml
pynvml.nvmlInit()
rows = []
for index in range(pynvml.nvmlDeviceGetCount()):
    gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
    used = {p.pid: p.usedGpuMemory for p in pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)}
    rows.append([pynvml.nvmlDeviceGetName(gpu), pynvml.nvmlDeviceGetMemoryInfo(gpu).total, used.get(%(pid)d, 0),
                 max(s.smUtil for s in pynvml.nvmlDeviceGetProcessUtilization(gpu, 0) if s.pid == %(pid)d) / 100])
print(json.dumps(rows))
"""
READ_WITH_FLYBALL = """
import json
from flyball.meter.gpu import GpuMeter
meter = GpuMeter.open()
meter.sample({%(pid)d})
print(json.dumps([[g["name"], g["memory_bytes_total"], g["memory_bytes_max"], g["utilization_max"]] for g in meter.summary()]))
"""


def test_the_real_pynvml_reads_the_same_figures_from_the_same_library(library: Path, world: World) -> None:
    pytest.importorskip("pynvml", reason="CROSS-CHECK SKIPPED: nvidia-ml-py is not installed")
    world(
        f"process 0 Compute {TRAINER} {3 * GIB}\nutilization 0 {TRAINER} 1000 25\n"
        f"process 1 Compute {TRAINER} {1 * GIB}\nutilization 1 {TRAINER} 1000 75\n"
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
    theirs, ours = (
        json.loads(
            subprocess.check_output([sys.executable, "-c", script % {"pid": TRAINER}], env=environment)
        )
        for script in (READ_WITH_PYNVML, READ_WITH_FLYBALL)
    )
    assert (
        ours == theirs == [["Stand-in H100", 80 * GIB, 3 * GIB, 0.25], ["Stand-in L4", 24 * GIB, GIB, 0.75]]
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="PID NAMESPACE TEST SKIPPED: needs root for unshare")
def test_in_a_container_a_missing_pid_means_unknown(library: Path, world: World) -> None:
    # given a pid namespace of its own, where the driver may list the host's pids
    world(f"process 0 Compute {STRANGER} {GIB}\n")
    script = (
        "from flyball.meter.gpu import GpuMeter\n"
        f"meter = GpuMeter.open({str(library)!r})\n"
        f"print(meter.sample({{{TRAINER}}}).memory_bytes, meter.sample({{{STRANGER}}}).memory_bytes, meter.sample(set()).memory_bytes)"
    )
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 and "unshare" in done.stderr:
        pytest.skip(f"PID NAMESPACE TEST SKIPPED: {done.stderr.strip()}")
    # then absence is unknown until one of ours was seen, which shows that the pids are the same
    assert done.stdout.split() == ["None", str(GIB), "0"]


def test_a_metered_commands_receipt_tells_what_it_held_on_each_gpu(
    library: Path, world: World, tmp_path: Path
) -> None:
    # given a command that holds 6 GiB on the first of two GPUs (it says so itself to the stand-in)
    world("")
    job = (
        "import os, time; state = os.environ['NVML_STAND_IN']\n"
        f"open(state, 'a').write(f'process 0 Compute {{os.getpid()}} {6 * GIB}\\n'\n"
        "    f'utilization 0 {os.getpid()} 1000 50\\n')\n"
        "time.sleep(0.6)\n"
    )
    command = [sys.executable, "-m", "flyball.meter", "--folder", str(tmp_path / "attempt"), "--"]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
    # when it runs under the wrapper
    subprocess.run([*command, sys.executable, "-c", job], env=environment, check=True)
    # then the receipt has both, the idle one too
    used, idle = json.loads((tmp_path / "attempt" / "outcome.json").read_text())["gpus"]
    assert (used["name"], used["memory_bytes_max"]) == ("Stand-in H100", 6 * GIB)
    assert used["utilization_max"] == pytest.approx(0.5)
    assert idle["memory_bytes_max"] in {0, None}  # None: in a container, where pids may be the host's
