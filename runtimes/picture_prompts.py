"""Lists of prompts for lists of pictures, checked before any picture is answered on."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from ..contract import MaskRule
from ..errors import RequestError
from .prompts import Prompts, check_prompts

PARTS = ("point_coords", "point_labels", "boxes", "mask_input")
PartOfPictures = Sequence[ArrayLike | None] | None


def prompts_of_pictures(
    parts: tuple[PartOfPictures, PartOfPictures, PartOfPictures, PartOfPictures],
    *,
    original_sizes: Sequence[tuple[int, int]],
    rule: MaskRule,
) -> tuple[Prompts, ...]:
    """Return the prompts of every picture; `parts` are those of `check_prompts`, each with an entry a picture.

    Raises:
        RequestError: a list of another length, or a bad prompt; the text begins with the number of its picture, from 0.
    """
    check_lengths(parts, len(original_sizes))
    found = []
    for index, original_hw in enumerate(original_sizes):
        coords, labels, boxes, masks = (None if part is None else part[index] for part in parts)
        try:
            found.append(check_prompts(coords, labels, boxes, masks, original_hw=original_hw, rule=rule))
        except RequestError as exc:
            raise RequestError(f"picture {index}: {exc}") from exc
    return tuple(found)


def check_lengths(parts: Sequence[PartOfPictures], count: int) -> None:
    """Raise unless each list, in the order of `PARTS`, has an entry a picture."""
    for name, part in zip(PARTS, parts, strict=True):
        if part is not None and (not hasattr(part, "__len__") or len(part) != count):
            given = len(part) if hasattr(part, "__len__") else type(part).__name__
            raise RequestError(f"{name}: {given} given for {count} pictures; give a list with an entry a picture")
