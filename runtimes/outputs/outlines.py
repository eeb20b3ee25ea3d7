"""The outline of a mask as polygons along the borders of its pixels.

Pixels that touch only at a corner are apart, so that rings do not cross themselves. A ring starts and ends anywhere,
does not repeat its first point, and has a point only where it turns, or fewer where it is simplified.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..mask_regions import region_labels
from ..mask_runs import Indices, MaskRuns, binary_mask, column_runs

Ring = NDArray[np.float64]
# Right, down, left, up: y grows downwards. A mask lies on the right of its outline.
STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
# From the corner where an edge starts to the pixel of the mask beside it.
INSIDE = np.array([[0, 0], [-1, 0], [-1, -1], [0, -1]])


@dataclass(frozen=True, eq=False)
class Polygon:
    """Rings [P, 2] float64 of corners (x, y) in pixels of the picture: clockwise as it is seen, holes the other way."""

    exterior: Ring
    holes: tuple[Ring, ...]


def polygons(runs: MaskRuns, tolerance: float = 0.0) -> tuple[Polygon, ...]:
    """Return one polygon a connected part of the mask, from left to right; exactly its pixels with tolerance 0.

    Args:
        tolerance: points that lie no further than this, in pixels, from the line without them are left out.
    """
    if not len(runs.starts):
        return ()
    exteriors: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = defaultdict(list)
    for ring, part in _rings_with_parts(runs):
        simple = simplified(ring, tolerance)
        if _area(ring) > 0:
            exteriors[part] = simple
        else:
            holes[part].append(simple)
    return tuple(Polygon(exteriors[part], tuple(holes[part])) for part in sorted(exteriors))


def simplified(ring: Ring, tolerance: float) -> Ring:
    """Return the ring with fewer points (Douglas and Peucker), or as it is where too few would be left for an area."""
    if tolerance <= 0 or len(ring) < 5:
        return ring
    far = int(((ring - ring[0]) ** 2).sum(axis=1).argmax())
    closed = np.concatenate([ring, ring[:1]])
    kept = np.zeros(len(closed), np.bool_)
    kept[[0, far, -1]] = True
    pending = [(0, far), (far, len(ring))]
    while pending:
        first, last = pending.pop()
        if last - first > 1:
            distances = _distances(closed[first + 1 : last], closed[first], closed[last])
            if distances.max() > tolerance:
                middle = first + 1 + int(distances.argmax())
                kept[middle] = True
                pending += [(first, middle), (middle, last)]
    simple = ring[kept[:-1]]
    return simple if len(simple) > 2 and _area(simple) * _area(ring) > 0 else ring


def _distances(points: Ring, start: Ring, end: Ring) -> NDArray[np.float64]:
    """Return how far each point is from the line between two, or from the one if they are the same."""
    along, offsets = end - start, points - start
    length = np.hypot(*along)
    across = np.abs(along[0] * offsets[:, 1] - along[1] * offsets[:, 0]) / length if length else np.hypot(*offsets.T)
    distances: NDArray[np.float64] = across
    return distances


def _area(ring: Ring) -> float:
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def _rings_with_parts(runs: MaskRuns) -> Iterator[tuple[Ring, int]]:
    """Yield each ring with the label of the connected part that it bounds."""
    cut = column_runs(runs)
    labels = region_labels(cut, corners=False)
    corners, directions = _edges(runs)
    following = _following(corners, directions, runs.hw[0] + 1)
    turns = directions[following] != directions
    x, y = (corners + INSIDE[directions]).T
    part = labels[np.searchsorted(cut.starts, x * runs.hw[0] + y, "right") - 1]
    for cycle in _cycles(following):
        after_turns = following[cycle[turns[cycle]]]
        yield corners[after_turns].astype(np.float64), int(part[cycle[0]])


def _edges(runs: MaskRuns) -> tuple[Indices, Indices]:
    """Return the unit edges between mask and background: the corner where each starts, [E, 2], and its direction."""
    mask = np.pad(binary_mask(runs), 1).view(np.int8)
    across, down = np.diff(mask, axis=0)[:, 1:-1], np.diff(mask, axis=1)[1:-1]
    edges = []
    for direction, (found, shift) in enumerate([(across == 1, 0), (down == -1, 0), (across == -1, 1), (down == 1, 1)]):
        y, x = np.nonzero(found)
        edges.append((x + shift * (direction == 2), y + shift * (direction == 3), np.full(len(x), direction)))
    columns = [np.concatenate(parts) for parts in zip(*edges, strict=True)]
    return np.stack(columns[:2], axis=1), columns[2]


def _following(corners: Indices, directions: Indices, stride: int) -> Indices:
    """Return the edge that goes on from each: to the right where there is a choice, else as there is one."""
    keys = 4 * (corners[:, 0] * stride + corners[:, 1]) + directions
    order = np.argsort(keys)
    ends = corners + STEPS[directions]
    at_end = 4 * (ends[:, 0] * stride + ends[:, 1])
    following = np.full(len(keys), -1)
    for turn in (1, 0, 3):
        wanted = at_end + (directions + turn) % 4
        place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
        found = (keys[order[place]] == wanted) & (following < 0)
        following[found] = order[place[found]]
    return following


def _cycles(following: Indices) -> Iterator[Indices]:
    after = following.tolist()
    seen = bytearray(len(after))
    for first in range(len(after)):
        if not seen[first]:
            cycle, edge = [], first
            while not seen[edge]:
                seen[edge] = 1
                cycle.append(edge)
                edge = after[edge]
            yield np.array(cycle)
