"""The flows of upstream's notebooks on automatic masks, over a model whose masks are known.

Sources: `notebooks/automatic_mask_generator_example.ipynb` (facebookresearch/segment-anything, facebookresearch/sam2).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam_export.errors import RequestError, UnsupportedError
from sam_export.runtimes import Segmenter
from sam_export.runtimes.automatic_options import GeneratorOptions
from sam_export.runtimes.upstream import (
    SAM2AutomaticMaskGenerator,
    SamAutomaticMaskGenerator,
    build_sam2,
    sam_model_registry,
)

from .conftest import write_geometric_bundle

KEYS = ["segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"]


def overlay(anns: list[Any]) -> np.ndarray:
    """The notebooks' `show_anns`, without the window."""
    sorted_anns = sorted(anns, key=(lambda x: x["area"]), reverse=True)
    img = np.ones((sorted_anns[0]["segmentation"].shape[0], sorted_anns[0]["segmentation"].shape[1], 4))
    img[:, :, 3] = 0
    for index, ann in enumerate(sorted_anns):
        m = ann["segmentation"]
        img[m] = np.concatenate([[index, 0, 0], [0.35]])
    return img


def test_sam_notebook(bundle: Path, picture: np.ndarray) -> None:
    sam = sam_model_registry["default"](checkpoint=str(bundle))
    sam.to(device="cpu")
    assert SamAutomaticMaskGenerator(sam).options == GeneratorOptions()
    mask_generator = SamAutomaticMaskGenerator(
        model=sam,
        points_per_side=8,
        pred_iou_thresh=0.76,
        stability_score_thresh=0.22,
        crop_n_layers=1,
        crop_n_points_downscale_factor=2,
        min_mask_region_area=100,
    )
    masks = mask_generator.generate(picture)
    assert list(masks[0].keys()) == KEYS
    assert len({tuple(mask["crop_box"]) for mask in masks}) > 1
    assert overlay(masks)[..., 3].any()


def test_sam2_notebook(graph_folder: Path, picture: np.ndarray, tmp_path: Path) -> None:
    full = np.ones(picture.shape[:2])
    checkpoint = write_geometric_bundle(graph_folder, picture, full, tmp_path, "sam2.1_hiera_large")
    sam2 = build_sam2("configs/sam2.1/sam2.1_hiera_l.yaml", str(checkpoint), device="cpu", apply_postprocessing=False)
    assert SAM2AutomaticMaskGenerator(sam2).options == GeneratorOptions(pred_iou_thresh=0.8, mask_threshold=0.0)
    mask_generator = SAM2AutomaticMaskGenerator(
        model=sam2,
        points_per_side=8,
        points_per_batch=16,
        pred_iou_thresh=0.7,
        stability_score_thresh=0.22,
        stability_score_offset=0.7,
        crop_n_layers=1,
        box_nms_thresh=0.7,
        crop_n_points_downscale_factor=2,
        min_mask_region_area=25.0,
        use_m2m=True,
    )
    masks = mask_generator.generate(picture)
    assert list(masks[0].keys()) == KEYS
    assert overlay(masks)[..., 3].any()
    with pytest.raises(UnsupportedError, match="device cuda"):
        SAM2AutomaticMaskGenerator.from_pretrained(str(checkpoint), device="cuda")
    opened = SAM2AutomaticMaskGenerator.from_pretrained(str(checkpoint), points_per_side=2)
    assert opened.options.points_per_side == 2


def test_options_in_upstreams_order(segmenter: Segmenter) -> None:
    options = SamAutomaticMaskGenerator(segmenter, 4, 8, 0.5, 0.6, 2.0, 0.9, 1).options
    assert (options.points_per_side, options.points_per_batch, options.pred_iou_thresh) == (4, 8, 0.5)
    assert (options.stability_score_offset, options.box_nms_thresh, options.crop_n_layers) == (2.0, 0.9, 1)
    second = SAM2AutomaticMaskGenerator(segmenter, 4, 8, 0.5, 0.6, 2.0, 0.1, 0.9).options
    assert (second.mask_threshold, second.box_nms_thresh, second.pred_iou_thresh) == (0.1, 0.9, 0.5)
    with pytest.raises(TypeError, match="points_per_side given in order and by name"):
        SamAutomaticMaskGenerator(segmenter, 4, points_per_side=4)
    with pytest.raises(TypeError, match="14 options in order, at most 13"):
        SamAutomaticMaskGenerator(segmenter, *range(14))
    with pytest.raises(RequestError, match="pred_iou_thresh 2"):
        SAM2AutomaticMaskGenerator(segmenter, pred_iou_thresh=2)


def test_a_threshold_of_its_own(segmenter: Segmenter) -> None:
    """A square's logits are 4 - distance for token 2: above 2, half as wide."""
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    given = {"points_per_side": 1, "pred_iou_thresh": 0.75, "stability_score_thresh": 0.0}
    (usual,) = SAM2AutomaticMaskGenerator(segmenter, **given).generate(picture)
    (higher,) = SAM2AutomaticMaskGenerator(segmenter, **given, mask_threshold=2.0).generate(picture)
    assert (usual["area"], higher["area"]) == (64, 16)
    assert usual["stability_score"] > higher["stability_score"] == 0.0  # no logit is above 3
