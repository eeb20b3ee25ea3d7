"""A picture becomes the encoder's `image`, and points in the picture become points in the prompt frame.

Everything is read from `Preprocessing`. Nothing here normalises: that is inside the encoder graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..contract import Array, FloatArray, ImageArray, Preprocessing
from ..errors import ContractError


@dataclass(frozen=True)
class PreparedImage:
    """`tensor` [1, 3, S, S] float32 RGB 0..255, padded; `resized_hw`: the part of it that the picture covers."""

    tensor: FloatArray
    original_hw: tuple[int, int]
    resized_hw: tuple[int, int]


def prepare_image(image: ImageArray, pre: Preprocessing) -> PreparedImage:
    """Return the picture, uint8 [H, W, 3] RGB, resized on uint8 and padded right and bottom.

    Source: `ResizeLongestSide` and `Sam.preprocess` (facebookresearch/segment-anything).
    """
    return padded(resized_image(image, pre).transpose(2, 0, 1), (image.shape[0], image.shape[1]), pre)


def padded(resized: Array, original_hw: tuple[int, int], pre: Preprocessing) -> PreparedImage:
    """Return a picture that is resized already, [3, h, w] RGB 0..255, padded right and bottom."""
    height, width = resized.shape[1:]
    canvas = np.empty((3, *pre.image_hw), np.float32)
    canvas[:] = _padding(resized, pre)
    canvas[:, :height, :width] = resized
    return PreparedImage(canvas[np.newaxis], original_hw, (height, width))


def resized_image(image: ImageArray, pre: Preprocessing) -> ImageArray:
    """Return the picture, uint8 [H, W, 3], as large as it is in the encoder's frame: columns first, then rows.

    Each pass is rounded to uint8. In one call Pillow 13 and later choose the order by the sizes
    (python-pillow/Pillow#9549), and grey levels depend on it; runtimes in other languages and on older versions must
    find the same ones.
    """
    height, width = fitted_hw((image.shape[0], image.shape[1]), pre.image_hw, pre.fit)
    columns_done = Image.fromarray(image).resize((width, image.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(columns_done.resize((width, height), Image.Resampling.BILINEAR))


def fitted_hw(
    original_hw: tuple[int, int], frame_hw: tuple[int, int], fit: Literal["letterbox", "stretch"]
) -> tuple[int, int]:
    """Return the size that a picture has inside a frame; a side never becomes 0, however thin the picture."""
    if fit == "stretch":
        return frame_hw
    scale = min(frame / side for frame, side in zip(frame_hw, original_hw, strict=True))
    height, width = (max(1, math.floor(side * scale + 0.5)) for side in original_hw)
    return height, width


def to_prompt_frame(points_in_image: Array, original_hw: tuple[int, int], pre: Preprocessing) -> FloatArray:
    """Return points [..., 2], (x, y) in pixels of a picture of that size, as float32 in pixels of the prompt frame."""
    in_frame: FloatArray = (np.asarray(points_in_image, np.float64) * _prompt_scale(original_hw, pre)).astype(
        np.float32
    )
    return in_frame


def from_prompt_frame(points_in_frame: Array, original_hw: tuple[int, int], pre: Preprocessing) -> NDArray[np.float64]:
    """Return points [..., 2], (x, y) in pixels of the prompt frame, as float64 in pixels of a picture of that size.

    What float32 left beyond the picture's far border, less than a thousandth of a pixel, is put back on it.
    """
    height, width = original_hw
    border = np.array([width, height], np.float64)
    in_image: NDArray[np.float64] = np.asarray(points_in_frame, np.float64) / _prompt_scale(original_hw, pre)
    return np.where((in_image > border) & (in_image < border + 1e-3), border, in_image)


def _prompt_scale(original_hw: tuple[int, int], pre: Preprocessing) -> NDArray[np.float64]:
    """Return what x and y of the picture are multiplied by."""
    height, width = fitted_hw(original_hw, pre.prompt_frame_hw, pre.fit)
    return np.array([width / original_hw[1], height / original_hw[0]])


def _padding(resized: Array, pre: Preprocessing) -> FloatArray:
    """Return what normalises to zero, [3, 1, 1]."""
    if pre.padding == "minimum":
        return np.full((3, 1, 1), resized.min(), np.float32)
    if pre.normalisation.mean is None:
        raise ContractError(
            "preprocessing: padding 'mean' needs a normalisation with a mean colour; padding 'minimum' does not"
        )
    return np.array(pre.normalisation.mean, np.float32).reshape(3, 1, 1)
