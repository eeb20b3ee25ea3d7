"""A server at twice its capacity for minutes, with clients that leave and an encoder that raises now and then.

    python -m sam_export.benchmarks.soak dist/lite_medsam-onnx-int8 --minutes 15 -o out/

Exit status 1 unless memory stays flat, every request is answered or its client has left, and pictures are encoded
again within seconds after every burst of faults and after the end.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from .load import FAILED, OK, Attempt, Outcome, Plan, outcome
from .server_process import MemoryLog, memory_watched, run_load, seconds_to_answer, served
from .serving import save_picture

TIMES = 2
CALIBRATION_S, CLIENTS = 10.0, 4
FAULTS, VANISHING = 0.02, 0.1
BURST_EVERY_S, BURST_S = 60.0, 3.0
RECOVERY_S = 10.0
# Of the memory once the queue and the cache are full; what is beyond both is a leak.
GROWTH, GROWTH_MB = 0.10, 30.0
WARM_SHARE = 0.25


@dataclass(frozen=True)
class SoakReport:
    """Seconds and megabytes. `longest_gap_s`: between two pictures that were encoded, bursts of faults included."""

    bundle: str
    minutes: float
    capacity: float
    outcome: Outcome
    memory_seconds: tuple[float, ...]
    memory_mb: tuple[float, ...]
    warm_mb: float
    last_mb: float
    longest_gap_s: float
    recovery_s: float | None

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as it must be."""
        lost = self.outcome.statuses.get("no answer", 0)
        allowed_mb = self.warm_mb * (1 + GROWTH) + GROWTH_MB
        found = (
            (lost > 0, f"{lost} requests got no answer, allowed: 0"),
            (not self.outcome.statuses.get(str(OK)), "no picture was encoded"),
            (self.last_mb > allowed_mb, f"memory is at {self.last_mb:.0f} MB in the end, allowed: {allowed_mb:.0f}"),
            (
                self.longest_gap_s > BURST_S + RECOVERY_S,
                f"{self.longest_gap_s:.1f} s without a picture, allowed: {BURST_S + RECOVERY_S:g}",
            ),
            (self.recovery_s is None or self.recovery_s > RECOVERY_S, "it did not recover in time after the end"),
        )
        return tuple(text for wrong, text in found if wrong)


def soak(bundle: Path, *, minutes: float, threads: int = 2) -> SoakReport:
    """Return what became of a server under a load that it cannot bear."""
    options = ["--faults", str(FAULTS), "--burst-every", str(BURST_EVERY_S), "--burst-seconds", str(BURST_S)]
    words = ["-m", "sam_export.benchmarks.faulty_server", str(bundle), "--threads", str(threads), *options]
    with tempfile.TemporaryDirectory(prefix="sam-export-") as name:
        folder = Path(name)
        picture = save_picture(folder)
        with served(words, folder) as url:
            calm = Plan(url, "encode", str(picture), CALIBRATION_S, clients=CLIENTS)
            capacity = outcome(calm, run_load(calm, folder)).a_second
            plan = Plan(url, "encode", str(picture), 60 * minutes, rate=TIMES * capacity, vanishing=VANISHING)
            with memory_watched(url, every=2) as log:
                attempts = run_load(plan, folder)
            recovery = seconds_to_answer(url, picture.read_bytes())
    return _report(bundle.name, minutes, capacity, plan, attempts, log, recovery)


def _report(
    bundle: str,
    minutes: float,
    capacity: float,
    plan: Plan,
    attempts: Sequence[Attempt],
    log: MemoryLog,
    recovery: float | None,
) -> SoakReport:
    fifth = max(1, len(log.megabytes) // 5)
    warm = int(WARM_SHARE * len(log.megabytes))
    return SoakReport(
        bundle=bundle,
        minutes=minutes,
        capacity=capacity,
        outcome=outcome(plan, attempts),
        memory_seconds=tuple(log.seconds),
        memory_mb=tuple(log.megabytes),
        warm_mb=statistics.median(log.megabytes[warm : warm + fifth]),
        last_mb=statistics.median(log.megabytes[-fifth:]),
        longest_gap_s=longest_gap(attempts),
        recovery_s=recovery,
    )


def longest_gap(attempts: Sequence[Attempt]) -> float:
    """Return the longest time without a picture that was encoded, from the begin of the load on."""
    ends = sorted(one.began + one.ms / 1e3 for one in attempts if one.status == OK)
    last = max((one.began for one in attempts if one.status != FAILED), default=0.0)
    moments = [0.0, *ends, max(last, *ends, 0.0)]
    return max(after - before for before, after in pairwise(moments))


def text(report: SoakReport) -> str:
    """Return the report in a few lines."""
    counts = ", ".join(f"{status}: {count}" for status, count in report.outcome.statuses.items())
    recovery = "never" if report.recovery_s is None else f"{report.recovery_s:.1f} s"
    lines = [
        f"{report.bundle}: {report.minutes:g} min at {TIMES}x {report.capacity:.2f} pictures a second; "
        f"{FAULTS:.0%} faults, all for {BURST_S:g} s every {BURST_EVERY_S:g} s; {VANISHING:.0%} of the clients leave",
        f"  answers: {counts}",
        f"  memory: {report.warm_mb:.0f} MB warm, {report.last_mb:.0f} MB in the end, "
        f"{max(report.memory_mb):.0f} MB at most",
        f"  longest time without a picture: {report.longest_gap_s:.1f} s; after the end one was answered in {recovery}",
        *(f"  WRONG: {complaint}" for complaint in report.complaints),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, help="folder for soak.json")
    given = parser.parse_args()
    report = soak(given.bundle, minutes=given.minutes, threads=given.threads)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "soak.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    sys.stdout.write(text(report))
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
