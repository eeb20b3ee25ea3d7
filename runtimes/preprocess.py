"""A picture becomes the encoder's `image`, and points in the picture become points in the prompt frame.

Everything is read from `Preprocessing`. Nothing here normalises: that is inside the encoder graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
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
    original_hw = (image.shape[0], image.shape[1])
    height, width = fitted_hw(original_hw, pre.image_hw, pre.fit)
    resized = _resized(image, height, width)
    canvas = np.empty((3, *pre.image_hw), np.float32)
    canvas[:] = _padding(resized, pre)
    canvas[:, :height, :width] = resized.transpose(2, 0, 1)
    return PreparedImage(canvas[np.newaxis], original_hw, (height, width))


def _resized(image: ImageArray, height: int, width: int) -> ImageArray:
    """Return the picture, uint8 [height, width, 3]: columns first, then rows, each rounded to uint8.

    In one call Pillow 13 and later choose the order by the sizes (python-pillow/Pillow#9549), and grey levels depend
    on it; runtimes in other languages and on older versions must find the same ones.
    """
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
    height, width = fitted_hw(original_hw, pre.prompt_frame_hw, pre.fit)
    original_height, original_width = original_hw
    scale = np.array([width / original_width, height / original_height])
    in_frame: FloatArray = (np.asarray(points_in_image, np.float64) * scale).astype(np.float32)
    return in_frame


def _padding(resized: ImageArray, pre: Preprocessing) -> FloatArray:
    """Return what normalises to zero, [3, 1, 1]."""
    if pre.padding == "minimum":
        return np.full((3, 1, 1), resized.min(), np.float32)
    if pre.normalisation.mean is None:
        raise ContractError(
            "preprocessing: padding 'mean' needs a normalisation with a mean colour; padding 'minimum' does not"
        )
    return np.array(pre.normalisation.mean, np.float32).reshape(3, 1, 1)
