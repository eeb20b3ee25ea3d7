"""A picture with its masks, boxes and points drawn over it, for eyes only.

Outlines and points have a dark edge, so that they stand out on a bright ground and on one of their own colour.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..contract import ImageArray, PointLabel

FIRST_HUE = 0.55  # blue: rare in photographs, so that one object stands out from most
GOLDEN_RATIO = 0.618034
FILL = 0.4
SHADE = 0.5
SMOOTHING = 4
MAX_LINE = 8
SMALLEST_TEXT = 9
Colour = tuple[int, int, int]
INK: Colour = (16, 18, 22)
PAPER: Colour = (255, 255, 255)


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

    Boxes are rectangles, foreground points discs, background points crosses. Several objects have their number,
    from 0, on a tag at their box.
    """
    width = min(MAX_LINE, max(1, round(max(image.shape[:2]) / 350)))
    overlay = Image.fromarray(_tinted(image, objects, width))
    draw = ImageDraw.Draw(overlay)
    for index, drawn in enumerate(objects):
        if drawn.box is not None:
            _draw_box(draw, drawn.box, object_colour(index), width)
    for index, drawn in enumerate(objects):
        for point, label in zip(drawn.points, drawn.labels, strict=True):
            _draw_point(overlay, point, label, object_colour(index), width)
        if drawn.box is not None and len(objects) > 1:
            _draw_tag(draw, drawn.box[:2], str(index), object_colour(index), image.shape)
    return overlay


def _tinted(image: ImageArray, objects: Sequence[DrawnObject], width: int) -> ImageArray:
    """Return the pixels with all masks tinted first, then all outlines, so that no tint covers an outline."""
    pixels = image.astype(np.float32)
    colours = [np.array(object_colour(index), np.float32) for index in range(len(objects))]
    for drawn, colour in zip(objects, colours, strict=True):
        pixels[drawn.mask] += FILL * (colour - pixels[drawn.mask])
    for drawn, colour in zip(objects, colours, strict=True):
        pixels[grown(drawn.mask, max(1, width // 2)) & ~drawn.mask] *= SHADE
        pixels[drawn.mask & grown(~drawn.mask, width)] = colour
    rounded: ImageArray = pixels.round().astype(np.uint8)
    return rounded


def grown(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return the mask with all pixels that lie within `width` steps of it."""
    grown = mask.copy()
    for _ in range(width):
        before = grown.copy()
        grown[1:] |= before[:-1]
        grown[:-1] |= before[1:]
        grown[:, 1:] |= before[:, :-1]
        grown[:, :-1] |= before[:, 1:]
    return grown


def _draw_box(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colour: Colour, width: int) -> None:
    x0, y0, x1, y1 = box
    draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=width)


def _draw_point(overlay: Image.Image, point: tuple[float, float], label: int, colour: Colour, width: int) -> None:
    """Foreground: a disc of the object's colour with a white ring; background: a white cross; both with a dark edge."""
    radius = 3 * width + 1
    if label == PointLabel.FOREGROUND:
        rings = ((radius + 2 * width, INK), (radius + width, PAPER), (radius, colour))
        for reach, paint in rings:
            _stamp(overlay, point, reach, 0, paint)
    else:
        for thickness, paint in ((4 * width, INK), (2 * width, PAPER)):
            _stamp(overlay, point, radius + thickness / 4, thickness, paint)


def _stamp(overlay: Image.Image, point: tuple[float, float], reach: float, thickness: int, paint: Colour) -> None:
    """Draw a smooth disc (`thickness` 0) or a diagonal cross that reaches so many pixels from the point."""
    half = math.ceil(reach) + thickness + 1
    left, top = math.floor(point[0]) - half, math.floor(point[1]) - half
    stencil = Image.new("L", (SMOOTHING * 2 * half, SMOOTHING * 2 * half))
    x, y = SMOOTHING * (point[0] - left), SMOOTHING * (point[1] - top)
    far, draw = SMOOTHING * reach, ImageDraw.Draw(stencil)
    if thickness:
        far /= math.sqrt(2)
        draw.line((x - far, y - far, x + far, y + far), fill=255, width=SMOOTHING * thickness)
        draw.line((x - far, y + far, x + far, y - far), fill=255, width=SMOOTHING * thickness)
    else:
        draw.ellipse((x - far, y - far, x + far, y + far), fill=255)
    overlay.paste(paint, (left, top), stencil.reduce(SMOOTHING))


def _draw_tag(
    draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, colour: Colour, shape: tuple[int, ...]
) -> None:
    """Write the text on a tag above the corner, or below it where the picture ends."""
    size = max(SMALLEST_TEXT, round(max(shape[:2]) / 45))
    font = ImageFont.load_default(size)
    x, y = max(0.0, corner[0]), corner[1]
    side = round(1.25 * size)
    width = max(side, round(font.getlength(text)) + size // 2)
    top = y - side if y >= side else max(0.0, y)
    draw.rectangle((x, top, x + width - 1, top + side - 1), fill=colour)
    # Digits have no descenders, so the middle of the line would leave them too high; they are 0.72 of the size tall.
    baseline = top + (side + 0.72 * size) / 2
    draw.text((x + width / 2, baseline), text, fill=_readable_on(colour), font=font, anchor="ms")


def _readable_on(colour: Colour) -> Colour:
    red, green, blue = colour
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else PAPER
