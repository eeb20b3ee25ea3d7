"""Non-maximum suppression of boxes, as torchvision's `nms` does it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..contract import FloatArray


def kept_boxes(boxes: ArrayLike, scores: ArrayLike, iou_threshold: float) -> Sequence[int]:
    """Return the indices of the boxes that stay, the best first; equal scores keep their order.

    A box goes if its IoU with a better one that stays is above the threshold. Boxes without area stay.

    Shapes:
        boxes   [K, 4]  x0, y0, x1, y1; compared in float32
        scores  [K]
    """
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    corners = corners[order]
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    alive = np.ones(len(order), np.bool_)
    kept = []
    for index in range(len(order)):
        if alive[index]:
            kept.append(int(order[index]))
            rest = slice(index + 1, None)
            alive[rest] &= ~(_ious(corners[index], areas[index], corners[rest], areas[rest]) > iou_threshold)
    return kept


def _ious(box: FloatArray, area: np.float32, others: FloatArray, areas: FloatArray) -> FloatArray:
    """Return the IoU of one box with each of the others, 0 where neither has any area."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    overlap = np.maximum(high - low, 0).prod(axis=1)
    union = area + areas - overlap
    ious: FloatArray = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return ious
