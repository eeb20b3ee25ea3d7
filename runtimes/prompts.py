"""Prompts in pixels of the picture, checked.

Coordinates run from 0 to the picture's width and height, both included: a box may touch every border. Nothing is
clipped. A point outside is an error; a box may reach one pixel outside, since detectors round so, and goes to the
decoder as it is, as it does upstream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..contract import Array, FloatArray, MaskRule, PointLabel
from ..errors import RequestError

BOX_OVERHANG = 1.0
# Beyond all that a person clicks; each point costs the decoder as much memory as a mask.
MAX_POINTS = 1024
CALLER_LABELS = (PointLabel.BACKGROUND, PointLabel.FOREGROUND)
BOX_LABELS = (PointLabel.BOX_TOP_LEFT, PointLabel.BOX_BOTTOM_RIGHT)


@dataclass(frozen=True)
class Prompts:
    """B prompts on one picture, all with the same number of points; checked by `check_prompts`.

    Shapes:
        point_coords  [B, N, 2]     float64, (x, y) in pixels of the picture
        point_labels  [B, N]        int64, 1 foreground or 0 background
        boxes         [B, 4]        float64, x0, y0, x1, y1 in pixels of the picture
        mask_input    [B, 1, h, w]  float32, low-res logits of an earlier answer
    """

    point_coords: NDArray[np.float64] | None = None
    point_labels: NDArray[np.int64] | None = None
    boxes: NDArray[np.float64] | None = None
    mask_input: FloatArray | None = None

    def __len__(self) -> int:
        given = self.point_coords if self.point_coords is not None else self.boxes
        return 0 if given is None else len(given)

    def parts(self, at_once: int) -> Iterator[Prompts]:
        """Yield the prompts in their order, so many at a time."""
        for start in range(0, len(self), at_once):
            part = slice(start, start + at_once)
            yield Prompts(
                point_coords=None if self.point_coords is None else self.point_coords[part],
                point_labels=None if self.point_labels is None else self.point_labels[part],
                boxes=None if self.boxes is None else self.boxes[part],
                mask_input=None if self.mask_input is None else self.mask_input[part],
            )


def one_prompt(
    point_coords: ArrayLike | None,
    point_labels: ArrayLike | None,
    box: ArrayLike | None,
    mask_input: ArrayLike | None,
    *,
    original_hw: tuple[int, int],
    rule: MaskRule,
) -> Prompts:
    """Return a single prompt as a batch of one: points [N, 2], labels [N], box [4] or [1, 4], mask [1, h, w].

    Raises:
        RequestError: as `check_prompts`, or several boxes.
    """
    if box is not None and _several(box):
        raise RequestError(
            f"box: {len(finite_numbers('box', box))} boxes given, allowed: one; predict_batch takes several"
        )
    return check_prompts(
        None if point_coords is None else _shaped("point_coords", point_coords, ("N", 2))[np.newaxis],
        None if point_labels is None else _shaped("point_labels", point_labels, ("N",))[np.newaxis],
        None if box is None else _shaped("box", box, (4,), (1, 4)).reshape(1, 4),
        None if mask_input is None else _shaped("mask_input", mask_input, (1, *rule.mask_hw))[np.newaxis],
        original_hw=original_hw,
        rule=rule,
    )


def check_prompts(
    point_coords: ArrayLike | None,
    point_labels: ArrayLike | None,
    boxes: ArrayLike | None,
    mask_input: ArrayLike | None,
    *,
    original_hw: tuple[int, int],
    rule: MaskRule,
) -> Prompts:
    """Return the prompts as arrays of the shapes that `Prompts` names.

    Raises:
        RequestError: no point and no box; a wrong shape, a NaN, a point or box outside the picture, a box that is
            empty or has its corners swapped, a label that is not 0 or 1, parts that disagree on B or N, or more
            points, or a mask, than the model takes.
    """
    if point_coords is None and boxes is None:
        raise RequestError("prompt: no point and no box given; give point_coords with point_labels, a box, or both")
    points, labels = _points(point_coords, point_labels, original_hw)
    corners = None if boxes is None else _boxes(boxes, original_hw)
    mask = None if mask_input is None else _mask(mask_input, rule)
    _check_same_batch({"point_coords": points, "boxes": corners, "mask_input": mask})
    prompts = Prompts(points, labels, corners, mask)
    _check_slots(prompts, rule)
    return prompts


def _several(box: ArrayLike) -> bool:
    numbers = finite_numbers("box", box)
    return numbers.ndim == 2 and len(numbers) > 1 and numbers.shape[1] == 4


def finite_numbers(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return what a caller gave as numbers; the name is for messages.

    Raises:
        RequestError: not numbers, rows of different length, NaN or infinity.
    """
    try:
        array = np.asarray(value)
    except ValueError as exc:
        raise RequestError(f"{name}: its rows differ in length; give as many numbers in each") from exc
    except TypeError as exc:  # a tensor that lies on another device says so
        raise RequestError(f"{name}: not an array of numbers ({exc}); give a list or an array of int or float") from exc
    if array.dtype.kind not in "iuf":
        raise RequestError(
            f"{name}: not an array of numbers (dtype {array.dtype}); give a list or an array of int or float"
        )
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise RequestError(f"{name}: holds NaN or infinity; give finite numbers")
    return numbers


