"""The wrapper is invisible: streams, exit codes and signals are as without it; limits and ends hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flyball.meter.order import CannotLimit, Order
from flyball.meter.supervise import run_metered
from flyball.model.receipt import Receipt

PYTHON = sys.executable
METER = [PYTHON, "-m", "flyball.meter"]
OFF = {**os.environ, "FLYBALL_METER_CGROUP": "off"}
ON = {**os.environ, "FLYBALL_METER_CGROUP": ""}


def meter(folder: Path, *words: str, options: tuple[str, ...] = (), **settings: Any):
    """One command through the wrapper, with its output captured."""
    settings.setdefault("capture_output", True)
    return subprocess.run(
        [*METER, "--folder", str(folder), *options, "--", *words], check=False, timeout=30, **settings
    )


def started(folder: Path, *words: str, options: tuple[str, ...] = (), **settings: Any):
    """The same, still running; the command has written its first line."""
    wrapper = subprocess.Popen(
        [*METER, "--folder", str(folder), *options, "--", *words], stdout=subprocess.PIPE, **settings
    )
    assert wrapper.stdout is not None
    wrapper.stdout.readline()
    return wrapper


def receipt(folder: Path) -> dict[str, Any]:
    """What was recorded, after it has been decoded as the model has it."""
    value = json.loads((folder / "outcome.json").read_text())
    msgspec.convert(value, Receipt, strict=False)
    return value


def groups(folder: Path) -> list[Path]:
    """Control groups that are left of that attempt; others may be at work on this machine too."""
    attempt_id = json.loads((folder / "intent.json").read_text())["attempt_id"]
    return list(Path("/sys/fs/cgroup").glob(f"**/flyball-{attempt_id}"))


def has_cgroup() -> bool:
    try:
        Path("/sys/fs/cgroup/memory/flyball-probe").mkdir()
        Path("/sys/fs/cgroup/memory/flyball-probe").rmdir()
    except OSError:
        return os.access("/sys/fs/cgroup/cgroup.subtree_control", os.W_OK)
    return True


needs_cgroup = pytest.mark.skipif(
    not has_cgroup(), reason="NO CONTROL GROUPS HERE: limits and OOM kills stay untested"
)
both = pytest.mark.parametrize("environment", [ON, OFF], ids=["cgroup", "proc"])


def eventually(true, seconds: float = 10.0) -> bool:
    """Whether it became true within that time."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if true():
            return True
        time.sleep(0.01)
    return bool(true())


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


# streams


def test_bytes_pass_through_exactly_and_into_the_log(tmp_path):
    data = os.urandom(300_000)
    done = meter(tmp_path / "a", "cat", input=data)
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")
    assert (tmp_path / "a/log").read_bytes() == data
    assert receipt(tmp_path / "a")["output_bytes"] == len(data)


def test_stdout_and_stderr_stay_apart(tmp_path):
    done = meter(tmp_path / "a", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_stdout_and_stderr_in_one_file_keep_their_order(tmp_path):
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done"
    done = meter(
        tmp_path / "a",
        "sh",
        "-c",
        script,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        capture_output=False,
    )
    assert done.stdout.split() == [
        word for i in range(1, 10) for word in (f"o{i}".encode(), f"e{i}".encode())
    ]


def test_a_reader_that_goes_away_ends_the_command_as_without_a_wrapper(tmp_path):
    command = f"{PYTHON} -m flyball.meter --folder {tmp_path}/a -- yes | head -n 2"
    shown = subprocess.run(["sh", "-c", command], capture_output=True, timeout=20, check=True)
    assert (shown.stdout, shown.stderr) == (b"y\ny\n", b"")
    assert receipt(tmp_path / "a")["signal"] == signal.SIGPIPE


def test_a_closed_stream_stays_closed(tmp_path):
    probe = "import os,sys\ntry: os.fstat(1)\nexcept OSError: os.write(2, b'closed')"
    command = [*METER, "--folder", str(tmp_path / "a"), "--", PYTHON, "-I", "-S", "-c", probe]
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command], capture_output=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"closed")


