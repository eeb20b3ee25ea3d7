"""Where to ask: grids of points, and the crops of the picture that they are laid over.

Source: `utils/amg.py` (facebookresearch/segment-anything): `build_all_layer_point_grids`, `generate_crop_boxes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Crop:
    """A part of the picture, in its pixels, x1 and y1 exclusive; `layer` 0 is the whole picture."""

    x0: int
    y0: int
    x1: int
    y1: int
    layer: int = 0

    @property
    def hw(self) -> tuple[int, int]:
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def area(self) -> int:
        return self.hw[0] * self.hw[1]

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        return self.x0, self.y0, self.x1, self.y1

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        return self.x0, self.y0, self.x1 - self.x0, self.y1 - self.y0


def point_grid(points_per_side: int) -> Points:
    """Return the centres of a square of cells over the unit square, row by row, [points_per_side ** 2, 2] (x, y)."""
    half = 1 / (2 * points_per_side)
    side = np.linspace(half, 1 - half, points_per_side)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def grids_by_layer(points_per_side: int, layers: int, downscale: int) -> tuple[Points, ...]:
    """Return the grid of each layer of crops, the whole picture's first; sides shrink by `downscale` a layer."""
    return tuple(point_grid(int(points_per_side / downscale**layer)) for layer in range(layers + 1))


def crops_of(image_hw: tuple[int, int], layers: int, overlap_ratio: float) -> tuple[Crop, ...]:
    """Return the whole picture, then 4 ** i overlapping crops for each layer i from 1."""
    height, width = image_hw
    crops = [Crop(0, 0, width, height)]
    for layer in range(1, layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(image_hw) * 2 / per_side)
        crop_width, crop_height = (_crop_side(side, per_side, overlap) for side in (width, height))
        corners = product(_starts(crop_width, per_side, overlap), _starts(crop_height, per_side, overlap))
        crops += [Crop(x, y, min(x + crop_width, width), min(y + crop_height, height), layer) for x, y in corners]
    return tuple(crops)


def _crop_side(side: int, per_side: int, overlap: int) -> int:
    return math.ceil((overlap * (per_side - 1) + side) / per_side)


def _starts(crop_side: int, per_side: int, overlap: int) -> Sequence[int]:
    return [(crop_side - overlap) * index for index in range(per_side)]
