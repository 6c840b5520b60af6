"""Runs every program of known use through the wrapper and compares. Standard library only:

    python3 tests/e2e/truth/check.py [--markdown FILE] [--spikes 20] [--no-cgroup] [--slow 15]

prints a table and leaves with 1 when a figure is out of its bounds.
"""

# Plain os.path: bare interpreters in small virtual machines run this too.
# ruff: noqa: PTH100, PTH118, PTH120, PTH123

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PROGRAMS = os.path.join(HERE, "programs.py")
PYTHON = [sys.executable, "-I", "-S"]
MB = 1_000_000
INTERPRETER_BYTES = 4 * MB  # what an idle `python3 -I -S` with these imports holds itself


class Row(NamedTuple):
    """One figure against the truth."""

    program: str
    figure: str
    truth: str
    measured: str
    ok: bool
    source: str = ""


class Meter(NamedTuple):
    """How the wrapper is called."""

    cgroup: bool = True
    slow: float = 1.0  # times slower than usual this machine is; loosens bounds on time, none on memory

    def command(self, folder: str, *options: str) -> list[str]:
        start = f"import sys; sys.path.insert(0, {ROOT!r}); from flyball.meter.__main__ import main; sys.exit(main())"
        return [*PYTHON, "-c", start, "--folder", folder, *options, "--"]

    def run(
        self, *words: str, options: tuple[str, ...] = (), through: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The receipt of one command."""
        with tempfile.TemporaryDirectory(prefix="flyball-truth-") as folder:
            environment = {**os.environ, "FLYBALL_METER_CGROUP": "" if self.cgroup else "off"}
            command = [*through, *self.command(folder, *options), *words]
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
            with open(os.path.join(folder, "outcome.json"), encoding="utf-8") as file:
                return json.load(file)

    def program(self, name: str, *arguments: Any, options: tuple[str, ...] = ()) -> dict[str, Any]:
        return self.run(*PYTHON, PROGRAMS, name, *map(str, arguments), options=options)


def near(
    program: str,
    receipt: dict[str, Any],
    figure: str,
    truth: float,
    *,
    share: float = 0.03,
    plus: float = 0.0,
) -> Row:
    """Whether a figure is within a share of the truth, and never more than `plus` beside that."""
    value = receipt.get(figure)
    ok = value is not None and abs(value - truth) <= share * truth + plus
    return Row(program, figure, show(figure, truth), show(figure, value), ok, _source(receipt, figure))


def below(program: str, receipt: dict[str, Any], figure: str, most: float) -> Row:
    value = receipt.get(figure)
    ok = value is not None and value <= most
    return Row(
        program, figure, "at most " + show(figure, most), show(figure, value), ok, _source(receipt, figure)
    )


def above(program: str, receipt: dict[str, Any], figure: str, least: float) -> Row:
    value = receipt.get(figure)
    ok = value is not None and value >= least
    return Row(
        program, figure, "at least " + show(figure, least), show(figure, value), ok, _source(receipt, figure)
    )


def same(program: str, receipt: dict[str, Any], figure: str, truth: Any) -> Row:
    return Row(program, figure, str(truth), str(receipt.get(figure)), receipt.get(figure) == truth)


def show(figure: str, value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value / MB:,.1f} MB" if "bytes" in figure else f"{value:.3g}"


def _source(receipt: dict[str, Any], figure: str) -> str:
    return str(receipt.get("sources", {}).get(figure, ""))


# the programs


def spikes(meter: Meter, times: int = 20) -> list[Row]:
    name = "200 ms spike of 1 GB"
    peaks = [meter.program("spike", 1000 * MB)["memory_bytes_max"] for _ in range(times)]
    found = sum(abs(peak - 1000 * MB - INTERPRETER_BYTES) <= 0.03 * 1000 * MB for peak in peaks)
    worst = max(peaks, key=lambda peak: abs(peak - 1000 * MB))
    shown = f"{found} of {times}, worst {worst / MB:,.1f} MB"
    return [Row(name, "memory_bytes_max", f"{times} of {times} at 1,004.0 MB", shown, found == times)]


def flash(meter: Meter) -> list[Row]:
    receipt = meter.program("flash", 300 * MB)
    return [near("300 MB, freed at once", receipt, "memory_bytes_max", 300 * MB + INTERPRETER_BYTES)]


def half_second(meter: Meter) -> list[Row]:
    name, receipt = "0.5 s job", meter.program("busy", 0.5)
    start = (
        meter.program("busy", 0.0)["cpu_seconds"] if meter.slow > 1 else 0.0
    )  # the interpreter's, else small
    return [
        near(name, receipt, "cpu_seconds", 0.5 + start, share=0.03, plus=0.03 * meter.slow),
        above(name, receipt, "samples", 10 if meter.slow == 1 else 3),
        below(name, receipt, _cores_figure(meter), 1.1),
    ]


def _cores_figure(meter: Meter) -> str:
    """An emulated machine's clock stumbles while its host is busy, so rates over a tenth of a second mean nothing."""
    return "cpu_cores_mean" if meter.slow > 1 else "cpu_cores_max"


def fifty_milliseconds(meter: Meter) -> list[Row]:
    name, receipt = "50 ms job", meter.program("hold", 60 * MB, 0.03 * _beside_start(meter))
    return [
        near(name, receipt, "memory_bytes_max", 60 * MB + INTERPRETER_BYTES),
        above(name, receipt, "samples", 3),
        above(name, receipt, "cpu_seconds", 0.005),
        same(name, receipt, "outcome", "succeeded"),
    ]


def sharing_forks(meter: Meter) -> list[Row]:
    name, receipt = "6 forks sharing 800 MB", meter.program("sharing_forks", 800 * MB)
    return [
        near(name, receipt, "memory_bytes_max", 800 * MB + INTERPRETER_BYTES),
        near(name, receipt, "processes_max", 7, share=0),
    ]


def parallel_children(meter: Meter) -> list[Row]:
    share = 0.03 if meter.cgroup else 0.06  # without groups, what forks share counts once for each
    name, receipt = "4 parallel children of 150 MB", meter.program("parallel_children", 150 * MB)
    return [
        near(name, receipt, "memory_bytes_max", 600 * MB + INTERPRETER_BYTES, share=share),
        near(name, receipt, "processes_max", 5, share=0),
    ]


def daemon(meter: Meter) -> list[Row]:
    receipt = meter.program("daemon", 300 * MB)
    return [near("double-forked daemon of 300 MB", receipt, "memory_bytes_max", 300 * MB + INTERPRETER_BYTES)]


def shared_memory(meter: Meter) -> list[Row]:
    receipt = meter.program("shared_memory", 500 * MB)
    return [near("500 MB in /dev/shm", receipt, "memory_bytes_max", 500 * MB + INTERPRETER_BYTES)]


def page_cache(meter: Meter) -> list[Row]:
    name = "cat of 1.5 GB"
    with tempfile.NamedTemporaryFile(prefix="flyball-truth-", dir="/var/tmp") as file:
        file.truncate(1500 * MB)
        receipt = meter.run("cat", file.name, options=("--log", "never"))
    rows = [below(name, receipt, "memory_bytes_max", 8 * MB)]
    return [*rows, above(name, receipt, "memory_bytes_kernel_peak", 1400 * MB)] if meter.cgroup else rows


def short_children(meter: Meter) -> list[Row]:
    receipt = meter.program("short_children", 100 * MB)
    return [near("20 short children of 100 MB", receipt, "memory_bytes_max", 100 * MB + INTERPRETER_BYTES)]


def fat_parent(meter: Meter) -> list[Row]:
    """Once as the shell that starts the wrapper, once as the wrapper itself."""
    command = (*PYTHON, PROGRAMS, "fat_parent", str(600 * MB))
    outside = meter.run("true", through=command)
    with tempfile.TemporaryDirectory(prefix="flyball-truth-") as folder:
        subprocess.run([*PYTHON, PROGRAMS, "fat_wrapper", str(600 * MB), ROOT, folder], check=True)
        with open(os.path.join(folder, "outcome.json"), encoding="utf-8") as file:
            inside = json.load(file)
    return [
        below("fat parent starts flyball run true", outside, "memory_bytes_max", 4 * MB),
        below("a fat Python calls run_metered(true)", inside, "memory_bytes_max", 4 * MB),
    ]


def starved(meter: Meter) -> list[Row]:
    name = "4 busy processes held to 0.3 cores"
    receipt = meter.program("four_busy", 0.2 * _beside_start(meter), options=("--cpus", "0.3"))
    return [
        near(name, receipt, "cpu_cores_mean", 0.3, share=0.2),
        near(name, receipt, "cpu_cores_wanted", 4, share=0.19 + 0.01 * meter.slow),
        above(name, receipt, "throttled_seconds", 0.3),
    ]


def _beside_start(meter: Meter) -> float:
    """How much longer four must be busy so that the one interpreter's start before does not count."""
    return 0.5 + meter.slow / 2


def crowded(meter: Meter) -> list[Row]:
    name = "4 busy processes on one core"
    receipt = meter.run("taskset", "-c", "0", *PYTHON, PROGRAMS, "four_busy", str(0.5 * _beside_start(meter)))
    return [
        below(name, receipt, _cores_figure(meter), 1.1 if meter.cgroup else 1.2),
        near(name, receipt, "cpu_cores_wanted", 4, share=0.14 + 0.01 * meter.slow),
    ]


def out_of_memory(meter: Meter) -> list[Row]:
    limit = ("--memory", "100MB")
    name, receipt = "OOM kill at 100 MB", meter.program("hold", 300 * MB, 0.1, options=limit)
    child, survivor = "OOM kill of a child, exit 0", meter.program("child_runs_out", 300 * MB, options=limit)
    return [
        same(name, receipt, "outcome", "out_of_memory"),
        same(name, receipt, "exit_code", 137),
        same(name, receipt, "oom_kills", 1),
        same(child, survivor, "outcome", "succeeded"),
        same(child, survivor, "oom_kills", 1),
    ]


def killed_by_hand(meter: Meter) -> list[Row]:
    name, receipt = "SIGKILL by hand", meter.program("killed_by_hand")
    return [
        same(name, receipt, "outcome", "failed"),
        same(name, receipt, "exit_code", 137),
        same(name, receipt, "oom_kills", 0 if meter.cgroup else None),
    ]


def disk(meter: Meter) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="flyball-truth-", dir="/var/tmp") as folder:
        path = os.path.join(folder, "file")
        written = meter.program("write_disk", path, 64 * MB)
        read = meter.program("read_disk", path)
    return [
        near("64 MB written to disk", written, "disk_write_bytes", 64 * MB, share=0.03, plus=MB),
        near("64 MB read from disk", read, "disk_read_bytes", 64 * MB, share=0.03, plus=MB),
    ]


