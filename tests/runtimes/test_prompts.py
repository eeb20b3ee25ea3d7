"""Every bad prompt is one line that names what was given; every good one becomes the decoder's tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import ArrayLike

from sam_export.contract import Array, PointLabel
from sam_export.errors import RequestError
from sam_export.runtimes.decoder_feeds import decoder_feeds
from sam_export.runtimes.prompts import check_prompts, one_prompt

from .geometric_model import CELLS, MASK_RULE, PREPROCESSING

HEIGHT, WIDTH = 32, 128  # shown in the 64-pixel frame at half size
NAN, INFINITY = float("nan"), float("inf")
Given = Mapping[str, ArrayLike]


def feeds_of(given: Given, padding_point: str = "without_box") -> dict[str, Array]:
    arguments = {"point_coords": None, "point_labels": None, "box": None, "mask_input": None, **given}
    rule = dataclasses.replace(MASK_RULE, padding_point=padding_point)
    prompts = one_prompt(*arguments.values(), original_hw=(HEIGHT, WIDTH), rule=rule)
    return decoder_feeds(prompts, (HEIGHT, WIDTH), PREPROCESSING, rule)


def batch(given: Given) -> None:
    arguments = {"point_coords": None, "point_labels": None, "boxes": None, "mask_input": None, **given}
    check_prompts(*arguments.values(), original_hw=(HEIGHT, WIDTH), rule=MASK_RULE)


POINTS = {"point_coords": [[10, 20], [128, 32]], "point_labels": [1, 0]}
BOX = {"box": [4, 6, 100, 30]}
IN_FRAME = {
    "points": (POINTS, "without_box", [[5, 10], [64, 16], [0, 0]], [1, 0, -1]),
    "box": (BOX, "without_box", [[2, 3], [50, 15]], [2, 3]),
    "points then box": ({**POINTS, **BOX}, "without_box", [[5, 10], [64, 16], [2, 3], [50, 15]], [1, 0, 2, 3]),
    "points, always padded": (POINTS, "always", [[5, 10], [64, 16], [0, 0]], [1, 0, -1]),
    "box, always padded": (BOX, "always", [[2, 3], [50, 15], [0, 0]], [2, 3, -1]),
    "points then box, always padded": (
        {**POINTS, **BOX},
        "always",
        [[5, 10], [64, 16], [2, 3], [50, 15], [0, 0]],
        [1, 0, 2, 3, -1],
    ),
}


@pytest.mark.parametrize(("given", "rule", "coords", "labels"), IN_FRAME.values(), ids=IN_FRAME)
def test_prompts_in_the_decoders_frame(given: Given, rule: str, coords: ArrayLike, labels: ArrayLike) -> None:
    feeds = feeds_of(given, rule)
    assert np.array_equal(feeds["point_coords"], [coords])
    assert np.array_equal(feeds["point_labels"], [labels])
    assert set(np.unique(feeds["point_labels"])) <= set(PointLabel)
    assert not feeds["mask_input"].any()
    assert feeds["mask_input"].shape == (1, 1, CELLS, CELLS)
    assert feeds["has_mask_input"].tolist() == [0.0]
    assert {array.dtype for array in feeds.values()} == {np.dtype(np.float32)}


def test_mask_input_is_passed_on() -> None:
    mask = np.random.default_rng(0).standard_normal((1, CELLS, CELLS))
    feeds = feeds_of({**BOX, "mask_input": mask})
    assert np.array_equal(feeds["mask_input"], mask[np.newaxis].astype(np.float32))
    assert feeds["has_mask_input"].tolist() == [1.0]


ACCEPTED = {
    "box with an axis of its own, as SAM's notebook gives it": {"box": [[4, 6, 100, 30]]},
    "box that touches every border": {"box": [0, 0, WIDTH, HEIGHT]},
    "box rounded outwards by a detector": {"box": [-0.6, -1, WIDTH + 1, HEIGHT + 0.4]},
    "point on the far corner": {"point_coords": [[WIDTH, HEIGHT]], "point_labels": [1]},
    "labels as floats": {"point_coords": [[1, 1]], "point_labels": [1.0]},
}


@pytest.mark.parametrize("given", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(given: Given) -> None:
    assert np.isfinite(feeds_of(given)["point_coords"]).all()


def test_overhang_goes_to_the_decoder_unclipped() -> None:
    assert feeds_of({"box": [-1, 0, 10, 10]})["point_coords"][0, 0, 0] == -0.5


MASK = np.zeros((1, CELLS, CELLS))


class Elsewhere:
    """An array that cannot be read here, as a tensor of a graphics card."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("it lies on another device")


