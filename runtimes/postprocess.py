"""Low-res logits become logits, or masks, in the caller's picture.

Upsampling to the prompt frame, cropping off the padding and resizing to the picture are all linear and separable,
so they are two matrices, one for rows and one for columns, made once per geometry. A pixel takes from a few cells
only, so the matrices are kept as bands: some pixels, and the cells that they take from.

Masks need less than logits. Every pixel lies between the smallest and the largest of its cells, so where all cells of
a tile are on one side of the threshold its pixels are too, and only the tiles along an outline are computed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..contract import Array, FloatArray, MaskRule, Preprocessing
from ..errors import ContractError
from .preprocess import fitted_hw

ROWS_AT_ONCE, COLUMNS_AT_ONCE = 64, 128
# Sides of a product, multiplied, up to which OpenBLAS stays in one thread. Another one would wait for those that an
# engine leaves spinning, or for a core that another program has: 60 to 800 ms instead of 1.
SINGLE_THREADED = 2**18
# Cells that pixels take from beyond those that they cover, of two interpolations.
BESIDE = 4
# Far above the rounding of a sum of four float32 products, relative to the largest logit.
ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class Band:
    """Some pixels of one axis and the cells that they take from; `weights` [pixels, cells]."""

    pixels: slice
    cells: slice
    weights: FloatArray


def upsample(low_res: FloatArray, original_hw: tuple[int, int], pre: Preprocessing, rule: MaskRule) -> FloatArray:
    """Return mask logits in the caller's picture.

    The same numbers as two calls of `torch.nn.functional.interpolate` (bilinear, `align_corners=False`, no
    antialias) with the crop between them. Source: `Sam.postprocess_masks` (facebookresearch/segment-anything).
    Where the rule says `direct`, of one call. Source: `SAM2Transforms.postprocess_masks` (facebookresearch/sam2).

    Shapes:
        low_res   [M, h, w]  float32, logits at `rule.mask_hw`
        returns   [M, H, W]  float32, H and W are `original_hw`, the picture's

    Raises:
        ContractError: `low_res` is not [M, h, w].
    """
    logits = np.empty((len(low_res), *original_hw), np.float32)  # first, so that what cannot fit fails at once
    _require_masks(low_res, rule)
    rows, columns = bands(original_hw, pre, rule)
    for cells, pixels in zip(low_res, logits, strict=True):
        fill(pixels, cells, rows, columns)
    return logits


def fill(pixels: FloatArray, cells: FloatArray, rows: Iterable[Band], columns: Sequence[Band]) -> None:
    """Fill in the logits of all pixels that the bands have."""
    for row in rows:
        strip = row.weights @ cells[row.cells]
        for column in columns:
            pixels[row.pixels, column.pixels] = strip[:, column.cells] @ column.weights.T


def masks_in_picture(
    low_res: FloatArray, original_hw: tuple[int, int], pre: Preprocessing, rule: MaskRule
) -> NDArray[np.bool_]:
    """Return exactly `upsample(...) > rule.threshold`, [M, H, W] bool, in a fraction of its time and memory.

    Raises:
        ContractError: `low_res` is not [M, h, w].
    """
    masks = np.zeros((len(low_res), *original_hw), np.bool_)
    _require_masks(low_res, rule)
    rows, columns = bands(original_hw, pre, rule)
    for cells, mask in zip(low_res, masks, strict=True):
        margin = ROUNDING * float(np.abs(cells).max())
        inside = _tile_extremes(np.minimum, cells, rows, columns) > rule.threshold + margin
        mixed = ~inside & (_tile_extremes(np.maximum, cells, rows, columns) > rule.threshold - margin)
        for row, row_inside, row_mixed in zip(rows, inside, mixed, strict=True):
            for pixels in _runs(columns, row_inside):
                mask[row.pixels, pixels] = True
            if row_mixed.any():
                strip = row.weights @ cells[row.cells]
                for index in np.flatnonzero(row_mixed):
                    column = columns[index]
                    logits = strip[:, column.cells] @ column.weights.T
                    np.greater(logits, rule.threshold, out=mask[row.pixels, column.pixels])
    return masks


def _require_masks(low_res: FloatArray, rule: MaskRule) -> None:
    if low_res.ndim != 3 or low_res.shape[1:] != rule.mask_hw:
        raise ContractError(
            f"low_res_masks: shape {list(low_res.shape)}, the mask rule says [M, {rule.mask_hw[0]}, {rule.mask_hw[1]}]"
        )


def bands(
    original_hw: tuple[int, int], pre: Preprocessing, rule: MaskRule
) -> tuple[tuple[Band, ...], tuple[Band, ...]]:
    """Return the bands of a picture's rows, and of its columns; each pixel is in one of both."""
    rows, columns = _axes(original_hw, pre, rule)
    rows_at_once = rows.at_once(ROWS_AT_ONCE, columns.mask)
    columns_at_once = columns.at_once(COLUMNS_AT_ONCE, rows_at_once)
    return _axis_bands(rows, rows_at_once), _axis_bands(columns, columns_at_once)


