"""Many masks as one picture, each in its own colour: alone, or tinted over the picture they were found in.

Smaller masks lie over larger ones. Full-size bitmaps exist for one mask at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ...contract import ImageArray
from ..drawing import grown, object_colour
from ..mask_runs import MaskRuns, binary_mask, box_of_runs

TINT = 0.45
MAX_LINE = 4


def coloured(masks: Sequence[MaskRuns], image_hw: tuple[int, int]) -> ImageArray:
    """Return the masks on black, uint8 [H, W, 3]."""
    canvas = np.zeros((*image_hw, 3), np.uint8)
    for index, window, inside in _windows(masks, margin=0):
        canvas[window][inside] = object_colour(index)
    return canvas


def tinted(masks: Sequence[MaskRuns], image: ImageArray) -> ImageArray:
    """Return the picture with every mask tinted, and outlined just within itself."""
    canvas = image.copy()
    line = min(MAX_LINE, max(1, round(max(image.shape[:2]) / 700)))
    for index, window, inside in _windows(masks, margin=line):
        colour = np.array(object_colour(index), np.float32)
        part, edge = canvas[window], inside & grown(~inside, line)
        part[inside] = np.round(part[inside] + TINT * (colour - part[inside])).astype(np.uint8)
        part[edge] = colour
    return canvas


def _windows(masks: Sequence[MaskRuns], margin: int) -> Iterator[tuple[int, tuple[slice, slice], NDArray[np.bool_]]]:
    """Yield each mask, the largest first: its index, where its box and a margin lie in the picture, and it in there."""
    for index in sorted(range(len(masks)), key=lambda index: -masks[index].area):
        x0, y0, x1, y1 = box_of_runs(masks[index])
        window = (slice(max(0, y0 - margin), y1 + 1 + margin), slice(max(0, x0 - margin), x1 + 1 + margin))
        yield index, window, binary_mask(masks[index])[window]
