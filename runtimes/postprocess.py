"""Low-res logits become logits in the caller's picture.

Upsampling to the prompt frame, cropping off the padding and resizing to the picture are all linear and separable,
so they are two matrices, one for rows and one for columns, made once per geometry.
"""

from __future__ import annotations

import functools

import numpy as np

from ..contract import FloatArray, MaskRule, Preprocessing
from ..errors import ContractError
from .preprocess import fitted_hw


def upsample(low_res: FloatArray, original_hw: tuple[int, int], pre: Preprocessing, rule: MaskRule) -> FloatArray:
    """Return mask logits in the caller's picture.

    The same numbers as two calls of `torch.nn.functional.interpolate` (bilinear, `align_corners=False`, no
    antialias) with the crop between them. Source: `Sam.postprocess_masks` (facebookresearch/segment-anything).

    Shapes:
        low_res   [M, h, w]  float32, logits at `rule.mask_hw`
        returns   [M, H, W]  float32, H and W are `original_hw`, the picture's

    Raises:
        ContractError: `low_res` is not [M, h, w].
    """
    if low_res.ndim != 3 or low_res.shape[1:] != rule.mask_hw:
        raise ContractError(
            f"low_res_masks: shape {list(low_res.shape)}, the mask rule says [M, {rule.mask_hw[0]}, {rule.mask_hw[1]}]"
        )
    rows, columns = axis_matrices(original_hw, pre, rule)
    logits: FloatArray = np.matmul(np.matmul(rows, low_res), columns.T)
    return logits


def axis_matrices(original_hw: tuple[int, int], pre: Preprocessing, rule: MaskRule) -> tuple[FloatArray, FloatArray]:
    """Return [H, h] and [W, w]: what every row, and every column, of the picture takes from those of a low-res mask."""
    covered_hw = fitted_hw(original_hw, pre.prompt_frame_hw, pre.fit)
    rows, columns = (
        _axis_matrix(*axis) for axis in zip(rule.mask_hw, pre.prompt_frame_hw, covered_hw, original_hw, strict=True)
    )
    return rows, columns


@functools.lru_cache(maxsize=8)  # four pictures' worth; 10 MB for a side of 10000 pixels and 256 cells
def _axis_matrix(mask: int, frame: int, covered: int, original: int) -> FloatArray:
    """Return [original, mask]: what every pixel of one axis takes from every cell of the low-res mask."""
    in_frame = _interpolated(np.eye(mask, dtype=np.float32), frame)[:covered]
    matrix = _interpolated(in_frame, original)
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
