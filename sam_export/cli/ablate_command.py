"""`sam-export ablate MODEL --target T`: what each technique of the int8 recipe brings, one row a technique."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..exporters import ExportOptions
from ..models import components, find, load
from ..quantize.ablation import PRECISION, ablate, into_record
from ..quantize.recipes import require_precision
from ..quantize.request import QuantizeRequest
from ..quantize.task import Task
from ..search_record import AblationRow
from .arguments import given_path
from .printing import print_json
from .progress import Progress, stage_progress

# Rows round what they compute, which Core ML does from iOS 17 on; other targets have no such option.
OPTIONS = ExportOptions(minimum_ios=17)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `ablate`; its `run` default is the handler, `(Namespace) -> exit status`."""
    parser = subparsers.add_parser(
        "ablate",
        help="show what each technique of int8 brings",
        description="Measure the encoder with ever more of the techniques that int8 is made of, on the search set and "
        "the engine that will run it: mask IoU, latency by the float encoder's, size. Takes about 20 minutes.",
    )
    parser.add_argument("model", metavar="MODEL", help="a name of `sam-export models`")
    parser.add_argument("--target", required=True, metavar="T", help="onnx, openvino or coreml")
    parser.add_argument("--checkpoint", type=given_path, metavar="FILE", help="weights of your own")
    parser.add_argument(
        "--record", type=given_path, metavar="FILE", help="the search.json that the rows go into; made if missing"
    )
    parser.add_argument("--json", action="store_true", help="print the rows for machines")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    find(args.model)
    require_precision(args.target, PRECISION)
    with stage_progress(Console(stderr=True)) as progress:
        made = ablate(_task(args.model, args.checkpoint, args.target, progress))
    if args.record is not None:
        into_record(args.record, made)
    console = Console()
    if args.json:
        print_json(console, made)
    else:
        console.print(_table(made.ablation))
    return 0


def _task(model: str, checkpoint: Path | None, target: str, progress: Progress) -> Task:
    loaded = load(model, checkpoint, progress)
    return Task(loaded, components(loaded), target, PRECISION, OPTIONS, QuantizeRequest(), progress)


def _table(rows: tuple[AblationRow, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("technique", overflow="fold")
    for name in ("mean", "worst", "harsh mean", "harsh p5", "latency", "MB"):
        table.add_column(name, justify="right")
    for row in rows:
        ious = (row.stable_mean, row.stable_worst, row.harsh_mean, row.harsh_p5)
        latency = "-" if row.latency_ratio is None else f"{row.latency_ratio:.2f}x"
        table.add_row(row.label, *(f"{iou:.4f}" for iou in ious), latency, f"{row.bytes / 1e6:.1f}")
    return table
