"""`sam-export segment BUNDLE IMAGE`: objects out of one picture, as an overlay, mask PNGs and COCO JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from ..contract import EngineOptions, EngineReport, ImageArray, PointLabel
from ..errors import OutputError, RequestError
from ..runtimes import Segmenter, open_bundle, read_image
from ..runtimes.coco import ScoredMask, coco_document
from ..runtimes.drawing import DrawnObject, draw_overlay
from ..staging import staged_folder
from .arguments import given_path, given_text, whole_number

OVERLAY = "overlay.png"
ANNOTATIONS = "coco.json"
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ObjectPrompt:
    """What asks for one object, in pixels of the picture."""

    box: Box | None = None
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("box",) * (self.box is not None) + ("point",) * bool(self.points)

    @property
    def all_outside(self) -> bool:
        """Whether it says only where the object is not, which SAM answers with whatever it likes."""
        return self.box is None and PointLabel.FOREGROUND not in self.labels

    @property
    def text(self) -> str:
        box = [] if self.box is None else ["box " + ",".join(f"{value:g}" for value in self.box)]
        points = [f"point {x:g},{y:g},{label}" for (x, y), label in zip(self.points, self.labels, strict=True)]
        return " ".join(box + points)


@dataclass(frozen=True)
class Segmented:
    """One object: its mask [H, W] bool and the model's own estimate of its IoU."""

    prompt: ObjectPrompt
    mask: NDArray[np.bool_]
    iou_prediction: float


@dataclass(frozen=True)
class SegmentRequest:
    bundle: Path
    image: Path
    prompts: tuple[ObjectPrompt, ...]
    out: Path
    overwrite: bool
    as_json: bool
    options: EngineOptions


