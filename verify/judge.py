"""The verdict: which numbers of a measurement are beyond their limits, in complete sentences."""

from __future__ import annotations

from ..verification import Limits, Measurement, Summary
from .metrics import SNR_CAP_DB


def failures(found: Measurement, limits: Limits) -> tuple[str, ...]:
    """Return why the measurement fails, empty if it passes. What was not measured cannot pass."""
    return (*_not_numbers(found), *_masks(found.stable, limits, found.weights_trained), *_logits(found, limits))


def _not_numbers(found: Measurement) -> tuple[str, ...]:
    """NaN and infinity have the least SNR there is; as masks they would look merely empty."""
    broken = [score.picture for score in found.tensors if score.snr_db <= -SNR_CAP_DB]
    broken += [f"{score.picture} ({score.prompt})" for score in found.prompts if score.logit_snr_db <= -SNR_CAP_DB]
    if not broken:
        return ()
    total = len(found.tensors) + len(found.prompts)
    return (f"{len(broken)} of {total} outputs hold NaN or infinity, first on {broken[0]}; none may",)


def _masks(stable: Summary | None, limits: Limits, weights_trained: bool) -> tuple[str, ...]:
    if stable is None:
        return ("no stable prompt was measured; at least one must be",) if weights_trained else ()
    where = f"on {stable.worst_picture}, {stable.worst_prompt}"
    error = stable.max_iou_prediction_error
    checks = (
        (
            stable.mean_iou >= limits.mean_iou,
            f"mean mask IoU {stable.mean_iou:.4f} over {stable.count} prompts, minimum {limits.mean_iou:g}",
        ),
        (
            stable.worst_iou >= limits.worst_iou,
            f"worst mask IoU {stable.worst_iou:.4f} {where}, minimum {limits.worst_iou:g}",
        ),
        (
            error <= limits.iou_prediction_error,
            f"iou_predictions differ by up to {error:.4f}, maximum {limits.iou_prediction_error:g}",
        ),
    )
    return tuple(reason for holds, reason in checks if not holds)


def _logits(found: Measurement, limits: Limits) -> tuple[str, ...]:
    """Kinds without a stable answer, and untrained weights, are held to their logits."""
    parity = found.parity
    if parity is None:
        return () if found.weights_trained else ("no prompt was measured; at least one must be",)
    reasons = []
    if not parity.min_logit_snr_db >= limits.logit_snr_db:
        kinds = sorted({score.kind for score in found.prompts if score.logit_snr_db <= parity.min_logit_snr_db})
        reasons.append(
            f"logit SNR {parity.min_logit_snr_db:.1f} dB over {parity.count} prompts without a stable mask "
            f"(worst kind: {', '.join(kinds)}), minimum {limits.logit_snr_db:g} dB"
        )
    if not parity.max_iou_prediction_error <= limits.iou_prediction_error:
        reasons.append(
            f"iou_predictions differ by up to {parity.max_iou_prediction_error:.4f}, "
            f"maximum {limits.iou_prediction_error:g}"
        )
    return tuple(reasons)
