"""One prompt of a suite, and what the decoder is fed for several of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..contract import Array, FloatArray, MaskRule, Preprocessing
from ..runtimes.decoder_feeds import decoder_feeds
from ..runtimes.mask_choice import answering_tokens, best_multimask
from ..runtimes.preprocess import PreparedImage
from ..runtimes.prompts import Prompts
from .ground_truth import TruthObject

Role = Literal["stable", "harsh", "parity", "truth"]
Box = tuple[float, float, float, float]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Prompt:
    """What asks for one object, in pixels of the picture.

    `kind` is one for every role that it has, as reports name it. `mask_input` [h, w] are low-res logits of the
    reference. `multimask`: the answer is the best of the multimask tokens, else the single-mask token. `truth` is the
    object that a prompt of that role asks for.
    """

    role: Role
    kind: str
    box: Box | None = None
    points: Points = ()
    labels: tuple[int, ...] = ()
    mask_input: FloatArray | None = None
    multimask: bool = False
    truth: TruthObject | None = None

    @property
    def name(self) -> str:
        """The kind, all coordinates and the outlined object's name; unique on a picture."""
        box = [] if self.box is None else [",".join(f"{value:g}" for value in self.box)]
        points = [f"{x:g},{y:g}:{label}" for (x, y), label in zip(self.points, self.labels, strict=True)]
        outlined = [] if self.truth is None else [f"({self.truth.name})"]
        return " ".join([self.kind, *box, *points, *outlined])


def as_runtime_prompt(prompt: Prompt) -> Prompts:
    """Return the prompt as a batch of one."""
    return Prompts(
        point_coords=np.array([prompt.points], np.float64) if prompt.points else None,
        point_labels=np.array([prompt.labels], np.int64) if prompt.points else None,
        boxes=None if prompt.box is None else np.array([prompt.box], np.float64),
        mask_input=None if prompt.mask_input is None else prompt.mask_input[np.newaxis, np.newaxis],
    )


def batched_feeds(
    prompts: Sequence[Prompt], prepared: PreparedImage, pre: Preprocessing, rule: MaskRule, *, largest: int
) -> list[tuple[list[int], dict[str, Array]]]:
    """Return the decoder's feeds for all prompts, and which prompts each answers.

    Prompts share a call only if they have as many points; with and without a mask they may share one.
    """
    single = [decoder_feeds(as_runtime_prompt(prompt), prepared.original_hw, pre, rule) for prompt in prompts]
    groups: dict[int, list[int]] = {}
    for index, feeds in enumerate(single):
        groups.setdefault(feeds["point_coords"].shape[1], []).append(index)
    batches = [
        members[start : start + largest] for members in groups.values() for start in range(0, len(members), largest)
    ]
    return [
        (batch, {name: np.concatenate([single[index][name] for index in batch]) for name in single[batch[0]]})
        for batch in batches
    ]


def chosen_index(prompt: Prompt, low_res_masks: FloatArray, iou_predictions: FloatArray, rule: MaskRule) -> int:
    """Return which of the M masks answers the prompt. `low_res_masks` [M, h, w], `iou_predictions` [M]."""
    masks, ious = low_res_masks[np.newaxis], iou_predictions[np.newaxis]
    if prompt.multimask and rule.multimask_tokens:
        return int(best_multimask(ious, rule)[0])
    return int(answering_tokens(masks, ious, rule, multimask_output=False)[0, 0])
