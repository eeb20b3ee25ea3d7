"""How far two masks, or two tensors, are apart. Pure functions of arrays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..contract import Array, FloatArray
from ..runtimes.selftest import mask_iou

__all__ = ["SNR_CAP_DB", "boundary_iou", "coverage", "mask_iou", "snr_db", "stability_score"]

SNR_CAP_DB = 200.0
BOUNDARY_RATIO = 0.02

Mask = NDArray[np.bool_]


def snr_db(reference: Array, candidate: Array) -> float:
    """Return 10 log10(sum(reference²) / sum((candidate - reference)²)), within ± `SNR_CAP_DB`.

    Equal tensors reach the cap; a candidate with a NaN or an infinity has the lowest value, zeros have 0 dB.
    """
    if not np.isfinite(candidate).all():
        return -SNR_CAP_DB
    exact = reference.astype(np.float64)
    signal, noise = float(np.square(exact).sum()), float(np.square(candidate.astype(np.float64) - exact).sum())
    if noise == 0:
        return SNR_CAP_DB
    if signal == 0:
        return -SNR_CAP_DB
    return float(np.clip(10 * (math.log10(signal) - math.log10(noise)), -SNR_CAP_DB, SNR_CAP_DB))


def boundary_iou(reference: Mask, candidate: Mask) -> float:
    """Return the IoU of the masks' inner boundaries, 2 % of the picture's diagonal wide; 1 where both are empty.

    Source: Cheng et al., Boundary IoU, CVPR 2021 (arXiv:2103.16562). Outside the picture counts as background.
    """
    return mask_iou(_boundary(reference), _boundary(candidate))


def stability_score(logits: FloatArray, threshold: float, offset: float = 1.0) -> float:
    """Return the IoU of the mask `offset` above the threshold and the one below; 0 where the larger is empty.

    Source: `calculate_stability_score` (facebookresearch/segment-anything, `utils/amg.py`).
    """
    larger = int(np.count_nonzero(logits > threshold - offset))
    return int(np.count_nonzero(logits > threshold + offset)) / larger if larger else 0.0


def coverage(mask: Mask) -> float:
    """Return the part of the picture that the mask covers, 0..1."""
    return int(np.count_nonzero(mask)) / mask.size


def _boundary(mask: Mask) -> Mask:
    """Return the pixels of the mask within the boundary's width of its edge, measured by a square."""
    width = max(1, round(BOUNDARY_RATIO * math.hypot(*mask.shape)))
    eroded = ndimage.minimum_filter(mask.astype(np.uint8), size=2 * width + 1, mode="constant", cval=0)
    inner: Mask = mask & (eroded == 0)
    return inner
