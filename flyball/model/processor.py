"""How fast one processor is beside another, before the job itself has told us (see policy/speed.py for after).

The factors are flyball's own coarse estimates (steps of 0.05), made in 2026-11 after comparing public single-thread
results (zstd, Geekbench 6, PassMark) of each processor; they are a prior, and wrong by 10 to 20 % for any given job.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from flyball.model.resource import Arch

# With every vCPU busy, two hyperthreads of one core get through about 1.33 times what one alone would, so that
# each vCPU then runs at 1/1.5 of its speed alone; a vCPU that is a whole core loses nothing (Geekbench 6 multi/single
# at 8 vCPUs: 0.46..0.49 per vCPU with hyperthreads, 0.65..0.70 without, a ratio of 1.4 to 1.5).
HYPERTHREAD_SHARE = 1 / 1.5


class Processor(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    arch: Arch
    speed_one_core: float  # one thread on an idle core; m6i (Ice Lake) = 1
    cpu_model: str = ""  # pattern of what /proc/cpuinfo or lscpu call it
    instances: str = ""  # pattern of the machine types it is known to be in
    whole_cores: tuple[str, ...] = ()  # how machine types and CPU names start whose vCPU is a whole core


class ProcessorSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A processor as one machine type sells it."""

    name: str
    speed_one_core: float
    speed_all_cores: float  # per vCPU, all busy, beside one vCPU of an m6i with all busy
    known: bool = True  # False: the speeds are a guess of 1.0


def _x86(
    name: str, speed: float, cpu_model: str, instances: str = "", whole_cores: tuple[str, ...] = ()
) -> Processor:
    return Processor(
        name=name,
        arch=Arch.X86_64,
        speed_one_core=speed,
        cpu_model=cpu_model,
        instances=instances,
        whole_cores=whole_cores,
    )


def _arm(name: str, speed: float, cpu_model: str, instances: str = "") -> Processor:
    return Processor(
        name=name,
        arch=Arch.ARM64,
        speed_one_core=speed,
        cpu_model=cpu_model,
        instances=instances,
        whole_cores=("",),
    )


