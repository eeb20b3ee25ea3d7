"""What exporting each model to each target costs, and how exact it is: one process for each pair, of random weights.

    python -m sam_export.benchmarks.families --models sam_vit_b mobile_sam --targets onnx coreml -o out/

Each process runs `sam-export MODEL --random-weights --target T` with the gate on the first of its pictures, so the
errors are the gate's own; a process's peak memory is what the system counted for it, reference and gate included. What
is measured already is not measured again. Writes `families.json`, and `families.md` made from it.
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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from ..bundle import tool_versions
from ..models import VARIANTS, find
from ..verify.pictures import picture_set
from .peak_memory import RESOURCE_UNIT

TARGETS = ("onnx", "openvino", "coreml")
PRECISIONS = ("fp32", "fp16")
PROGRAM = (sys.executable, "-P", "-c", "import sys; from sam_export.cli import main; sys.exit(main(sys.argv[1:]))")
JSON_NAME, MARKDOWN_NAME = "families.json", "families.md"
HEAD = (
    ("model", False),
    ("target", False),
    ("precision", False),
    ("gate", False),
    ("logit SNR, dB", True),
    ("encoder SNR, dB", True),
    ("mask IoU, mean", True),
    ("MB", True),
    ("export, s", True),
    ("peak, GB", True),
    ("whole run, s", True),
)


@dataclass(frozen=True)
class Row:
    """One export. `logit_snr_db` and `encoder_snr_db` are the least over all prompts and pictures; `mask_iou` is the
    mean over the prompts that were compared by their logits. `peak_bytes` and `run_seconds` are of the process, which
    made every precision. An export without a verdict has `error` and no numbers.
    """

    model: str
    target: str
    precision: str
    passed: bool
    error: str | None
    logit_snr_db: float | None
    encoder_snr_db: float | None
    mask_iou: float | None
    bytes: int
    export_seconds: float
    peak_bytes: int
    run_seconds: float


@dataclass(frozen=True)
class Plan:
    """What every process is given. `pictures`: how many of the gate's; `threads`: of torch and the engines."""

    pictures: int
    threads: int
    precisions: tuple[str, ...] = PRECISIONS


@dataclass(frozen=True)
class Finished:
    """How a process ended: its two streams, peak memory in bytes, wall time."""

    out: str
    errors: str
    peak_bytes: int
    seconds: float


