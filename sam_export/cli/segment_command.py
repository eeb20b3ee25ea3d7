"""`sam-export segment BUNDLE IMAGE...`: objects out of one picture by prompts, or everything out of many."""

from __future__ import annotations

import argparse
from typing import cast, get_type_hints

from rich.console import Console

from ..contract import EngineOptions
from ..errors import RequestError
from ..runtimes.automatic_options import GeneratorKeywords
from ..runtimes.outputs import WRITERS, OutlineStyle
from .arguments import given_path, given_text, number, whole_number
from .object_prompts import object_prompts
from .segment_everything import EverythingRequest, segment_everything
from .segment_prompted import SegmentRequest, segment_picture

# Upstream's `scripts/amg.py` has the same names.
GENERATOR_OPTIONS = {
    "points_per_side": "points along each side of the grid (32)",
    "points_per_batch": "points in one call of the decoder",
    "pred_iou_thresh": "the model's own estimate that a mask must exceed (0.88)",
    "stability_score_thresh": "how stable a mask must be (0.95)",
    "box_nms_thresh": "the IoU of boxes above which one of two masks goes (0.7)",
    "crop_n_layers": "layers of crops to segment, too (0)",
    "crop_n_points_downscale_factor": "how much fewer points a side each layer has (1)",
    "min_mask_region_area": "fill holes and remove islands of fewer pixels (0)",
}
DESCRIPTION = """Every --box is an object of its own. Without a box, all --point together mean one object; with one box
they refine it; with several boxes they are refused, since they could belong to any. With --everything, whatever a grid
of points finds is segmented, in any number of pictures, folders and globs; a run that was interrupted goes on where
it was."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `segment`; its `run` default is the handler, `(Namespace) -> exit status`."""
    parser = subparsers.add_parser("segment", help="segment pictures with a bundle", description=DESCRIPTION)
    parser.add_argument("bundle", metavar="BUNDLE", type=given_path, help="a folder that sam-export wrote")
    parser.add_argument("images", metavar="IMAGE", type=given_path, nargs="+", help="a picture, a folder or a glob")
    parser.add_argument("--box", metavar="X0,Y0,X1,Y1", action="append", default=[], help="in pixels of the picture")
    parser.add_argument(
        "--point", metavar="X,Y[,LABEL]", action="append", default=[], help="label 1 inside (default), 0 outside"
    )
    parser.add_argument(
        "-o", "--out", metavar="DIR", type=given_path, required=True, help="folder for masks, an overlay, annotations"
    )
    parser.add_argument(
        "--threads", type=whole_number, metavar="N", help="threads of the engine (default: its own choice)"
    )
    parser.add_argument(
        "--provider",
        type=given_text,
        metavar="NAME",
        help="ONNX Runtime provider, OpenVINO device or Core ML compute unit",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result of this command")
    parser.add_argument("--json", action="store_true", help="print the result for machines")
    _add_everything(parser)
    parser.set_defaults(run=_run)


def _add_everything(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("everything")
    group.add_argument("--everything", action="store_true", help="segment whatever is there, without prompts")
    group.add_argument(
        "--format", nargs="+", choices=tuple(WRITERS), metavar="FORMAT", help=f"{', '.join(WRITERS)} (coco)"
    )
    group.add_argument("--hierarchical", action="store_true", help="ask fewer points, and miss some small things")
    group.add_argument("--polygons", action="store_true", help="COCO polygons instead of run lengths")
    group.add_argument("--simplify", type=number, metavar="PIXELS", help="how far outlines may be off (1; 0: exact)")
    types = get_type_hints(GeneratorKeywords)
    for name, text in GENERATOR_OPTIONS.items():
        kind = number if types[name] is float else whole_number
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=text)


def _run(args: argparse.Namespace) -> int:
    options = EngineOptions(threads=args.threads, provider=args.provider)
    if args.everything:
        return segment_everything(_everything(args, options), Console(), Console(stderr=True))
    for name in ("format", "hierarchical", "polygons", "simplify", *GENERATOR_OPTIONS):
        if getattr(args, name) not in (None, False):
            raise RequestError(f"--{name.replace('_', '-')}: goes with --everything; give that, or leave this out")
    if len(args.images) > 1:
        raise RequestError(f"segment: {len(args.images)} pictures; prompts are of one: give one, or --everything")
    request = SegmentRequest(
        bundle=args.bundle,
        image=args.images[0],
        prompts=object_prompts(args.box, args.point),
        out=args.out,
        overwrite=args.overwrite,
        as_json=args.json,
        options=options,
    )
    return segment_picture(request, Console())


def _everything(args: argparse.Namespace, options: EngineOptions) -> EverythingRequest:
    if args.box or args.point:
        raise RequestError("--everything: asks a grid of points; leave out --box and --point, or leave this out")
    given = {name: getattr(args, name) for name in GENERATOR_OPTIONS if getattr(args, name) is not None}
    keywords = cast(GeneratorKeywords, {"hierarchical": args.hierarchical, **given})  # typed as they were parsed
    tolerance = 1.0 if args.simplify is None else args.simplify
    if not 0 <= tolerance <= 100:
        raise RequestError(f"--simplify {tolerance:g}: give pixels from 0 to 100")
    return EverythingRequest(
        bundle=args.bundle,
        images=tuple(args.images),
        out=args.out,
        formats=tuple(dict.fromkeys(args.format or ("coco",))),
        style=OutlineStyle(tolerance, coco_polygons=args.polygons),
        keywords=keywords,
        overwrite=args.overwrite,
        as_json=args.json,
        options=options,
    )
