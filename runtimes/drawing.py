"""A picture with its masks, boxes and points drawn over it, for eyes only."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..contract import ImageArray, PointLabel

FIRST_HUE = 0.55  # blue: rare in photographs, so that one object stands out from most
GOLDEN_RATIO = 0.618034
FILL = 0.45
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class DrawnObject:
    """One object: its mask [H, W] bool, and the prompt that asked for it, in pixels of the picture."""

    mask: NDArray[np.bool_]
    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()


def object_colour(index: int) -> Colour:
    """Return the colour of the index-th object: always the same, and far from its neighbours'."""
    red, green, blue = colorsys.hsv_to_rgb((FIRST_HUE + index * GOLDEN_RATIO) % 1.0, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_overlay(image: ImageArray, objects: Sequence[DrawnObject]) -> Image.Image:
    """Return the picture, uint8 [H, W, 3], with every mask tinted and outlined, and its prompt on top.

    Boxes are rectangles, foreground points filled discs, background points crosses.
    """
    pixels = image.astype(np.float32)
    width = max(1, round(max(image.shape[:2]) / 400))
    for index, drawn in enumerate(objects):
        colour = np.array(object_colour(index), np.float32)
        pixels[drawn.mask] += FILL * (colour - pixels[drawn.mask])
        pixels[_outline(drawn.mask, min(width, 8))] = colour
    overlay = Image.fromarray(pixels.round().astype(np.uint8))
    draw = ImageDraw.Draw(overlay)
    for index, drawn in enumerate(objects):
        _draw_prompt(draw, drawn, object_colour(index), width)
    return overlay


def _outline(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return the pixels of the mask that lie within `width` of its border."""
    inner = mask.copy()
    for _ in range(width):
        padded = np.pad(inner, 1)
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _draw_prompt(draw: ImageDraw.ImageDraw, drawn: DrawnObject, colour: Colour, width: int) -> None:
    if drawn.box is not None:
        x0, y0, x1, y1 = drawn.box
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=width)
    radius = 3 * width
    for (x, y), label in zip(drawn.points, drawn.labels, strict=True):
        if label == PointLabel.FOREGROUND:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline="white", width=width)
        else:
            draw.line((x - radius, y - radius, x + radius, y + radius), fill="white", width=width + 1)
            draw.line((x - radius, y + radius, x + radius, y - radius), fill="white", width=width + 1)
