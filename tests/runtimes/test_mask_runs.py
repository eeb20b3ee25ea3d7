"""Masks as runs, against pycocotools, scipy and bitmaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from scipy import ndimage

from sam_export.runtimes.mask_regions import without_small_regions
from sam_export.runtimes.mask_runs import (
    MaskRuns,
    binary_mask,
    box_of_runs,
    coco_rle,
    column_runs,
    complement,
    runs_of_window,
    uncompressed_rle,
)

SEEDS = st.integers(0, 10_000)
SIDES = st.integers(1, 9)
EIGHT = np.ones((3, 3), int)


def noise(seed: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((height, width)) < rng.random()


def runs_of(mask: np.ndarray) -> MaskRuns:
    return runs_of_window(mask, 0, 0, mask.shape)


@given(SEEDS, SIDES, SIDES)
@settings(max_examples=200, deadline=None)
def test_runs_are_the_mask_again_and_coco_agrees(seed: int, height: int, width: int) -> None:
    mask = noise(seed, height, width)
    runs = runs_of(mask)
    assert np.array_equal(binary_mask(runs), mask)
    assert np.array_equal(binary_mask(complement(runs)), ~mask)
    assert np.array_equal(binary_mask(column_runs(runs)), mask)
    assert runs.area == mask.sum()
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    assert coco_rle(runs) == {"size": [height, width], "counts": encoded["counts"].decode()}
    counts = uncompressed_rle(runs)["counts"]
    assert sum(counts) == mask.size
    assert all(counts[1:])
    y, x = np.nonzero(mask)
    assert box_of_runs(runs) == ((x.min(), y.min(), x.max(), y.max()) if len(x) else (0, 0, 0, 0))


@given(SEEDS, SIDES, SIDES)
@settings(max_examples=50, deadline=None)
def test_a_window_lies_where_it_is_put(seed: int, height: int, width: int) -> None:
    window = noise(seed, height, width)
    whole = np.zeros((12, 15), np.bool_)
    whole[2 : 2 + height, 4 : 4 + width] = window
    assert np.array_equal(binary_mask(runs_of_window(window, 2, 4, whole.shape)), whole)


def with_scipy(mask: np.ndarray, min_area: int) -> np.ndarray:
    """Holes filled, then islands removed, regions touching at corners."""
    labels, count = ndimage.label(~mask, EIGHT)
    areas = ndimage.sum_labels(~mask, labels, np.arange(1, count + 1))
    mask = mask | np.isin(labels, 1 + np.flatnonzero(areas < min_area))
    labels, count = ndimage.label(mask, EIGHT)
    areas = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
    kept = np.flatnonzero(areas >= min_area)
    return mask if not count else np.isin(labels, 1 + (kept if len(kept) else areas.argmax()))


@given(SEEDS, st.integers(1, 25), st.integers(1, 25), st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_small_regions_are_those_that_scipy_finds(seed: int, height: int, width: int, min_area: int) -> None:
    mask = noise(seed, height, width)
    cleaned, changed = without_small_regions(runs_of(mask), min_area)
    expected = with_scipy(mask, min_area)
    if ndimage.label(expected, EIGHT)[1] == 1 and expected.sum() < min_area:  # of several largest any may stay
        assert binary_mask(cleaned).sum() == expected.sum()
    else:
        assert np.array_equal(binary_mask(cleaned), expected)
    assert changed or np.array_equal(binary_mask(cleaned), mask)


@pytest.mark.parametrize("min_area", [4, 5])
def test_a_region_as_large_as_the_limit_stays(min_area: int) -> None:
    mask = np.zeros((20, 20), np.bool_)
    mask[1:3, 1:3] = True
    mask[8:18, 8:18] = True
    cleaned, changed = without_small_regions(runs_of(mask), min_area)
    assert changed == (min_area == 5)
    assert binary_mask(cleaned)[1, 1] == (min_area == 4)
