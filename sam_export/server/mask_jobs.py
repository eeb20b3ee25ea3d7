"""Prompts on encoded pictures, as jobs for a decoder: those on one picture with as many points each go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..contract import Array, FloatArray
from ..errors import RequestError
from ..runtimes import EncodedPicture, Segmenter
from ..runtimes.prompts import Prompts, one_prompt
from .messages import MasksRequest, PromptMessage


@dataclass(frozen=True, eq=False)
class MaskJob:
    """One prompt, checked."""

    picture: EncodedPicture
    prompts: Prompts
    multimask_output: bool


@dataclass(frozen=True, eq=False)
class MaskLogits:
    """`iou_predictions` [C] and `low_res_masks` [C, h, w], the decoder's own."""

    iou_predictions: FloatArray
    low_res_masks: FloatArray


def mask_jobs(request: MasksRequest, picture: EncodedPicture, segmenter: Segmenter) -> list[MaskJob]:
    """Return a job a prompt.

    Raises:
        RequestError: a prompt that makes no sense; the text begins with its number, from 0.
    """
    jobs = []
    for index, prompt in enumerate(request.prompts):
        try:
            jobs.append(MaskJob(picture, _checked(prompt, picture, segmenter), request.multimask_output))
        except RequestError as exc:
            raise RequestError(f"prompt {index}: {exc}") from exc
    return jobs


def alike(one: MaskJob, other: MaskJob) -> bool:
    """Whether two jobs may go through the decoder together."""
    return (
        one.picture is other.picture
        and one.multimask_output == other.multimask_output
        and _shapes(one.prompts) == _shapes(other.prompts)
    )


def decode(segmenter: Segmenter, jobs: Sequence[MaskJob]) -> list[MaskLogits]:
    """Return the answer to each of some jobs that are alike."""
    first = jobs[0]
    ious, low_res = segmenter.decode_low_res(
        first.picture, _joined([job.prompts for job in jobs]), multimask_output=first.multimask_output
    )
    return [MaskLogits(*answer) for answer in zip(ious, low_res, strict=True)]


def _checked(prompt: PromptMessage, picture: EncodedPicture, segmenter: Segmenter) -> Prompts:
    rule = segmenter.mask_rule
    return one_prompt(
        prompt.point_coords,
        prompt.point_labels,
        prompt.box,
        None if prompt.mask_input is None else _logits(prompt.mask_input, rule.mask_hw),
        original_hw=picture.original_hw,
        rule=rule,
    )


def _logits(data: bytes, mask_hw: tuple[int, int]) -> FloatArray:
    """Return the bytes as float32 [1, h, w]."""
    height, width = mask_hw
    if len(data) != 4 * height * width:
        raise RequestError(
            f"mask_input: {len(data)} bytes, this model takes {4 * height * width}: float32, little-endian, "
            f"[1, {height}, {width}]"
        )
    return np.frombuffer(data, "<f4").reshape(1, height, width)


def _parts(prompts: Prompts) -> tuple[Array | None, ...]:
    return prompts.point_coords, prompts.point_labels, prompts.boxes, prompts.mask_input


def _shapes(prompts: Prompts) -> tuple[tuple[int, ...] | None, ...]:
    return tuple(None if part is None else part.shape for part in _parts(prompts))


def _joined(several: Sequence[Prompts]) -> Prompts:
    """Return one batch of prompts that have the same parts, of the same shapes."""
    parts = zip(*map(_parts, several), strict=True)
    return Prompts(*(None if part[0] is None else np.concatenate(part) for part in parts))
