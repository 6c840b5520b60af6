"""Programs whose use is known, to be run under each tool: `python programs.py NAME`.

Each writes its truth to the file that FLYBALL_BENCH_TRUTH names: bytes that it held at its peak by construction (its
interpreter's own included) and CPU seconds of itself and its children as the kernel counted them.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

MIB = 2**20

unseen_cpu_seconds: list[float] = []  # of processes that are no children any more, told by themselves


def held(size_mib: int) -> mmap.mmap:
    """That much private memory, every page of it written to."""
    block = mmap.mmap(-1, size_mib * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block[:: mmap.PAGESIZE] = b"1" * (size_mib * MIB // mmap.PAGESIZE)
    return block


def resident(size_mib: int) -> mmap.mmap:
    """The same in one go, in pages of 4 KiB: quicker where each first touch of a page costs a trap."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
    return mmap.mmap(-1, size_mib * MIB, flags=flags)


def burnt(cpu_seconds: float) -> None:
    end = time.process_time() + cpu_seconds
    while time.process_time() < end:
        pass


def own_bytes() -> int:
    """Anonymous and shared memory of this interpreter as it stands."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def each_in_a_child(works: list[Callable[[], None]]) -> None:
    """Runs them at once, each in a fork, to the end."""
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            work()
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)


def spike() -> int:
    """1 GiB for 200 ms, at a moment that no period of sampling knows."""
    before_seconds = 1.0 + random.random()
    time.sleep(before_seconds)
    block = held(1024)
    time.sleep(0.2)
    block.close()
    time.sleep(3.0 - before_seconds)
    return 1024


def half_second() -> int:
    block = held(200)
    burnt(0.25)
    time.sleep(0.1)
    return len(block) // MIB


def fifty_milliseconds() -> int:
    block = held(64)
    return len(block) // MIB


def shared_by_forks() -> int:
    """800 MiB inherited by 6 forks that only read it: it is there once."""
    block = held(800)
    each_in_a_child([lambda: time.sleep(2.5)] * 6)
    return len(block) // MIB


def parallel_children() -> int:
    def work() -> None:
        block = held(150)
        time.sleep(2.5)
        block.close()

    each_in_a_child([work] * 4)
    return 600


def daemon() -> int:
    """300 MiB in a process whose parents are gone (setsid and double fork)."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            block = held(300)
            time.sleep(2.0)
            block.close()
            os.write(writing, str(sum(os.times()[:2])).encode())
        os._exit(0)
    os.wait()
    unseen_cpu_seconds.append(float(os.read(reading, 100)))
    time.sleep(0.3)
    return 300


def shared_memory() -> int:
    path = Path(f"/dev/shm/flyball-bench-{os.getpid()}")
    try:
        with path.open("wb") as file:
            file.writelines(itertools.repeat(bytes(MIB), 500))
        time.sleep(2.2)
    finally:
        path.unlink()
    return 500


def page_cache() -> int:
    """Writes and reads a file of 1 GiB: none of it is memory that the job needs."""
    path = Path(os.environ["FLYBALL_BENCH_FOLDER"]) / "large"
    with path.open("wb") as file:
        file.writelines(itertools.repeat(bytes(MIB), 1024))
    for _ in range(2):
        subprocess.run(["cat", path], stdout=subprocess.DEVNULL, check=True)
    time.sleep(1.2)
    path.unlink()
    return 1


def short_children() -> int:
    """20 children in turn, each 60 MiB and 0.1 CPU seconds."""

    def work() -> None:
        block = held(60)
        burnt(0.1)
        block.close()

    for _ in range(20):
        each_in_a_child([work])
    return 60


def two_cores() -> int:
    each_in_a_child([lambda: burnt(1.5)] * 2)
    return 0


PROGRAMS: dict[str, Callable[[], int]] = {
    "spike of 1 GiB for 200 ms": spike,
    "0.5 s job, 200 MiB": half_second,
    "50 ms job, 64 MiB": fifty_milliseconds,
    "6 forks sharing 800 MiB": shared_by_forks,
    "4 children at once, 150 MiB each": parallel_children,
    "double-forked daemon, 300 MiB": daemon,
    "500 MiB in /dev/shm": shared_memory,
    "1 GiB file written and read": page_cache,
    "20 short children, 60 MiB each": short_children,
    "2 children burning 3 CPU s": two_cores,
}


def mapped_heavily(resident_mib: int, rounds: int) -> None:
    """Maps, touches and unmaps 64 MiB, round after round, beside a resident block; prints each round's seconds."""
    block = resident(resident_mib)
    ready()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        held(64).close()
        seconds.append(time.perf_counter() - start)
    Path(os.environ["FLYBALL_BENCH_TRUTH"]).write_text(json.dumps(seconds))
    block.close()


def idle(resident_mib: int, seconds: float) -> None:
    block = resident(resident_mib)
    ready()
    time.sleep(seconds)
    block.close()


def ready() -> None:
    """Says which process the job is, so that the tool's own can be told from it."""
    path = os.environ.get("FLYBALL_BENCH_PID")
    if path:
        Path(path + ".part").write_text(str(os.getpid()))
        Path(path + ".part").rename(path)


def main() -> None:
    name = sys.argv[1]
    if name == "mapped":
        mapped_heavily(int(sys.argv[2]), int(sys.argv[3]))
    elif name == "idle":
        idle(int(sys.argv[2]), float(sys.argv[3]))
    else:
        base_bytes = own_bytes()
        held_bytes = PROGRAMS[name]() * MIB
        used = os.times()
        truth = {
            "memory_bytes": base_bytes + held_bytes,
            "cpu_seconds": sum(used[:4]) + sum(unseen_cpu_seconds),
        }
        Path(os.environ["FLYBALL_BENCH_TRUTH"]).write_text(json.dumps(truth))


if __name__ == "__main__":
    main()
