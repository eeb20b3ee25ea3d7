"""Bundles for the browser tests, and the masks that the Python runtime gives on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from sam_export import open_bundle
from sam_export.contract import EngineOptions
from sam_export.runtimes import AutomaticMaskGenerator, Segmenter

Prompt = Mapping[str, Any]
Setting = tuple[Literal["isolated", "plain"], int]

GRID = 4
SETTINGS: tuple[Setting, ...] = (("isolated", 2), ("isolated", 1), ("plain", 1))


@dataclass(frozen=True)
class WebCase:
    """A bundle, a picture, and what to ask; `min_iou`: how alike the masks of two runtimes must be.

    `variant`: what the page asks for, None for its own choice; `runs`: what it then runs in WebAssembly; `reference`:
    the variant whose masks Python gives; `settings`: how the page is served, and its threads; `everything`: whether
    what is found without a prompt is compared, too.
    """

    bundle: Path
    picture: np.ndarray
    prompts: Sequence[Prompt]
    min_iou: float = 0.999
    variant: str | None = None
    runs: str = "fp32"
    reference: str | None = None
    settings: Sequence[Setting] = SETTINGS
    everything: bool = True


def write_cases(folder: Path, cases: Sequence[WebCase]) -> Path:
    """Write `cases.json` beside the bundles, which lie in `folder`; return the folder."""
    (folder / "cases.json").write_text(json.dumps([_case(folder, case) for case in cases]))
    return folder


def _case(folder: Path, case: WebCase) -> dict[str, Any]:
    name = f"{case.bundle.name}-{case.runs}"
    picture, embedding = f"{name}.png", f"{name}.semb"
    Image.fromarray(case.picture).save(folder / picture)
    segmenter = open_bundle(case.bundle, variant=case.reference, options=EngineOptions(threads=1))
    segmenter.set_image(case.picture)
    segmenter.save_embedding(folder / embedding)
    answers = []
    for prompt in case.prompts:
        for multimask in (False, True):
            predicted = segmenter.predict(
                prompt.get("points"), prompt.get("labels"), prompt.get("box"), multimask_output=multimask
            )
            answers.append(
                {
                    "prompt": prompt,
                    "multimask": multimask,
                    "masks": [_rle(mask) for mask in predicted.masks],
                    "iou_predictions": predicted.iou_predictions.tolist(),
                }
            )
    return {
        "name": name,
        "bundle": case.bundle.relative_to(folder).as_posix(),
        "variant": case.variant,
        "runs": case.runs,
        "picture": picture,
        "embedding": embedding,
        "settings": [{"kind": kind, "threads": threads} for kind, threads in case.settings],
        "min_iou": case.min_iou,
        "prompts": answers,
        "everything": _everything(segmenter, case.picture) if case.everything else None,
    }


def _everything(segmenter: Segmenter, picture: np.ndarray) -> dict[str, Any]:
    found = AutomaticMaskGenerator(
        segmenter, points_per_side=GRID, pred_iou_thresh=0, stability_score_thresh=0, output_mode="coco_rle"
    ).generate(picture)
    return {
        "options": {"pointsPerSide": GRID, "predIouThreshold": 0, "stabilityThreshold": 0},
        "masks": [{"rle": record["segmentation"], "stability": record["stability_score"]} for record in found],
    }


def _rle(mask: np.ndarray) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}
