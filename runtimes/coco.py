"""Masks as COCO JSON: what annotation tools and `pycocotools.coco.COCO` read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

CATEGORY = "object"


@dataclass(frozen=True)
class ScoredMask:
    """`mask` [H, W] bool; `score`: the model's own estimate of its IoU."""

    mask: NDArray[np.bool_]
    score: float


class CocoImage(TypedDict):
    id: int
    file_name: str
    height: int
    width: int


class CocoCategory(TypedDict):
    id: int
    name: str


class CocoRle(TypedDict):
    """Compressed run lengths, column by column. `size` is [height, width]."""

    size: list[int]
    counts: str


class CocoAnnotation(TypedDict):
    """`bbox` is [x, y, width, height] of the mask itself, not of the prompt; `area` in pixels."""

    id: int
    image_id: int
    category_id: int
    segmentation: CocoRle
    bbox: list[float]
    area: int
    iscrowd: int
    score: float


class CocoDocument(TypedDict):
    images: list[CocoImage]
    annotations: list[CocoAnnotation]
    categories: list[CocoCategory]


def coco_document(file_name: str, image_hw: tuple[int, int], masks: Sequence[ScoredMask]) -> CocoDocument:
    """Return the annotations of one picture; ids count from 1, one category called "object"."""
    height, width = image_hw
    return {
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
        "annotations": [_annotation(index, scored) for index, scored in enumerate(masks, start=1)],
        "categories": [{"id": 1, "name": CATEGORY}],
    }


def rle_of_mask(mask: NDArray[np.bool_]) -> CocoRle:
    """Return a mask [H, W] as run lengths."""
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def _annotation(index: int, scored: ScoredMask) -> CocoAnnotation:
    rle = rle_of_mask(scored.mask)
    return {
        "id": index,
        "image_id": 1,
        "category_id": 1,
        "segmentation": rle,
        "bbox": [float(value) for value in coco_mask.toBbox(rle)],
        "area": int(coco_mask.area(rle)),
        "iscrowd": 0,
        "score": float(scored.score),
    }
