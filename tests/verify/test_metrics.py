from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sam_export.verify.metrics import (
    SNR_CAP_DB,
    Mask,
    boundary_iou,
    coverage,
    mask_iou,
    snr_db,
    stability_score,
)

MASKS = arrays(np.bool_, (13, 17))


def square(top: int, left: int, side: int) -> Mask:
    mask = np.zeros((100, 120), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.parametrize("measure", [mask_iou, boundary_iou])
@given(first=MASKS, second=MASKS)
def test_iou_is_symmetric_and_1_only_for_equals(measure, first: Mask, second: Mask) -> None:
    assert measure(first, first) == 1
    assert measure(first, second) == measure(second, first)
    assert 0 <= measure(first, second) <= 1
    if measure is mask_iou and (first != second).any():
        assert measure(first, second) < 1


def test_iou_counts_pixels() -> None:
    assert mask_iou(square(10, 10, 20), square(10, 20, 20)) == pytest.approx(200 / 600)
    assert mask_iou(square(0, 0, 5), square(50, 50, 5)) == 0
    assert mask_iou(square(0, 0, 0), square(0, 0, 0)) == 1
    assert mask_iou(square(0, 0, 0), square(0, 0, 1)) == 0


def test_boundary_iou_counts_a_band_of_2_percent_of_the_diagonal() -> None:
    # Diagonal 156 px, band 3 px: a frame of 60² - 54² pixels, against one that lies 1 px further in.
    outer, inner = 60**2 - 54**2, 58**2 - 52**2
    shared = 58**2 - 54**2
    assert boundary_iou(square(20, 20, 60), square(21, 21, 58)) == pytest.approx(shared / (outer + inner - shared))


def test_boundary_iou_is_harder_than_mask_iou_for_a_moved_edge() -> None:
    reference, candidate = square(20, 20, 60), square(20, 23, 60)
    assert boundary_iou(reference, candidate) < mask_iou(reference, candidate)


def test_the_pictures_border_is_a_boundary() -> None:
    everything = np.ones((100, 120), np.bool_)
    assert boundary_iou(everything, square(0, 0, 100)) > 0


@given(st.floats(-60, 60), st.integers(0, 99))
def test_snr_is_the_ratio_that_was_put_in(db: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, noise = rng.normal(size=400), rng.normal(size=400)
    noise *= 10 ** (-db / 20) * np.linalg.norm(reference) / np.linalg.norm(noise)
    assert snr_db(reference, reference + noise) == pytest.approx(db, abs=1e-6)


def test_snr_at_its_ends() -> None:
    values = np.arange(1.0, 9.0, dtype=np.float32)
    assert snr_db(values, values.copy()) == SNR_CAP_DB
    assert snr_db(values, np.zeros_like(values)) == pytest.approx(0)
    assert snr_db(np.zeros_like(values), values) == -SNR_CAP_DB
    for wrong in (np.nan, np.inf, -np.inf):
        broken = values.copy()
        broken[3] = wrong
        assert snr_db(values, broken) == -SNR_CAP_DB


def test_stability_is_the_ratio_of_the_two_masks() -> None:
    logits = np.linspace(-10, 10, 2001, dtype=np.float32).reshape(1, -1)
    assert stability_score(logits, 0.0) == pytest.approx(9 / 11, abs=1e-2)
    assert stability_score(logits, 0.0, offset=3.0) == pytest.approx(7 / 13, abs=1e-2)
    assert stability_score(np.full((4, 4), -50, np.float32), 0.0) == 0
    assert stability_score(np.where(logits > 0, 50, -50).astype(np.float32), 0.0) == 1


def test_coverage_is_a_part_of_the_picture() -> None:
    assert coverage(square(0, 0, 30)) == pytest.approx(900 / 12000)
