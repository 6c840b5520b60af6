"""This computer as a provider: the port's promises with real processes, and what is particular to it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from flyball.adapters.local_provider import LocalProvider
from flyball.errors import Unavailable
from flyball.meter.group import SWITCH
from flyball.model.machine import Launch, Machine, Stage
from flyball.model.outcome import Outcome
from flyball.model.receipt import Limits
from flyball.model.resource import Size
from flyball.model.spec import SpotAsk
from flyball.model.units import GIB, MIB
from flyball.ports.provider import BadRequest, NoCapacity, Provider
from flyball.ports.provider_contract import FAIL_EXIT_CODE, Kind, ProviderContract

EATER = "x = bytearray(600 << 20); import time; time.sleep(60)"
COMMANDS: dict[str, tuple[str, ...]] = {
    "succeed": ("true",),
    "fail": ("sh", "-c", f"exit {FAIL_EXIT_CODE}"),
    "sleep": ("sleep", "3600"),
    "out_of_memory": (sys.executable, "-c", EATER),
}
PATIENCE_SECONDS = 60.0


def order(provider: LocalProvider, attempt_id: str, *command: str, **more) -> Launch:
    return replace(
        Launch(
            run_id=attempt_id.rpartition(".")[0],
            attempt_id=attempt_id,
            job="job",
            offer=provider.offers()[0],
            size=Size(cpu_cores=1.0, memory_bytes=64 * MIB),
            limits=Limits(grace_seconds=5.0),
            command=command,
        ),
        **more,
    )


def until(holds, what: str = "it never came to be"):
    give_up = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up:
        found = holds()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(what)


def seen(provider: LocalProvider, attempt_id: str) -> Machine | None:
    return next((m for m in provider.machines() if m.attempt_id == attempt_id), None)


def in_stage(provider: LocalProvider, attempt_id: str, stage: Stage) -> Machine:
    def reached():
        machine = seen(provider, attempt_id)
        return machine if machine is not None and machine.stage is stage else None

    return until(reached, f"{attempt_id} is not {stage.value}")


def pids_of(home: Path, attempt_id: str) -> list[int]:
    """Living processes of that attempt, asked of the kernel."""
    mark = f"FLYBALL_OUTPUT={home / 'runs' / attempt_id / 'output'}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def provider(home: Path):
    local = LocalProvider(home)
    yield local
    for machine in local.machines():
        local.release(machine.attempt_id)
    local.close()
    assert [pid for run in home.glob("runs/*") for pid in pids_of(home, run.name)] == []


class TestLocalProvider(ProviderContract):
    poll_seconds = 0.02
    looks_max = 3000
    lease_seconds = 4.0

    @pytest.fixture
    def provider(self, tmp_path: Path):
        self.home = tmp_path
        self.local = LocalProvider(tmp_path)
        yield self.local
        for machine in self.local.machines():
            self.local.release(machine.attempt_id)
        self.local.close()

    def launch_of(self, kind: Kind, attempt_id: str) -> Launch:
        limits = Limits(memory_bytes=64 * MIB if kind == "out_of_memory" else None, grace_seconds=5.0)
        return order(self.local, attempt_id, *COMMANDS[kind], limits=limits)

    def advance(self, seconds: float) -> None:
        time.sleep(seconds)

    def refused_launch(self, kind: str, provider: Provider) -> Launch | None:
        whole = self.local.capabilities.shared_machine
        assert whole is not None
        some = order(self.local, f"{kind}.1", "true")
        if kind == "bad_request":
            return replace(some, size=replace(whole, memory_bytes=whole.memory_bytes + 1))
        if kind == "no_capacity":
            provider.launch(order(self.local, "all.1", "sleep", "60", size=whole))
            return some
        return None

    def still_runs(self, attempt_id: str) -> bool:
        return bool(pids_of(self.home, attempt_id))


@pytest.mark.skipif(not os.access("/proc/self/environ", os.R_OK), reason="needs /proc")
class TestWithoutControlGroups(TestLocalProvider):
    """Where none can be had limits are not held, and all else is."""

    @pytest.fixture(autouse=True)
    def _no_groups(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(SWITCH, "off")

    def test_running_out_of_memory_is_told_from_failing(self, provider: Provider) -> None:
        small = replace(self.launch_of("succeed", "r.1"), limits=Limits(memory_bytes=64 * MIB, cpu_cores=1.0))
        provider.launch(small)
        ended = in_stage(self.local, "r.1", Stage.ENDED)
        notes = json.loads((self.home / "machines" / "r.1" / "notes.json").read_text())
        assert ended.outcome is Outcome.SUCCEEDED
        assert ended.receipt is not None
        assert ended.receipt.limits.memory_bytes is None
        assert any("memory" in note for note in notes)


# What the command gets


def test_the_command_knows_its_run_its_job_and_where_to_write(provider, home):
    spec = {"workdir": str(home.parent), "spot": SpotAsk(checkpoint="/tmp/ckpt"), "env": {"OWN": "yes"}}
    provider.launch(order(provider, "r.1", "sh", "-c", "env; pwd", **spec))
    in_stage(provider, "r.1", Stage.ENDED)
    lines = (home / "runs/r.1/log").read_text().splitlines()
    env = dict(line.split("=", 1) for line in lines if "=" in line)
    assert (env["FLYBALL_RUN"], env["FLYBALL_ATTEMPT"], env["FLYBALL_JOB"]) == ("r", "r.1", "job")
    assert env["FLYBALL_OUTPUT"] == str(home / "runs/r.1/output")
    assert (env["FLYBALL_CHECKPOINT"], env["OWN"], env["PATH"]) == ("/tmp/ckpt", "yes", os.environ["PATH"])
    assert lines[-1] == str(home.parent)


def test_a_checkpoint_of_the_governors_own_is_not_the_jobs(provider, home, monkeypatch):
    monkeypatch.setenv("FLYBALL_CHECKPOINT", "/of/the/outer/run")
    provider.launch(order(provider, "r.1", "sh", "-c", "echo [$FLYBALL_CHECKPOINT]"))
    in_stage(provider, "r.1", Stage.ENDED)
    assert (home / "runs/r.1/log").read_text() == "[]\n"


def test_output_is_kept_in_its_order_and_stdin_is_empty(provider, home):
    script = "echo one; echo two >&2; cat; echo three"
    provider.launch(order(provider, "r.1", "sh", "-c", script))
    in_stage(provider, "r.1", Stage.ENDED)
    assert (home / "runs/r.1/log").read_text() == "one\ntwo\nthree\n"


def test_a_command_that_cannot_be_found_says_so_in_its_log(provider, home):
    provider.launch(order(provider, "r.1", "no-such-command-anywhere"))
    ended = in_stage(provider, "r.1", Stage.ENDED)
    assert ended.outcome is Outcome.FAILED
    assert ended.receipt is not None
    assert ended.receipt.exit_code == 127
    assert "no-such-command-anywhere" in (home / "runs/r.1/log").read_text()


def test_a_working_folder_that_is_gone_is_refused_in_words(provider, home):
    with pytest.raises(BadRequest, match="workdir"):
        provider.launch(order(provider, "r.1", "true", workdir=str(home / "gone")))
    assert list(provider.machines()) == []


def test_what_has_begun_is_not_refused_when_it_is_ordered_again(provider, home):
    place = home.parent / "place"
    place.mkdir()
    begun = order(provider, "r.1", "sleep", "60", workdir=str(place))
    provider.launch(begun)
    in_stage(provider, "r.1", Stage.RUNNING)
    place.rmdir()
    provider.launch(begun)
    assert [machine.stage for machine in provider.machines()] == [Stage.RUNNING]


@pytest.mark.parametrize("said", ["0.25", "25%", "5/20", " 0.25\n"])
def test_progress_is_what_the_job_last_wrote(provider, home, said):
    script = f"printf '{said.replace('%', '%%')}' > $FLYBALL_PROGRESS; sleep 60"
    provider.launch(order(provider, "r.1", "sh", "-c", script))
    until(lambda: (seen(provider, "r.1") or 0) and seen(provider, "r.1").progress == 0.25)


def test_nothing_secret_is_on_disk_or_in_our_command_lines(provider, home):
    secret = "s3cr3t-w0rd"
    provider.launch(order(provider, "r.1", "sleep", "60", env={"TOKEN": secret}))
    in_stage(provider, "r.1", Stage.RUNNING)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert all(stat.S_IMODE((home / kind).stat().st_mode) == 0o700 for kind in ("machines", "runs"))
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in home.glob("*/r.1"))
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in lines if secret.encode() in line]


# Ending


def test_stop_gives_the_command_its_grace_and_then_kills_it(provider, home):
    deaf = order(provider, "r.1", "sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
    provider.launch(replace(deaf, limits=Limits(grace_seconds=0.3)))
    until(lambda: (home / "runs/r.1/log").exists() and (home / "runs/r.1/log").read_text())
    provider.stop(["r.1"])
    ended = in_stage(provider, "r.1", Stage.ENDED)
    assert ended.outcome is Outcome.CANCELLED
    assert ended.receipt is not None
    assert ended.receipt.signal == signal.SIGKILL
    assert pids_of(home, "r.1") == []


def test_a_command_that_tidies_up_when_told_to_stop_is_cancelled_though_it_ends_with_0(provider, home):
    script = "trap 'echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    provider.launch(order(provider, "r.1", "sh", "-c", script))
    until(lambda: (home / "runs/r.1/log").exists() and "ready" in (home / "runs/r.1/log").read_text())
    provider.stop(["r.1"])
    ended = in_stage(provider, "r.1", Stage.ENDED)
    assert ended.outcome is Outcome.CANCELLED
    assert (home / "runs/r.1/log").read_text().splitlines()[
        -1
    ] == "tidied"  # a shell may name the child that died


def test_what_was_stopped_before_it_began_never_begins(provider, home):
    mark = home.parent / "began"
    for n in range(10):
        provider.launch(order(provider, f"r{n}.1", "sh", "-c", f"sleep 0.3; echo r{n} >> {mark}"))
        provider.stop([f"r{n}.1"])
    ended = [in_stage(provider, f"r{n}.1", Stage.ENDED) for n in range(10)]
    assert {machine.outcome for machine in ended} == {Outcome.CANCELLED}
    assert not mark.exists()


def test_release_of_what_runs_ends_daemons_too_and_keeps_the_record(provider, home):
    daemon = "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.05; done' & sleep 60"
    provider.launch(order(provider, "r.1", "sh", "-c", daemon))
    in_stage(provider, "r.1", Stage.RUNNING)
    until(lambda: len(pids_of(home, "r.1")) >= 3)
    provider.release("r.1")
    assert pids_of(home, "r.1") == []
    assert json.loads((home / "runs/r.1/outcome.json").read_text())["outcome"] == "cancelled"
    assert not (home / "machines/r.1").exists()


def test_a_governor_that_is_not_heard_of_costs_the_attempt_but_none_of_its_retries(provider, home):
    provider.launch(order(provider, "r.1", "sleep", "60", lease_seconds=0.5))
    ended = in_stage(provider, "r.1", Stage.ENDED)
    assert ended.outcome is Outcome.LOST
    assert not ended.outcome.spends_retry
    assert ended.receipt is not None
    assert "governor" in ended.receipt.exit_cause
    assert pids_of(home, "r.1") == []


def test_time_outs_hold(provider):
    provider.launch(order(provider, "r.1", "sleep", "60", limits=Limits(timeout_seconds=0.3)))
    ended = in_stage(provider, "r.1", Stage.ENDED)
    assert ended.outcome is Outcome.TIMED_OUT


# Refusals


@pytest.mark.parametrize(
    "change",
    [
        {"command": ()},
        {"attempt_id": "../r.1"},
        {"attempt_id": ".hidden"},
        {"is_host": True},
        {"host_id": "h"},
        {"size": Size(cpu_cores=1.0, memory_bytes=GIB, gpus=100)},
        {"size": Size(cpu_cores=1e6, memory_bytes=GIB)},
    ],
)
def test_what_can_never_run_here_is_refused_for_good(provider, home, change):
    with pytest.raises(BadRequest):
        provider.launch(replace(order(provider, "r.1", "true"), **change))
    assert list(provider.machines()) == []
    assert list(home.glob("machines/*")) == []


def test_memory_is_not_promised_twice_and_is_free_again_after_the_end(tmp_path):
    local = LocalProvider(tmp_path, size=Size(cpu_cores=8.0, memory_bytes=100 * MIB))
    half = Size(cpu_cores=1.0, memory_bytes=60 * MIB)
    local.launch(order(local, "a.1", "sleep", "0.2", size=half))
    with pytest.raises(NoCapacity):
        local.launch(order(local, "b.1", "true", size=half))
    local.launch(order(local, "a.1", "sleep", "0.2", size=half))  # again: it is the one that runs
    in_stage(local, "a.1", Stage.ENDED)
    local.launch(order(local, "b.1", "true", size=half))
    assert in_stage(local, "b.1", Stage.ENDED).outcome is Outcome.SUCCEEDED
    local.close()


def test_a_home_that_cannot_be_written_is_unavailable_and_says_where(tmp_path):
    (tmp_path / "machines").write_text("a file where a folder should be")
    local = LocalProvider(tmp_path)
    with pytest.raises(Unavailable, match="folder"):
        local.launch(order(local, "r.1", "true"))


# Deaths


@pytest.mark.parametrize("groups", ["", "off"])
def test_a_killed_wrapper_leaves_a_lost_attempt_and_nothing_running(provider, home, groups, monkeypatch):
    monkeypatch.setenv(SWITCH, groups)
    provider.launch(order(provider, "r.1", "sh", "-c", "setsid sleep 60 & sleep 60"))
    in_stage(provider, "r.1", Stage.RUNNING)
    until(lambda: len(pids_of(home, "r.1")) >= 3)
    os.kill(int((home / "machines/r.1/lock").read_text()), signal.SIGKILL)
    ended = in_stage(provider, "r.1", Stage.ENDED)
    assert ended.outcome is Outcome.LOST
    assert ended.receipt is not None
    assert not ended.receipt.complete
    assert pids_of(home, "r.1") == []


def test_an_attempt_of_a_machine_that_went_down_is_lost_with_its_samples(provider, home):
    provider.launch(order(provider, "r.1", "sleep", "60"))
    in_stage(provider, "r.1", Stage.RUNNING)
    until(lambda: len((home / "runs/r.1/samples.csv").read_text().splitlines()) > 2)
    for pid in [int((home / "machines/r.1/lock").read_text()), *pids_of(home, "r.1")]:
        os.kill(pid, signal.SIGKILL)
    after_the_boot = LocalProvider(home)
    ended = in_stage(after_the_boot, "r.1", Stage.ENDED)
    assert ended.outcome is Outcome.LOST
    assert ended.receipt is not None
    assert ended.receipt.samples > 0


def test_attempts_outlive_the_process_that_starts_them_and_new_ones_get_a_new_one(provider, home):
    provider.launch(order(provider, "a.1", "sh", "-c", "sleep 0.5; exit 7"))
    in_stage(provider, "a.1", Stage.RUNNING)
    os.kill(zygote_of(home, "a.1"), signal.SIGKILL)
    provider.launch(order(provider, "b.1", "true"))
    assert in_stage(provider, "b.1", Stage.ENDED).outcome is Outcome.SUCCEEDED
    ended = in_stage(provider, "a.1", Stage.ENDED)
    assert (ended.outcome, ended.receipt and ended.receipt.exit_code) == (Outcome.FAILED, 7)


def zygote_of(home: Path, attempt_id: str) -> int:
    wrapper = int((home / "machines" / attempt_id / "lock").read_text())
    text = Path(f"/proc/{wrapper}/stat").read_text()
    return int(text[text.rfind(")") + 2 :].split()[1])


def test_orders_that_died_with_the_starting_process_are_given_to_the_next_one(provider, home):
    provider.launch(order(provider, "first.1", "true"))
    in_stage(provider, "first.1", Stage.ENDED)
    zygote = provider._zygote._process
    assert zygote is not None
    os.kill(zygote.pid, signal.SIGSTOP)  # it takes orders and does nothing with them
    mark = home.parent / "lines"
    for n in range(5):
        provider.launch(order(provider, f"r{n}.1", "sh", "-c", f"echo $FLYBALL_ATTEMPT >> {mark}"))
    assert {m.stage for m in provider.machines()} == {Stage.ENDED, Stage.STARTING}
    os.kill(zygote.pid, signal.SIGKILL)
    for n in range(5):
        in_stage(provider, f"r{n}.1", Stage.ENDED)
    assert sorted(mark.read_text().split()) == [f"r{n}.1" for n in range(5)]


ORDERS_AND_DIES = """
import os, signal, sys
from pathlib import Path
from flyball.adapters.local_provider import LocalProvider
from tests.e2e.test_local_provider import order
local = LocalProvider(Path(sys.argv[1]))
local._zygote.send = lambda asked: os.kill(os.getpid(), signal.SIGKILL)
local.launch(order(local, "r.1", "true"))
"""


def test_a_launch_that_died_half_way_is_no_machine_until_it_is_ordered_again(provider, home):
    root = str(Path(__file__).parents[2])
    died = subprocess.run([sys.executable, "-c", ORDERS_AND_DIES, str(home)], cwd=root, check=False)
    assert died.returncode == -signal.SIGKILL
    assert (home / "machines/r.1/machine.json").exists()
    assert list(provider.machines()) == []
    provider.launch(order(provider, "r.1", "true"))
    assert in_stage(provider, "r.1", Stage.ENDED).outcome is Outcome.SUCCEEDED


def test_a_launch_that_nobody_is_left_to_start_is_forgotten_and_never_starts(home):
    now = itertools.count(time.time(), 3600.0)
    local = LocalProvider(home, now_seconds=lambda: next(now))
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", ORDERS_AND_DIES, str(home)], cwd=root, check=False)
    assert list(local.machines()) == []
    assert list((home / "machines").iterdir()) == []
    local.launch(order(local, "r.1", "true"))
    assert list(local.machines()) == []


def test_two_governors_that_order_the_same_start_it_once(provider, home):
    mark, other = home.parent / "lines", LocalProvider(home)
    orders = [order(provider, f"r{n}.1", "sh", "-c", f"echo $FLYBALL_ATTEMPT >> {mark}") for n in range(20)]
    for each in orders:
        for governor in (provider, other):
            governor.launch(each)
    for each in orders:
        assert in_stage(other, each.attempt_id, Stage.ENDED).outcome is Outcome.SUCCEEDED
    assert sorted(mark.read_text().split()) == sorted(each.attempt_id for each in orders)
    assert [m.attempt_id for m in provider.machines()] == [m.attempt_id for m in other.machines()]
    other.close()


def test_tidying_up_leaves_what_still_runs_alone(provider, home):
    from flyball.engine.spool import Spool

    provider.launch(order(provider, "r.1", "sleep", "60"))
    in_stage(provider, "r.1", Stage.RUNNING)
    assert Spool(home).held() == ["r.1"]
    provider.release("r.1")
    assert Spool(home).held() == []


def test_decisions_can_rank_an_offer_that_costs_nothing(provider):
    from flyball.model.offers import OfferTable
    from flyball.policy.placement import Wanted, rank

    offers = OfferTable.of(provider.offers())
    assert offers[0] == provider.offers()[0]
    ranking = rank(offers, need=Size(cpu_cores=1.0, memory_bytes=GIB), wanted=Wanted())
    assert [choice.offer.instance_type for choice in ranking] == ["this-machine"]
    assert ranking[0].expected_usd == 0
