"""Accuracy beside every speed: from the bundle where it says it, else measured as the gate does, in this run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from ..contract import ComponentName, Session
from ..manifest import Accuracy
from ..verification import Measurement, Passed
from ..verify.evaluators import evaluator_name
from ..verify.gate import verify
from ..verify.limits import limits_for
from ..verify.suite import Suite
from .contestants import Contestant, open_contestant
from .run_record import Scores

Progress = Callable[[str, int, int], None]
# The least that the gate asks of any precision.
LOWEST = "int8"
UNTRAINED = "the weights are random: no prompt has a right answer"


def scores_of_bundle(accuracy: Accuracy) -> Scores | None:
    """Return what the bundle's gate measured; None for random weights."""
    return _scores(accuracy, accuracy.evaluated_by, "bundle.json", passed=True)


def measured_scores(one: Contestant, suite: Suite, progress: Progress) -> Scores | None:
    """Return what the gate's suite gives of a contestant; `passed` is by the lowest limits that there are.

    Raises:
        SamExportError: it cannot be opened or run here.
    """
    segmenter = open_contestant(one)
    sessions: Mapping[ComponentName, Session] = {
        "image_encoder": segmenter.sessions["image_encoder"],
        "mask_decoder": segmenter.sessions["mask_decoder"],
    }
    name = evaluator_name(sessions["image_encoder"])
    verdict = verify(sessions, suite, limits_for(LOWEST), evaluated_by=name, progress=progress)
    return _scores(verdict.measurement, name, "measured in this run", passed=isinstance(verdict, Passed))


def reference_scores(suite: Suite) -> Scores | None:
    """Return those of what all others are compared with."""
    if not suite.weights_trained:
        return None
    count, pictures = suite.count("stable"), len(suite.pictures)
    return Scores(1.0, 1.0, 1.0, 1.0, count, pictures, "PyTorch", "is the reference")


def _scores(
    found: Accuracy | Measurement,
    evaluated_by: str,
    origin: Literal["bundle.json", "measured in this run"],
    *,
    passed: bool,
) -> Scores | None:
    stable = found.stable
    if stable is None:
        return None
    harsh = None if found.harsh is None else found.harsh.mean_iou
    ious = stable.mean_iou, stable.p5_iou, stable.worst_iou
    return Scores(*ious, harsh, stable.count, stable.pictures, evaluated_by, origin, passed)
