"""Suppression of boxes against the definition, box by box."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sam_export.runtimes.box_nms import kept_boxes


def plainly(boxes: np.ndarray, scores: np.ndarray, limit: float) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou(boxes[index], boxes[better]) <= limit for better in kept):
            kept.append(index)
    return kept


def iou(one: np.ndarray, other: np.ndarray) -> float:
    width, height = (max(0.0, min(one[2 + i], other[2 + i]) - max(one[i], other[i])) for i in range(2))
    areas = sum(float((box[2] - box[0]) * (box[3] - box[1])) for box in (one, other))
    return width * height / (areas - width * height) if areas - width * height else 0.0


@given(st.integers(0, 10_000), st.integers(0, 30), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
@settings(max_examples=100, deadline=None)
def test_boxes_that_stay(seed: int, count: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 8, (count, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 6, (count, 2))], axis=1)
    scores = rng.integers(0, 5, count) / 4
    assert kept_boxes(boxes, scores, limit) == plainly(boxes, scores, limit)
