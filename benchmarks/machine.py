"""The machine that a benchmark ran on, and how much of it other programs took meanwhile."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from ..runtimes.machine import Machine, this_machine, usable_cores

__all__ = ["Disturbance", "ForeignTime", "Machine", "load_average", "this_machine", "usable_cores"]

STAT = Path("/proc/stat")
# Above this share of all cores, taken by other programs while something was timed, a run counts as disturbed.
QUIET_SHARE = 0.05


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
