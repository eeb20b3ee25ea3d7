"""The calls that are timed, the same for all that take part: a bundle, a peer's graphs, PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from ..contract import Array
from ..runtimes import EncodedPicture, Segmenter
from ..runtimes.automatic_options import GeneratorKeywords
from ..runtimes.prompts import Prompts, check_prompts

COUNTS = (1, 8, 64)


class Stages:
    """One picture, boxes drawn on it, and what is asked of them. The decoder's stages give low-res logits."""

    def __init__(self, segmenter: Segmenter, picture: Path, points_per_side: int) -> None:
        self._segmenter = segmenter
        self._image = np.load(picture)
        self._points_per_side = points_per_side
        self._boxes = drawn_boxes(self._image.shape[:2], max(COUNTS))

    @property
    def calls(self) -> dict[str, Callable[[], object]]:
        return {
            "encoder": self._encode,
            **{f"decoder_{count}": partial(self._decode, count) for count in COUNTS},
            "click": self._click,
            "new_picture": self._new_picture,
            "everything": self._everything,
        }

    @cached_property
    def _tensor(self) -> Array:
        return self._segmenter.prepare(self._image).tensor

    @cached_property
    def _encoded(self) -> EncodedPicture:
        return self._segmenter.encode(self._image)

    def _encode(self) -> object:
        return self._segmenter.sessions["image_encoder"].run({"image": self._tensor})

    def _decode(self, count: int) -> object:
        return self._segmenter.decode_low_res(self._encoded, self._prompts(count), multimask_output=False)

    def _click(self) -> object:
        return self._segmenter.decode(self._encoded, self._prompts(1), multimask_output=False)

    def _new_picture(self) -> object:
        self._segmenter.set_image(self._image)
        return self._segmenter.predict(box=self._boxes[0], multimask_output=False)

    def _everything(self) -> object:
        # No limits: a model of random weights, or one that was not trained on points, would give nothing to do.
        options: GeneratorKeywords = {
            "points_per_side": self._points_per_side,
            "pred_iou_thresh": 0.0,
            "stability_score_thresh": 0.0,
            "output_mode": "coco_rle",
        }
        return self._segmenter.generate(self._image, **options)

    def _prompts(self, count: int) -> Prompts:
        rule = self._segmenter.mask_rule
        return check_prompts(None, None, self._boxes[:count], None, original_hw=self._image.shape[:2], rule=rule)


def drawn_boxes(original_hw: tuple[int, int], count: int) -> Array:
    """Return [count, 4] boxes in pixels of the picture, the same for the same picture size."""
    height, width = original_hw
    low = np.random.default_rng(0).uniform(0.05, 0.55, (count, 2)) * (width, height)
    return np.concatenate([low, low + 0.4 * np.array([width, height])], axis=1)
