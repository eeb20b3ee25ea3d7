"""Everything in a picture, over real ONNX Runtime sessions of a model whose masks are known beforehand.

A point's masks are squares of 16 pixels of the prompt frame around it, less 4 pixels a token: in a picture of the
frame's size, at a predicted IoU of 0.5, 0.8 and 0.7.
"""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from sam_export.contract import Session
from sam_export.errors import ImageError, RequestError
from sam_export.runtimes import AutomaticMaskGenerator, Segmenter
from sam_export.runtimes.automatic_grid import Crop, crops_of, point_grid
from sam_export.runtimes.automatic_options import GeneratorKeywords, GeneratorOptions, OutputMode
from sam_export.runtimes.automatic_windows import upsampler
from sam_export.runtimes.mask_runs import binary_mask
from sam_export.runtimes.postprocess import upsample

from . import geometric_model as model

KEEP_ALL = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}


@pytest.fixture
def frame_picture() -> np.ndarray:
    """Uint8 [64, 64, 3]: as large as the prompt frame."""
    return np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)


def boxes(records: list[Any]) -> list[tuple[int, ...]]:
    return [tuple(record["bbox"]) for record in records]


def test_records_are_upstreams(segmenter: Segmenter, frame_picture: np.ndarray) -> None:
    records = segmenter.generate(frame_picture, points_per_side=2, pred_iou_thresh=0.75, stability_score_thresh=0.0)
    assert [record["point_coords"] for record in records] == [[[x, y]] for y in (16.0, 48.0) for x in (16.0, 48.0)]
    first = records[0]
    # Token 2 has logits of 8 - distance - 4, so its square reaches from 12 to 20.
    expected = np.zeros((64, 64), np.bool_)
    expected[12:20, 12:20] = True
    assert np.array_equal(first["segmentation"], expected)
    assert first == {
        "segmentation": first["segmentation"],
        "area": 64,
        "bbox": [12, 12, 7, 7],
        "predicted_iou": pytest.approx(0.8),
        "point_coords": [[16.0, 16.0]],
        "stability_score": pytest.approx(36 / 100),
        "crop_box": [0, 0, 64, 64],
    }


def test_the_best_of_equal_boxes_stays(segmenter: Segmenter, frame_picture: np.ndarray) -> None:
    strict = segmenter.generate(frame_picture, points_per_side=1, box_nms_thresh=0.1, **KEEP_ALL)
    assert [record["predicted_iou"] for record in strict] == [pytest.approx(0.8)]
    lax = segmenter.generate(frame_picture, points_per_side=1, box_nms_thresh=1.0, **KEEP_ALL)
    assert [record["predicted_iou"] for record in lax] == [pytest.approx(iou) for iou in (0.8, 0.7, 0.5)]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"pred_iou_thresh": 0.75}, [0.8]),
        ({"pred_iou_thresh": 0.6}, [0.8, 0.7]),
        ({"stability_score_thresh": 0.3}, [0.8, 0.5]),  # 100/196, 36/100, 4/36
        ({"stability_score_thresh": 0.5}, [0.5]),
        ({"stability_score_thresh": 0.5, "stability_score_offset": 0.0}, [0.8, 0.7, 0.5]),
        ({"multimask_output": False}, [0.9]),
    ],
)
def test_thresholds(
    segmenter: Segmenter, frame_picture: np.ndarray, options: dict[str, Any], left: list[float]
) -> None:
    given = {"points_per_side": 1, "box_nms_thresh": 1.0, **KEEP_ALL, **options}
    records = segmenter.generate(frame_picture, **given)
    assert [record["predicted_iou"] for record in records] == [pytest.approx(iou) for iou in left]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_batches_change_nothing(segmenter: Segmenter, picture: np.ndarray, batch: int) -> None:
    usual = segmenter.generate(picture, points_per_side=4, output_mode="coco_rle", **KEEP_ALL)
    batched = segmenter.generate(picture, points_per_side=4, points_per_batch=batch, output_mode="coco_rle", **KEEP_ALL)
    assert usual == batched
    assert len(usual) > 10


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_output_modes_are_the_same_masks(segmenter: Segmenter, picture: np.ndarray) -> None:
    binary, uncompressed, packed = (
        segmenter.generate(picture, points_per_side=3, output_mode=mode, **KEEP_ALL) for mode in get_args(OutputMode)
    )
    assert len(binary) == len(uncompressed) == len(packed) > 5
    for mask, counts, rle in zip(binary, uncompressed, packed, strict=True):
        assert np.array_equal(coco_mask.decode(rle["segmentation"]), mask["segmentation"])
        again = coco_mask.frPyObjects(counts["segmentation"], *counts["segmentation"]["size"])
        assert again["counts"].decode() == rle["segmentation"]["counts"]
        assert mask["area"] == mask["segmentation"].sum()


