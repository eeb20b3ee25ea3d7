"""Checked prompts as what the mask decoder is fed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..contract import Array, MaskRule, PointLabel, Preprocessing
from .preprocess import to_prompt_frame
from .prompts import BOX_LABELS, Prompts


def decoder_feeds(
    prompts: Prompts, original_hw: tuple[int, int], pre: Preprocessing, rule: MaskRule
) -> dict[str, Array]:
    """Return what the mask decoder takes beside the encoder's outputs, all float32.

    Points come first, then the two corners of the box, then the padding points that `rule` asks for. Source:
    `PromptEncoder` (facebookresearch/segment-anything), which pads only where there is no box.

    Shapes:
        point_coords    [B, N', 2]    pixels of the prompt frame
        point_labels    [B, N']       `PointLabel` codes
        mask_input      [B, 1, h, w]  zeros where no mask is given; absent where the decoder takes none
        has_mask_input  [B]           1 or 0; likewise
    """
    coords, labels = _labelled_points(prompts)
    in_frame = to_prompt_frame(coords, original_hw, pre)
    batch, count = labels.shape
    padding = _padding_points(count, rule, boxed=prompts.boxes is not None)
    feeds: dict[str, Array] = {
        "point_coords": np.concatenate([in_frame, np.zeros((batch, padding, 2), np.float32)], axis=1),
        "point_labels": np.pad(labels, ((0, 0), (0, padding)), constant_values=PointLabel.PADDING).astype(np.float32),
    }
    if rule.takes_mask:
        given = prompts.mask_input is not None
        feeds["mask_input"] = (
            np.zeros((batch, 1, *rule.mask_hw), np.float32) if prompts.mask_input is None else prompts.mask_input
        )
        feeds["has_mask_input"] = np.full(batch, float(given), np.float32)
    return feeds


def _padding_points(count: int, rule: MaskRule, *, boxed: bool) -> int:
    """Return how many padding points follow `count` points."""
    if rule.point_slots is not None:
        return rule.point_slots - count
    return 1 if rule.padding_point == "always" or not boxed else 0


def _labelled_points(prompts: Prompts) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return points and box corners as one list a prompt: coordinates [B, N', 2] and labels [B, N']."""
    coords, labels = [], []
    if prompts.point_coords is not None and prompts.point_labels is not None:
        coords.append(prompts.point_coords)
        labels.append(prompts.point_labels)
    if prompts.boxes is not None:
        coords.append(prompts.boxes.reshape(-1, 2, 2))
        labels.append(np.tile(np.array(BOX_LABELS, np.int64), (len(prompts.boxes), 1)))
    return np.concatenate(coords, axis=1), np.concatenate(labels, axis=1)
