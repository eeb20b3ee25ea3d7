"""Asking a coarse grid of points first, and no further point where a mask is already sure.

Source: `SamHierarchicalMaskGenerator` (xinghaochen/TinySAM), whose coarse grid has a fourth of the points each way.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .automatic_grid import Points
from .automatic_windows import LogitWindow

COARSE_STEP = 4
COARSE_PHASE = 1


def waves(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the points of a square grid that go first, one of each 4 by 4 near its middle, and the others."""
    side = math.isqrt(count)
    first = np.arange(side) % COARSE_STEP == min(COARSE_PHASE, side - 1)
    coarse = np.logical_and.outer(first, first).ravel()
    return np.flatnonzero(coarse), np.flatnonzero(~coarse)


class SureMap:
    """Where in a crop any mask is above a logit."""

    def __init__(self, crop_hw: tuple[int, int], level: float) -> None:
        self._level = level
        self._sure = np.zeros(crop_hw, np.bool_)

    def add(self, window: LogitWindow) -> None:
        height, width = window.logits.shape
        part = self._sure[window.top : window.top + height, window.left : window.left + width]
        part |= window.logits > self._level

    def covers(self, points: Points) -> NDArray[np.bool_]:
        """Return which of the points [P, 2], (x, y) in pixels of the crop, lie where a mask is sure."""
        x, y = points.astype(np.int64).T
        sure: NDArray[np.bool_] = self._sure[y, x]
        return sure
