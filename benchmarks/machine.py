"""The machine that a benchmark ran on, and how much of it other programs took meanwhile."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

STAT, CPUINFO, MEMINFO = Path("/proc/stat"), Path("/proc/cpuinfo"), Path("/proc/meminfo")
# What decides which kernels an engine takes; the names are Linux's and, below, macOS's.
TELLING = ("avx2", "f16c", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_", "asimd")
# Above this share of all cores, taken by other programs while something was timed, a run counts as disturbed.
QUIET_SHARE = 0.05


@dataclass(frozen=True)
class Machine:
    """What two runs must have in common to be compared. `cores`: logical ones that this process may use."""

    processor: str
    instructions: tuple[str, ...]
    cores: int
    memory_gb: int
    system: str
    architecture: str


@dataclass(frozen=True)
class Disturbance:
    """What other programs did while things were timed. `foreign_share`: of all cores' time, None where it is not known.

    `load_before`: the system's load average over the last minute before the first start, None on Windows.
    """

    foreign_share: float | None
    load_before: float | None

    @property
    def is_loaded(self) -> bool:
        if self.foreign_share is not None:
            return self.foreign_share > QUIET_SHARE
        return self.load_before is not None and self.load_before > 0.5 * usable_cores()

    def sentence(self) -> str:
        """Return what a reader must know of it."""
        if self.foreign_share is None:
            known = "how much other programs took is not known on this system"
        else:
            known = f"other programs took {100 * self.foreign_share:.1f} % of the cores' time while it was timed"
        if not self.is_loaded:
            return f"{known}; intervals hold the middle half of the rounds."
        return f"{known}: it was under load, so that intervals hold all rounds instead of the middle half."


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


def load_average() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


class ForeignTime:
    """Adds up what other programs take of the cores, over the spans in which something is timed."""

    def __init__(self) -> None:
        self._foreign = self._all = 0.0
        self._load = load_average()
        self.start()

    def start(self) -> None:
        """Begin a span."""
        self._before = _busy_seconds(), time.perf_counter(), time.process_time()

    def stop(self, own_seconds: float) -> None:
        """End the span; `own_seconds`: of processor time that the timed processes took in it."""
        busy, started, own = self._before
        now = _busy_seconds()
        if busy is not None and now is not None:
            self._foreign += max(0.0, now - busy - own_seconds - (time.process_time() - own))
            self._all += (time.perf_counter() - started) * (os.cpu_count() or 1)

    @property
    def disturbance(self) -> Disturbance:
        return Disturbance(min(self._foreign / self._all, 1.0) if self._all else None, self._load)


def _busy_seconds() -> float | None:
    """Return the seconds that all cores have worked since the start, stolen ones included; None but on Linux."""
    try:
        fields = [int(value) for value in STAT.read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    user, nice, system, _, _, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


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
