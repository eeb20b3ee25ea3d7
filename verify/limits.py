"""The least that each precision must reach. The one table; `--min-iou` is the one way around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..errors import RequestError, UnsupportedError
from ..precision import of_components
from ..verification import Limits

FP32 = Limits(mean_iou=0.9995, worst_iou=0.99, logit_snr_db=80.0, iou_prediction_error=0.005)
FP16 = Limits(mean_iou=0.995, worst_iou=0.98, logit_snr_db=35.0, iou_prediction_error=0.05)
# 8 bits of every value are kept, between fp16's 11 and the 8-bit grids, which leave rounding to where it costs least.
BF16 = Limits(mean_iou=0.99, worst_iou=0.95, logit_snr_db=20.0, iou_prediction_error=0.1)
EIGHT_BITS = Limits(mean_iou=0.98, worst_iou=0.90, logit_snr_db=10.0, iou_prediction_error=0.2)

LIMITS: Mapping[str, Limits] = {
    "fp32": FP32,
    "fp16": FP16,
    "bf16": BF16,
    "w8": EIGHT_BITS,
    "w6": EIGHT_BITS,
    "w4": EIGHT_BITS,
    "w8a8": EIGHT_BITS,
    "w8a8-dynamic": EIGHT_BITS,
    "int8": EIGHT_BITS,
    "auto": EIGHT_BITS,
}


def _limits_of(precision: str) -> Limits:
    if precision not in LIMITS:
        raise UnsupportedError(f"precision {precision!r} has no accuracy limits; choose one of {', '.join(LIMITS)}")
    return LIMITS[precision]


def limits_for(precision: str, min_iou: float | None = None) -> Limits:
    """Return the limits of a precision, with the mean mask IoU that the user asks for instead, if any.

    Of a precision for each component, `int8+fp32`, the lower limits hold: the masks come from both.
    The worst case moves with the mean and keeps the table's distance: (1 - worst) scales with (1 - mean). The other
    limits stay.

    Raises:
        UnsupportedError: a precision without limits.
        RequestError: `min_iou` is not above 0 and at most 1.
    """
    limits = min(map(_limits_of, of_components(precision).values()), key=lambda one: one.mean_iou)
    if min_iou is None:
        return limits
    if not 0 < min_iou <= 1:
        raise RequestError(f"--min-iou {min_iou:g}: allowed: above 0, at most 1; 0.99 asks for a mean mask IoU of 0.99")
    spread = (1 - limits.worst_iou) / (1 - limits.mean_iou)
    return dataclasses.replace(
        limits,
        mean_iou=min_iou,
        worst_iou=max(0.0, 1 - spread * (1 - min_iou)),
        lowered_by_user=min_iou < limits.mean_iou,
    )
