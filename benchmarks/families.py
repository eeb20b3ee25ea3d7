"""What exporting each model to each target costs, and how exact it is: one process for each pair, of random weights.

    python -m sam_export.benchmarks.families --record sam_export/full_size.json --page docs/families.md
    python -m sam_export.benchmarks.families --models sam_vit_b --targets onnx --record own.json

Each process runs `sam-export MODEL --random-weights --target T` with the gate on the first of its pictures, so the
errors are the gate's own; a process's peak memory is what the system counted for it, reference and gate included. What
passed already is not measured again (`--again` does), what failed is, and models that differ in their weights alone are
one. The record is written after each process, the page from it. `--left-out REASON` measures nothing and keeps the
reason; `--parities FILE` adds what `pytest --parities FILE` wrote (tests/models/test_full_size.py).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from ..bundle import tool_versions
from ..full_size import SHIPPED, FullSizeExport, LeftOut, Record, read_parities, read_record, write_record
from ..models import VARIANTS, find
from ..models.catalog import same_graphs
from ..verify.pictures import picture_set
from .families_page import TARGETS, render
from .peak_memory import RESOURCE_UNIT

PRECISIONS = ("fp32", "fp16")
PROGRAM = (sys.executable, "-P", "-c", "import sys; from sam_export.cli import main; sys.exit(main(sys.argv[1:]))")
Pair = tuple[str, str]


@dataclass(frozen=True)
class Plan:
    """What every process is given. `pictures`: how many of the gate's, None for as many as the gate itself takes;
    `threads`: of torch and the engines; `again`: measure what passed already, too."""

    pictures: int | None = 2
    threads: int = 1
    precisions: tuple[str, ...] = PRECISIONS
    again: bool = False


@dataclass(frozen=True)
class Finished:
    """How a process ended: its two streams, peak memory in bytes, wall time."""

    out: str
    errors: str
    peak_bytes: int
    seconds: float


def measured(model: str, target: str, plan: Plan, pictures: Path) -> tuple[FullSizeExport, ...]:
    """Return one entry for each precision of a model on a target, measured in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="sam-export-") as out:
        words = [model, "--random-weights", "--accept-license", "--target", target, "--json"]
        words += ["--precision", *plan.precisions, "-o", out]
        words += [] if plan.pictures is None else ["--evaluation", str(pictures)]
        finished = _run(words, plan.threads)
    try:
        outcomes = json.loads(finished.out)
    except json.JSONDecodeError:
        said = finished.errors.strip().splitlines() or ["the process ended without a word"]
        outcomes = [{"precision": one, "error": said[-1]} for one in plan.precisions]
    return tuple(_entry(model, target, outcome, finished, plan) for outcome in outcomes)


