"""Upstream's own classes over a bundle: code written for them runs after changing its imports and the file's name.

    from sam_export.runtimes.upstream import SamPredictor, sam_model_registry  # was: from segment_anything import ...
    sam = sam_model_registry["vit_b"](checkpoint="dist/sam_vit_b-onnx-fp32")   # was: checkpoint="sam_vit_b_01ec64.pth"
    predictor = SamPredictor(sam)                                              # or the path of any bundle

Names, arguments, shapes and frames are those of `SamPredictor`, `SamAutomaticMaskGenerator`, `ResizeLongestSide` and
`Sam` (facebookresearch/segment-anything), and of `SAM2ImagePredictor`, `SAM2AutomaticMaskGenerator` and `build_sam2`
(facebookresearch/sam2). Prompts that upstream would answer with nonsense are refused, as everywhere in this package.
New code has less to learn with the `Segmenter` itself. What differs:

- Arrays are in main memory: `device` is "cpu", and another one is refused.
- `predict_torch`, `Sam` and what `transform` does with tensors give tensors for tensors and arrays for arrays.
  `get_image_embedding` and `features` are arrays: leave out `.cpu().numpy()`.
- Encoders and decoders cannot be called by themselves (`sam.image_encoder(...)`); `Segmenter.sessions` can.
- Holes and sprinkles in a predictor's masks (`max_hole_area`), which upstream removes on a GPU only, are refused.
- The generators return no empty masks, and SAM 2's removes small regions at the picture's size, where upstream's does
  it at the decoder's, on a GPU only.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..contract import FloatArray, ImageArray
from ..errors import RequestError
from .images import image_array
from .preprocess import fitted_hw
from .prompts import finite_numbers
from .upstream_automatic import SAM2AutomaticMaskGenerator, SamAutomaticMaskGenerator
from .upstream_open import Model, Sam, build_sam2, sam_model_registry, segmenter_of
from .upstream_sam2 import Answer, SAM2ImagePredictor
from .upstream_tensors import as_given
from .upstream_transforms import PromptTransform, ResizeLongestSide

__all__ = [
    "PromptTransform",
    "ResizeLongestSide",
    "SAM2AutomaticMaskGenerator",
    "SAM2ImagePredictor",
    "Sam",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "build_sam2",
    "sam_model_registry",
]


class SamPredictor:
    """Upstream's predictor of the first generation. Takes a `Sam`, a `Segmenter`, or the path of a bundle."""

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

    def set_torch_image(self, transformed_image: ArrayLike, original_image_size: tuple[int, int]) -> None:
        """Encode a picture that `transform` has resized, [1, 3, h, w] RGB 0..255; a tensor or an array.

        Raises:
            RequestError: another shape than `transform` gives, or other values.
        """
        self.model.reset_image()
        given = finite_numbers("transformed_image", transformed_image)
        if given.ndim != 4 or len(given) != 1:
            raise RequestError(f"transformed_image: shape {list(given.shape)}, allowed: [1, 3, h, w]")
        prepared = self.transform.prepared("transformed_image[0]", given[0], original_image_size)
        self.model.set_picture(self.model.encode_prepared(prepared))

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
    ) -> tuple[Any, Any, Any]:
        """Return what `Segmenter.predict_batch` does, for prompts in the frame that `transform` brings them to.

        Of tensors it returns tensors, of arrays arrays.

        Shapes:
            point_coords  [B, N, 2]     (x, y) in pixels of the prompt frame
            point_labels  [B, N]
            boxes         [B, 4]        likewise
            mask_input    [B, 1, h, w]
            returns       masks [B, C, H, W] bool, IoU predictions [B, C], low-res logits [B, C, h, w]
        """
        points = self.transform.in_picture("point_coords", point_coords, self.original_size)
        corners = self.transform.in_picture("boxes", boxes, self.original_size)
        answer = self.model.predict_batch(points, point_labels, corners, mask_input, multimask_output, return_logits)
        masks, ious, low_res = (as_given(part, point_coords, point_labels, boxes, mask_input) for part in answer)
        return masks, ious, low_res

    def get_image_embedding(self) -> FloatArray:
        """Return `image_embeddings` of the current picture, [1, C, h, w]."""
        return self.model.get_image_embedding()

    def reset_image(self) -> None:
        """Forget the current picture."""
        self.model.reset_image()