def network(meter: Meter) -> list[Row]:
    """Through a pair of virtual cables into a namespace of the command's own."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return []
    space = f"flyball{os.getpid()}"
    outer, inner = f"fo{os.getpid()}", f"fi{os.getpid()}"
    try:
        for words in (
            f"netns add {space}",
            f"link add {outer} type veth peer name {inner} netns {space}",
            f"addr add 10.213.7.1/30 dev {outer}",
            f"link set {outer} up",
            f"-n {space} addr add 10.213.7.2/30 dev {inner}",
            f"-n {space} link set {inner} up",
        ):
            subprocess.run(["ip", *words.split()], check=True, stderr=subprocess.DEVNULL)
        with socket.create_server(("10.213.7.1", 0)) as server:
            sink = threading.Thread(target=_swallow, args=(server,))
            sink.start()
            port = server.getsockname()[1]
            receipt = meter.run(
                "ip", "netns", "exec", space, *PYTHON, PROGRAMS, "send", "10.213.7.1", str(port), str(50 * MB)
            )
            sink.join(10)
    except subprocess.CalledProcessError:
        return []
    finally:
        for words in (f"link del {outer}", f"netns del {space}"):
            subprocess.run(["ip", *words.split()], check=False, stderr=subprocess.DEVNULL)
    name = "50 MB sent from a namespace of its own"
    return [
        near(name, receipt, "network_send_bytes", 50 * MB),
        same(name, receipt, "network_scope", "namespace"),
    ]


def _swallow(server: socket.socket) -> None:
    peer, _ = server.accept()
    with peer:
        while peer.recv(1 << 20):
            pass


ALL: tuple[Callable[[Meter], list[Row]], ...] = (
    spikes, flash, half_second, fifty_milliseconds, sharing_forks, parallel_children, daemon, shared_memory,
    page_cache, short_children, fat_parent, starved, crowded, out_of_memory, killed_by_hand, disk, network,
)  # fmt: skip
WITHOUT_CGROUP: tuple[Callable[[Meter], list[Row]], ...] = (
    spikes, half_second, fifty_milliseconds, parallel_children, daemon, page_cache, crowded, killed_by_hand, disk,
)  # fmt: skip


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| program | figure | truth | measured | source | |", "|---|---|---|---|---|---|"]
    for row in rows:
        verdict = "ok" if row.ok else "**miss**"
        lines.append(
            f"| {row.program} | `{row.figure}` | {row.truth} | {row.measured} | {row.source} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


def has_cgroup() -> bool:
    """Whether this machine lets us make a group that counts memory."""
    receipt = Meter().run("true")
    return str(receipt["sources"].get("memory_bytes_kernel_peak", "")).startswith("cgroup")


def main(arguments: list[str]) -> int:
    slow = float(arguments[arguments.index("--slow") + 1]) if "--slow" in arguments else 1.0
    meter = Meter(cgroup="--no-cgroup" not in arguments, slow=slow)
    times = int(arguments[arguments.index("--spikes") + 1]) if "--spikes" in arguments else 20
    rows: list[Row] = []
    for check in ALL if meter.cgroup else WITHOUT_CGROUP:
        found = spikes(meter, times) if check is spikes else check(meter)
        if not found:
            print(f"{check.__name__}: cannot be checked on this machine", file=sys.stderr)
        rows += found
    text = table(rows)
    print(text)
    if "--markdown" in arguments:
        with open(arguments[arguments.index("--markdown") + 1], "w", encoding="utf-8") as file:
            file.write(text)
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
