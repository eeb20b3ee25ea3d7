"""`sam-export [MODEL] --target T...`: export, pass the gate, write bundles, and say how well each did."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from rich.console import Console

from ..errors import RequestError
from ..exporters import TARGETS, ExportOptions
from ..jobs import ExportRequest
from ..models import DEFAULT_VARIANT, VARIANTS
from ..models.cache import cache_folder
from ..pipeline import export_bundles
from ..quantize.plan import read_plan
from ..quantize.recipes import QUANTIZED_PRECISIONS
from ..quantize.request import QuantizeRequest
from ..search_record import Preferred
from ..verify.pictures import pictures_in
from ..verify.summary_table import render_accuracy_markdown
from .arguments import given_path, number, whole_number
from .export_results import accuracy_rows, exit_status, print_outcomes, print_outcomes_as_json
from .mistakes import error_line
from .printing import print_text
from .progress import stage_progress

PRECISIONS_EXPLAINED = """Precisions: fp32, fp16 and bf16 are floats. w8, w6 and w4 store weights in so many bits and
compute in float: small, no faster. w8a8 rounds inputs, too, by calibrated ranges; w8a8-dynamic by the range of each
call. int8 and auto are the fastest that pass (--prefer), by a recipe that is known or by a search. int8+fp32 is the
encoder's and the decoder's."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export`; its `run` default is the handler, `(Namespace) -> exit status`."""
    parser = subparsers.add_parser(
        "export",
        help="export a model, pass the gate, write bundles",
        description="Export a model to one or more targets. A bundle is written only if its masks are the PyTorch "
        "model's masks on real pictures; there is no switch that turns this off.",
        epilog=PRECISIONS_EXPLAINED,
    )
    _add_jobs(parser)
    _add_weights(parser)
    _add_gate(parser)
    _add_quantization(parser)
    _add_output(parser)
    parser.set_defaults(run=run)


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", default=DEFAULT_VARIANT, metavar="MODEL", help=_model_help())
    parser.add_argument("--target", nargs="+", default=(), metavar="T", help=f"one or more of {', '.join(TARGETS)}")
    parser.add_argument("--precision", nargs="+", default=(), metavar="P", help=_precision_help())
    for component in ("encoder", "decoder"):
        parser.add_argument(
            f"--{component}-precision", nargs="+", default=(), metavar="P", help=f"of the {component} alone"
        )


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", type=given_path, metavar="FILE", help="fine-tuned weights of the model's family"
    )
    parser.add_argument(
        "--random-weights",
        type=whole_number,
        nargs="?",
        const=0,
        metavar="SEED",
        help="export without a checkpoint: seeded random weights (seed 0), to try a model out; the bundle says so",
    )
    parser.add_argument(
        "--image-size",
        type=whole_number,
        metavar="N",
        help="pixels a side that pictures are encoded at, 512 say: MODEL-512px is the same",
    )
    parser.add_argument("--accept-license", action="store_true", help="where a model's licence has terms to accept")


def _add_gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--evaluation", type=given_path, metavar="DIR", help="your pictures to measure on, with ground truth if any"
    )
    parser.add_argument(
        "--min-iou", type=number, metavar="X", help="mean mask IoU to demand; the bundle says so if lowered"
    )
    parser.add_argument(
        "--minimum-ios", type=whole_number, metavar="N", help="Core ML: oldest iOS, 16 (default), 17 or 18"
    )


def _add_quantization(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calibration", type=given_path, metavar="DIR", help="pictures to quantize on, instead of the built-in"
    )
    parser.add_argument("--recipe", type=given_path, metavar="FILE", help="a bundle's recipe.json, to quantize alike")
    parser.add_argument("--prefer", choices=get_args(Preferred), default="speed", help="what int8 and auto search for")
    parser.add_argument("--search", action="store_true", help="search even where a recipe was found beforehand")
    parser.add_argument(
        "--search-minutes", type=number, default=30.0, metavar="N", help="when a search begins nothing new (30)"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compress", action="store_true", help="web: also write .br files, for hosts that serve what is compressed"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace bundles that exist")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the outcomes for machines")
    form.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument(
        "-o", "--out", type=given_path, default=Path("dist"), metavar="DIR", help="where bundles go (dist)"
    )


def run(args: argparse.Namespace) -> int:
    """Return 0, or the lowest status among what went wrong: 1 a gate failed, 2 bad request, 3 not verifiable here."""
    request, errors = _request(args), Console(stderr=True)
    with stage_progress(errors) as progress:
        outcomes = export_bundles(request, progress)
    if args.json:
        print_outcomes_as_json(outcomes)
    elif args.markdown:
        sys.stdout.write(render_accuracy_markdown(accuracy_rows(outcomes)))
    else:
        print_outcomes(outcomes, Console())
    for outcome in outcomes:
        if outcome.error is not None:
            print_text(errors, error_line(outcome.error))
    return exit_status(outcomes)


def _request(args: argparse.Namespace) -> ExportRequest:
    _require_sense(args)
    return ExportRequest(
        model=args.model if args.image_size is None else f"{args.model}-{args.image_size}px",
        targets=tuple(args.target),
        precisions=tuple(args.precision),
        encoder_precisions=tuple(args.encoder_precision),
        decoder_precisions=tuple(args.decoder_precision),
        out=args.out,
        checkpoint=args.checkpoint,
        random_seed=args.random_weights,
        license_accepted=args.accept_license,
        evaluation=args.evaluation,
        min_iou=args.min_iou,
        overwrite=args.overwrite,
        compress=args.compress,
        options=ExportOptions() if args.minimum_ios is None else ExportOptions(args.minimum_ios),
        quantization=_quantization(args),
    )


def _require_sense(args: argparse.Namespace) -> None:
    """Raise RequestError for options that contradict each other."""
    swapped = [name for name in args.target if name in VARIANTS]
    if swapped:
        raise RequestError(
            f"{swapped[0]!r} is a model, given as a target; the model comes first: sam-export {swapped[0]} --target T"
        )
    if args.minimum_ios is not None and "coreml" not in args.target:
        raise RequestError(f"--minimum-ios {args.minimum_ios} is for coreml, which is not a target here; leave it out")
    if args.compress and "web" not in args.target:
        raise RequestError("--compress is for web, which is not a target here; leave it out")
    if args.search_minutes <= 0:
        raise RequestError(f"--search-minutes {args.search_minutes:g}: allowed: above 0")


def _quantization(args: argparse.Namespace) -> QuantizeRequest:
    return QuantizeRequest(
        prefer=args.prefer,
        recipe=None if args.recipe is None else read_plan(args.recipe),
        search=args.search,
        minutes=args.search_minutes,
        state_folder=cache_folder() / "searches",
        calibration=() if args.calibration is None else pictures_in(args.calibration),
    )


def _model_help() -> str:
    return f"of {', '.join(VARIANTS)} ({DEFAULT_VARIANT})"


def _precision_help() -> str:
    default = ", ".join(f"{name} {' '.join(target.default_precisions)}" for name, target in TARGETS.items())
    known = dict.fromkeys(
        [precision for target in TARGETS.values() for precision in target.precisions] + list(QUANTIZED_PRECISIONS)
    )
    return f"of {', '.join(known)} (default: {default})"