def axis_matrices(original_hw: tuple[int, int], pre: Preprocessing, rule: MaskRule) -> tuple[FloatArray, FloatArray]:
    """Return [H, h] and [W, w]: what every row, and every column, of the picture takes from those of a low-res mask."""
    rows, columns = _axes(original_hw, pre, rule)
    return _axis_matrix(rows), _axis_matrix(columns)


@dataclass(frozen=True)
class _Axis:
    """Sizes of one axis: of the low-res mask, of the prompt frame, of what the picture covers of it, of the picture."""

    mask: int
    frame: int
    covered: int
    original: int

    def at_once(self, most: int, across: int) -> int:
        """Return how many pixels to compute at once beside `across` of the other axis: `most`, or its halves."""
        cells_per_pixel = self.mask / self.frame * self.covered / self.original
        while most > 1 and most * (most * cells_per_pixel + BESIDE) * across > SINGLE_THREADED:
            most //= 2
        return most


def _axes(original_hw: tuple[int, int], pre: Preprocessing, rule: MaskRule) -> tuple[_Axis, _Axis]:
    # Left out, the frame is as large as the mask: interpolating to the same size changes nothing.
    frame_hw = rule.mask_hw if rule.upsampling == "direct" else pre.prompt_frame_hw
    covered_hw = fitted_hw(original_hw, frame_hw, pre.fit)
    rows, columns = (_Axis(*sizes) for sizes in zip(rule.mask_hw, frame_hw, covered_hw, original_hw, strict=True))
    return rows, columns


@functools.lru_cache(maxsize=64)  # 32 pictures' worth, below 1 MB each
def _axis_bands(axis: _Axis, at_once: int) -> tuple[Band, ...]:
    matrix = _axis_matrix(axis)
    return tuple(
        _band(matrix, start, min(start + at_once, axis.original)) for start in range(0, axis.original, at_once)
    )


def _band(matrix: FloatArray, start: int, stop: int) -> Band:
    used = np.flatnonzero(matrix[start:stop].any(axis=0))
    cells = slice(int(used[0]), int(used[-1]) + 1)
    weights = np.ascontiguousarray(matrix[start:stop, cells])
    weights.flags.writeable = False
    return Band(slice(start, stop), cells, weights)


def _tile_extremes(extreme: np.ufunc, cells: FloatArray, rows: tuple[Band, ...], columns: tuple[Band, ...]) -> Array:
    """Return the least, or the largest, of the cells that every tile takes from, [rows, columns]."""
    return _over_bands(extreme, _over_bands(extreme, cells, rows).T, columns).T


def _over_bands(extreme: np.ufunc, cells: Array, bands: tuple[Band, ...]) -> Array:
    """Reduce the first axis to one entry a band; bands share cells at their borders."""
    return np.stack([extreme.reduce(cells[band.cells], axis=0) for band in bands])


def _runs(columns: tuple[Band, ...], chosen: NDArray[np.bool_]) -> Iterator[slice]:
    """Yield the pixels of the chosen columns, neighbours together."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    for first, last in zip(edges[::2], edges[1::2] - 1, strict=True):
        yield slice(columns[first].pixels.start, columns[last].pixels.stop)


@functools.lru_cache(maxsize=8)  # four pictures' worth; 10 MB for a side of 10000 pixels and 256 cells
def _axis_matrix(axis: _Axis) -> FloatArray:
    """Return [original, mask]: what every pixel of one axis takes from every cell of the low-res mask."""
    in_frame = _interpolated(np.eye(axis.mask, dtype=np.float32), axis.frame)[: axis.covered]
    matrix = _interpolated(in_frame, axis.original)
    matrix.flags.writeable = False
    return matrix


def _interpolated(rows: FloatArray, size: int) -> FloatArray:
    """Return `size` rows, interpolated linearly between the given ones at half-pixel centres, clamped at the ends.

    Positions are float32 with a single rounding, as torch's fused multiply-add leaves them: at 1000 pixels that
    rounding moves steep logits by more than 1e-4.
    """
    count = len(rows)
    scale = np.float32(count) / np.float32(size)
    exact = (np.arange(size) + 0.5) * np.float64(scale) - 0.5
    positions = np.maximum(exact.astype(np.float32), 0)
    lower = np.minimum(positions.astype(np.int64), count - 1)
    upper = np.minimum(lower + 1, count - 1)
    weight = (positions - lower.astype(np.float32))[:, np.newaxis]
    mixed: FloatArray = rows[lower] * (1 - weight) + rows[upper] * weight
    return mixed
