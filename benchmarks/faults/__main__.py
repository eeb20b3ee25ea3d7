"""Breaking exports, pulls, embeddings and searches on purpose, and counting what survives.

    python -m sam_export.benchmarks.faults --tries 100 -o docs

Kills with SIGKILL, full disks, read-only folders, two at once, clocks that jump, memory that runs out, a network that
breaks and lies. Writes `faults.json`, and `faults.md` made from it; exit status 1 unless all survived. Full and
read-only disks need root, a clock that jumps needs libfaketime; what cannot be tried is listed so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ...bundle import tool_versions
from ...staging import staged_file
from .cases import Case, CaseRow, Scene, tried
from .clock import clock_cases
from .commands import Command, Stock, embed, export, pull, pull_wheel, search
from .file_server import Behaviour
from .kills import kill_all
from .memory import memory_cases
from .network import network_cases
from .races import race_cases
from .report import FaultReport, encode, markdown
from .stock import stocked
from .storage import storage_cases

# Shares of all tries; what takes long gets fewer.
SHARES: Sequence[tuple[Callable[[Stock], Command], float]] = (
    (lambda stock: export(stock, "onnx"), 0.12),
    (lambda stock: export(stock, "onnx", overwrite=True), 0.10),
    (lambda stock: export(stock, "onnx", threads=2), 0.06),
    (lambda stock: export(stock, "openvino"), 0.10),
    (lambda stock: export(stock, "coreml"), 0.06),
    (lambda stock: export(stock, "web"), 0.06),
    (pull, 0.16),
    (pull_wheel, 0.10),
    (embed, 0.16),
    (search, 0.08),
)


def all_cases(stock: Stock, behaviour: Behaviour) -> tuple[Case, ...]:
    return (
        *storage_cases(stock),
        *race_cases(stock),
        *clock_cases(stock),
        *memory_cases(stock),
        *network_cases(stock, behaviour),
    )


def break_all(tries: int, seed: int, tell: Callable[[str], None]) -> FaultReport:
    """Return what became of all kills and cases."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="sam-export-faults-") as name:
        root = Path(name)
        with stocked(root / "stock") as (stock, behaviour):
            commands = [(make(stock), max(1, round(tries * share))) for make, share in SHARES]
            kills = tuple(kill_all(commands, stock, root, seed, tell))
            scene = Scene(stock, root, {})
            cases = tuple(_told(tried(case, scene), tell) for case in all_cases(stock, behaviour))
    return FaultReport(
        seed=seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=time.perf_counter() - started,
        tools=dict(tool_versions()),
        kills=kills,
        cases=cases,
    )


def _told(row: CaseRow, tell: Callable[[str], None]) -> CaseRow:
    tell("; ".join((f"{row.kind}, {row.what}: {row.answer}", *(f"WRONG: {text}" for text in row.complaints))))
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--tries", type=int, default=100, metavar="N", help="kills in all (100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (0)")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="for faults.json and faults.md")
    given = parser.parse_args()
    report = break_all(given.tries, given.seed, lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201
    for name, text in (("faults.json", encode(report)), ("faults.md", markdown(report).encode())):
        with staged_file(given.out / name) as staging:
            staging.write_bytes(text)
    sys.stdout.write(markdown(report))
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
