"""Upstream's own predictors over a bundle: code written for them runs after changing its import.

    from sam_export.runtimes.upstream import SamPredictor         # was: from segment_anything import SamPredictor
    predictor = SamPredictor("dist/mobile_sam-onnx-fp32")         # was: SamPredictor(sam_model_registry[...](...))

Names, arguments, shapes and frames are those of `SamPredictor` (facebookresearch/segment-anything, `predictor.py`) and
`SAM2ImagePredictor` (facebookresearch/sam2, `sam2_image_predictor.py`). What upstream takes and gives as torch tensors
are numpy arrays here; tensors on the CPU are taken, too. Prompts that upstream would answer with nonsense are refused,
as everywhere in this package. New code has less to learn with the `Segmenter` itself.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..contract import FloatArray, ImageArray, Preprocessing
from ..errors import RequestError
from .images import image_array
from .preprocess import fitted_hw, from_prompt_frame, resized_image, to_prompt_frame
from .prompts import finite_numbers
from .upstream_sam2 import Answer, Model, Numbers, SAM2ImagePredictor, segmenter_of

__all__ = ["PromptTransform", "SAM2ImagePredictor", "SamPredictor"]


class PromptTransform:
    """What upstream's `ResizeLongestSide` does, for the bundle's own frame: pictures and prompts into it."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing
        self.target_length = max(preprocessing.prompt_frame_hw)

    def apply_image(self, image: ImageArray) -> ImageArray:
        """Return the picture, uint8 [H, W, 3], resized as the encoder takes it, without padding."""
        return resized_image(image_array(image), self._preprocessing)

    def apply_coords(self, coords: ArrayLike, original_size: tuple[int, int]) -> FloatArray:
        """Return points [..., 2] in pixels of a picture of that (height, width) as pixels of the prompt frame."""
        return to_prompt_frame(np.asarray(coords), original_size, self._preprocessing)

    def apply_boxes(self, boxes: ArrayLike, original_size: tuple[int, int]) -> FloatArray:
        """Return boxes [B, 4] in pixels of a picture of that (height, width) as pixels of the prompt frame."""
        return self.apply_coords(np.asarray(boxes).reshape(-1, 2, 2), original_size).reshape(-1, 4)

    apply_coords_torch = apply_coords
    apply_boxes_torch = apply_boxes


class SamPredictor:
    """Upstream's predictor of the first generation. Takes a `Segmenter`, or the path of a bundle."""

    def __init__(self, sam_model: Model) -> None:
        self.model = segmenter_of(sam_model)
        self.transform = PromptTransform(self.model.preprocessing)

    @property
    def device(self) -> str:
        """Where arrays are: in main memory, whatever the engine runs on."""
        return "cpu"

    @property
    def is_image_set(self) -> bool:
        return self.model.is_image_set

    @property
    def features(self) -> FloatArray | None:
        """`image_embeddings` of the current picture, [1, C, h, w], None without one."""
        return self.model.get_image_embedding() if self.is_image_set else None

    @property
    def original_size(self) -> tuple[int, int]:
        """Height and width of the current picture."""
        return self.model.original_hw

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width that the current picture has in the encoder's frame."""
        pre = self.model.preprocessing
        return fitted_hw(self.original_size, pre.image_hw, pre.fit)

    def set_image(self, image: ImageArray, image_format: Literal["RGB", "BGR"] = "RGB") -> None:
        """Encode a picture, uint8 [H, W, 3].

        Raises:
            RequestError: an unknown format.
            ImageError: as `Segmenter.set_image`.
        """
        if image_format not in ("RGB", "BGR"):
            raise RequestError(f"image_format {image_format!r}: allowed: RGB, BGR")
        self.model.set_image(image if image_format == "RGB" else np.ascontiguousarray(image_array(image)[..., ::-1]))

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> Answer:
        """Return masks [C, H, W] bool, IoU predictions [C] and low-res logits [C, h, w]; as `Segmenter.predict`."""
        return self.model.predict(point_coords, point_labels, box, mask_input, multimask_output, return_logits)

    def predict_torch(
        self,
        point_coords: ArrayLike | None,
        point_labels: ArrayLike | None,
        boxes: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> Answer:
        """Return what `Segmenter.predict_batch` does, for prompts in the frame that `transform` brings them to.

        Shapes:
            point_coords  [B, N, 2]     (x, y) in pixels of the prompt frame
            point_labels  [B, N]
            boxes         [B, 4]        likewise
            mask_input    [B, 1, h, w]
            returns       masks [B, C, H, W] bool, IoU predictions [B, C], low-res logits [B, C, h, w]
        """
        points = None if point_coords is None else self._in_picture("point_coords", point_coords)
        corners = None if boxes is None else self._in_picture("boxes", boxes)
        return self.model.predict_batch(points, point_labels, corners, mask_input, multimask_output, return_logits)

    def get_image_embedding(self) -> FloatArray:
        """Return `image_embeddings` of the current picture, [1, C, h, w]."""
        return self.model.get_image_embedding()

    def reset_image(self) -> None:
        """Forget the current picture."""
        self.model.reset_image()

    def _in_picture(self, name: str, coords: ArrayLike) -> Numbers:
        """Return coordinates of the prompt frame, x and y in turn, as those of the picture; the shape stays."""
        given = finite_numbers(name, coords)
        if given.ndim < 2 or given.shape[-1] not in (2, 4):
            raise RequestError(f"{name}: shape {list(given.shape)}, allowed: [B, N, 2] for points, [B, 4] for boxes")
        pairs = given.reshape(*given.shape[:-1], -1, 2)
        return from_prompt_frame(pairs, self.original_size, self.model.preprocessing).reshape(given.shape)