@pytest.mark.parametrize("hw", [(64, 64), (60, 100), (100, 60), (7, 300), (20, 20), (500, 330)], ids=str)
def test_windows_are_the_whole_masks(hw: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        low_res = (rng.standard_normal((model.CELLS, model.CELLS)) * 2 - 9).astype(np.float32)
        y, x = rng.integers(0, model.CELLS, 2)
        low_res[y : y + 6, x : x + 9] += 12
        whole = upsample(low_res[np.newaxis], hw, model.PREPROCESSING, model.MASK_RULE)[0]
        window = upsampler(hw, model.PREPROCESSING, model.MASK_RULE).window(low_res, -1.0)
        pasted = np.full(hw, -np.inf, np.float32)
        if window is not None:
            height, width = window.logits.shape
            pasted[window.top : window.top + height, window.left : window.left + width] = window.logits
        for level in (-1, 0, 1):
            assert np.array_equal(pasted > level, whole > level)


def test_crops_find_what_they_show(segmenter: Segmenter, frame_picture: np.ndarray) -> None:
    image = np.tile(frame_picture, (4, 4, 1))
    records = segmenter.generate(
        image, points_per_side=4, crop_n_layers=1, crop_n_points_downscale_factor=2, **KEEP_ALL
    )
    crops = {tuple(record["crop_box"]) for record in records}
    assert {crop.xywh for crop in crops_of((256, 256), 1, 512 / 1500)[1:]} <= crops
    for record in records:  # a mask of a crop is smaller, lies around its point, and in its crop
        ((x, y),) = record["point_coords"]
        left, top, width, height = record["crop_box"]
        mask_y, mask_x = np.nonzero(record["segmentation"])
        assert abs(mask_x.mean() + 0.5 - x) < 2
        assert abs(mask_y.mean() + 0.5 - y) < 2
        assert left <= mask_x.min()
        assert mask_x.max() < left + width
        assert top <= mask_y.min()
        assert mask_y.max() < top + height
    largest = {layer: max(r["area"] for r in records if (r["crop_box"][2] == 256) == (not layer)) for layer in (0, 1)}
    assert largest[0] > 1.8 * largest[1]


def test_a_mask_cut_off_by_a_crop_goes(segmenter: Segmenter) -> None:
    image = np.random.default_rng(2).integers(0, 256, (400, 400, 3), np.uint8)
    # With one point a crop, its mask spans 16 of 64 parts: far from each edge. With 4, those at the edges reach them.
    few = segmenter.generate(image, points_per_side=1, crop_n_layers=1, **KEEP_ALL)
    assert len({tuple(record["crop_box"]) for record in few}) == 5
    many = segmenter.generate(image, points_per_side=4, crop_n_layers=1, crop_nms_thresh=1.0, **KEEP_ALL)
    for record in many:
        left, top, width, height = record["crop_box"]
        x, y, w, h = record["bbox"]
        for near, side, edge in ((x, left, 0), (y, top, 0), (x + w, left + width, 400), (y + h, top + height, 400)):
            assert abs(near - side) > 20 or abs(near - edge) <= 20


def test_small_regions_are_removed(sessions: dict[str, Session], frame_picture: np.ndarray) -> None:
    segmenter = Segmenter(sessions, model.PREPROCESSING, model.MASK_RULE)
    kept = segmenter.generate(frame_picture, points_per_side=2, min_mask_region_area=50, **KEEP_ALL)
    plain = segmenter.generate(frame_picture, points_per_side=2, **KEEP_ALL)
    assert sorted(boxes(kept)) == sorted(boxes(plain))  # an only island stays, however small


def test_mask_refinement_feeds_each_mask_back(segmenter: Segmenter, frame_picture: np.ndarray) -> None:
    # The model adds what is fed back: token 0's logits (8 - d) and token 2's (4 - d) give 12 - 2 d, a square of 12.
    (record,) = segmenter.generate(
        frame_picture,
        points_per_side=1,
        use_m2m=True,
        box_nms_thresh=0.0,
        pred_iou_thresh=0.85,
        stability_score_thresh=0.0,
    )
    assert record["predicted_iou"] == pytest.approx(0.9)
    assert record["bbox"] in ([25, 25, 13, 13], [26, 26, 11, 11], [27, 27, 9, 9])


def test_hierarchical_asks_fewer_points(segmenter: Segmenter, frame_picture: np.ndarray) -> None:
    full = segmenter.generate(frame_picture, points_per_side=16, box_nms_thresh=1.0, **KEEP_ALL)
    spared = segmenter.generate(
        frame_picture, points_per_side=16, box_nms_thresh=1.0, hierarchical=True, high_score_thresh=0.5, **KEEP_ALL
    )
    asked = {tuple(record["point_coords"][0]) for record in spared}
    assert asked < {tuple(record["point_coords"][0]) for record in full}
    coarse = {(x, y) for y in range(6, 64, 16) for x in range(6, 64, 16)}
    assert coarse <= asked
    # A square of 11 pixels around each coarse point is above 0.5, which covers its 8 neighbours.
    assert len(asked) == 256 - 8 * 16


def test_progress_counts_points(segmenter: Segmenter, frame_picture: np.ndarray) -> None:
    steps: list[tuple[int, int]] = []
    generator = AutomaticMaskGenerator(segmenter, points_per_side=4, points_per_batch=5, crop_n_layers=1)
    generator.generate(frame_picture, lambda done, total: steps.append((done, total)))
    assert steps[-1] == (80, 80)
    assert steps == sorted(steps)


def test_the_current_picture_stays(segmenter: Segmenter, frame_picture: np.ndarray, picture: np.ndarray) -> None:
    segmenter.set_image(picture)
    segmenter.generate(frame_picture, points_per_side=1)
    assert segmenter.original_hw == (60, 100)


def test_pil_images_and_bad_ones(segmenter: Segmenter, frame_picture: np.ndarray) -> None:
    assert segmenter.generate(Image.fromarray(frame_picture), points_per_side=1, pred_iou_thresh=0.0) == []
    with pytest.raises(ImageError, match="uint8"):
        segmenter.generate(frame_picture.astype(np.float32))


def test_one_pixel_wide(segmenter: Segmenter) -> None:
    records = segmenter.generate(np.zeros((50, 1, 3), np.uint8), points_per_side=4, **KEEP_ALL)
    assert all(record["segmentation"].shape == (50, 1) for record in records)
    assert records


def test_a_model_without_point_training_says_so(sessions: dict[str, Session]) -> None:
    boxes_only = dataclasses.replace(model.MASK_RULE, prompts=("box",))
    (note,) = AutomaticMaskGenerator(Segmenter(sessions, model.PREPROCESSING, boxes_only)).notes
    assert "not trained to answer to points" in note
    assert AutomaticMaskGenerator(Segmenter(sessions, model.PREPROCESSING, model.MASK_RULE)).notes == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_per_side": 0}, "points_per_side 0: give a whole number from 1 to 1024"),
        ({"points_per_side": None}, "give either points_per_side or point_grids"),
        ({"point_grids": [point_grid(2)]}, "give either points_per_side or point_grids"),
        ({"points_per_side": None, "point_grids": [point_grid(2)] * 2}, "2, with crop_n_layers 0 allowed: 1"),
        ({"points_per_side": None, "point_grids": [np.full((3, 2), np.nan)]}, "outside 0..1"),
        ({"points_per_side": None, "point_grids": [np.zeros((0, 2))]}, r"allowed: \[P, 2\]"),
        ({"points_per_side": None, "point_grids": [point_grid(2)], "hierarchical": True}, "needs a square grid"),
        ({"points_per_batch": 0}, "points_per_batch 0: give a whole number"),
        ({"pred_iou_thresh": 1.5}, "pred_iou_thresh 1.5: give a number from 0 to 1"),
        ({"stability_score_thresh": float("nan")}, "stability_score_thresh nan"),
        ({"crop_overlap_ratio": 1.0}, "crop_overlap_ratio 1.0"),
        ({"crop_n_layers": 2, "crop_n_points_downscale_factor": 9}, "leaves no point in the last layer"),
        ({"output_mode": "png"}, "output_mode 'png': unknown; allowed: binary_mask, uncompressed_rle, coco_rle"),
        ({"min_mask_region_area": -1}, "min_mask_region_area -1"),
    ],
)
def test_bad_options_are_refused(segmenter: Segmenter, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        AutomaticMaskGenerator(segmenter, **options)


def test_explicit_grids(segmenter: Segmenter, frame_picture: np.ndarray) -> None:
    grid = np.array([[0.25, 0.5]])
    records = segmenter.generate(frame_picture, points_per_side=None, point_grids=[grid], **KEEP_ALL)
    assert {tuple(record["point_coords"][0]) for record in records} == {(16.0, 32.0)}


def test_keywords_are_the_options() -> None:
    assert list(GeneratorKeywords.__annotations__) == [field.name for field in dataclasses.fields(GeneratorOptions)]


def test_crops_are_upstreams() -> None:
    # Of `generate_crop_boxes((300, 400), 2, 512 / 1500)`, run once.
    boxes_of_layer_1 = [crop.xyxy for crop in crops_of((300, 400), 2, 512 / 1500) if crop.layer == 1]
    assert boxes_of_layer_1 == [(0, 0, 251, 201), (0, 99, 251, 300), (149, 0, 400, 201), (149, 99, 400, 300)]
    assert crops_of((300, 400), 0, 0.3) == (Crop(0, 0, 400, 300),)
    assert len(crops_of((300, 400), 2, 512 / 1500)) == 21


def test_binary_masks_are_bool_and_whole(segmenter: Segmenter, picture: np.ndarray) -> None:
    (candidate, *_) = AutomaticMaskGenerator(segmenter, points_per_side=2, **KEEP_ALL).candidates(picture)
    mask = binary_mask(candidate.runs)
    assert mask.dtype == np.bool_
    assert mask.shape == (60, 100)
