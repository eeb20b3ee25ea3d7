"""What became of a soaked server: one row for each thing that must hold, as a table and as complaints."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .load import FAILED, INTERNAL, OK, OVERLOADED, UNSENT, VANISHED, Attempt, Outcome, name_of

FAULTS, VANISHING = 0.02, 0.1
BURST_EVERY_S, BURST_S = 60.0, 3.0
RECOVERY_S = 10.0
# Less is no load that it cannot bear: it was measured while other programs held it up.
LEAST_LOAD = 1.5
# Of the memory once the queue and the cache are full; what is beyond both is a leak.
GROWTH, GROWTH_MB = 0.10, 30.0
# 500 only for the faults that were asked for, which a row of its own holds.
ALLOWED = {name_of(status) for status in (OK, OVERLOADED, INTERNAL, VANISHED, UNSENT)}


@dataclass(frozen=True)
class SoakReport:
    """Seconds and megabytes.

    `warm_mb`, `last_mb`: medians over a fifth of the time each, from a quarter on and up to the end.
    `longest_silence_s`: between two answers of any kind. `longest_gap_s`: between two pictures that were encoded,
    bursts of faults included. `recoveries_s`: from each fault to the next picture. `recovery_s`: of a new picture after
    the end. `own_faults`: errors in the server's log that nobody asked for. `held`: jobs and bytes of uploads that the
    server has still after the end.
    """

    bundle: str
    threads: int
    minutes: float
    capacity: float
    outcome: Outcome
    memory_seconds: tuple[float, ...]
    memory_mb: tuple[float, ...]
    warm_mb: float
    last_mb: float
    longest_silence_s: float
    longest_gap_s: float
    recoveries_s: tuple[float, ...]
    recovery_s: float | None
    own_faults: int
    held: float

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as it must be."""
        return tuple(f"{row.what}: {row.found}; allowed: {row.allowed}" for row in rows(self) if not row.fine)


@dataclass(frozen=True)
class Row:
    """One thing that was looked at. `allowed`: in words, empty where all is."""

    what: str
    found: str
    allowed: str = ""
    fine: bool = True


def rows(report: SoakReport) -> Iterator[Row]:
    """Yield what became of the requests, of the memory, and of the times between answers."""
    yield from _answers(report)
    yield from _memory(report)
    yield from _times(report)


def _answers(report: SoakReport) -> Iterator[Row]:
    counts = report.outcome.statuses
    others = {name: count for name, count in counts.items() if name not in ALLOWED and name != name_of(FAILED)}
    encoded, lost = counts.get(name_of(OK), 0), counts.get(name_of(FAILED), 0)
    untold, own = report.outcome.untold, report.own_faults
    asked = sum(counts.values())
    yield Row("requests", str(asked))
    times = asked / encoded if encoded else 0.0
    yield Row(
        "requests for each picture encoded", f"{times:.1f}", f"from {LEAST_LOAD:g}", not encoded or times >= LEAST_LOAD
    )
    yield Row("answered with 200", str(encoded), "from 1", encoded > 0)
    yield Row("refused with 429", str(counts.get(name_of(OVERLOADED), 0)))
    yield Row("refusals that did not say when to come again", str(untold), "0", untold == 0)
    yield Row("answered with 500, the encoder raising", str(counts.get(name_of(INTERNAL), 0)))
    yield Row("faults in the log that were not asked for", str(own), "0", own == 0)
    yield Row("clients that left before an answer", str(counts.get(name_of(VANISHED), 0)))
    named = ", ".join(f"{name}: {count}" for name, count in others.items())
    yield Row("other answers", named or "0", "0", not others)
    yield Row("no answer", str(lost), "0", lost == 0)
    yield Row("jobs and bytes held after the end", f"{report.held:g}", "0", report.held == 0)


def _memory(report: SoakReport) -> Iterator[Row]:
    allowed = report.warm_mb * (1 + GROWTH) + GROWTH_MB
    yield Row("memory, warm", f"{report.warm_mb:.0f} MB")
    yield Row("memory in the end", f"{report.last_mb:.0f} MB", f"to {allowed:.0f} MB", report.last_mb <= allowed)
    yield Row("memory at most", f"{max(report.memory_mb, default=0.0):.0f} MB")


def _times(report: SoakReport) -> Iterator[Row]:
    silence, gap = report.longest_silence_s, report.longest_gap_s
    yield Row("longest time without an answer", f"{silence:.1f} s", f"to {RECOVERY_S:g} s", silence <= RECOVERY_S)
    most = BURST_S + RECOVERY_S
    yield Row("longest time without a picture", f"{gap:.1f} s", f"to {most:g} s", gap <= most)
    worst = max(report.recoveries_s, default=0.0)
    middle = f", median {statistics.median(report.recoveries_s):.1f} s" if report.recoveries_s else ""
    what = f"from a fault to the next picture, {len(report.recoveries_s)} times"
    yield Row(what, f"at most {worst:.1f} s{middle}", f"to {RECOVERY_S:g} s", worst <= RECOVERY_S)
    after = report.recovery_s
    found = "never" if after is None else f"{after:.1f} s"
    yield Row("a new picture after the end", found, f"to {RECOVERY_S:g} s", after is not None and after <= RECOVERY_S)


def longest_gap(attempts: Sequence[Attempt], counts: Callable[[int], bool] = lambda status: status == OK) -> float:
    """Return the longest time without an answer whose status counts, from the begin of the load on."""
    ends = sorted(end_of(one) for one in attempts if counts(one.status))
    last = max((one.began for one in attempts if one.status != FAILED), default=0.0)
    moments = [0.0, *ends, max(last, *ends, 0.0)]
    return max(after - before for before, after in pairwise(moments))


def recoveries(attempts: Sequence[Attempt]) -> tuple[float, ...]:
    """Return the seconds from each fault that a picture followed to that picture."""
    ordered = sorted((one for one in attempts if one.status in {OK, INTERNAL}), key=end_of)
    return tuple(
        end_of(after) - end_of(before)
        for before, after in pairwise(ordered)
        if before.status == INTERNAL and after.status == OK
    )


def end_of(one: Attempt) -> float:
    return one.began + one.ms / 1e3


def markdown(report: SoakReport) -> str:
    """Return the report as Markdown, what is wrong last."""
    rate = report.outcome.rate or 0.0
    lines = [
        f"`{report.bundle}`, {report.threads} thread{'s' * (report.threads > 1)}, {report.minutes:g} minutes of "
        f"{rate:.2f} requests a second, where clients that waited had {report.capacity:.2f} pictures a second before; "
        f"{FAULTS:.0%} of the pictures fail, all of them for {BURST_S:g} s every {BURST_EVERY_S:g} s; "
        f"{VANISHING:.0%} of the clients leave within a second.",
        "",
        "| what | found | allowed |",
        "|---|---:|---|",
        *(f"| {row.what} | {row.found} | {row.allowed} |" for row in rows(report)),
        "",
        *(f"WRONG: {complaint}" for complaint in report.complaints),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"
