"""Answers to prompts: decoded in turn, drawn in threads, one mask in memory at a time."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..contract import FloatArray
from ..errors import RequestError
from ..runtimes import Segmenter
from ..runtimes.coco import rle_of_mask
from ..runtimes.mask_choice import fed_back
from ..runtimes.postprocess import masks_in_picture
from .mask_jobs import MaskJob, MaskLogits, mask_jobs
from .messages import LowResMasks, MasksAnswer, MasksRequest, PromptAnswer, decode_masks_request
from .pictures import FoundPicture, Pictures
from .readers import Readers
from .work_queue import WorkQueue


class Masks:
    """Answers prompts on pictures. Belongs to one event loop.

    Args:
        segmenter: checks prompts and draws masks; decoding itself is the queue's.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        pictures: Pictures,
        queue: WorkQueue[MaskJob, MaskLogits],
        readers: Readers,
        *,
        max_mask_pixels: int,
    ) -> None:
        self._segmenter = segmenter
        self._pictures = pictures
        self._queue = queue
        self._readers = readers
        self._max_mask_pixels = max_mask_pixels

    async def answer(self, data: bytes) -> bytes:
        """Return `MasksAnswer` as JSON to `MasksRequest` as JSON.

        Raises:
            ImageError, RequestError: a picture, or a prompt, that cannot be used.
            Problem: 400 or 422, not such a request; 404, no such embedding; 429, too many wait already.
        """
        request = await self._readers.run(decode_masks_request, data)
        found = await self._found(request)
        jobs = await self._readers.run(mask_jobs, request, found.picture, self._segmenter)
        self._check_size(request, found.picture.original_hw)
        with self._queue.places(len(jobs)):
            logits = await self._queue.answers(jobs)
        return await self._readers.run(self._drawn, request, found, logits)

    async def _found(self, request: MasksRequest) -> FoundPicture:
        if request.embedding_id is not None:
            return self._pictures.kept(request.embedding_id)
        assert request.image is not None  # decode_masks_request has seen to it
        return await self._pictures.encoded(request.image)

    def _check_size(self, request: MasksRequest, original_hw: tuple[int, int]) -> None:
        rule = self._segmenter.mask_rule
        masks = len(request.prompts) * (len(rule.multimask_tokens) or 1 if request.multimask_output else 1)
        height, width = original_hw
        if masks * height * width > self._max_mask_pixels:
            raise RequestError(
                f"{masks} masks of {height}x{width} pixels: more than {self._max_mask_pixels / 1e6:g} million pixels "
                "in one answer; give fewer prompts at once"
            )

    def _drawn(self, request: MasksRequest, found: FoundPicture, logits: Sequence[MaskLogits]) -> bytes:
        answers = [self._answer(request, found, one) for one in logits]
        return msgspec.json.encode(MasksAnswer(found.id, found.picture.original_hw, answers))

    def _answer(self, request: MasksRequest, found: FoundPicture, logits: MaskLogits) -> PromptAnswer:
        low_res = logits.low_res_masks
        masks = (self._mask(cells, found.picture.original_hw) for cells in low_res)
        return PromptAnswer(
            masks=[rle_of_mask(mask) for mask in masks]
            if request.mask_format == "rle"
            else [_png(mask) for mask in masks],
            iou_predictions=logits.iou_predictions.tolist(),
            low_res_masks=self._low_res(low_res) if request.low_res_masks else None,
        )

    def _mask(self, cells: FloatArray, original_hw: tuple[int, int]) -> NDArray[np.bool_]:
        segmenter = self._segmenter
        mask: NDArray[np.bool_]
        (mask,) = masks_in_picture(cells[np.newaxis], original_hw, segmenter.preprocessing, segmenter.mask_rule)
        return mask

    def _low_res(self, low_res: FloatArray) -> LowResMasks:
        count, height, width = low_res.shape
        data = fed_back(low_res, self._segmenter.mask_rule).astype("<f4").tobytes()
        return LowResMasks((count, height, width), data)


def _png(mask: NDArray[np.bool_]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(stream, "PNG")
    return stream.getvalue()
