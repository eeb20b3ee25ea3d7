"""Masks matched one to one, the best pair first."""

from __future__ import annotations

import numpy as np
import pytest

from sam_export.benchmarks.mask_matching import match, merged
from sam_export.runtimes.coco import CocoRle
from sam_export.runtimes.mask_runs import coco_rle, runs_of_window


def rle(x0: int, x1: int) -> CocoRle:
    mask = np.zeros((10, 40), np.bool_)
    mask[:, x0:x1] = True
    return coco_rle(runs_of_window(mask, 0, 0, mask.shape))


def test_each_mask_is_matched_once() -> None:
    found = match([rle(0, 10), rle(0, 12), rle(30, 40)], [rle(0, 12), rle(20, 22)])
    assert found.ious == (0.0, 1.0, 0.0)
    assert (found.reference_count, found.candidate_count) == (3, 2)
    assert found.share_from(0.98) == pytest.approx(1 / 3)


def test_the_best_pair_goes_first() -> None:
    found = match([rle(0, 10), rle(0, 20)], [rle(0, 20), rle(0, 9)])
    assert found.ious == (pytest.approx(0.9), 1.0)
    assert found.share_from(0.95) == 0.5


@pytest.mark.parametrize(("reference", "candidate", "share"), [(0, 0, 1.0), (0, 2, 1.0), (2, 0, 0.0)])
def test_nothing_to_match(reference: int, candidate: int, share: float) -> None:
    found = match([rle(0, 5)] * reference, [rle(0, 5)] * candidate)
    assert found.share_from(0.9) == share


def test_pictures_are_counted_together() -> None:
    both = merged([match([rle(0, 5)], [rle(0, 5)]), match([rle(0, 5)], [])])
    assert both.ious == (1.0, 0.0)
    assert (both.reference_count, both.candidate_count) == (2, 1)
