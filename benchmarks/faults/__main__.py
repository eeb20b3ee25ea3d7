"""Breaking exports, pulls, embeddings and searches on purpose, and counting what survives.

    python -m sam_export.benchmarks.faults --tries 100 -o docs

Kills with SIGKILL, full disks, read-only folders, two at once, clocks that jump, memory that runs out, a network that
breaks and lies. Writes `faults.json` row by row, to go on from there, and `faults.md` made from it; exit status 1
unless all survived but what is known not to, with the reason. Full and read-only disks need root, a clock that jumps
needs libfaketime; what cannot be tried is listed so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ...bundle import tool_versions
from ...staging import staged_file
from .cases import Case, CaseRow, Scene, tried
from .clock import clock_cases
from .commands import Command, Stock, embed, export, pull, pull_wheel, search
from .file_server import Behaviour
from .kills import KillRow, killed
from .memory import memory_cases
from .network import network_cases
from .races import race_cases
from .report import JSON_NAME, MARKDOWN_NAME, FaultReport, decode, encode, markdown
from .stock import stocked
from .storage import storage_cases

# Shares of all tries; what takes long gets fewer.
SHARES: Sequence[tuple[Callable[[Stock], Command], float]] = (
    (lambda stock: export(stock, "onnx"), 0.12),
    (lambda stock: export(stock, "onnx", overwrite=True), 0.10),
    (lambda stock: export(stock, "onnx", threads=2), 0.04),
    (lambda stock: export(stock, "openvino"), 0.07),
    (lambda stock: export(stock, "coreml"), 0.03),
    (lambda stock: export(stock, "web"), 0.04),
    (pull, 0.20),
    (pull_wheel, 0.12),
    (embed, 0.22),
    (search, 0.06),
)


@dataclass(frozen=True)
class Plan:
    """`tries`: kills in all that land while a command runs. `minutes`: after which no new row is begun."""

    tries: int
    seed: int
    minutes: float


def all_cases(stock: Stock, behaviour: Behaviour) -> tuple[Case, ...]:
    return (
        *storage_cases(stock),
        *race_cases(stock),
        *clock_cases(stock),
        *memory_cases(stock),
        *network_cases(stock, behaviour),
    )


def break_all(plan: Plan, out: Path, tell: Callable[[str], None]) -> FaultReport:
    """Return what became of all kills and cases, or of as many as there was time for, earlier runs' included."""
    report = _earlier(out, plan.seed)
    started, before = time.monotonic(), report.seconds
    with tempfile.TemporaryDirectory(prefix="sam-export-faults-") as name, stocked(Path(name) / "stock") as found:
        for add in _rows_to_do(report, plan, Path(name), *found, tell):
            report = replace(add(report), seconds=before + time.monotonic() - started)
            write(report, out)
            if time.monotonic() - started > 60 * plan.minutes:
                break
    return report


def _rows_to_do(
    report: FaultReport, plan: Plan, root: Path, stock: Stock, behaviour: Behaviour, tell: Callable[[str], None]
) -> Iterator[Callable[[FaultReport], FaultReport]]:
    """Yield what adds each row that a report has not yet, once it is tried."""
    known = {row.command for row in report.kills}
    for make, share in SHARES:
        command, tries = make(stock), max(1, round(plan.tries * share))
        if command.name not in known:
            row = killed(command, tries, stock, root, plan.seed, tell)
            yield partial(_with_kills, row)
    scene, done = Scene(stock, root, {}), {(row.kind, row.what) for row in report.cases}
    for case in all_cases(stock, behaviour):
        if (case.kind, case.what) not in done:
            one = tried(case, scene)
            tell("; ".join((f"{one.kind}, {one.what}: {one.answer}", *(f"WRONG: {text}" for text in one.complaints))))
            yield partial(_with_case, one)


def _with_kills(row: KillRow, report: FaultReport) -> FaultReport:
    return replace(report, kills=(*report.kills, row))


def _with_case(row: CaseRow, report: FaultReport) -> FaultReport:
    return replace(report, cases=(*report.cases, row))


def _earlier(out: Path, seed: int) -> FaultReport:
    if (out / JSON_NAME).exists():
        known = decode((out / JSON_NAME).read_bytes())
        if known.seed == seed:
            return known
    return FaultReport(seed, datetime.now(UTC).isoformat(timespec="seconds"), 0.0, dict(tool_versions()))


def write(report: FaultReport, out: Path) -> None:
    """Write the report, and what is made from it."""
    for name, content in ((JSON_NAME, encode(report)), (MARKDOWN_NAME, markdown(report).encode())):
        with staged_file(out / name) as staging:
            staging.write_bytes(content)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--tries", type=int, default=100, metavar="N", help="kills in all that land in time (100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (0)")
    parser.add_argument("--minutes", type=float, default=15.0, metavar="N", help="when no new row is begun (15)")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="goes on where it ended there")
    given = parser.parse_args()
    plan = Plan(given.tries, given.seed, given.minutes)
    report = break_all(plan, given.out, _tell)
    sys.stdout.write(markdown(report))
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
