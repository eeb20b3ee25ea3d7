"""What a server does at ten times its capacity, and what of it would be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .load import OK, OVERLOADED, UNSENT, Outcome, Plan, name_of, outcome
from .server_process import memory_watched, run_load, seconds_to_answer

TIMES = 10
RECOVERY_S = 10.0
# Of the pictures that a calm server encodes in the same time: the rest is what saying no may cost it.
LEAST_GOODPUT = 0.5
# What all uploads together may hold; the cache must be full before.
GROWTH_MB = 256.0
HONEST = {name_of(status) for status in (OK, OVERLOADED, UNSENT)}


@dataclass(frozen=True)
class Overload:
    """Pictures at a multiple of `capacity`, those that the server encodes in a second.

    `recovery_s`: from the end of the load to an answer.
    """

    times: int
    capacity: float
    outcome: Outcome
    memory_before_mb: float | None
    memory_peak_mb: float | None
    recovery_s: float | None

    @property
    def goodput(self) -> float:
        """Pictures encoded meanwhile, as a part of those that would have been without the others."""
        return self.outcome.a_second / self.capacity

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as it must be."""
        found = self.outcome
        other = ", ".join(f"{name}: {count}" for name, count in found.statuses.items() if name not in HONEST)
        grown = (self.memory_peak_mb or 0.0) - (self.memory_before_mb or 0.0)
        checks = (
            (bool(other), f"answers other than 200 and 429 ({other})"),
            (found.untold > 0, f"{found.untold} refusals did not say when to come again"),
            (
                self.goodput < LEAST_GOODPUT,
                f"{self.goodput:.2f} of the pictures of a calm server were encoded, allowed: from {LEAST_GOODPUT:g}",
            ),
            (grown > GROWTH_MB, f"memory grew by {grown:.0f} MB, allowed: {GROWTH_MB:g}"),
            (self.recovery_s is None or self.recovery_s > RECOVERY_S, "it did not recover in time after the end"),
        )
        return tuple(text for wrong, text in checks if wrong)


def overload(url: str, picture: Path, *, capacity: float, seconds: float, folder: Path) -> Overload:
    """Return what becomes of a server that so many pictures more than it can encode are sent to.

    Args:
        capacity: pictures a second.
        folder: for the load's plan.
    """
    plan = Plan(url, "encode", str(picture), seconds, rate=TIMES * capacity)
    with memory_watched(url, every=0.5) as log:
        found = outcome(plan, run_load(plan, folder))
        recovery = seconds_to_answer(url, picture.read_bytes())
    return Overload(
        times=TIMES,
        capacity=capacity,
        outcome=found,
        memory_before_mb=log.megabytes[0] if log.megabytes else None,
        memory_peak_mb=max(log.megabytes, default=None),
        recovery_s=recovery,
    )


def overload_text(found: Overload) -> str:
    """Return it in a few lines, the complaints last."""
    recovery = "none came" if found.recovery_s is None else f"after {found.recovery_s:.1f} s"
    told = found.outcome.retry_after_s
    waits = "" if told is None else f" Refusals said to come again in {told[0]:g} to {told[1]:g} s."
    lines = [
        f"At {found.times}x: {found.goodput:.2f} of the pictures that a calm server encodes.{waits} Resident memory "
        f"{_number(found.memory_before_mb)} MB before, {_number(found.memory_peak_mb)} MB at most; a new picture was "
        f"answered {recovery} when it ended.",
        *(f"WRONG: {complaint}" for complaint in found.complaints),
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
