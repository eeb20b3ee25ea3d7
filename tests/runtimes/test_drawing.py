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
    far = np.ones((60, 80), bool)
    far[9:51, 4:36] = False
    assert (pixels[far] == 100).all()
    assert (pixels[30, 35] < 100).all()  # the dark edge beside the outline
    assert tuple(pixels[10, 20]) == object_colour(0)  # outline and box, in full colour
    assert tuple(pixels[30, 20]) != object_colour(0)  # inside, tinted


def changed_by(one: list[DrawnObject], other: list[DrawnObject], image: np.ndarray = GREY) -> np.ndarray:
    """Where two overlays differ, [H, W] bool."""
    return (np.asarray(draw_overlay(image, one)) != np.asarray(draw_overlay(image, other))).any(axis=-1)


def test_points_are_drawn() -> None:
    changed = changed_by([RIGHT], [DrawnObject(RIGHT.mask)])
    assert changed[30, 60]
    assert changed[5, 50]
    assert changed.sum() < 250
    assert tuple(np.asarray(draw_overlay(GREY, [RIGHT]))[30, 60]) == object_colour(0)


@pytest.mark.parametrize("ground", [0, 255], ids=["black", "white"])
@pytest.mark.parametrize("label", [0, 1], ids=["outside", "inside"])
def test_points_stand_out_on_every_ground(ground: int, label: int) -> None:
    image = np.full((60, 80, 3), ground, np.uint8)
    empty = np.zeros((60, 80), bool)
    pixels = np.asarray(draw_overlay(image, [DrawnObject(empty, points=((40.5, 30.5),), labels=(label,))])).astype(int)
    assert (np.abs(pixels - ground).sum(axis=-1) > 600).sum() > 5


@pytest.mark.parametrize("point", [(0, 0), (80, 60), (80, 0)], ids=str)
@pytest.mark.parametrize("label", [0, 1])
def test_points_at_the_border(point: tuple[float, float], label: int) -> None:
    drawn = DrawnObject(np.zeros((60, 80), bool), points=(point,), labels=(label,))
    assert changed_by([drawn], []).any()


def test_a_tint_hides_no_outline() -> None:
    inner, outer = DrawnObject(mask_of(slice(20, 30), slice(20, 30))), DrawnObject(mask_of(slice(5, 55), slice(5, 75)))
    assert tuple(np.asarray(draw_overlay(GREY, [inner, outer]))[20, 25]) == object_colour(0)


def test_several_objects_have_a_number_each() -> None:
    """Two boxes that differ in nothing but their place look different: by their tags."""
    empty = np.zeros((60, 80), bool)
    one, two = DrawnObject(empty, box=(5, 20, 35, 50)), DrawnObject(empty, box=(45, 20, 75, 50))
    pixels = np.asarray(draw_overlay(GREY, [one, two]))
    tags = pixels[9:20, 5:16], pixels[9:20, 45:56]
    for tag, index in zip(tags, range(2), strict=True):
        painted = (tag == object_colour(index)).all(axis=-1)
        assert painted[0].all(), "the tag lies above the box"
        assert not painted.all(), "it has a number"
    assert not changed_by([one], [])[:20].any(), "one object needs no number"


def test_a_tag_stays_in_the_picture() -> None:
    empty = np.zeros((60, 80), bool)
    other = DrawnObject(empty, box=(60, 40, 70, 50))
    pixels = np.asarray(draw_overlay(GREY, [DrawnObject(empty, box=(-1, 0, 30, 30)), other]))
    assert (pixels[:10, :10] == object_colour(0)).all(axis=-1).sum() > 50


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
