"""Two lists of masks of one picture, matched one to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from ..runtimes.coco import CocoRle

FAITHFUL_IOU = 0.98
FOUND_IOU = 0.9


@dataclass(frozen=True)
class Matching:
    """How a candidate's masks are a reference's.

    `ious`: of every reference mask, with the candidate's mask that was matched to it, 0 where there was none left.
    """

    reference_count: int
    candidate_count: int
    ious: tuple[float, ...]

    def share_from(self, iou: float) -> float:
        """Return the share of reference masks that are matched with this IoU or more; 1 where there are none."""
        return float(np.mean([one >= iou for one in self.ious])) if self.ious else 1.0


def match(reference: Sequence[CocoRle], candidate: Sequence[CocoRle]) -> Matching:
    """Return the matching that takes the pair of the highest IoU first."""
    ious = np.zeros((len(reference), len(candidate)))
    if reference and candidate:
        ious = np.asarray(
            coco_mask.iou(
                [_packed(rle) for rle in reference], [_packed(rle) for rle in candidate], [0] * len(candidate)
            )
        )
    matched = np.zeros(len(reference))
    left = ious.copy()
    for _ in range(min(left.shape)):
        row, column = np.unravel_index(left.argmax(), left.shape)
        if left[row, column] <= 0:
            break
        matched[row] = ious[row, column]
        left[row, :] = left[:, column] = -1
    return Matching(len(reference), len(candidate), tuple(float(iou) for iou in matched))


def merged(matchings: Sequence[Matching]) -> Matching:
    """Return the matchings of several pictures as one."""
    return Matching(
        sum(one.reference_count for one in matchings),
        sum(one.candidate_count for one in matchings),
        tuple(iou for one in matchings for iou in one.ious),
    )


def _packed(rle: CocoRle) -> dict[str, object]:
    return {"size": rle["size"], "counts": rle["counts"].encode("ascii")}