def test_a_log_of_a_talkative_command_keeps_its_beginning_and_its_end(tmp_path):
    script = "import sys; sys.stdout.write(''.join(f'{i:07d}\\n' for i in range(1500000)))"
    done = meter(tmp_path / "a", PYTHON, "-c", script)
    log = (tmp_path / "a/log").read_bytes()
    assert len(done.stdout) == 12_000_000
    assert log.startswith(b"0000000\n0000001\n")
    assert log.endswith(b"1499999\n")
    left_out = 12_000_000 - (9 << 20)
    assert f"[flyball: {left_out} bytes left out here]".encode() in log


def test_without_a_log_the_streams_are_the_callers_own(tmp_path):
    with (tmp_path / "out").open("w+b") as out:
        meter(tmp_path / "a", "sh", "-c", "readlink /proc/self/fd/1", options=("--log", "never"),
              stdout=out, capture_output=False)  # fmt: skip
        out.seek(0)
        assert out.read().decode().strip() == str(tmp_path / "out")
    assert not (tmp_path / "a/log").exists()


def test_further_open_files_reach_the_command(tmp_path):
    command = " ".join(METER)
    script = f"{command} --folder {tmp_path}/a -- cat /dev/fd/3 3<<E\nthrough three\nE"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=20, check=True)
    assert done.stdout == b"through three\n"


# exit codes


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("exit 255", 255)])
def test_the_exit_code_passes_through(tmp_path, script, code):
    assert meter(tmp_path / "a", "sh", "-c", script).returncode == code
    assert receipt(tmp_path / "a")["exit_code"] == code
    assert receipt(tmp_path / "a")["outcome"] == ("succeeded" if code == 0 else "failed")


@both
def test_a_command_killed_by_signal_n_gives_128_plus_n(tmp_path, environment):
    assert (
        meter(tmp_path / "a", "sh", "-c", "kill -SEGV $$", env=environment).returncode == 128 + signal.SIGSEGV
    )
    assert receipt(tmp_path / "a")["signal"] == signal.SIGSEGV


def test_a_command_that_does_not_exist_gives_127_and_a_line_like_a_shells(tmp_path):
    done = meter(tmp_path / "a", "no-such-command-at-all")
    assert done.returncode == 127
    assert done.stderr == b"flyball: no-such-command-at-all: command not found\n"
    assert receipt(tmp_path / "a")["outcome"] == "failed"
    assert groups(tmp_path / "a") == []


def test_a_command_that_may_not_be_executed_gives_126(tmp_path):
    (tmp_path / "plain").write_text("words")
    done = meter(tmp_path / "a", str(tmp_path / "plain"))
    assert (done.returncode, done.stderr) == (126, f"flyball: {tmp_path}/plain: Permission denied\n".encode())


def test_a_script_without_an_interpreter_line_runs_in_sh(tmp_path):
    (tmp_path / "script").write_text("exit 5\n")
    (tmp_path / "script").chmod(0o755)
    assert meter(tmp_path / "a", str(tmp_path / "script")).returncode == 5


def test_a_folder_to_work_in_that_is_not_there_is_named(tmp_path, capfd):
    result = run_metered(
        Order(attempt_id="w", command=("true",), folder=str(tmp_path / "a"), workdir=str(tmp_path / "none"))
    )
    assert result["exit_code"] == 127
    assert f"{tmp_path}/none" in capfd.readouterr().err


def test_the_commands_environment_is_the_one_ordered(tmp_path):
    order = Order(
        attempt_id="e", command=("/bin/sh", "-c", 'test "$ONLY" = this -a -z "$HOME"'),
        folder=str(tmp_path / "a"), env={"ONLY": "this"},
    )  # fmt: skip
    assert run_metered(order)["exit_code"] == 0


