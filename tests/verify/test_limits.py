from __future__ import annotations

import pytest

from sam_export.errors import RequestError, UnsupportedError
from sam_export.exporters import TARGETS
from sam_export.verify.limits import LIMITS, limits_for


def test_every_precision_of_every_target_has_limits() -> None:
    assert {precision for target in TARGETS.values() for precision in target.precisions} <= set(LIMITS)


def test_what_is_promised() -> None:
    assert (limits_for("fp32").mean_iou, limits_for("fp32").worst_iou) == (0.9995, 0.99)
    assert (limits_for("fp16").mean_iou, limits_for("fp16").worst_iou) == (0.995, 0.98)
    assert (limits_for("bf16").mean_iou, limits_for("bf16").worst_iou) == (0.99, 0.95)
    assert not any(limits.lowered_by_user for limits in LIMITS.values())


def test_a_lower_mean_lowers_the_worst_and_says_so() -> None:
    lowered = limits_for("fp16", 0.99)
    assert lowered.lowered_by_user
    assert lowered.mean_iou == 0.99
    assert lowered.worst_iou == pytest.approx(0.96)
    assert lowered.logit_snr_db == limits_for("fp16").logit_snr_db


def test_a_higher_mean_raises_the_worst() -> None:
    raised = limits_for("fp16", 0.999)
    assert not raised.lowered_by_user
    assert raised.worst_iou == pytest.approx(0.996)


def test_a_very_low_mean_still_has_a_worst_of_at_least_0() -> None:
    assert limits_for("fp32", 0.1).worst_iou == 0


@pytest.mark.parametrize("value", [0.0, -0.1, 1.01, 99.0, float("nan")])
def test_a_mean_that_is_no_iou_is_refused(value: float) -> None:
    with pytest.raises(RequestError, match="above 0, at most 1"):
        limits_for("fp16", value)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="choose one of fp32, fp16"):
        limits_for("fp12")
