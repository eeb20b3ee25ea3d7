"""Overlays: what is masked is tinted, what is not stays, and an object keeps its colour."""

from __future__ import annotations

import numpy as np
import pytest

from sam_export.runtimes.drawing import DrawnObject, draw_overlay, object_colour


def mask_of(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[rows, columns] = True
    return mask


GREY = np.full((60, 80, 3), 100, np.uint8)
LEFT = DrawnObject(mask_of(slice(10, 50), slice(5, 35)), box=(5, 10, 35, 50))
RIGHT = DrawnObject(mask_of(slice(20, 40), slice(45, 75)), points=((60, 30), (50, 5)), labels=(1, 0))


def test_masks_are_tinted_and_the_rest_stays() -> None:
    pixels = np.asarray(draw_overlay(GREY, [LEFT]))
    assert pixels.shape == GREY.shape
    assert (pixels[LEFT.mask] != 100).any(axis=-1).all()
    outside = ~LEFT.mask
    assert (pixels[outside] == 100).all()
    assert tuple(pixels[10, 20]) == object_colour(0)  # outline and box, in full colour
    assert tuple(pixels[30, 20]) != object_colour(0)  # inside, tinted


def test_points_are_drawn() -> None:
    without = DrawnObject(RIGHT.mask)
    changed = (np.asarray(draw_overlay(GREY, [RIGHT])) != np.asarray(draw_overlay(GREY, [without]))).any(axis=-1)
    assert changed[30, 60]
    assert changed[5, 50]
    assert changed.sum() < 200


def test_the_picture_itself_is_left_alone() -> None:
    before = GREY.copy()
    draw_overlay(GREY, [LEFT, RIGHT])
    assert np.array_equal(GREY, before)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)], ids=str)
def test_thin_pictures(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    drawn = DrawnObject(np.ones(shape, bool), box=(0, 0, shape[1], shape[0]), points=((0, 0),), labels=(1,))
    assert draw_overlay(image, [drawn]).size == (shape[1], shape[0])


def test_neighbouring_colours_are_far_apart() -> None:
    colours = np.array([object_colour(index) for index in range(12)], int)
    assert len({tuple(colour) for colour in colours.tolist()}) == 12
    assert np.abs(np.diff(colours, axis=0)).sum(axis=1).min() > 100
    assert object_colour(3) == object_colour(3)