# signals


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_reaches_the_command_once(tmp_path, name):
    script = (
        "import signal,time\ngot=[]\n"
        f"signal.signal(signal.{name}, lambda *_: got.append(1))\nprint('ready', flush=True)\n"
        "end=time.monotonic()+20\n"
        "while not got and time.monotonic() < end: time.sleep(.01)\n"
        "time.sleep(.1)\nraise SystemExit(40 + len(got))"
    )
    wrapper = started(tmp_path / "a", PYTHON, "-c", script)
    wrapper.send_signal(getattr(signal, name))
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 41


def test_a_command_that_dies_of_a_passed_on_signal_is_cancelled(tmp_path):
    wrapper = started(tmp_path / "a", "sh", "-c", "echo ready; exec sleep 30")
    wrapper.terminate()
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 128 + signal.SIGTERM
    assert receipt(tmp_path / "a")["outcome"] == "cancelled"


def test_pythons_own_signal_settings_do_not_reach_the_command(tmp_path):
    command = ("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    alone = subprocess.run(command, capture_output=True, check=True)  # it undoes Python's settings too
    assert meter(tmp_path / "a", *command).stdout == alone.stdout


def test_a_signal_ignored_from_outside_stays_ignored(tmp_path):
    command = [*METER, "--folder", str(tmp_path / "a"), "--", "grep", "SigIgn", "/proc/self/status"]
    done = subprocess.run(["nohup", *command], capture_output=True, timeout=20, check=True)
    assert int(done.stdout.split()[1], 16) & 1 << (signal.SIGHUP - 1)


# limits and ends


@both
def test_a_time_out_ends_the_whole_tree_though_it_ignores_sigterm(tmp_path, environment):
    script = "trap '' TERM; sleep 30 & echo $!; wait; sleep 30"
    begun = time.monotonic()
    done = meter(
        tmp_path / "a", "sh", "-c", script, options=("--timeout", "0.3", "--grace", "0.2"), env=environment
    )
    assert done.returncode == 124
    assert receipt(tmp_path / "a")["outcome"] == "timed_out"
    assert gone(int(done.stdout))
    assert time.monotonic() - begun < 15
    assert groups(tmp_path / "a") == []


def test_a_stalled_command_is_ended_and_said_to_be_stalled(tmp_path):
    done = meter(tmp_path / "a", "sleep", "30", options=("--stalled-after", "0.4", "--grace", "1"))
    assert done.returncode == 124
    assert receipt(tmp_path / "a")["outcome"] == "stalled"


def test_a_command_that_only_writes_now_and_then_is_not_stalled(tmp_path):
    script = "for i in 1 2 3 4 5 6 7; do echo $i; sleep 0.5; done"
    done = meter(tmp_path / "a", "sh", "-c", script, options=("--stalled-after", "2.5"))
    assert done.returncode == 0


@both
def test_a_daemon_left_behind_is_ended(tmp_path, environment):
    script = f"setsid {PYTHON} -c 'import time; time.sleep(60)' & echo $!; exit 3"
    done = meter(tmp_path / "a", "sh", "-c", script, options=("--grace", "2"), env=environment)
    assert done.returncode == 3
    assert gone(int(done.stdout))


@needs_cgroup
def test_a_fork_bomb_is_ended(tmp_path):
    script = "import os,time\nwhile True:\n try:\n  os.fork()\n except OSError: time.sleep(.01)"
    bomb = f"ulimit -u 300; exec {PYTHON} -I -S -c '{script}'"
    order = Order(
        attempt_id="bomb", command=("unshare", "--user", "bash", "-c", bomb), folder=str(tmp_path / "a"),
        timeout_seconds=0.4, grace_seconds=0.1, log="never",
    )  # fmt: skip
    assert run_metered(order)["outcome"] == "timed_out"
    assert groups(tmp_path / "a") == []


def test_a_daemon_goes_on_when_it_is_not_to_be_ended(tmp_path):
    order = Order(
        attempt_id="d", command=("sh", "-c", f"sleep 60 >/dev/null 2>&1 & echo $! > {tmp_path}/pid"),
        folder=str(tmp_path / "a"), end_background=False,
    )  # fmt: skip
    assert run_metered(order)["exit_code"] == 0
    pid = int((tmp_path / "pid").read_text())
    assert not gone(pid)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: gone(pid))
    for group in groups(tmp_path / "a"):
        eventually(lambda group=group: not (group / "cgroup.procs").read_text())
        group.rmdir()


