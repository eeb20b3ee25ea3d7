"""Low-res logits become logits in the picture, only where the mask can be.

Upsampling mixes neighbouring cells with weights that sum to one, so a pixel whose cells are all at or below a level is
below it, too: outside the cells that are above, nothing has to be computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..contract import FloatArray, MaskRule, Preprocessing
from .postprocess import axis_matrices


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
        weights      [pixels, cells]  what each pixel takes from each cell
        first, last  [pixels]         the first and last cell that it takes anything from, both ascending
    """

    weights: FloatArray
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def reached_from(self, cells: NDArray[np.int64]) -> tuple[slice, slice]:
        """Return the pixels that take from any cell between the first given and the last, and all their cells."""
        begin = int(np.searchsorted(self.last, cells[0], "left"))
        end = int(np.searchsorted(self.first, cells[-1], "right"))
        if begin == end:  # a small picture skips cells
            return slice(begin, begin), slice(0, 0)
        return slice(begin, end), slice(int(self.first[begin]), int(self.last[end - 1]) + 1)


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
        rows, row_cells = self.rows.reached_from(np.flatnonzero(above.any(axis=1)))
        columns, column_cells = self.columns.reached_from(np.flatnonzero(above.any(axis=0)))
        if rows.start == rows.stop or columns.start == columns.stop:
            return None
        in_rows = np.matmul(self.rows.weights[rows, row_cells], low_res[row_cells, column_cells])
        logits: FloatArray = np.matmul(in_rows, self.columns.weights[columns, column_cells].T)
        return LogitWindow(logits, rows.start, columns.start)


def upsampler(original_hw: tuple[int, int], pre: Preprocessing, rule: MaskRule) -> Upsampler:
    """Return the upsampler to a picture of that size."""
    rows, columns = axis_matrices(original_hw, pre, rule)
    return Upsampler(_axis(rows), _axis(columns))


def _axis(weights: FloatArray) -> Axis:
    taken = weights > 0
    cells = weights.shape[1]
    return Axis(weights, taken.argmax(axis=1), cells - 1 - taken[:, ::-1].argmax(axis=1))
