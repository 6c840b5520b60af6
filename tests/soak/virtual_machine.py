"""A small Debian machine with cgroup v2 alone, built from packages and run in software by qemu.

Its kernel is Debian's cloud kernel (modules picked from the package, nothing installed here), its root file system is
unpacked by mmdebstrap, its first program is `vm_init.sh` in an initrd and then `vm_job.py` from the disk.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TOOLS = ("qemu-system-x86_64", "mmdebstrap", "busybox", "mkfs.ext4", "cpio", "dpkg-deb", "apt-get")
# Order matters: virtio_ring before virtio, or the latter has unknown symbols.
MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "veth",
)
KERNEL_PACKAGE = "linux-image-cloud-amd64"
DISK_BYTES = 4 * 2**30  # sparse


@dataclass(frozen=True)
class Machine:
    """What qemu needs to start it."""

    kernel: Path
    initrd: Path
    disk: Path


def missing_tools() -> list[str]:
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def build(folder: Path, payload: Iterable[Path], payload_root: Path) -> Machine:
    """A machine with the payload's files under /flyball. What was downloaded once is kept in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    package = unpacked_kernel(folder)
    kernel = next((package / "boot").glob("vmlinuz-*"))
    initrd = packed_initrd(folder, package)
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    run("tar", "--extract", "--file", unpacked_debian(folder), "--directory", root)
    for path in payload:
        target = root / "flyball" / path.relative_to(payload_root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    shutil.copy2(HERE / "vm_job.py", root / "vm_job.py")
    disk = folder / "disk.img"
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", "-d", root, disk)
    shutil.rmtree(root)
    return Machine(kernel, initrd, disk)


def boot(machine: Machine, *, console: Path, memory_mib: int, cpus: int, timeout_seconds: float) -> str:
    """Everything the machine wrote on its console until it switched itself off. Raises: TimeoutError."""
    command = [
        *(
            "qemu-system-x86_64",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-m",
            str(memory_mib),
            "-smp",
            str(cpus),
        ),
        *("-kernel", machine.kernel, "-initrd", machine.initrd),
        *("-append", "console=ttyS0 panic=1 quiet psi=1 systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all"),
        *("-drive", f"file={machine.disk},if=virtio,format=raw,cache=unsafe"),
        *("-nic", "none", "-display", "none", "-monitor", "none", "-no-reboot", "-serial", f"file:{console}"),
    ]
    deadline = time.monotonic() + timeout_seconds
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as machine_process:
        try:
            machine_process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            machine_process.kill()
    text = console.read_text(errors="replace")
    if time.monotonic() >= deadline:
        raise TimeoutError(
            f"the machine ran for more than {timeout_seconds:.0f} s; its last words:\n{text[-3000:]}"
        )
    return text


def unpacked_kernel(folder: Path) -> Path:
    """The newest cloud kernel's package, unpacked but not installed."""
    unpacked = folder / "kernel"
    if not unpacked.exists():
        depends = run("apt-cache", "depends", KERNEL_PACKAGE)
        name = next(line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line)
        run("apt-get", "-o", "APT::Sandbox::User=root", "download", name, cwd=folder)
        run("dpkg-deb", "--extract", next(folder.glob(f"{name}_*.deb")), folder / "kernel.part")
        (folder / "kernel.part").rename(unpacked)
    return unpacked


def unpacked_debian(folder: Path) -> Path:
    """A tar of python3 and busybox from this machine's own package sources; no maintainer script has run in it."""
    tar = folder / "debian.tar"
    if not tar.exists():
        release = dict(
            line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
        )
        sources = [*Path("/etc/apt/sources.list.d").glob("debian.sources"), Path("/etc/apt/sources.list")]
        run(
            *(
                "mmdebstrap",
                "--quiet",
                "--variant=extract",
                "--include=python3,busybox-static,iproute2,util-linux",
            ),
            *(release["VERSION_CODENAME"].strip('"'), folder / "debian.part.tar"),
            next(path for path in sources if path.exists()),
        )
        (folder / "debian.part.tar").rename(tar)
    return tar


def packed_initrd(folder: Path, package: Path) -> Path:
    """busybox, the disk's drivers and vm_init.sh."""
    tree = folder / "initrd"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "dev", "proc", "sys", "root", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy2(shutil.which("busybox") or "busybox", tree / "bin/busybox")
    shutil.copy2(HERE / "vm_init.sh", tree / "init")
    (tree / "init").chmod(0o755)
    for position, name in enumerate(MODULES):
        shutil.copy2(next(package.rglob(f"{name}.ko")), tree / f"modules/{position:02}.ko")
    archive = folder / "initrd.cpio"
    run("sh", "-c", f"find . | cpio --quiet --create --format=newc > {archive.resolve()}", cwd=tree)
    return archive


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"{' '.join(map(str, command))} failed ({done.returncode}):\n{done.stderr[-2000:]}"
        )
    return done.stdout
