"""The options of the mask generator, with upstream's names and defaults, checked before any work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

import numpy as np

from ..errors import RequestError
from .automatic_grid import Points

OutputMode = Literal["binary_mask", "uncompressed_rle", "coco_rle"]
MAX_POINTS_PER_SIDE = 1024
MAX_CROP_LAYERS = 5


class GeneratorKeywords(TypedDict, total=False):
    """`GeneratorOptions` as keyword arguments."""

    points_per_side: int | None
    points_per_batch: int | None
    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    mask_threshold: float | None
    box_nms_thresh: float
    crop_n_layers: int
    crop_nms_thresh: float
    crop_overlap_ratio: float
    crop_n_points_downscale_factor: int
    point_grids: Sequence[Points] | None
    min_mask_region_area: float
    output_mode: OutputMode
    multimask_output: bool
    use_m2m: bool
    hierarchical: bool
    high_score_thresh: float


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """What to ask, and what to keep.

    Args:
        points_per_side: points along each side of the grid; None with `point_grids`.
        points_per_batch: points in one call of the decoder; None takes what is fast on a CPU.
        pred_iou_thresh: the model's own estimate that a mask must exceed; 0 keeps all.
        stability_score_thresh: the IoU that the masks cut `stability_score_offset` above and below must reach.
        mask_threshold: the logit above which a pixel is foreground; None is the model's own.
        box_nms_thresh, crop_nms_thresh: the IoU of boxes above which the worse of two masks goes.
        crop_n_layers: layer i segments 4 ** i crops, too, with sides of points divided by
            `crop_n_points_downscale_factor` ** i.
        crop_overlap_ratio: how far crops overlap, as part of the picture's shorter side.
        point_grids: [P, 2] of x, y in 0..1, one a layer, in place of `points_per_side`.
        min_mask_region_area: holes and islands of fewer pixels are filled and removed.
        multimask_output: all masks of a point (SAM: three), or one.
        use_m2m: each mask is fed back once with its point before it is judged (SAM 2's refinement).
        hierarchical: one point of each 4 by 4 goes first; others are not asked where a mask is as sure as
            `high_score_thresh`. Several times fewer points, but small things within large ones are missed.
        high_score_thresh: the logit that counts as sure.

    Raises:
        RequestError: an option that makes no sense; the text says what is allowed.
    """

    points_per_side: int | None = 32
    points_per_batch: int | None = None
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    mask_threshold: float | None = None
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    point_grids: Sequence[Points] | None = None
    min_mask_region_area: float = 0
    output_mode: OutputMode = "binary_mask"
    multimask_output: bool = True
    use_m2m: bool = False
    hierarchical: bool = False
    high_score_thresh: float = 8.5

    def __post_init__(self) -> None:
        _check_whole("crop_n_layers", self.crop_n_layers, 0, MAX_CROP_LAYERS)
        _check_whole("crop_n_points_downscale_factor", self.crop_n_points_downscale_factor, 1, MAX_POINTS_PER_SIDE)
        if self.points_per_batch is not None:
            _check_whole("points_per_batch", self.points_per_batch, 1, MAX_POINTS_PER_SIDE**2)
        self._check_points()
        for name in ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh"):
            _check_number(name, getattr(self, name), 0, 1)
        _check_number("crop_overlap_ratio", self.crop_overlap_ratio, 0, 0.99)
        for name in ("stability_score_offset", "min_mask_region_area"):
            _check_number(name, getattr(self, name), 0, math.inf)
        _check_number("high_score_thresh", self.high_score_thresh, -math.inf, math.inf)
        if self.mask_threshold is not None:
            _check_number("mask_threshold", self.mask_threshold, -math.inf, math.inf)
        if self.output_mode not in get_args(OutputMode):
            raise RequestError(f"output_mode {self.output_mode!r}: unknown; allowed: {', '.join(get_args(OutputMode))}")

    def _check_points(self) -> None:
        if (self.points_per_side is None) == (self.point_grids is None):
            raise RequestError("points: give either points_per_side or point_grids, and None for the other")
        if self.points_per_side is not None:
            _check_whole("points_per_side", self.points_per_side, 1, MAX_POINTS_PER_SIDE)
            least = self.crop_n_points_downscale_factor**self.crop_n_layers
            if self.points_per_side < least:
                raise RequestError(
                    f"points_per_side {self.points_per_side}: leaves no point in the last layer of crops; allowed: "
                    f"from {least} with crop_n_layers {self.crop_n_layers} and "
                    f"crop_n_points_downscale_factor {self.crop_n_points_downscale_factor}"
                )
        if self.point_grids is not None:
            self._check_grids(self.point_grids)

    def _check_grids(self, grids: Sequence[Points]) -> None:
        if self.hierarchical:
            raise RequestError("hierarchical: needs a square grid; give points_per_side instead of point_grids")
        if len(grids) != self.crop_n_layers + 1:
            raise RequestError(
                f"point_grids: {len(grids)}, with crop_n_layers {self.crop_n_layers} allowed: {self.crop_n_layers + 1}"
            )
        for index, grid in enumerate(grids):
            points = np.asarray(grid, np.float64)
            if points.ndim != 2 or points.shape[1] != 2 or not len(points):
                raise RequestError(f"point_grids[{index}]: shape {list(points.shape)}, allowed: [P, 2], P at least 1")
            if not ((points >= 0) & (points < 1)).all():
                raise RequestError(f"point_grids[{index}]: holds values outside 0..1; give parts of width and height")


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RequestError(f"{name} {value!r}: give a whole number from {low} to {high}")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise RequestError(f"{name} {value!r}: give a number from {low:g} to {high:g}")
