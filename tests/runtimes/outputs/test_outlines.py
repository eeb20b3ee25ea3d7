"""Outlines against the pixels that they enclose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from sam_export.runtimes.mask_runs import MaskRuns, runs_of_window
from sam_export.runtimes.outputs.outlines import polygons, simplified


def runs_of(mask: np.ndarray) -> MaskRuns:
    return runs_of_window(mask, 0, 0, mask.shape)


def inside(ring: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    """Which pixels' centres lie in the ring, [H, W], by the crossings to their left."""
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    crossings = np.zeros(hw, int)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if x0 == x1:
            crossings += (min(y0, y1) < y) & (y < max(y0, y1)) & (x0 < x)
    return crossings % 2 == 1


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_polygons_are_the_mask(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < rng.random()
    parts = polygons(runs_of(mask))
    covered = np.zeros(mask.shape, int)
    for part in parts:
        covered += inside(part.exterior, mask.shape)
        for hole in part.holes:
            covered -= inside(hole, mask.shape)
    assert np.array_equal(covered, mask.astype(int))  # each pixel once: parts do not overlap
    assert len(parts) == ndimage.label(mask)[1]


def test_a_ring_turns_at_every_point_and_runs_clockwise() -> None:
    mask = np.zeros((10, 10), np.bool_)
    mask[2:8, 3:9] = True
    mask[4:6, 5:7] = False
    (part,) = polygons(runs_of(mask))
    assert {tuple(point) for point in part.exterior} == {(3, 2), (9, 2), (9, 8), (3, 8)}
    x, y = part.exterior.T
    assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2 == 36
    (hole,) = part.holes
    x, y = hole.T
    assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2 == -4


def test_an_empty_mask_has_none() -> None:
    assert polygons(runs_of(np.zeros((3, 4), np.bool_))) == ()


@pytest.mark.parametrize("tolerance", [0.8, 1.0, 2.0])
def test_simplified_outlines_stay_near(tolerance: float) -> None:
    y, x = np.mgrid[:80, :80]
    disc = (x - 40) ** 2 + (y - 40) ** 2 < 900
    (exact,), (simple,) = polygons(runs_of(disc)), polygons(runs_of(disc), tolerance)
    assert len(simple.exterior) < len(exact.exterior) / 2
    starts, ends = simple.exterior, np.roll(simple.exterior, -1, axis=0)
    along = ends - starts
    offsets = exact.exterior[:, None] - starts
    part = np.clip((offsets * along).sum(-1) / (along**2).sum(-1), 0, 1)
    distances = np.hypot(*(offsets - part[..., None] * along).transpose(2, 0, 1)).min(axis=1)
    assert distances.max() <= tolerance + 1e-9


def test_what_would_vanish_stays_as_it_is() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    assert np.array_equal(simplified(square, 5.0), square)
    (part,) = polygons(runs_of(np.ones((2, 3), np.bool_)), 50.0)
    assert len(part.exterior) >= 3
