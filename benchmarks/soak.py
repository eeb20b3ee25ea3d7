"""A server at twice its capacity for minutes, with clients that leave and an encoder that raises now and then.

    python -m sam_export.benchmarks.soak dist/lite_medsam-onnx-int8 --minutes 15 -o out/

Exit status 1 unless memory stays flat, every request is answered with 200, 429 or, if its picture was to fail, 500, or
its client has left, pictures are encoded again within seconds after every fault and after the end, and nothing is held
for those who went away.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..errors import RequestError
from .faulty_server import FAULT
from .load import Attempt, Plan, outcome
from .server_process import MemoryLog, memory_watched, metric, run_load, seconds_to_answer, served
from .serving import save_picture
from .soak_report import (
    BURST_EVERY_S,
    BURST_S,
    FAULTS,
    VANISHING,
    SoakReport,
    longest_gap,
    markdown,
    recoveries,
)

TIMES = 2
CALIBRATION_S, CLIENTS = 10.0, 4
WARM_SHARE = 0.25
HELD = ("sam_export_encoder_jobs", "sam_export_decoder_jobs", "sam_export_upload_bytes")


@dataclass(frozen=True)
class _Soaked:
    """What was seen of the server, before it is summed up."""

    plan: Plan
    attempts: Sequence[Attempt]
    capacity: float
    memory: MemoryLog
    recovery_s: float | None
    held: float


def soak(bundle: Path, *, minutes: float, threads: int = 2, rate: float | None = None) -> SoakReport:
    """Return what became of a server under a load that it cannot bear.

    `rate`: requests a second; None for twice those that it answers at first, which is right on a machine that has
    nothing else to do meanwhile.
    """
    options = ["--faults", str(FAULTS), "--burst-every", str(BURST_EVERY_S), "--burst-seconds", str(BURST_S)]
    words = ["-m", "sam_export.benchmarks.faulty_server", str(bundle), "--threads", str(threads), *options]
    with tempfile.TemporaryDirectory(prefix="sam-export-") as name:
        folder = Path(name)
        with served(words, folder) as url:
            seen = _loaded(url, folder, 60 * minutes, rate)
        own_faults = faults_not_asked_for((folder / "server.log").read_text())
    return _report(bundle.name, threads, minutes, seen, own_faults)


def _loaded(url: str, folder: Path, seconds: float, rate: float | None) -> _Soaked:
    picture = save_picture(folder)
    calm = Plan(url, "encode", str(picture), CALIBRATION_S, clients=CLIENTS)
    capacity = outcome(calm, run_load(calm, folder)).a_second
    plan = Plan(url, "encode", str(picture), seconds, rate=rate or TIMES * capacity, vanishing=VANISHING)
    with memory_watched(url, every=2) as log:
        attempts = run_load(plan, folder)
    recovery = seconds_to_answer(url, picture.read_bytes())
    return _Soaked(plan, attempts, capacity, log, recovery, _held(url))


def _held(url: str) -> float:
    """Return how many jobs and bytes the server holds.

    Raises:
        RequestError: it does not say.
    """
    found = [metric(url, name) for name in HELD]
    known = [value for value in found if value is not None]
    if len(known) < len(HELD):
        raise RequestError(f"{url}/metrics: has not all of {', '.join(HELD)}; the server does not answer")
    return sum(known)


def _report(bundle: str, threads: int, minutes: float, seen: _Soaked, own_faults: int) -> SoakReport:
    megabytes = seen.memory.megabytes
    fifth, warm = max(1, len(megabytes) // 5), int(WARM_SHARE * len(megabytes))
    return SoakReport(
        bundle=bundle,
        threads=threads,
        minutes=minutes,
        capacity=seen.capacity,
        outcome=outcome(seen.plan, seen.attempts),
        memory_seconds=tuple(seen.memory.seconds),
        memory_mb=tuple(megabytes),
        warm_mb=statistics.median(megabytes[warm : warm + fifth]),
        last_mb=statistics.median(megabytes[-fifth:]),
        longest_silence_s=longest_gap(seen.attempts, lambda status: status > 0),
        longest_gap_s=longest_gap(seen.attempts),
        recoveries_s=recoveries(seen.attempts),
        recovery_s=seen.recovery_s,
        own_faults=own_faults,
        held=seen.held,
    )


def faults_not_asked_for(log: str) -> int:
    """Return how many errors of the server's own are in its log, but for those of the encoder that was to raise."""
    return sum("Traceback (most recent call last)" in line and FAULT not in line for line in log.splitlines())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, help="requests a second (default: twice those that it answers at first)")
    parser.add_argument("-o", "--out", type=Path, help="folder for soak.json and soak.md")
    given = parser.parse_args()
    report = soak(given.bundle, minutes=given.minutes, threads=given.threads, rate=given.rate)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "soak.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
        (given.out / "soak.md").write_text(markdown(report))
    sys.stdout.write(markdown(report))
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
