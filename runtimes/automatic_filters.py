"""From the decoder's answers to candidates: what upstream's generator keeps, in the order that wastes least.

Source: `_process_batch` in `automatic_mask_generator.py` and `utils/amg.py` (facebookresearch/segment-anything). The
decisions are the same; masks that fail by their predicted IoU are never upsampled, the others only where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..contract import FloatArray
from .automatic_grid import Crop, Points
from .automatic_windows import LogitWindow, Upsampler
from .mask_runs import MaskRuns, box_of_runs, runs_of_window

NEAR_EDGE = 20.0
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Thresholds:
    """Which answers become candidates. `mask`: the logit above which a pixel is foreground."""

    predicted_iou: float
    stability: float
    stability_offset: float
    mask: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """One mask that passed; `box` is x0, y0, x1, y1 of its first and last pixels, all in pixels of the picture."""

    runs: MaskRuns
    box: Box
    predicted_iou: float
    stability_score: float
    point: tuple[float, float]
    crop: Crop


@dataclass(frozen=True, eq=False)
class Answers:
    """The decoder's answers to some points of one crop.

    Shapes:
        points           [K, 2]     (x, y) in pixels of the crop
        predicted_ious   [K]
        low_res_masks    [K, h, w]  logits
    """

    points: Points
    predicted_ious: FloatArray
    low_res_masks: FloatArray


@dataclass(frozen=True, eq=False)
class CropFrame:
    """Where a crop lies, and how low-res masks become masks of it."""

    crop: Crop
    image_hw: tuple[int, int]
    upsampler: Upsampler

    def candidates(self, answers: Answers, limits: Thresholds) -> Iterator[tuple[Candidate, LogitWindow]]:
        """Yield what passes, with its logits in the crop. A mask without a pixel is none."""
        kept = np.arange(len(answers.points))
        if limits.predicted_iou > 0:
            kept = np.flatnonzero(answers.predicted_ious > limits.predicted_iou)
        level = limits.mask - abs(limits.stability_offset)
        for index in kept:
            window = self.upsampler.window(answers.low_res_masks[index], level)
            if window is None:
                continue
            stability = stability_score(window.logits, limits)
            if limits.stability > 0 and not stability >= limits.stability:
                continue
            runs = self._runs(window, limits.mask)
            box = box_of_runs(runs)
            if runs.area and not near_crop_edge(box, self.crop, self.image_hw):
                x, y = answers.points[index] + (self.crop.x0, self.crop.y0)
                predicted = float(answers.predicted_ious[index])
                yield Candidate(runs, box, predicted, stability, (float(x), float(y)), self.crop), window

    def _runs(self, window: LogitWindow, threshold: float) -> MaskRuns:
        top, left = window.top + self.crop.y0, window.left + self.crop.x0
        return runs_of_window(window.logits > threshold, top, left, self.image_hw)


def stability_score(logits: FloatArray, limits: Thresholds) -> float:
    """Return the IoU of the masks cut at the threshold plus and minus the offset; NaN if both are empty."""
    smaller = np.count_nonzero(logits > limits.mask + limits.stability_offset)
    larger = np.count_nonzero(logits > limits.mask - limits.stability_offset)
    return float(np.float32(smaller) / np.float32(larger)) if larger else float("nan")


def near_crop_edge(box: Box, crop: Crop, image_hw: tuple[int, int]) -> bool:
    """Return whether a side of the box is within 20 pixels of a crop's edge that is not the picture's: cut off."""
    whole = (0, 0, image_hw[1], image_hw[0])
    sides = zip(box, crop.xyxy, whole, strict=True)
    return any(abs(side - cut) <= NEAR_EDGE and abs(side - edge) > NEAR_EDGE for side, cut, edge in sides)