def _run(words: Sequence[str], threads: int) -> Finished:
    paths = os.pathsep.join(path for path in sys.path if path)
    own = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": paths}
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([*PROGRAM, *words], env={**os.environ, **own}, stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        said = [_text(stream) for stream in (out, errors)]
    return Finished(said[0], said[1], usage.ru_maxrss * RESOURCE_UNIT, seconds)


def _text(stream: Any) -> str:
    stream.seek(0)
    text: str = stream.read().decode(errors="replace")
    return text


def _entry(model: str, target: str, outcome: dict[str, Any], finished: Finished, plan: Plan) -> FullSizeExport:
    found = (outcome.get("verification") or {}).get("measurement") or {}
    parity, tensors = found.get("parity") or {}, found.get("tensors") or []
    return FullSizeExport(
        model=model,
        target=target,
        precision=outcome["precision"],
        passed=bool(outcome.get("passed")),
        error=outcome.get("error"),
        evaluated_by=found.get("evaluated_by"),
        logit_snr_db=_rounded(parity.get("min_logit_snr_db"), 2),
        encoder_snr_db=_rounded(min((tensor["snr_db"] for tensor in tensors), default=None), 2),
        mask_iou=_rounded(parity.get("mean_iou"), 6),
        bytes=outcome.get("bytes", 0),
        export_seconds=round(outcome.get("export_seconds", 0.0), 1),
        peak_bytes=finished.peak_bytes,
        run_seconds=round(finished.seconds, 1),
        pictures=len({tensor["picture"] for tensor in tensors}),
        threads=plan.threads,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        processor=platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        tools=dict(tool_versions()),
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def measure_all(pairs: Sequence[Pair], plan: Plan, path: Path, console: Console) -> Record:
    """Return the record with the pairs, kept in the file after each; others may write to it meanwhile."""
    with tempfile.TemporaryDirectory(prefix="sam-export-") as pictures:
        for picture in picture_set("gate")[: plan.pictures]:
            Image.fromarray(picture.image).save(Path(pictures) / f"{picture.name}.png")
        for number, (model, target) in enumerate(pairs, start=1):
            if not plan.again and _passed(read_record(path), (model, target)) >= set(plan.precisions):
                continue
            console.print(f"{number}/{len(pairs)} {model} {target}", highlight=False)
            found = measured(model, target, plan, Path(pictures))
            write_record(_with_exports(read_record(path), found), path)
    return read_record(path)


def _passed(record: Record, pair: Pair) -> set[str]:
    return {one.precision for one in record.exports if (one.model, one.target) == pair and one.passed}


def _with_exports(record: Record, found: Sequence[FullSizeExport]) -> Record:
    """Return the record with what was found in the place of what was known of the same cells."""
    cells = {one.cell for one in found}
    exports = [*(one for one in record.exports if one.cell not in cells), *found]
    pairs = {(one.model, one.target) for one in found}
    return replace(
        record,
        exports=tuple(sorted(exports, key=lambda one: (_place(one.model), TARGETS.index(one.target)))),
        left_out=tuple(one for one in record.left_out if (one.model, one.target) not in pairs),
    )


def _with_reason(record: Record, pairs: Sequence[Pair], reason: str) -> Record:
    known = {(one.model, one.target) for one in record.exports}
    others = [one for one in record.left_out if (one.model, one.target) not in pairs]
    entries = [*others, *(LeftOut(*pair, reason) for pair in pairs if pair not in known)]
    return replace(
        record, left_out=tuple(sorted(entries, key=lambda one: (_place(one.model), TARGETS.index(one.target))))
    )


def _with_parities(record: Record, path: Path) -> Record:
    found = {one.model: one for one in (*record.parities, *read_parities(path))}
    return replace(record, parities=tuple(found[name] for name in sorted(found, key=_place)))


def _place(model: str) -> int:
    return list(VARIANTS).index(model) if model in VARIANTS else len(VARIANTS)


def _pairs(models: Iterable[str], targets: Sequence[str]) -> tuple[Pair, ...]:
    names = dict.fromkeys(same_graphs(find(model).name) for model in models)
    return tuple((name, target) for name in names for target in targets)


def main() -> int:
    """Measure what did not pass yet; 1 if something of what was asked for does not pass now."""
    given = _parser().parse_args()
    pairs = () if given.parities else _pairs(given.models, given.targets)
    plan = Plan(given.pictures or None, given.threads, tuple(given.precisions), given.again)
    if given.parities:
        write_record(_with_parities(read_record(given.record), given.parities), given.record)
    elif given.left_out:
        write_record(_with_reason(read_record(given.record), pairs, given.left_out), given.record)
    elif not given.page_only:
        measure_all(pairs, plan, given.record, Console(stderr=True))
    record = read_record(given.record)
    if given.page is not None:
        given.page.write_text(render(record), encoding="utf-8")
    return int(any(not one.passed for one in record.exports if (one.model, one.target) in pairs))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--models", nargs="+", default=list(VARIANTS), metavar="MODEL", help="(all)")
    parser.add_argument("--targets", nargs="+", default=TARGETS, choices=TARGETS, metavar="T", help=", ".join(TARGETS))
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, metavar="P", help=f"({', '.join(PRECISIONS)})")
    parser.add_argument("--pictures", type=int, default=2, metavar="N", help="how many of the gate's (2); 0: all")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch and the engines (1)")
    parser.add_argument("--again", action="store_true", help="measure what passed already, too")
    parser.add_argument("--left-out", metavar="REASON", help="measure nothing; why these are not measured")
    parser.add_argument("--parities", type=Path, metavar="FILE", help="measure nothing; add what pytest wrote there")
    parser.add_argument("--page-only", action="store_true", help="measure nothing; write the page anew")
    parser.add_argument("--record", type=Path, default=SHIPPED, metavar="FILE", help="goes on where it ended there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="Markdown made from the record")
    return parser


if __name__ == "__main__":
    sys.exit(main())
