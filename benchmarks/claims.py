"""What a run lets one say of a speed: a ratio to the baseline, round by round, and the interval that it holds in."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from ..runtimes.timing import Samples, paired_ratio
from .run_record import Entry, Run

# Beyond this spread of its middle half, by the median, a number is marked as unsteady.
UNSTEADY = 0.1


@dataclass(frozen=True)
class Claim:
    """Milliseconds and ratio to the baseline, each with its interval: the middle half of the rounds, or all of them on
    a machine under load. `ratio` is None for the baseline itself."""

    ms: float
    ms_interval: tuple[float, float]
    rounds: int
    ratio: float | None
    ratio_interval: tuple[float, float] | None
    steady: bool


def claim(run: Run, entry: Entry, stage: str) -> Claim | None:
    """Return what the run says of an entry at a stage; None where it has no samples."""
    own = entry.stages.get(stage)
    if own is None or not own.seconds:
        return None
    low, high = _interval(own, all_rounds=run.disturbance.is_loaded)
    baseline = run.entry(run.baseline)
    theirs = None if baseline is None or entry is baseline else baseline.stages.get(stage)
    ratio = None if theirs is None else _ratios(own, theirs)
    return Claim(
        ms=1e3 * own.median,
        ms_interval=(1e3 * low, 1e3 * high),
        rounds=len(own.seconds),
        ratio=None if theirs is None else paired_ratio(own, theirs),
        ratio_interval=None if ratio is None else _interval(ratio, all_rounds=run.disturbance.is_loaded),
        steady=(own.quartiles[1] - own.quartiles[0]) <= UNSTEADY * own.median,
    )


def opening_median(entry: Entry) -> float | None:
    """Return the median of the seconds from opening one, in a fresh process, to the first mask."""
    return statistics.median(one.to_first_mask for one in entry.openings) if entry.openings else None


def peak_bytes(entry: Entry) -> int | None:
    """Return the most memory that a process held which opened it and answered a first box."""
    return max((one.peak_bytes for one in entry.openings), default=None)


def _ratios(own: Samples, theirs: Samples) -> Samples:
    return Samples(tuple(a / b for a, b in zip(own.seconds, theirs.seconds, strict=True)))


def _interval(samples: Samples, *, all_rounds: bool) -> tuple[float, float]:
    return (min(samples.seconds), max(samples.seconds)) if all_rounds else samples.quartiles