REFUSED: dict[str, tuple[Given, str]] = {
    "nothing": ({}, "no point and no box given; give point_coords with point_labels, a box, or both"),
    "a mask alone": ({"mask_input": MASK}, "no point and no box given"),
    "points without labels": ({"point_coords": [[1, 2]]}, "point_labels is missing"),
    "labels without points": ({"point_labels": [1], **BOX}, "point_coords is missing"),
    "more labels than points": ({"point_coords": [[1, 2]], "point_labels": [1, 0]}, "2 labels for 1 points"),
    "unknown label": ({"point_coords": [[1, 2]], "point_labels": [4]}, "4 is no label; allowed: 1 foreground, 0 back"),
    "box label": ({"point_coords": [[1, 2]], "point_labels": [2]}, "2 is no label"),
    "padding label": ({"point_coords": [[1, 2]], "point_labels": [-1]}, "-1 is no label"),
    "half a label": ({"point_coords": [[1, 2]], "point_labels": [0.5]}, "0.5 is no label"),
    "one flat point": ({"point_coords": [1, 2], "point_labels": [1]}, r"point_coords: shape \[2\], allowed: \[N, 2\]"),
    "points of three numbers": ({"point_coords": [[1, 2, 3]], "point_labels": [1]}, r"shape \[1, 3\]"),
    "no points": (
        {"point_coords": np.zeros((0, 2)), "point_labels": []},
        r"shape \[0, 2\], allowed: \[N, 2\], no size 0",
    ),
    "NaN point": ({"point_coords": [[NAN, 2]], "point_labels": [1]}, "point_coords: holds NaN or infinity"),
    "infinite point": ({"point_coords": [[1, INFINITY]], "point_labels": [1]}, "holds NaN or infinity"),
    "words": ({"point_coords": [["a", "b"]], "point_labels": [1]}, "not an array of numbers"),
    "ragged": ({"point_coords": [[1, 2], [3]], "point_labels": [1, 1]}, "its rows differ in length"),
    "None inside": ({"point_coords": [[None, 2]], "point_labels": [1]}, "not an array of numbers"),
    "point left of the picture": (
        {"point_coords": [[-0.5, 2]], "point_labels": [1]},
        r"point -0.5,2: outside the picture; allowed: x 0..128, y 0..32",
    ),
    "point below the picture": ({"point_coords": [[1, 32.5]], "point_labels": [1]}, "point 1,32.5: outside"),
    "x and y swapped": ({"point_coords": [[20, 100]], "point_labels": [1]}, "point 20,100: outside"),
    "box inverted in x": ({"box": [100, 6, 4, 30]}, "box 100,6,4,30: empty or inverted; give x0,y0,x1,y1 with x0 < x1"),
    "box inverted in y": ({"box": [4, 30, 100, 6]}, "empty or inverted"),
    "box without width": ({"box": [4, 6, 4, 30]}, "empty or inverted"),
    "box reaching outside": ({"box": [4, 6, 130, 30]}, "reaches outside the picture; allowed: x 0..128, y 0..32; clip"),
    "box reaching outside on top": ({"box": [4, -2, 100, 30]}, "reaches outside"),
    "box elsewhere": ({"box": [500, 500, 600, 600]}, "reaches outside the picture"),
    "box in the overhang alone": ({"box": [128.2, 0, 129, 30]}, "lies outside the picture"),
    "box of x, y, width": ({"box": [4, 6, 100]}, r"box: shape \[3\], allowed: \[4\] or \[1, 4\]"),
    "two boxes": ({"box": [[4, 6, 100, 30]] * 2}, "2 boxes given, allowed: one; predict_batch takes several"),
    "NaN box": ({"box": [4, NAN, 100, 30]}, "box: holds NaN"),
    "mask without its axis": (
        {**BOX, "mask_input": MASK[0]},
        rf"mask_input: shape \[{CELLS}, {CELLS}\], allowed: \[1, ",
    ),
    "mask of another size": ({**BOX, "mask_input": np.zeros((1, 8, 8))}, r"mask_input: shape \[1, 8, 8\]"),
    "a full-size bool mask": ({**BOX, "mask_input": np.zeros((1, HEIGHT, WIDTH), bool)}, "not an array of numbers"),
    "a mask beyond float32": ({**BOX, "mask_input": MASK.astype(float) + 1e300}, "reaches 1e.300, allowed: float32"),
    "a tensor elsewhere": ({"box": Elsewhere()}, "not an array of numbers .it lies on another device"),
    "NaN mask": ({**BOX, "mask_input": MASK + NAN}, "mask_input: holds NaN"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(given: Given, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        feeds_of(given)
    assert "\n" not in str(caught.value)


BAD_BATCHES: dict[str, tuple[Given, str]] = {
    "boxes and points of different B": (
        {"boxes": [[0, 0, 9, 9]] * 2, "point_coords": [[[1, 1]]], "point_labels": [[1]]},
        r"different numbers of prompts \(point_coords 1, boxes 2\)",
    ),
    "boxes and masks of different B": (
        {"boxes": [[0, 0, 9, 9]] * 2, "mask_input": MASK[np.newaxis]},
        r"\(boxes 2, mask_input 1\)",
    ),
    "one flat box": ({"boxes": [0, 0, 9, 9]}, r"box: shape \[4\], allowed: \[B, 4\]"),
    "no box": ({"boxes": np.zeros((0, 4))}, r"box: shape \[0, 4\], allowed: \[B, 4\], no size 0"),
    "labels of different N": (
        {"point_coords": [[[1, 1]], [[2, 2]]], "point_labels": [[1, 1], [0, 0]]},
        "2 x 2 labels for 2 x 1 points",
    ),
    "the second box is inverted": ({"boxes": [[0, 0, 9, 9], [9, 9, 0, 0]]}, "box 9,9,0,0: empty or inverted"),
}


@pytest.mark.parametrize(("given", "message"), BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_batches_refused_in_one_line(given: Given, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        batch(given)
    assert "\n" not in str(caught.value)


SLOTS = dataclasses.replace(MASK_RULE, takes_mask=False, point_slots=4)


def slotted_feeds(given: Given) -> dict[str, Array]:
    arguments = {"point_coords": None, "point_labels": None, "box": None, "mask_input": None, **given}
    prompts = one_prompt(*arguments.values(), original_hw=(HEIGHT, WIDTH), rule=SLOTS)
    return decoder_feeds(prompts, (HEIGHT, WIDTH), PREPROCESSING, SLOTS)


FILLED: dict[str, tuple[Given, list[int]]] = {
    "box": (BOX, [2, 3, -1, -1]),
    "points": (POINTS, [1, 0, -1, -1]),
    "as many as there are": ({**POINTS, **BOX}, [1, 0, 2, 3]),
}


@pytest.mark.parametrize(("given", "labels"), FILLED.values(), ids=FILLED)
def test_slots_are_filled_with_padding_points(given: Given, labels: list[int]) -> None:
    feeds = slotted_feeds(given)
    assert feeds["point_labels"].tolist() == [labels]
    assert feeds["point_coords"].shape == (1, 4, 2)
    assert set(feeds) == {"point_coords", "point_labels"}


BEYOND: dict[str, tuple[Given, str]] = {
    "a mask": ({**BOX, "mask_input": MASK}, "this model takes no masks; give points, a box, or both"),
    "five points": ({"point_coords": [[1, 2]] * 5, "point_labels": [1] * 5}, "5 points, this model takes at most 4"),
    "a box with three points": (
        {"point_coords": [[1, 2]] * 3, "point_labels": [1] * 3, **BOX},
        "3 points and the two corners of a box, this model takes at most 4 in all; leave some out",
    ),
}


@pytest.mark.parametrize(("given", "said"), BEYOND.values(), ids=BEYOND)
def test_what_the_decoder_has_no_place_for_is_refused(given: Given, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        slotted_feeds(given)
