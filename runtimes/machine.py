"""The machine that this process runs on: what two measurements of time must have in common to be compared."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CPUINFO, MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
# What decides which kernels an engine takes; the names are Linux's and, below, macOS's.
TELLING = ("avx2", "f16c", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_", "asimd")


@dataclass(frozen=True)
class Machine:
    """What two runs must have in common to be compared. `cores`: logical ones that this process may use."""

    processor: str
    instructions: tuple[str, ...]
    cores: int
    memory_gb: int
    system: str
    architecture: str


def this_machine() -> Machine:
    return Machine(
        processor=_processor(),
        instructions=_instructions(),
        cores=usable_cores(),
        memory_gb=_memory_gb(),
        system=platform.system(),
        architecture=platform.machine(),
    )


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string")
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _instructions() -> tuple[str, ...]:
    if sys.platform == "darwin":
        words = _sysctl("machdep.cpu.features").lower().split()
    else:
        words = (_cpuinfo("flags") or _cpuinfo("Features") or "").split()
    return tuple(sorted(word for word in set(words) if word.startswith(TELLING)))


def _memory_gb() -> int:
    if sys.platform == "darwin":
        return round(int(_sysctl("hw.memsize") or 0) / 2**30)
    try:
        return round(int(MEMINFO.read_text().split(maxsplit=2)[1]) / 2**20)
    except (OSError, ValueError):
        return 0


def _cpuinfo(name: str) -> str | None:
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == name), None)


def _sysctl(name: str) -> str:
    done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False)
    return done.stdout.strip()