# Order matters: the first pattern that matches wins.
PROCESSORS: tuple[Processor, ...] = (
    _x86("zen5-fast", 1.75, r"EPYC 9R05", r"m8azn\.|x8aedz\.", ("",)),
    _x86("zen5", 1.55, r"EPYC 9(R|V|B)\d5\b|EPYC 9\d\d5\b", r"[cmr]8a\.|c4d-|n4d-|Standard_[DEF]\d+a\w*_v7", ("c8a.", "m8a.", "r8a.", "AMD EPYC 9R45", "Standard_F")),
    _x86("zen4", 1.15, r"EPYC 9(R|V|B)\d4\b|EPYC 9\d\d4\b", r"[cmr]7a\.|hpc7a\.|c3d-|Standard_[DEF]\d+a\w*_v6", ("c7a.", "m7a.", "r7a.", "hpc7a.", "AMD EPYC 9R14", "Standard_F")),
    _x86("zen3", 1.0, r"EPYC 7(R13|B13|V13|\d\d3)\b", r"[cmr]6a\.|g6e?\.|gr6\.|p5\.|n2d-|c2d-|t2d-|Standard_[DE]\d+a\w*_v5|Standard_NC\d+ads_A100|Standard_NV\d+ads_A10_", ("t2d-",)),
    _x86("zen2", 0.85, r"EPYC 7(R32|B12|V12|\d\d2)\b", r"c5ad?\.|g4ad\.|g5\.|Standard_[DE]\d+a\w*_v4|Standard_NC\d+as_T4"),
    _x86("zen1", 0.5, r"EPYC 7(571|\d\d1)\b", r"[mr]5ad?\.|t3a\."),
    _x86("graniterapids", 1.25, r"Xeon\(R\) 69\d\d", r"[cmrx]8i|Standard_[DE]\d+[bdilnse]*_v7"),
    _x86("emeraldrapids", 1.25, r"(Platinum|Gold|Silver) \d5\d\d[A-Z]?\b", r"i7ie?\.|g7e\.|p6-|c4-|c4n-|Standard_[DE]\d+[bdilnse]*_v6"),
    _x86("sapphirerapids-slow", 1.0, r"8481C|GENUINE INTEL", r"c3-|n4-|h3-|a3-"),
    _x86("sapphirerapids", 1.2, r"(Platinum|Gold|Silver) \d4\d\d[A-Z]?\b", r"[cmr]7i|p5en\."),
    _x86("icelake", 1.0, r"(Platinum|Gold|Silver) \d3\d\d[A-Z]{0,2}\b|Xeon\(R\) CPU @ 2\.60GHz", r"[cmr]6id?n?\.|i4i\.|x2ie?dn\.|trn1n?\.|Standard_[DE]\d+[bdils]*_v5|m3-"),
    _x86("cascadelake-fast", 0.8, r"Platinum (82(75CL|52C|23CL)|8124M)|Xeon\(R\) CPU @ 3\.10GHz", r"c5[dn]?\.|m5zn\.|x2iezn\.|p4de?\.|c2-"),
    _x86("skylake-fast", 0.85, r"Platinum 8151\b", r"z1d\."),
    _x86("cascadelake", 0.7, r"(Platinum|Gold|Silver) \d[12]\d\d\w*|Xeon\(R\) CPU @ 2\.(00|70|80)GHz", r"[mr]5(b|d|n|dn)?\.|t3\.|i3en\.|g4dn\.|p3dn\.|n2-|a2-|g2-|Standard_F\d+s_v2|Standard_B\d+l?m?s$"),
    _x86("broadwell", 0.6, r"E[57]-\d+\w* v[2-4]|Xeon\(R\) CPU @ 2\.[23]0GHz", r"i3\.|t2\.|[mr]4\.|e2-|n1-"),
    _arm("graviton5", 1.45, r"Neoverse-V3|Graviton5", r"[cmr]9g"),
    _arm("axion", 1.25, r"Axion", r"c4a-"),
    _arm("axion-n3", 0.95, r"Neoverse-N3", r"n4a-"),
    _arm("graviton4", 1.15, r"Neoverse-V2|Graviton4", r"[cmrxi]8g"),
    _arm("cobalt100", 1.1, r"Neoverse-N2|Cobalt", r"Standard_[DE]\d+p\w*_v6"),
    _arm("graviton3", 0.95, r"Neoverse-V1|Graviton3", r"([cmr]|hpc)7g"),
    _arm("altra", 0.75, r"Altra", r"t2a-|Standard_[DE]\d+p\w*_v5"),
    _arm("graviton2", 0.65, r"Neoverse-N1|Graviton2", r"[cmr]6g|t4g\.|x2gd\.|g5g\.|i4g\.|im4gn\.|is4gen\."),
    _arm("graviton1", 0.3, r"Cortex-A72", r"a1\."),
    _arm("apple-m4", 2.2, r"Apple M[4-9]"),
    _arm("apple-m3", 1.85, r"Apple M3"),
    _arm("apple-m1", 1.5, r"Apple M[12]"),
    _x86("desktop-new", 1.7, r"Ryzen \w+( \w+)? [7-9]\d{3}|i\d-1[2-5]\d{3}|Core\(TM\) Ultra"),
    _x86("desktop", 1.2, r"Ryzen|Core\(TM\)"),
)  # fmt: skip

_BY_NAME = {p.name: p for p in PROCESSORS}
_UNKNOWN = ProcessorSeen(name="unknown", speed_one_core=1.0, speed_all_cores=1.0, known=False)


@lru_cache(maxsize=4096)
def processor_of(*, cpu_model: str | None = None, instance_type: str | None = None) -> ProcessorSeen:
    """The processor of a machine type, else of a CPU's own name; `known` is False where neither says."""
    for processor in PROCESSORS:
        if instance_type and processor.instances and re.match(processor.instances, instance_type):
            return seen(processor.name, instance_type)
    for processor in PROCESSORS:
        if cpu_model and re.search(processor.cpu_model, cpu_model, re.IGNORECASE):
            return seen(processor.name, cpu_model)
    return msgspec.structs.replace(_UNKNOWN, name=" ".join(cpu_model.split())) if cpu_model else _UNKNOWN


@lru_cache(maxsize=4096)
def seen(name: str, machine: str) -> ProcessorSeen:
    """That processor in a machine of that type (or CPU name). Raises: KeyError for a name not in PROCESSORS."""
    processor = _BY_NAME[name]
    whole = machine.startswith(processor.whole_cores)
    one = processor.speed_one_core
    return ProcessorSeen(
        name=name, speed_one_core=one, speed_all_cores=round(one / HYPERTHREAD_SHARE, 3) if whole else one
    )


def arch_of(name: str) -> Arch:
    """Raises: KeyError for a name not in PROCESSORS."""
    return _BY_NAME[name].arch
