"""What people outlined on a picture, and which of it is measured. Reading it from files is not done here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

# Each object costs a decoder call for every kind of prompt, so a picture of a thousand cells is sampled.
MOST_OBJECTS = 16
# 100 pixels of a picture of a million: in a model's frame hardly more than a dot.
LEAST_COVERAGE = 1e-4

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TruthObject:
    """One outlined object. Its mask is kept as COCO's compressed runs, so that those of many pictures fit in memory.

    `name` says where it came from and is unique on its picture; `hw` is the picture's size.
    """

    name: str
    hw: tuple[int, int]
    counts: bytes

    @property
    def area(self) -> int:
        """Pixels inside."""
        return int(coco_mask.area({"size": list(self.hw), "counts": self.counts}))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(f"{self.hw[0]}x{self.hw[1]}:".encode() + self.counts).hexdigest()

    def mask(self) -> Mask:
        """Return the mask in the picture, [H, W]."""
        # Not by pycocotools, whose `decode` warns under numpy 2.
        runs = decompressed(self.counts.decode("ascii"))
        columns: Mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(self.hw[::-1])
        return np.ascontiguousarray(columns.T)


@dataclass(frozen=True, eq=False)
class PictureTruth:
    """The objects of one picture that are measured, largest first; `found` counts all that were outlined."""

    objects: tuple[TruthObject, ...]
    found: int


def as_object(name: str, mask: Mask) -> TruthObject:
    """Return a mask [H, W] as an object of that name."""
    height, width = mask.shape
    counts: bytes = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"]
    return TruthObject(name, (height, width), counts)


def measured(objects: Sequence[TruthObject], hw: tuple[int, int]) -> PictureTruth:
    """Return the truth of a picture of that size: those of its objects that `choose` names."""
    by_name = {one.name: one for one in objects}
    chosen = choose({one.name: one.area for one in objects}, hw)
    return PictureTruth(tuple(by_name[name] for name in chosen), len(objects))


def choose(areas: Mapping[str, int], hw: tuple[int, int]) -> tuple[str, ...]:
    """Return the names of the objects to measure, largest first; the same for the same areas.

    Left out: what covers less than `LEAST_COVERAGE` of the picture and, beyond `MOST_OBJECTS`, all but as many that
    are spread evenly from the largest to the smallest.
    """
    least = max(1.0, LEAST_COVERAGE * hw[0] * hw[1])
    ranked = sorted((name for name in areas if areas[name] >= least), key=lambda name: (-areas[name], name))
    if len(ranked) <= MOST_OBJECTS:
        return tuple(ranked)
    return tuple(ranked[round(place)] for place in np.linspace(0, len(ranked) - 1, MOST_OBJECTS).tolist())


def decompressed(text: str) -> list[int]:
    """Return the run lengths of a compressed RLE, which may still be negative or too long.

    A character holds five bits of a number, lowest first, and whether more follow; from the fourth on, numbers are
    differences to the run before the last. Source: `rleFrString` (cocodataset/cocoapi, `common/maskApi.c`).

    Raises:
        ValueError: characters that no RLE has, or a number without its end.
    """
    runs: list[int] = []
    value = shift = 0
    for char in text:
        bits = ord(char) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError(f"its RLE is broken after {len(runs)} runs")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        value -= (bits & 0x10) << (shift - 4)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError(f"its RLE is cut short after {len(runs)} runs")
    return runs
