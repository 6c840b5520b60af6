"""Programs whose true use is known, each one function: `python3 -I -S programs.py spike 1000000000`."""

# Plain os.path: bare interpreters in small virtual machines run this too.
# ruff: noqa: PTH108, PTH123

from __future__ import annotations

import mmap
import os
import signal
import socket
import subprocess
import sys
import time

HUGE = getattr(mmap, "MADV_HUGEPAGE", None)


def held(count: int, *, shared: bool = False) -> mmap.mmap:
    """That many bytes, every page of them written."""
    flags = mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE
    block = mmap.mmap(-1, count, flags=flags | mmap.MAP_ANONYMOUS)
    if HUGE is not None and not shared:
        block.madvise(HUGE)  # a spike of 1 GB is up in 0.1 to 0.3 s, not in seconds
    for start in range(0, count, mmap.PAGESIZE):
        block[start] = 1
    return block


def burn(cpu_seconds: float) -> None:
    """Uses that much CPU time in this process."""
    end = time.process_time() + cpu_seconds
    while time.process_time() < end:
        pass


def fork(work, *arguments) -> int:
    """A child that does it and ends."""
    pid = os.fork()
    if pid == 0:
        try:
            work(*arguments)
        finally:
            os._exit(0)
    return pid


def wait_all(pids: list[int]) -> None:
    for pid in pids:
        os.waitpid(pid, 0)


def hold(count: int, seconds: float) -> None:
    block = held(count)
    time.sleep(seconds)
    block.close()


def spike(count: int) -> None:
    """200 ms of that many bytes between two quiet times, at a moment no period of sampling knows."""
    time.sleep(0.05 + int.from_bytes(os.urandom(1), "little") / 2560)
    hold(count, 0.2)
    time.sleep(0.05)


def flash(count: int) -> None:
    """The same, gone again at once: only the kernel can have seen it."""
    time.sleep(0.3)
    hold(count, 0.0)
    time.sleep(0.3)


def busy(cpu_seconds: float) -> None:
    burn(cpu_seconds)


def sharing_forks(count: int) -> None:
    """Six forks that all read the parent's memory and copy none of it."""
    block = held(count)

    def read_it() -> None:
        sum(block[start] for start in range(0, count, mmap.PAGESIZE))
        time.sleep(0.5)

    wait_all([fork(read_it) for _ in range(6)])


def parallel_children(count: int) -> None:
    """Four at once, each with that much of its own, held until all four have it and half a second more."""
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()

    def take() -> None:
        block = held(count)
        os.close(go_write)
        os.write(ready_write, b".")
        os.read(go_read, 1)  # until the parent closes it
        block.close()

    children = [fork(take) for _ in range(4)]
    got = 0
    while got < 4:
        got += len(os.read(ready_read, 4))
    time.sleep(0.5)
    os.close(go_write)
    wait_all(children)


def daemon(count: int) -> None:
    """Forked twice, with a session of its own, so that init is its parent; we only wait a while."""

    def detach() -> None:
        os.setsid()
        fork(hold, count, 0.5)

    os.waitpid(fork(detach), 0)
    time.sleep(1.5)


def shared_memory(count: int) -> None:
    """A file in /dev/shm that nobody maps."""
    path = f"/dev/shm/flyball-truth-{os.getpid()}"
    try:
        with open(path, "wb") as file:
            file.writelines(b"x" * 1_000_000 for _ in range(count // 1_000_000))
        time.sleep(0.3)
    finally:
        os.unlink(path)


def read_file(path: str) -> None:
    """All of it, once; it goes into the page cache."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def short_children(count: int) -> None:
    """Twenty, one after the other, each for about 30 ms."""
    for _ in range(20):
        os.waitpid(fork(hold, count, 0.02), 0)


def four_busy(cpu_seconds: float) -> None:
    """Four processes that would each use a core."""
    wait_all([fork(burn, cpu_seconds) for _ in range(4)])


def child_runs_out(count: int) -> None:
    """A child takes too much; the command itself goes on and ends well."""
    os.waitpid(fork(hold, count, 0.1), 0)


def killed_by_hand() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write_disk(path: str, count: int) -> None:
    """Through the page cache and on to the disk."""
    with open(path, "wb") as file:
        file.writelines(os.urandom(1_000_000) for _ in range(count // 1_000_000))
        file.flush()
        os.fsync(file.fileno())


def read_disk(path: str) -> None:
    """From the disk, not from the cache."""
    handle = os.open(path, os.O_RDONLY)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    while os.read(handle, 1 << 20):
        pass


def send(address: str, port: int, count: int) -> None:
    """That many bytes to a TCP server."""
    with socket.create_connection((address, port)) as peer:
        for _ in range(count // 1_000_000):
            peer.sendall(b"x" * 1_000_000)


def fat_parent(count: int, *command: str) -> None:
    """A process of that size runs the command (a wrapper) and leaves with its exit code."""
    block = held(count)
    code = subprocess.call(command)
    block.close()
    sys.exit(code)


def fat_wrapper(count: int, root: str, folder: str) -> None:
    """A process of that size is the wrapper itself, through the Python API."""
    sys.path.insert(0, root)
    from flyball.meter.order import Order
    from flyball.meter.supervise import run_metered

    block = held(count)
    run_metered(Order(attempt_id=f"fat-{os.getpid()}", command=("true",), folder=folder))
    block.close()


def main(name: str, *arguments: str) -> None:
    values = [
        float(a) if "." in a and a.replace(".", "", 1).isdigit() else int(a) if a.isdigit() else a
        for a in arguments
    ]
    globals()[name](*values)


if __name__ == "__main__":
    main(*sys.argv[1:])
