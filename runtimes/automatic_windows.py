"""Low-res logits become logits in the picture, only where the mask can be.

Upsampling mixes neighbouring cells with weights that sum to one, so a pixel whose cells are all at or below a level is
below it, too: outside the cells that are above, nothing has to be computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..contract import FloatArray, MaskRule, Preprocessing
from .postprocess import Band, axis_matrices, bands, fill


@dataclass(frozen=True, eq=False)
class LogitWindow:
    """Logits of a part of the picture, [h, w] float32, whose upper left pixel is (left, top)."""

    logits: FloatArray
    top: int
    left: int


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of the upsampling.

    Shapes:
        bands        all pixels, with what each takes from each cell
        first, last  [pixels]  the first and last cell that it takes anything from, both ascending
    """

    bands: tuple[Band, ...]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def reached_from(self, cells: NDArray[np.int64]) -> slice:
        """Return the pixels that take from any cell between the first given and the last; there may be none."""
        begin = int(np.searchsorted(self.last, cells[0], "left"))
        end = int(np.searchsorted(self.first, cells[-1], "right"))
        return slice(begin, end)

    def within(self, pixels: slice) -> list[Band]:
        """Return the bands of these pixels alone, counted from the first of them."""
        met = (one for one in self.bands if one.pixels.start < pixels.stop and pixels.start < one.pixels.stop)
        return [_part(one, pixels) for one in met]


@dataclass(frozen=True, eq=False)
class Upsampler:
    """From low-res masks to one picture, or to one crop of it."""

    rows: Axis
    columns: Axis

    def window(self, low_res: FloatArray, level: float) -> LogitWindow | None:
        """Return the logits [h, w] of all pixels that can be above the level; None if there are none."""
        above: NDArray[np.bool_] = np.greater(low_res, level)
        if not above.any():
            return None
        rows = self.rows.reached_from(np.flatnonzero(above.any(axis=1)))
        columns = self.columns.reached_from(np.flatnonzero(above.any(axis=0)))
        if rows.start == rows.stop or columns.start == columns.stop:
            return None
        logits = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        fill(logits, low_res, self.rows.within(rows), self.columns.within(columns))
        return LogitWindow(logits, rows.start, columns.start)


def upsampler(original_hw: tuple[int, int], pre: Preprocessing, rule: MaskRule) -> Upsampler:
    """Return the upsampler to a picture of that size."""
    of_axes = zip(bands(original_hw, pre, rule), axis_matrices(original_hw, pre, rule), strict=True)
    rows, columns = (_axis(own, weights) for own, weights in of_axes)
    return Upsampler(rows, columns)


def _axis(own: tuple[Band, ...], weights: FloatArray) -> Axis:
    taken = weights > 0
    cells = weights.shape[1]
    return Axis(own, taken.argmax(axis=1), cells - 1 - taken[:, ::-1].argmax(axis=1))


def _part(band: Band, pixels: slice) -> Band:
    """Return what a band has of these pixels, counted from the first of them."""
    start, stop = max(band.pixels.start, pixels.start), min(band.pixels.stop, pixels.stop)
    own = band.weights[start - band.pixels.start : stop - band.pixels.start]
    return Band(slice(start - pixels.start, stop - pixels.start), band.cells, own)
