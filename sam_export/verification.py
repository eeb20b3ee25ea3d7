"""What the quality gate found: every number, the limits they were held to, and the verdict.

Pure data. `verify` makes it, `bundle` refuses to write anything but `Passed`, the report renders it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The least that a precision may do on stable prompts, and the least SNR where masks mean nothing.

    `iou_prediction_error`: the largest absolute error of `iou_predictions` on stable prompts.
    """

    mean_iou: float
    worst_iou: float
    logit_snr_db: float
    lowered_by_user: bool = False
    iou_prediction_error: float = 0.05


@dataclass(frozen=True)
class PromptScore:
    """One prompt on one picture, candidate against reference, at the caller's resolution.

    `index` is the mask that the reference chose; mask IoUs compare at that index. `iou_prediction_error` (the
    largest) and `logit_snr_db` are over all masks of the prompt.
    """

    picture: str
    prompt: str
    kind: str
    index: int
    mask_iou: float
    boundary_iou: float
    same_index: bool
    iou_prediction_error: float
    logit_snr_db: float


@dataclass(frozen=True)
class TensorScore:
    """One encoder output on one picture: signal to noise ratio against the reference, in dB."""

    picture: str
    tensor: str
    snr_db: float


@dataclass(frozen=True)
class Summary:
    """Mean, 5th percentile and worst mask IoU of one group of prompts."""

    count: int
    pictures: int
    mean_iou: float
    p5_iou: float
    worst_iou: float
    worst_picture: str
    worst_prompt: str
    mean_boundary_iou: float
    index_agreement: float
    max_iou_prediction_error: float
    min_logit_snr_db: float


@dataclass(frozen=True)
class TruthScore:
    """One prompt for an object that a person outlined: mask IoU of reference and candidate with that outline.

    Each answers with the mask that it would choose itself, since that is what a user gets.
    """

    picture: str
    prompt: str
    kind: str
    reference_iou: float
    candidate_iou: float

    @property
    def loss_points(self) -> float:
        """What the export cost, in points of 100 times the IoU; below 0 where the candidate came out better."""
        return 100 * (self.reference_iou - self.candidate_iou)


@dataclass(frozen=True)
class TruthSummary:
    """Mean IoU with the ground truth over the objects asked for by one kind of prompt, and the loss in points."""

    kind: str
    count: int
    pictures: int
    reference_miou: float
    candidate_miou: float
    loss_points: float
    worst_loss_points: float
    worst_picture: str
    worst_prompt: str


@dataclass(frozen=True)
class Measurement:
    """All that one candidate scored. `stable` is gated; `harsh` and, on models that do not answer to
    a kind of prompt, its masks are reported only (`parity` gates those by logit SNR). `stable` is None
    where the weights are untrained: no prompt has a stable answer then. `truth`, one summary for each kind
    of prompt, is reported only; it is empty where no ground truth was given."""

    evaluated_by: str
    suite_sha256: str
    prompts: tuple[PromptScore, ...]
    tensors: tuple[TensorScore, ...]
    stable: Summary | None
    harsh: Summary | None
    parity: Summary | None
    weights_trained: bool
    notes: tuple[str, ...] = ()
    truth: tuple[TruthSummary, ...] = ()
    truth_scores: tuple[TruthScore, ...] = ()


@dataclass(frozen=True)
class Passed:
    measurement: Measurement
    limits: Limits


@dataclass(frozen=True)
class Failed:
    """`reasons` are complete sentences: subject, measured, limit."""

    measurement: Measurement
    limits: Limits
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class NotRunnable:
    reason: str


Verification = Passed | Failed | NotRunnable