@dataclass(frozen=True)
class ObjectRow:
    """One object as `segment --json` gives it.

    `unverified`: kinds of prompt that the bundle was not gated on. `notes`: what one should know before using the mask.
    """

    prompt: str
    mask: str
    iou_prediction: float
    area: int
    unverified: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SegmentResult:
    out: str
    files: tuple[str, ...]
    objects: tuple[ObjectRow, ...]
    engines: dict[str, EngineReport]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `segment`; its `run` default is the handler, `(Namespace) -> exit status`."""
    parser = subparsers.add_parser(
        "segment",
        help="segment a picture with a bundle",
        description="Every --box is an object of its own. Without a box, all --point together mean one object; "
        "with one box they refine it; with several boxes they are refused, since they could belong to any.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=given_path, help="a folder that sam-export wrote")
    parser.add_argument("image", metavar="IMAGE", type=given_path, help="a picture file")
    parser.add_argument("--box", metavar="X0,Y0,X1,Y1", action="append", default=[], help="in pixels of the picture")
    parser.add_argument(
        "--point", metavar="X,Y[,LABEL]", action="append", default=[], help="label 1 inside (default), 0 outside"
    )
    parser.add_argument("-o", "--out", metavar="DIR", type=given_path, required=True, help="folder to write")
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
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    request = SegmentRequest(
        bundle=args.bundle,
        image=args.image,
        prompts=object_prompts(args.box, args.point),
        out=args.out,
        overwrite=args.overwrite,
        as_json=args.json,
        options=EngineOptions(threads=args.threads, provider=args.provider),
    )
    return segment_picture(request, Console())


def segment_picture(request: SegmentRequest, console: Console) -> int:
    """Write `overlay.png`, `mask_<i>.png` and `coco.json` into the folder, all or nothing, and print them.

    Raises:
        OutputError: the folder holds anything, and `overwrite` is not given or it holds what this did not write.
        BundleError, ImageError, RequestError: a bad bundle, picture or prompt; nothing is written.
    """
    _require_replaceable(request.out, overwrite=request.overwrite)
    image = read_image(request.image)
    segmenter = open_bundle(request.bundle, options=request.options)
    segmenter.set_image(image)
    objects = [_segment(segmenter, prompt) for prompt in request.prompts]
    with staged_folder(request.out) as staging:
        files = _write(staging, request.image.name, image, objects)
    rows = tuple(_row(index, found, segmenter) for index, found in enumerate(objects))
    _print(SegmentResult(str(request.out), files, rows, segmenter.reports), console, as_json=request.as_json)
    return 0


def object_prompts(boxes: Sequence[str], points: Sequence[str]) -> tuple[ObjectPrompt, ...]:
    """Return one prompt an object from the command line's texts.

    Raises:
        RequestError: no prompt, a text that is not numbers, or points beside several boxes.
    """
    parsed = [_numbers("--point", text, (2, 3)) for text in points]
    coords = tuple((values[0], values[1]) for values in parsed)
    labels = tuple(_label(values) for values in parsed)
    corners = [_box(text) for text in boxes]
    if not corners and not coords:
        raise RequestError("segment: no prompt given; give --box x0,y0,x1,y1 or --point x,y[,label]")
    if len(corners) > 1 and coords:
        raise RequestError(
            f"segment: --point beside {len(corners)} boxes could mean any of them; segment that object apart"
        )
    if not corners:
        return (ObjectPrompt(None, coords, labels),)
    return tuple(ObjectPrompt(box, coords, labels) for box in corners)


def _box(text: str) -> Box:
    x0, y0, x1, y1 = _numbers("--box", text, (4,))
    return x0, y0, x1, y1


def _label(values: Sequence[float]) -> int:
    label = values[2] if len(values) == 3 else float(PointLabel.FOREGROUND)
    if label not in (PointLabel.BACKGROUND, PointLabel.FOREGROUND):
        raise RequestError(f"--point: label {label:g}; allowed: 1 inside the object, 0 outside")
    return int(label)


def _numbers(option: str, text: str, counts: tuple[int, ...]) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in counts:
        allowed = " or ".join(map(str, counts))
        raise RequestError(
            f"{option} {text!r}: give {allowed} numbers with commas and no spaces, in pixels of the picture"
        )
    return values


def _segment(segmenter: Segmenter, prompt: ObjectPrompt) -> Segmented:
    """Return the mask that the model itself rates best; only a single click is ambiguous enough to ask for several."""
    found = segmenter.predict(
        point_coords=prompt.points or None,
        point_labels=prompt.labels or None,
        box=prompt.box,
        multimask_output=prompt.box is None and len(prompt.points) == 1,
    )
    best = int(found.iou_predictions.argmax())
    return Segmented(prompt, found.masks[best].astype(np.bool_), float(found.iou_predictions[best]))


def _require_replaceable(out: Path, *, overwrite: bool) -> None:
    """Raise unless the folder is free, empty, or an earlier result that may be replaced as a whole."""
    above = next((folder for folder in out.parents if folder.exists()), out)
    if not above.is_dir():
        raise OutputError(f"{out}: {above} is a file, not a folder; give another -o")
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{out}: is a file; give a folder as -o")
    names = sorted(entry.name for entry in out.iterdir())
    foreign = [name for name in names if name not in (OVERLAY, ANNOTATIONS) and not _is_mask(name)]
    if foreign:
        raise OutputError(f"{out}: holds {foreign[0]!r}, which segment did not write; give another -o")
    if names and not overwrite:
        raise OutputError(f"{out}: holds an earlier result; give --overwrite to replace it, or another -o")


def _mask_name(index: int) -> str:
    return f"mask_{index}.png"


def _is_mask(name: str) -> bool:
    return name.startswith("mask_") and name.endswith(".png") and name[5:-4].isdecimal()


def _write(folder: Path, image_name: str, image: ImageArray, objects: Sequence[Segmented]) -> tuple[str, ...]:
    """Return the names of the files written; masks are 8-bit PNGs, 255 inside."""
    drawn = [DrawnObject(found.mask, found.prompt.box, found.prompt.points, found.prompt.labels) for found in objects]
    draw_overlay(image, drawn).save(folder / OVERLAY)
    for index, found in enumerate(objects):
        Image.fromarray(found.mask.astype(np.uint8) * 255).save(folder / _mask_name(index))
    scored = [ScoredMask(found.mask, found.iou_prediction) for found in objects]
    document = coco_document(image_name, (image.shape[0], image.shape[1]), scored)
    (folder / ANNOTATIONS).write_bytes(msgspec.json.encode(document) + b"\n")
    return (OVERLAY, *(_mask_name(index) for index in range(len(objects))), ANNOTATIONS)


def _row(index: int, found: Segmented, segmenter: Segmenter) -> ObjectRow:
    unverified = tuple(kind for kind in found.prompt.kinds if kind not in segmenter.mask_rule.prompts)
    area = int(np.count_nonzero(found.mask))
    notes = tuple(_notes(found.prompt, area, unverified))
    return ObjectRow(found.prompt.text, _mask_name(index), found.iou_prediction, area, unverified, notes)


def _notes(prompt: ObjectPrompt, area: int, unverified: Sequence[str]) -> Iterator[str]:
    for kind in unverified:
        yield f"this model was not trained to answer to a {kind}, and the bundle's accuracy does not cover it"
    if prompt.all_outside:
        yield "no point lies inside the object (label 1) and there is no box, so the mask is of nothing in particular"
    if not area:
        yield "the mask is empty: the model sees no object there"


def _print(result: SegmentResult, console: Console, *, as_json: bool) -> None:
    if as_json:
        text = msgspec.json.format(msgspec.json.encode(result), indent=2).decode()
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        return
    lines = [f"{result.out}: {', '.join(result.files)}"]
    lines += [
        f"  {row.mask}  predicted IoU {row.iou_prediction:.3f}, {row.area} pixels, {row.prompt}"
        for row in result.objects
    ]
    lines += [f"  {row.mask}  note: {note}" for row in result.objects for note in row.notes]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
