"""Pictures and prompts in the frames of the graphs and back, by the names of upstream's `ResizeLongestSide`.

Source: `utils/transforms.py` (facebookresearch/segment-anything).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..contract import FloatArray, ImageArray, Normalisation, Preprocessing
from ..errors import RequestError
from .images import image_array
from .preprocess import PreparedImage, fitted_hw, from_prompt_frame, padded, resized_image, to_prompt_frame
from .prompts import finite_numbers
from .upstream_tensors import as_given, is_tensor

if TYPE_CHECKING:
    from torch import Tensor

Numbers = NDArray[np.float64]


class PromptTransform:
    """What upstream's `ResizeLongestSide` does, for the bundle's own frame: pictures and prompts into it."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing
        self.target_length = max(preprocessing.prompt_frame_hw)

    def apply_image(self, image: ImageArray) -> ImageArray:
        """Return the picture, uint8 [H, W, 3], resized as the encoder takes it, without padding; writable."""
        return np.array(resized_image(image_array(image), self._preprocessing))

    def apply_image_torch(self, image: Tensor) -> Tensor:
        """Return pictures, a float tensor [B, 3, H, W], resized by torch; grey levels are not quite `apply_image`'s.

        Raises:
            RequestError: no such tensor.
        """
        if not is_tensor(image) or image.ndim != 4:
            raise RequestError("apply_image_torch: give a tensor [B, 3, H, W]; apply_image takes arrays [H, W, 3]")
        from torch.nn.functional import interpolate

        height, width = image.shape[2:]
        size = fitted_hw((height, width), self._preprocessing.image_hw, self._preprocessing.fit)
        return interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)

    def apply_coords(self, coords: ArrayLike, original_size: tuple[int, int]) -> FloatArray:
        """Return points [..., 2] in pixels of a picture of that (height, width) as pixels of the prompt frame."""
        return to_prompt_frame(np.asarray(coords), original_size, self._preprocessing)

    def apply_boxes(self, boxes: ArrayLike, original_size: tuple[int, int]) -> FloatArray:
        """Return boxes [B, 4] in pixels of a picture of that (height, width) as pixels of the prompt frame."""
        return self.apply_coords(np.asarray(boxes).reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_coords_torch(self, coords: ArrayLike, original_size: tuple[int, int]) -> Any:
        """Return what `apply_coords` does; of a tensor a tensor, of an array an array."""
        return as_given(self.apply_coords(coords, original_size), coords)

    def apply_boxes_torch(self, boxes: ArrayLike, original_size: tuple[int, int]) -> Any:
        """Return what `apply_boxes` does; of a tensor a tensor, of an array an array."""
        return as_given(self.apply_boxes(boxes, original_size), boxes)

    def in_picture(self, name: str, coords: ArrayLike | None, original_size: tuple[int, int]) -> Numbers | None:
        """Return coordinates of the prompt frame, x and y in turn, as those of the picture; the shape stays.

        Raises:
            RequestError: neither points [B, N, 2] nor boxes [B, 4], or not finite; `name` is what the text calls them.
        """
        if coords is None:
            return None
        given = finite_numbers(name, coords)
        if given.ndim < 2 or given.shape[-1] not in (2, 4):
            raise RequestError(f"{name}: shape {list(given.shape)}, allowed: [B, N, 2] for points, [B, 4] for boxes")
        pairs = given.reshape(*given.shape[:-1], -1, 2)
        return from_prompt_frame(pairs, original_size, self._preprocessing).reshape(given.shape)

    def prepared(self, name: str, resized: ArrayLike, original_size: tuple[int, int]) -> PreparedImage:
        """Return a picture [3, h, w] that `apply_image` has resized, 0..255, as the encoder takes it.

        Raises:
            RequestError: another shape, or other values; `name` is what the text calls it.
        """
        pixels, pre = finite_numbers(name, resized), self._preprocessing
        size = _picture_size(original_size)
        expected = [3, *fitted_hw(size, pre.image_hw, pre.fit)]
        if list(pixels.shape) != expected:
            raise RequestError(
                f"{name}: shape {list(pixels.shape)}, allowed for a picture of {size[0]}x{size[1]}: {expected}; "
                "resize it by the model's transform"
            )
        if pixels.min() < 0 or pixels.max() > 255:
            raise RequestError(f"{name}: values {pixels.min():g} to {pixels.max():g}, allowed: 0..255, not normalised")
        return padded(pixels.astype(np.float32), size, pre)


class ResizeLongestSide(PromptTransform):
    """Upstream's own: the longer side becomes `target_length`. Not for bundles that stretch pictures (SAM 2's do)."""

    def __init__(self, target_length: int) -> None:
        frame = (target_length, target_length)
        super().__init__(
            # Only the sizes are used: what follows the resizing is the bundle's.
            Preprocessing(frame, frame, "letterbox", "pillow_bilinear", "minimum", Normalisation("min_max"))
        )


def _picture_size(given: tuple[int, int]) -> tuple[int, int]:
    height, width = (int(side) for side in given)
    if height < 1 or width < 1:
        raise RequestError(f"original_size {height}x{width}: give height and width of the picture before resizing")
    return height, width
