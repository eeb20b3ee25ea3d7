"""Small holes filled and small islands removed, on the runs of a mask. Regions touch at corners, too.

Source: `remove_small_regions` in `utils/amg.py` (facebookresearch/segment-anything), which calls OpenCV.
"""

from __future__ import annotations

import numpy as np

from .mask_runs import Indices, MaskRuns, column_runs, complement, joined


def without_small_regions(runs: MaskRuns, min_area: float) -> tuple[MaskRuns, bool]:
    """Return the mask without holes and islands below `min_area` pixels, and whether anything changed.

    Where all islands are small, the largest stays.
    """
    filled, had_holes = _without_holes(runs, min_area)
    cleaned, had_islands = _without_islands(filled, min_area)
    return cleaned, had_holes or had_islands


def _without_holes(runs: MaskRuns, min_area: float) -> tuple[MaskRuns, bool]:
    background = column_runs(complement(runs))
    small = _region_areas(background) < min_area
    if not small.any():
        return runs, False
    starts = np.concatenate([runs.starts, background.starts[small]])
    ends = np.concatenate([runs.ends, background.ends[small]])
    return joined(runs.hw, np.sort(starts), np.sort(ends)), True


def _without_islands(runs: MaskRuns, min_area: float) -> tuple[MaskRuns, bool]:
    cut = column_runs(runs)
    areas = _region_areas(cut)
    kept = areas >= min_area
    if kept.all():
        return runs, False
    if not kept.any():
        regions = region_labels(cut)
        kept = regions == regions[areas.argmax()]
    return joined(runs.hw, cut.starts[kept], cut.ends[kept]), True


def _region_areas(cut: MaskRuns) -> Indices:
    """Return the area of the region of each run."""
    labels = region_labels(cut)
    areas = np.bincount(labels, cut.ends - cut.starts, minlength=len(labels))
    return areas.astype(np.int64)[labels]


def region_labels(cut: MaskRuns, *, corners: bool = True) -> Indices:
    """Return for each run, which lies in one column, the lowest index of a run of its region.

    Args:
        corners: whether regions that touch only at a corner are one.
    """
    labels = np.arange(len(cut.starts))
    first, second = _touching(cut, corners)
    while True:
        one, other = labels[first], labels[second]
        if np.array_equal(one, other):
            return labels
        np.minimum.at(labels, np.maximum(one, other), np.minimum(one, other))
        labels = _roots(labels)


def _roots(labels: Indices) -> Indices:
    while True:
        above = labels[labels]
        if np.array_equal(above, labels):
            return labels
        labels = above


def _touching(cut: MaskRuns, corners: bool) -> tuple[Indices, Indices]:
    """Return all pairs of runs in neighbouring columns that share an edge of a pixel, or a corner."""
    height = cut.hw[0]
    column, top = np.divmod(cut.starts, height)
    bottom = cut.ends - column * height
    stride = height + 2  # room for the corner below the last row: keys of different columns never meet
    after = (column + 1) * stride
    begin = np.searchsorted(column * stride + bottom, after + top, "left" if corners else "right")
    end = np.searchsorted(column * stride + top, after + bottom, "right" if corners else "left")
    count = np.maximum(end - begin, 0)
    first = np.repeat(np.arange(len(count)), count)
    second = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin, count)
    return first, second