@needs_cgroup
def test_cores_are_limited(tmp_path):
    script = "import time\nwhile time.process_time() < 0.2: pass"
    meter(tmp_path / "a", PYTHON, "-c", script, options=("--cpus", "0.25"))
    assert receipt(tmp_path / "a")["throttled_seconds"] > 0
    assert receipt(tmp_path / "a")["limits"]["cpu_cores"] == 0.25


def test_a_limit_that_cannot_be_held_is_refused_before_anything_starts(tmp_path):
    done = meter(tmp_path / "a", "touch", str(tmp_path / "ran"), options=("--memory", "1GiB"), env=OFF)
    assert done.returncode == 125
    assert b"cannot limit memory" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_the_api_refuses_in_a_thread_too(tmp_path, monkeypatch):
    monkeypatch.setenv("FLYBALL_METER_CGROUP", "off")
    import threading

    caught: list[CannotLimit] = []

    def ask() -> None:
        try:
            run_metered(Order("t", ("true",), str(tmp_path / "a"), memory_limit_bytes=1 << 30))
        except CannotLimit as refusal:
            caught.append(refusal)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(20)
    assert "cannot limit memory" in caught[0].what


# beside the command


def test_work_beside_the_command_runs_once_and_its_error_is_told(tmp_path):
    ran: list[int] = []

    def work() -> None:
        ran.append(1)
        raise ValueError("no such job")

    result = run_metered(Order("b", ("true",), str(tmp_path / "a")), while_running=work)
    assert ran == [1]
    assert result["while_running_error"] == "ValueError: no such job"
    assert result["exit_code"] == 0


def test_two_at_once_do_not_disturb_each_other(tmp_path):
    wrappers = [
        subprocess.Popen([*METER, "--folder", str(tmp_path / str(n)), "--", "sh", "-c", f"exit {n}"])
        for n in (1, 2)
    ]
    assert [wrapper.wait(20) for wrapper in wrappers] == [1, 2]
    assert [receipt(tmp_path / str(n))["exit_code"] for n in (1, 2)] == [1, 2]


def test_a_wrapper_in_a_wrapper_counts_for_both(tmp_path):
    script = "b = bytearray(60_000_000); b[::4096] = b'x' * len(b[::4096]); import time; time.sleep(.1)"
    inner = [*METER, "--folder", str(tmp_path / "inner"), "--", PYTHON, "-I", "-S", "-c", script]
    assert meter(tmp_path / "outer", *inner).returncode == 0
    for name in ("inner", "outer"):
        assert 60_000_000 <= receipt(tmp_path / name)["memory_bytes_max"] <= 90_000_000
        assert groups(tmp_path / name) == []


def test_the_zipapp_runs_with_nothing_but_python(tmp_path):
    from flyball.meter.zipapp_build import build

    app = build(str(tmp_path / "meter.pyz"))
    done = subprocess.run(
        [PYTHON, "-I", "-S", app, "--folder", str(tmp_path / "a"), "--", "sh", "-c", "echo hi; exit 4"],
        capture_output=True, check=False, timeout=20, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (4, b"hi\n", b"")
    assert receipt(tmp_path / "a")["exit_code"] == 4
    assert Path(app).stat().st_size < 100_000


@pytest.mark.parametrize(
    "words",
    [[], ["--folder", "x"], ["--folder", "x", "--memory", "2", "--", "true"], ["--nonsense", "--", "true"],
     ["--folder", "x", "--timeout", "soon", "--", "true"], ["--folder"]],
)  # fmt: skip
def test_a_command_line_that_makes_no_sense_gives_2_and_says_why(words):
    done = subprocess.run([*METER, *words], capture_output=True, check=False, timeout=20)
    assert done.returncode == 2
    assert b"flyball: " in done.stderr
    assert b"Traceback" not in done.stderr
