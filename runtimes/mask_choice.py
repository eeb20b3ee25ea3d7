"""Which of the decoder's masks answer a prompt, as the bundle's mask rule says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..contract import FloatArray, MaskRule, StabilityFallback


def answering_tokens(
    low_res_masks: FloatArray, iou_predictions: FloatArray, rule: MaskRule, *, multimask_output: bool
) -> NDArray[np.intp]:
    """Return the indices of the masks that answer each prompt.

    Shapes:
        low_res_masks    [B, M, h, w]  logits of all masks
        iou_predictions  [B, M]
        returns          [B, C]        C = 1, or as many as there are multimask tokens
    """
    if multimask_output and rule.multimask_tokens:
        return np.tile(np.array(rule.multimask_tokens, np.intp), (len(low_res_masks), 1))
    single = np.full((len(low_res_masks), 1), rule.single_mask_token, np.intp)
    if rule.stability_fallback is None:
        return single
    stable = stability(low_res_masks[:, rule.single_mask_token], rule.stability_fallback) >= (
        rule.stability_fallback.threshold
    )
    return np.where(stable[:, np.newaxis], single, best_multimask(iou_predictions, rule)[:, np.newaxis])


def best_multimask(iou_predictions: FloatArray, rule: MaskRule) -> NDArray[np.intp]:
    """Return the multimask token with the highest predicted IoU, [B]; one that is NaN never wins over a number."""
    tokens = np.array(rule.multimask_tokens, np.intp)
    best: NDArray[np.intp] = tokens[np.argmax(np.nan_to_num(iou_predictions[:, tokens], nan=-np.inf), axis=-1)]
    return best


def stability(logits: FloatArray, fallback: StabilityFallback) -> FloatArray:
    """Return the part of the cells above -delta that are above delta, too; 1 for an empty mask. [B, h, w] -> [B]."""
    inner = np.count_nonzero(logits > fallback.delta, axis=(-2, -1))
    outer = np.count_nonzero(logits > -fallback.delta, axis=(-2, -1))
    # float32, as upstream divides: at the threshold itself the last bit decides.
    share: FloatArray = inner.astype(np.float32) / np.maximum(outer, 1).astype(np.float32)
    return np.where(outer > 0, share, np.float32(1))


def fed_back(low_res_masks: FloatArray, rule: MaskRule) -> FloatArray:
    """Return low-res logits as a caller gets them, fit for `mask_input`."""
    limit = rule.low_res_limit
    return low_res_masks if limit is None else np.clip(low_res_masks, -limit, limit)
