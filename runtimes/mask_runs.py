"""A mask as its runs of pixels, column by column: what COCO's run lengths are made of, and a few hundred numbers
where a bitmap has millions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from .coco import CocoRle

Indices = NDArray[np.int64]


class UncompressedRle(TypedDict):
    """Lengths of runs column by column, background first. `size` is [height, width]."""

    size: list[int]
    counts: list[int]


@dataclass(frozen=True, eq=False)
class MaskRuns:
    """The foreground of a mask [H, W].

    Shapes:
        starts, ends  [R] int64, x * H + y of a run's first pixel and of the one after its last; sorted, never touching
    """

    hw: tuple[int, int]
    starts: Indices
    ends: Indices

    @property
    def area(self) -> int:
        return int((self.ends - self.starts).sum())


def runs_of_window(window: NDArray[np.bool_], top: int, left: int, hw: tuple[int, int]) -> MaskRuns:
    """Return the runs of a mask [H, W] that is background outside the window, [h, w], whose corner is (left, top)."""
    columns = np.zeros((window.shape[1], window.shape[0] + 2), np.bool_)
    columns[:, 1:-1] = window.T
    column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    edges = (left + column) * hw[0] + top + row
    return joined(hw, edges[0::2], edges[1::2])


def joined(hw: tuple[int, int], starts: Indices, ends: Indices) -> MaskRuns:
    """Return sorted runs that do not overlap with those that touch made one."""
    apart = starts[1:] != ends[:-1]
    return MaskRuns(hw, starts[np.r_[True, apart][: len(starts)]], ends[np.r_[apart, True][: len(ends)]])


def column_runs(runs: MaskRuns) -> MaskRuns:
    """Return the runs cut where they go on in the next column."""
    height = runs.hw[0]
    first = runs.starts // height
    pieces = (runs.ends - 1) // height - first + 1
    total = int(pieces.sum())
    piece = np.arange(total) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    column = np.repeat(first, pieces) + piece
    starts = np.maximum(np.repeat(runs.starts, pieces), column * height)
    ends = np.minimum(np.repeat(runs.ends, pieces), (column + 1) * height)
    return MaskRuns(runs.hw, starts, ends)


def complement(runs: MaskRuns) -> MaskRuns:
    """Return the runs of the background."""
    starts, ends = np.r_[0, runs.ends], np.r_[runs.starts, runs.hw[0] * runs.hw[1]]
    kept = starts < ends
    return MaskRuns(runs.hw, starts[kept], ends[kept])


def box_of_runs(runs: MaskRuns) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of the first and last pixels, all inclusive; zeros for an empty mask, as upstream."""
    if not len(runs.starts):
        return 0, 0, 0, 0
    cut = column_runs(runs)
    height = runs.hw[0]
    left, right = cut.starts[0] // height, cut.starts[-1] // height
    top, bottom = (cut.starts % height).min(), ((cut.ends - 1) % height).max()
    return int(left), int(top), int(right), int(bottom)


def binary_mask(runs: MaskRuns) -> NDArray[np.bool_]:
    """Return [H, W] bool."""
    height, width = runs.hw
    steps = np.zeros(height * width + 1, np.int8)
    steps[runs.starts] += 1
    steps[runs.ends] -= 1
    flat = np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_)
    return np.ascontiguousarray(flat.reshape(width, height).T)


def uncompressed_rle(runs: MaskRuns) -> UncompressedRle:
    """Return the run lengths as upstream's `mask_to_rle_pytorch` does: no length of 0 but for the first."""
    height, width = runs.hw
    edges = np.stack([runs.starts, runs.ends], axis=1).ravel()
    lengths = np.diff(np.r_[0, edges, height * width])
    counts = lengths.tolist()
    return {"size": [height, width], "counts": counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts}


def coco_rle(runs: MaskRuns) -> CocoRle:
    """Return the run lengths compressed, as `pycocotools` reads them."""
    packed = coco_mask.frPyObjects(uncompressed_rle(runs), *runs.hw)
    return {"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode("ascii")}
