"""How near reference and candidate come to the ground truth, and what the export costs. Reported, never gated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..verification import TruthScore, TruthSummary
from .ground_truth import Mask, TruthObject
from .metrics import mask_iou
from .prompt import Prompt


def truth_score(picture: str, prompt: Prompt, truth: TruthObject, reference: Mask, candidate: Mask) -> TruthScore:
    """Return the IoU of both masks [H, W] with the object's own."""
    exact = truth.mask()
    return TruthScore(picture, prompt.name, prompt.kind, mask_iou(exact, reference), mask_iou(exact, candidate))


def summarise_truth(scores: Sequence[TruthScore]) -> tuple[TruthSummary, ...]:
    """Return one summary for each kind of prompt, in the order of their first score; every object counts the same."""
    kinds = dict.fromkeys(score.kind for score in scores)
    return tuple(_summary([score for score in scores if score.kind == kind]) for kind in kinds)


def _summary(scores: Sequence[TruthScore]) -> TruthSummary:
    reference = float(np.mean([score.reference_iou for score in scores]))
    candidate = float(np.mean([score.candidate_iou for score in scores]))
    worst = max(scores, key=lambda score: score.loss_points)
    return TruthSummary(
        kind=worst.kind,
        count=len(scores),
        pictures=len({score.picture for score in scores}),
        reference_miou=reference,
        candidate_miou=candidate,
        loss_points=100 * (reference - candidate),
        worst_loss_points=worst.loss_points,
        worst_picture=worst.picture,
        worst_prompt=worst.prompt,
    )