def measured(model: str, target: str, plan: Plan, pictures: Path) -> tuple[Row, ...]:
    """Return one row for each precision of a model on a target, measured in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="sam-export-") as out:
        words = [model, "--random-weights", "--accept-license", "--target", target, "--json"]
        words += ["--precision", *plan.precisions, "--evaluation", str(pictures), "-o", out]
        finished = _run(words, plan.threads)
    try:
        outcomes = json.loads(finished.out)
    except json.JSONDecodeError:
        said = finished.errors.strip().splitlines() or ["the process ended without a word"]
        return tuple(_row(model, target, {"precision": one, "error": said[-1]}, finished) for one in plan.precisions)
    return tuple(_row(model, target, outcome, finished) for outcome in outcomes)


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


def _row(model: str, target: str, outcome: dict[str, Any], finished: Finished) -> Row:
    found = (outcome.get("verification") or {}).get("measurement") or {}
    parity = found.get("parity") or {}
    return Row(
        model=model,
        target=target,
        precision=outcome["precision"],
        passed=bool(outcome.get("passed")),
        error=outcome.get("error"),
        logit_snr_db=parity.get("min_logit_snr_db"),
        encoder_snr_db=min((tensor["snr_db"] for tensor in found.get("tensors", ())), default=None),
        mask_iou=parity.get("mean_iou"),
        bytes=outcome.get("bytes", 0),
        export_seconds=outcome.get("export_seconds", 0.0),
        peak_bytes=finished.peak_bytes,
        run_seconds=finished.seconds,
    )


def measure_all(pairs: Sequence[tuple[str, str]], plan: Plan, folder: Path, console: Console) -> tuple[Row, ...]:
    """Return the rows of all pairs in their order, earlier ones included; each is kept once it is measured."""
    folder.mkdir(parents=True, exist_ok=True)
    known = read_rows(folder)
    with tempfile.TemporaryDirectory(prefix="sam-export-") as pictures:
        for picture in picture_set("gate")[: plan.pictures]:
            Image.fromarray(picture.image).save(Path(pictures) / f"{picture.name}.png")
        for number, (model, target) in enumerate(pairs, start=1):
            done = [row for row in known if (row.model, row.target) == (model, target)]
            if {row.precision for row in done} >= set(plan.precisions):
                continue
            console.print(f"{number}/{len(pairs)} {model} {target}", highlight=False)
            found = measured(model, target, plan, Path(pictures))
            known = [row for row in known if row not in done] + list(found)
            _write(folder, known, plan)
    _write(folder, known, plan)
    return tuple(known)


def read_rows(folder: Path) -> list[Row]:
    path = folder / JSON_NAME
    return [Row(**row) for row in json.loads(path.read_text())["rows"]] if path.is_file() else []


def _write(folder: Path, rows: Sequence[Row], plan: Plan) -> None:
    order = {name: place for place, name in enumerate(VARIANTS)}
    rows = sorted(rows, key=lambda row: (order.get(row.model, len(order)), TARGETS.index(row.target)))
    content = {"facts": _facts(plan), "rows": [asdict(row) for row in rows]}
    for name, text in ((JSON_NAME, json.dumps(content, indent=1)), (MARKDOWN_NAME, render(content))):
        partial = folder / f".{name}.partial"
        partial.write_text(text + "\n")
        partial.replace(folder / name)


def _facts(plan: Plan) -> dict[str, Any]:
    processor = platform.processor() or platform.machine()
    return {**asdict(plan), "processor": processor, "cores": os.cpu_count(), "tools": dict(tool_versions())}


def render(content: dict[str, Any]) -> str:
    """Return the measurements as Markdown: a pure function of the JSON."""
    facts = content["facts"]
    tools = ", ".join(f"{name} {version}" for name, version in facts["tools"].items())
    lines = [
        "# Every family on every target",
        "",
        f"Random weights, the first {facts['pictures']} of the gate's pictures, {facts['threads']} thread(s) of "
        f"{facts['cores']} cores ({facts['processor']}), which other programs used at the same time: seconds are for "
        "scale. One process for each model and target makes both precisions; its peak holds the PyTorch model, the "
        "converter and the gate. SNRs are the least over all prompts and pictures; masks of random weights lie at "
        "their threshold everywhere, so that their IoU is a stress, and the gate holds the logits to 80 dB (fp32) and "
        "35 dB (fp16).",
        "",
        f"{tools}. Made by `python -m sam_export.benchmarks.families`.",
        "",
        f"| {' | '.join(name for name, _ in HEAD)} |",
        f"| {' | '.join('---:' if number else '---' for _, number in HEAD)} |",
        *_lines(content["rows"]),
    ]
    return "\n".join(lines)


def _lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        verdict = "passed" if row["passed"] else f"**not passed**: {row['error']}".replace("|", "\\|")
        numbers = [
            "–" if row[name] is None else form.format(row[name])
            for name, form in (("logit_snr_db", "{:.1f}"), ("encoder_snr_db", "{:.1f}"), ("mask_iou", "{:.4f}"))
        ]
        costs = [
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['export_seconds']:.0f}",
            f"{row['peak_bytes'] / 1e9:.1f}",
            f"{row['run_seconds']:.0f}",
        ]
        yield f"| {' | '.join((row['model'], row['target'], row['precision'], verdict, *numbers, *costs))} |"


def main() -> int:
    """Measure what is not measured yet; 1 if an export did not pass."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--models", nargs="+", default=list(VARIANTS), metavar="MODEL", help="(all)")
    parser.add_argument("--targets", nargs="+", default=TARGETS, choices=TARGETS, metavar="T", help=", ".join(TARGETS))
    parser.add_argument("--pictures", type=int, default=2, metavar="N", help="how many of the gate's (2)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch and the engines (1)")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="goes on where it ended there")
    given = parser.parse_args()
    pairs = [(find(model).name, target) for model in given.models for target in given.targets]
    rows = measure_all(pairs, Plan(given.pictures, given.threads), given.out, Console(stderr=True))
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
