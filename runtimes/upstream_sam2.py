"""Upstream's image predictor of the second generation over a bundle; `upstream` offers it beside the first's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..contract import Array, FloatArray, ImageArray
from ..errors import UnsupportedError
from .picture_model import Prediction
from .picture_prompts import PartOfPictures, check_lengths
from .prompts import finite_numbers
from .upstream_open import Model, check_device, segmenter_of, without_fallback
from .upstream_transforms import Numbers

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

Answer = tuple[Array, FloatArray, FloatArray]
FourParts = tuple[Numbers | None, Numbers | None, Numbers | None, Numbers | None]


class SAM2ImagePredictor:
    """Upstream's image predictor of the second generation. Takes a `Segmenter`, or the path of a bundle.

    Masks are float32, 0 or 1, as upstream's are.

    Args:
        mask_threshold: None is the bundle's own.

    Raises:
        UnsupportedError: holes or sprinkles are to be removed, which upstream does on a GPU only.
    """

    def __init__(
        self,
        sam_model: Model,
        mask_threshold: float | None = None,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
    ) -> None:
        if max_hole_area > 0 or max_sprinkle_area > 0:
            raise UnsupportedError(
                "SAM2ImagePredictor: max_hole_area and max_sprinkle_area, allowed: 0; "
                "AutomaticMaskGenerator(min_mask_region_area=...) removes small regions"
            )
        self.model = segmenter_of(sam_model)
        self.mask_threshold = self.model.mask_rule.threshold if mask_threshold is None else mask_threshold

    @classmethod
    def from_pretrained(
        cls, model_id: Model, *, device: object = "cpu", apply_postprocessing: bool = True, **keywords: float
    ) -> SAM2ImagePredictor:
        """Return a predictor over the bundle at that path.

        Args:
            apply_postprocessing: as `build_sam2`.
            keywords: those of the class.

        Raises:
            UnsupportedError: another device than the CPU, or as the class.
        """
        check_device(device)
        segmenter = segmenter_of(model_id)
        return cls(segmenter if apply_postprocessing else without_fallback(segmenter), **keywords)

    @property
    def device(self) -> str:
        """Where arrays are: in main memory, whatever the engine runs on."""
        return "cpu"

    @property
    def _features(self) -> dict[str, Array | list[Array]]:
        """What the encoder gave for the current picture, by upstream's names; its notebook looks at the shapes."""
        features = self.model.picture.features
        finer = [feature for name, feature in features.items() if name != "image_embeddings"]
        return {"image_embed": features["image_embeddings"], "high_res_feats": finer}

    def set_image(self, image: ImageArray | PilImage) -> None:
        """Encode a picture, uint8 [H, W, 3] RGB or a PIL image; ImageError as `Segmenter.set_image`."""
        self.model.set_image(image)

    def set_image_batch(self, image_list: Sequence[ImageArray | PilImage]) -> None:
        """Encode several pictures for `predict_batch`; raises as `Segmenter.set_image_batch`."""
        self.model.set_image_batch(image_list)

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> Answer:
        """Return masks, IoU predictions and low-res logits of one prompt, or of B prompts with an axis B.

        Shapes:
            point_coords  [N, 2] or [B, N, 2]  (x, y) in pixels of the picture; 0..1 without `normalize_coords`
            point_labels  [N] or [B, N]
            box           [4] or [B, 4]        likewise
            mask_input    [1, h, w] or [B, 1, h, w]
            returns       [C, H, W], [C] and [C, h, w], or [B, C, H, W], [B, C] and [B, C, h, w]
        """
        size = None if normalize_coords else self.model.original_hw
        points, labels, boxes, masks = _with_batch_axis(size, point_coords, point_labels, box, mask_input)
        exact = return_logits or self._own_threshold
        found = self.model.predict_batch(points, labels, boxes, masks, multimask_output, exact)
        return self._answer(found, return_logits)

    def predict_batch(
        self,
        point_coords_batch: PartOfPictures = None,
        point_labels_batch: PartOfPictures = None,
        box_batch: PartOfPictures = None,
        mask_input_batch: PartOfPictures = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[list[Array], list[FloatArray], list[FloatArray]]:
        """Return what `predict` would for each picture of `set_image_batch`; every list has an entry a picture."""
        sizes = self.model.original_sizes
        parts = point_coords_batch, point_labels_batch, box_batch, mask_input_batch
        check_lengths(parts, len(sizes))
        per_picture = [
            _with_batch_axis(None if normalize_coords else size, *(_entry(part, index) for part in parts))
            for index, size in enumerate(sizes)
        ]
        points, labels, boxes, masks = zip(*per_picture, strict=True) if per_picture else ((), (), (), ())
        exact = return_logits or self._own_threshold
        found = self.model.predict_image_batch(points, labels, boxes, masks, multimask_output, exact)
        answers = [self._answer(prediction, return_logits) for prediction in found]
        return [masks for masks, _, _ in answers], [ious for _, ious, _ in answers], [low for _, _, low in answers]

    def get_image_embedding(self) -> FloatArray:
        """Return `image_embeddings` of the current picture, [1, C, h, w]."""
        return self.model.get_image_embedding()

    def reset_predictor(self) -> None:
        """Forget the current picture, or pictures."""
        self.model.reset_image()

    @property
    def _own_threshold(self) -> bool:
        return self.mask_threshold != self.model.mask_rule.threshold

    def _answer(self, prediction: Prediction, return_logits: bool) -> Answer:
        masks, ious, low_res = prediction
        if not return_logits:
            masks = (masks > self.mask_threshold if self._own_threshold else masks).astype(np.float32)
        return (masks[0], ious[0], low_res[0]) if len(masks) == 1 else (masks, ious, low_res)


def _with_batch_axis(
    picture_hw: tuple[int, int] | None,
    coords: ArrayLike | None,
    labels: ArrayLike | None,
    box: ArrayLike | None,
    mask: ArrayLike | None,
) -> FourParts:
    """Return points, labels, boxes and masks of one prompt, or of several, as `Segmenter.predict_batch` takes them.

    Args:
        picture_hw: what coordinates of 0..1 are multiplied by; None for those in pixels.
    """
    points = _of_rank(3, "point_coords", coords)
    boxes = _of_rank(2, "box", box)
    if picture_hw is not None:
        size = np.array(picture_hw[::-1], np.float64)
        points = None if points is None else points * size
        boxes = None if boxes is None else boxes * np.tile(size, 2)
    return points, _of_rank(2, "point_labels", labels), boxes, _of_rank(4, "mask_input", mask)


def _entry(part: PartOfPictures, index: int) -> ArrayLike | None:
    return None if part is None else part[index]


def _of_rank(rank: int, name: str, part: ArrayLike | None) -> Numbers | None:
    """Return numbers with an axis B before them if that is what they lack."""
    if part is None:
        return None
    numbers = finite_numbers(name, part)
    return numbers[np.newaxis] if numbers.ndim == rank - 1 else numbers
