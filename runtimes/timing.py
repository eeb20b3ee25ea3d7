"""The timing loop: several things in one run, turn by turn, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Samples:
    """Seconds of each timed run, in order; `warmups`: those of the calls beforehand, which count for nothing."""

    seconds: tuple[float, ...]
    warmups: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Return the first and the third quartile, the spread that reports show."""
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third


def measure(runs: Mapping[str, Callable[[], object]], *, repeats: int, warmups: int = 2) -> dict[str, Samples]:
    """Return the samples of each run, by name; every round times each of them once.

    Args:
        repeats: how many rounds; at least 1.
        warmups: untimed calls of each beforehand.
    """
    for run in runs.values():
        for _ in range(warmups):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: Samples(tuple(values)) for name, values in seconds.items()}


def paired_ratio(samples: Samples, baseline: Samples) -> float:
    """Return the median over rounds of one run's time by the other's, which a slow spell hits both of."""
    return statistics.median(a / b for a, b in zip(samples.seconds, baseline.seconds, strict=True))
