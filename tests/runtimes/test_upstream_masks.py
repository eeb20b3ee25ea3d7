"""Everything in a picture, beside upstream's own generator on the same model: masks, boxes, scores, points, order.

The generators are compared on a model that answers to colours (`colour_model`), which gives masks of real shapes, and
on SAM's own architecture with random weights, whose masks are few and ragged.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from torch import nn

from sam_export.models import FAMILIES
from sam_export.models.loader import random_model
from sam_export.runtimes import Segmenter
from sam_export.runtimes.mask_runs import UncompressedRle
from sam_export.runtimes.upstream import SamAutomaticMaskGenerator

from ..models.family_cases import vit_sam
from .colour_model import colour_segmenter, upstream_colour_sam
from .exported import exported
from .upstream_source import segment_anything, upstream_sam

pytestmark = pytest.mark.slow
FAITHFUL_SHARE = 0.99

# Options of upstream's generator; `mask_threshold` is an attribute of its model.
OPTION_SETS: dict[str, dict[str, Any]] = {
    "limits": {"points_per_side": 12, "pred_iou_thresh": 0.8, "stability_score_thresh": 0.5, "box_nms_thresh": 0.8},
    "other limits": {
        "points_per_side": 12,
        "points_per_batch": 50,
        "pred_iou_thresh": 0.8,
        "stability_score_thresh": 0.653,
        "stability_score_offset": 0.6,
        "box_nms_thresh": 0.8,
        "mask_threshold": 1.0,
        "output_mode": "uncompressed_rle",
    },
    "small regions": {
        "points_per_side": 8,
        "pred_iou_thresh": 0.0,
        "stability_score_thresh": 0.0,
        "box_nms_thresh": 0.8,
        "min_mask_region_area": 100,
    },
    "crops": {
        "points_per_side": 10,
        "pred_iou_thresh": 0.8,
        "stability_score_thresh": 0.5,
        "box_nms_thresh": 0.9,
        "crop_nms_thresh": 0.8,
        "crop_n_layers": 1,
        "crop_n_points_downscale_factor": 2,
        "crop_overlap_ratio": 0.4,
        "min_mask_region_area": 30,
    },
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with segment_anything(tmp_path_factory.mktemp("wheel")) as found:
        yield found


@pytest.fixture(scope="module")
def coins() -> np.ndarray:
    import skimage.data

    return skimage.data.coins()[:200, :256, np.newaxis].repeat(3, axis=-1)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    return colour_segmenter(tmp_path_factory.mktemp("colour"))


@pytest.fixture(scope="module")
def sam(package: ModuleType) -> nn.Module:
    return upstream_colour_sam(importlib.import_module(f"{package.__name__}.modeling"))


def both(
    package: ModuleType, sam: nn.Module, segmenter: Segmenter, image: np.ndarray, options: dict[str, Any]
) -> tuple[list[Any], list[Any]]:
    """The records of upstream's generator, empty masks left out, and those of ours."""
    asked = {"output_mode": "coco_rle", **options}
    threshold = asked.pop("mask_threshold", 0.0)
    sam.mask_threshold = threshold
    reference = package.SamAutomaticMaskGenerator(sam, **asked).generate(image)
    found = SamAutomaticMaskGenerator(segmenter, **asked, mask_threshold=threshold).generate(image)
    return [record for record in reference if record["area"]], found


def packed(mask: dict[str, Any] | UncompressedRle) -> dict[str, Any]:
    rle: dict[str, Any] = dict(mask)
    return coco_mask.frPyObjects(rle, *rle["size"]) if isinstance(rle["counts"], list) else rle


def agrees(one: Any, other: Any) -> bool:
    """Whether two records are of the same mask, and say the same of it."""
    same = (
        list(one["crop_box"]) == list(other["crop_box"])
        and np.allclose(one["point_coords"], other["point_coords"], atol=1e-3)
        and abs(one["predicted_iou"] - other["predicted_iou"]) < 1e-3
        and abs(one["stability_score"] - other["stability_score"]) < 1e-2
        and np.abs(np.subtract(one["bbox"], other["bbox"])).max() <= 1
        and abs(one["area"] - other["area"]) <= 0.02 * one["area"]
    )
    return bool(same and coco_mask.iou([packed(one["segmentation"])], [packed(other["segmentation"])], [0]) >= 0.98)


def check(reference: Sequence[Any], found: Sequence[Any]) -> None:
    """99 % of the masks are there and the same in everything, in the same order, and as few are there besides."""
    partners = [next((i for i, other in enumerate(found) if agrees(one, other)), None) for one in reference]
    matched = [index for index in partners if index is not None]
    assert len(matched) >= FAITHFUL_SHARE * max(len(reference), len(found))
    assert matched == sorted(set(matched))


@pytest.mark.parametrize("name", OPTION_SETS)
def test_records_are_upstreams(
    package: ModuleType, sam: nn.Module, segmenter: Segmenter, coins: np.ndarray, name: str
) -> None:
    reference, found = both(package, sam, segmenter, coins, OPTION_SETS[name])
    assert len(reference) >= 50
    check(reference, found)


def test_other_options_give_other_masks(
    package: ModuleType, sam: nn.Module, segmenter: Segmenter, coins: np.ndarray
) -> None:
    """The comparison tells a stability offset, a threshold and an overlap that are not the asked ones."""
    options = OPTION_SETS["other limits"]
    reference, _ = both(package, sam, segmenter, coins, options)
    for name, value in {"stability_score_offset": 1.0, "mask_threshold": 0.0, "box_nms_thresh": 0.7}.items():
        found = SamAutomaticMaskGenerator(segmenter, **{**options, name: value}).generate(coins)
        with pytest.raises(AssertionError):
            check(reference, found)


def test_sams_own_architecture(package: ModuleType, coins: np.ndarray, tmp_path: Path) -> None:
    variant = vit_sam()
    model = random_model(FAMILIES[variant.family].build(variant), variant, seed=4)
    options = {
        "points_per_side": 8,
        "pred_iou_thresh": 0.0,
        "stability_score_thresh": 0.0,
        "stability_score_offset": 0.1,
        "box_nms_thresh": 1.0,
        "mask_threshold": 0.5,
    }
    reference, found = both(package, upstream_sam(package, model), exported(model, tmp_path), coins, options)
    assert len(reference) >= 50
    check(reference, found)
