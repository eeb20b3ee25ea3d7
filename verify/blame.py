"""Which component is at fault when a candidate fails: each one alone, beside the reference's other one."""

from __future__ import annotations

import numpy as np

from ..verification import Failed, PromptScore
from .gate import Sessions, decode, encode, masks_in_picture, scored_cases
from .metrics import mask_iou
from .prompts import Case
from .suite import Suite, SuitePicture


def blame(sessions: Sessions, reference: Sessions, suite: Suite, failed: Failed) -> str:
    """Return a sentence that names the mask IoU of the worst prompt with each component alone exchanged.

    Args:
        reference: the PyTorch model as sessions.
    """
    entry, case, score = next(scored_cases(suite, [_worst(suite, failed)]))
    encoder_alone = _iou(suite, entry, case, {**reference, "image_encoder": sessions["image_encoder"]})
    decoder_alone = _iou(suite, entry, case, {**reference, "mask_decoder": sessions["mask_decoder"]})
    return (
        f"worst prompt ({score.picture}, {score.prompt}): mask IoU {encoder_alone:.4f} with only the image encoder "
        f"exchanged, {decoder_alone:.4f} with only the mask decoder"
    )


def _worst(suite: Suite, failed: Failed) -> PromptScore:
    """Of the gated prompts, or of those compared by their logits where nothing else was measured."""
    role = "stable" if suite.count("stable") else "parity"
    kinds = {case.prompt.kind for case in suite.cases() if case.prompt.role == role}
    gated = [score for score in failed.measurement.prompts if score.kind in kinds]
    return min(gated, key=lambda score: (score.mask_iou, score.logit_snr_db))


def _iou(suite: Suite, entry: SuitePicture, case: Case, sessions: Sessions) -> float:
    embeddings = encode(sessions, entry)
    (answer,) = decode(sessions, suite, entry, (case,), np.ascontiguousarray(embeddings))
    return mask_iou(*masks_in_picture(suite, entry, case, answer))