def _shaped(name: str, value: ArrayLike, *allowed: tuple[int | str, ...]) -> NDArray[np.float64]:
    """Return finite numbers of one of the allowed shapes, in which a name stands for any size but 0."""
    numbers = finite_numbers(name, value)
    for shape in allowed:
        if numbers.ndim == len(shape) and all(
            size > 0 if isinstance(axis, str) else size == axis for size, axis in zip(numbers.shape, shape, strict=True)
        ):
            return numbers
    shapes = " or ".join("[" + ", ".join(map(str, shape)) + "]" for shape in allowed)
    raise RequestError(f"{name}: shape {list(numbers.shape)}, allowed: {shapes}, no size 0")


def _points(
    point_coords: ArrayLike | None, point_labels: ArrayLike | None, original_hw: tuple[int, int]
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None]:
    if point_coords is None or point_labels is None:
        if point_coords is not None or point_labels is not None:
            missing = "point_labels" if point_labels is None else "point_coords"
            raise RequestError(f"prompt: {missing} is missing; every point needs a label, 1 foreground or 0 background")
        return None, None
    coords = _shaped("point_coords", point_coords, ("B", "N", 2))
    labels = _shaped("point_labels", point_labels, ("B", "N"))
    if coords.shape[:2] != labels.shape:
        raise RequestError(
            f"point_labels: {_count(labels.shape)} labels for {_count(coords.shape[:2])} points; give one label a point"
        )
    if coords.shape[1] > MAX_POINTS:
        raise RequestError(f"point_coords: {coords.shape[1]} points in one prompt, at most {MAX_POINTS}; give fewer")
    _check_labels(labels)
    height, width = original_hw
    outside = ((coords < 0) | (coords > (width, height))).any(axis=-1)
    if outside.any():
        x, y = coords[outside][0]
        raise RequestError(f"point {x:g},{y:g}: outside the picture; allowed: x 0..{width}, y 0..{height}")
    return coords, labels.astype(np.int64)


def _count(shape: tuple[int, ...]) -> str:
    """B x N, or N alone where there is one prompt."""
    return " x ".join(map(str, shape if shape[0] > 1 else shape[1:]))


def _check_labels(labels: NDArray[np.float64]) -> None:
    unknown = labels[~np.isin(labels, CALLER_LABELS)]
    if unknown.size:
        raise RequestError(
            f"point_labels: {unknown[0]:g} is no label; allowed: 1 foreground, 0 background (boxes go apart)"
        )


def _boxes(boxes: ArrayLike, original_hw: tuple[int, int]) -> NDArray[np.float64]:
    corners = _shaped("box", boxes, ("B", 4))
    height, width = original_hw
    for box in corners:
        x0, y0, x1, y1 = box
        name = "box " + ",".join(f"{value:g}" for value in box)
        if x1 <= x0 or y1 <= y0:
            raise RequestError(f"{name}: empty or inverted; give x0,y0,x1,y1 with x0 < x1 and y0 < y1")
        if min(x0, y0) < -BOX_OVERHANG or x1 > width + BOX_OVERHANG or y1 > height + BOX_OVERHANG:
            raise RequestError(
                f"{name}: reaches outside the picture; allowed: x 0..{width}, y 0..{height}; clip it first"
            )
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            raise RequestError(f"{name}: lies outside the picture; allowed: x 0..{width}, y 0..{height}")
    return corners


def _mask(mask_input: ArrayLike, rule: MaskRule) -> FloatArray:
    if not rule.takes_mask:
        raise RequestError("mask_input: this model takes no masks; give points, a box, or both")
    logits = _shaped("mask_input", mask_input, ("B", 1, *rule.mask_hw))
    if np.abs(logits).max() > np.finfo(np.float32).max:
        raise RequestError(
            f"mask_input: reaches {np.abs(logits).max():.3g}, allowed: float32; give low_res_masks as is"
        )
    return logits.astype(np.float32)


def _check_slots(prompts: Prompts, rule: MaskRule) -> None:
    if rule.point_slots is None:
        return
    points = 0 if prompts.point_coords is None else prompts.point_coords.shape[1]
    corners = 0 if prompts.boxes is None else len(BOX_LABELS)
    if points + corners > rule.point_slots:
        raise RequestError(
            f"prompt: {points} points{' and the two corners of a box' if corners else ''}, this model takes at most "
            f"{rule.point_slots} in all; leave some out"
        )


def _check_same_batch(parts: dict[str, Array | None]) -> None:
    sizes = {name: len(part) for name, part in parts.items() if part is not None}
    if len(set(sizes.values())) > 1:
        given = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise RequestError(f"prompt: the parts are for different numbers of prompts ({given}); give as many of each")
