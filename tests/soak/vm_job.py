"""Process 1 of the virtual machine: mounts, delegates a cgroup, runs the truth suite as root and as a user, powers off.

What it prints between BEGIN and END of each part is for the reader; `FLYBALL PART name EXIT code` is for the test.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

USER = 1000
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = "+cpu +memory +io +pids"
SLOW = "15"  # software emulation against the host's own processor
SUITE = ["/usr/bin/python3", "/flyball/tests/e2e/truth/check.py", "--slow", SLOW]
MOUNTS = (
    ("proc", "proc", ""),
    ("sysfs", "sys", ""),
    ("cgroup2", "sys/fs/cgroup", ""),
    ("tmpfs", "dev/shm", "mode=1777"),
    ("tmpfs", "run", "mode=755"),
    ("devpts", "dev/pts", ""),
)


def main() -> None:
    prepare()
    in_group("root", 0, with_controllers(CGROUPS, "user.slice", "user-0.slice") / "session-1.scope")
    users = delegated(with_controllers(CGROUPS, "user.slice", f"user-{USER}.slice"))
    in_group("user", USER, users / "run-1.scope", "--spikes", "5")
    power_off()


def power_off() -> None:
    """Does not come back: process 1 may not end before the machine does."""
    Path("/proc/sysrq-trigger").write_text("o")
    signal.pause()


def prepare() -> None:
    for kind, target, options in MOUNTS:
        Path("/", target).mkdir(parents=True, exist_ok=True)
        mount = [
            "/bin/busybox",
            "mount",
            "-t",
            kind,
            *(["-o", options] if options else []),
            "none",
            f"/{target}",
        ]
        subprocess.run(mount, check=True)
    subprocess.run(["/bin/busybox", "--install", "-s", "/bin"], check=False)
    subprocess.run(["/bin/busybox", "ip", "link", "set", "lo", "up"], check=False)
    for folder in (Path("/tmp"), Path("/var/tmp")):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)
    Path("/etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n"
    )
    home = Path("/home/user")
    home.mkdir(parents=True, exist_ok=True)
    os.chown(home, USER, USER)


def with_controllers(folder: Path, *names: str) -> Path:
    """The innermost of those groups, each with every controller for the groups in it, as systemd's slices have."""
    (folder / "cgroup.subtree_control").write_text(CONTROLLERS)
    for name in names:
        folder = folder / name
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.subtree_control").write_text(CONTROLLERS)
    return folder


def delegated(slice_folder: Path) -> Path:
    """A group given to the user as systemd gives user@1000.service, with a scope in it for what the user runs."""
    group = with_controllers(slice_folder, f"user@{USER}.service")
    (group / "run-1.scope").mkdir()
    for folder in (group, group / "run-1.scope"):
        for path in (
            folder,
            *(folder / f"cgroup.{name}" for name in ("procs", "threads", "subtree_control")),
        ):
            os.chown(path, USER, USER)
    return group


def in_group(part: str, uid: int, group: Path, *options: str) -> None:
    group.mkdir(parents=True, exist_ok=True)
    print(f"FLYBALL PART {part} BEGIN", flush=True)
    pid = os.fork()
    if pid == 0:
        become(uid, group)
        os.execve(SUITE[0], [*SUITE, *options], environment(uid))
    print(f"FLYBALL PART {part} EXIT {code_of(pid)}", flush=True)


def become(uid: int, group: Path) -> None:
    (group / "cgroup.procs").write_text("0")
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    os.chdir("/tmp")


def environment(uid: int) -> dict[str, str]:
    home = "/home/user" if uid else "/root"
    return {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": home,
        "PYTHONPATH": "/flyball",
        "LANG": "C.UTF-8",
    }


def code_of(pid: int) -> int:
    """Exit code of that process; others that end meanwhile are orphans, which process 1 must collect."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001 - process 1 must say what went wrong, and switch off
        print(f"FLYBALL PART setup EXIT {error!r}", flush=True)
        power_off()
