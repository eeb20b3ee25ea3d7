"""Objects out of one picture, one a prompt, as an overlay, mask PNGs and COCO JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from ..contract import EngineOptions, EngineReport, ImageArray
from ..errors import OutputError
from ..runtimes import Segmenter, open_bundle, read_image
from ..runtimes.coco import ScoredMask, coco_document
from ..runtimes.drawing import DrawnObject, draw_overlay
from ..staging import staged_folder
from .arguments import require_folder
from .object_prompts import ObjectPrompt
from .printing import print_json, print_text

OVERLAY = "overlay.png"
ANNOTATIONS = "coco.json"


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
    with staged_folder(request.out, overwrite=request.overwrite) as staging:
        files = _write(staging, request.image.name, image, objects)
    rows = tuple(_row(index, found, segmenter) for index, found in enumerate(objects))
    _print(SegmentResult(str(request.out), files, rows, segmenter.reports), console, as_json=request.as_json)
    return 0


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
    require_folder(out)
    if not out.exists():
        return
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
        print_json(console, result)
        return
    lines = [f"{result.out}: {', '.join(result.files)}"]
    lines += [
        f"  {row.mask}  predicted IoU {row.iou_prediction:.3f}, {row.area} pixels, {row.prompt}"
        for row in result.objects
    ]
    lines += [f"  {row.mask}  note: {note}" for row in result.objects for note in row.notes]
    print_text(console, "\n".join(lines))
