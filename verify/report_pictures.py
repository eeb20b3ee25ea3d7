"""The pictures of the report: both masks outlined on the picture, and the pixels where they differ.

Everything is drawn at twice the size and reduced, so that lines are smooth. Colours are sky blue and
orange of Okabe and Ito's palette, which keeps them apart for every kind of colour vision.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..contract import ImageArray, PointLabel
from ..verification import PromptScore

Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]

REFERENCE_COLOUR: Colour = (86, 180, 233)
CANDIDATE_COLOUR: Colour = (230, 159, 0)
INK: Colour = (16, 18, 22)
PAPER: Colour = (255, 255, 255)
LONGEST_SIDE = 320
SUPERSAMPLING = 2
TINT = 42
LIGHTENING = 64
CROP_MARGIN = 0.12
SMALLEST_CROP = 48


@dataclass(frozen=True, eq=False)
class Case:
    """One prompt that the report shows.

    `image` uint8 [H, W, 3] RGB; the masks are bool [H, W] of the same picture; `box` (x0, y0, x1, y1),
    `points` (x, y) and their `labels` (`PointLabel` codes) are in its pixels. `prompt` is shown as text.
    """

    picture: str
    prompt: str
    kind: str
    image: ImageArray
    reference_mask: Mask
    candidate_mask: Mask
    score: PromptScore
    box: Box | None = None
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """Two JPEG data URIs of the same size, and what they show in numbers of the picture's own pixels."""

    outlines: str
    difference: str
    width: int
    height: int
    only_reference: int
    only_candidate: int
    enlarged: bool


@dataclass(frozen=True, eq=False)
class Canvases:
    """A case drawn once, to be encoded at several sizes: both pictures at their largest, and the two counts."""

    outlines: Image.Image
    difference: Image.Image
    only_reference: int
    only_candidate: int
    enlarged: bool

    def encode(self, longest_side: int, quality: int) -> Drawing:
        """Return the pictures as JPEG of `quality`, their longest side `longest_side` px (`LONGEST_SIDE` at most)."""
        size = _fit(self.outlines.size, min(longest_side, LONGEST_SIDE))
        return Drawing(
            outlines=_jpeg_uri(self.outlines, size, quality),
            difference=_jpeg_uri(self.difference, size, quality),
            width=size[0],
            height=size[1],
            only_reference=self.only_reference,
            only_candidate=self.only_candidate,
            enlarged=self.enlarged,
        )


@dataclass(frozen=True)
class View:
    """A part of a picture (left, top, right, bottom in its pixels) and the size it is drawn at."""

    part: Box
    size: tuple[int, int]

    def resize(self, array: NDArray[np.uint8], filtering: Image.Resampling) -> Image.Image:
        return Image.fromarray(array).resize(self.size, filtering, box=self.part)

    def place(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self.part
        return (x - left) * self.size[0] / (right - left), (y - top) * self.size[1] / (bottom - top)


def draw_case(case: Case) -> Canvases:
    """Return the case drawn. The difference is enlarged to the part of the picture that either mask covers."""
    height, width = case.image.shape[:2]
    size = _fit((width, height), LONGEST_SIDE)
    drawn = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
    whole: Box = (0, 0, width, height)
    part = _part_with_masks(case.reference_mask | case.candidate_mask)
    return Canvases(
        outlines=_outlines(case, View(whole, drawn)).resize(size, Image.Resampling.BOX),
        difference=_difference(case, View(part, drawn)).resize(size, Image.Resampling.BOX),
        only_reference=int((case.reference_mask & ~case.candidate_mask).sum()),
        only_candidate=int((case.candidate_mask & ~case.reference_mask).sum()),
        enlarged=part != whole,
    )


def _fit(size: tuple[int, int], longest_side: int) -> tuple[int, int]:
    scale = longest_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _outlines(case: Case, view: View) -> Image.Image:
    """A wide blue line under a narrow orange one: together where the masks agree, apart where they do not."""
    canvas = view.resize(case.image, Image.Resampling.BILINEAR)
    reference, candidate = _shape(case.reference_mask, view), _shape(case.candidate_mask, view)
    canvas.paste(REFERENCE_COLOUR, mask=_stencil(reference, TINT))
    for mask, colour, width in ((reference, INK, 5), (reference, REFERENCE_COLOUR, 4), (candidate, INK, 2)):
        canvas.paste(colour, mask=_stencil(_edge(mask, width)))
    canvas.paste(CANDIDATE_COLOUR, mask=_stencil(_edge(candidate, 1)))
    _draw_prompt(ImageDraw.Draw(canvas), case, view)
    return canvas


def _difference(case: Case, view: View) -> Image.Image:
    """The picture in dim grey, lighter inside both masks, coloured where only one of them is."""
    grey = np.asarray(Image.fromarray(case.image).convert("L"))
    dim = (grey * 0.42 + 22).astype(np.uint8)
    canvas = view.resize(dim, Image.Resampling.BILINEAR).convert("RGB")
    canvas.paste(PAPER, mask=_stencil(_shape(case.reference_mask & case.candidate_mask, view), LIGHTENING))
    canvas.paste(REFERENCE_COLOUR, mask=_stencil(_every_pixel(case.reference_mask & ~case.candidate_mask, view)))
    canvas.paste(CANDIDATE_COLOUR, mask=_stencil(_every_pixel(case.candidate_mask & ~case.reference_mask, view)))
    return canvas


def _shape(mask: Mask, view: View) -> Mask:
    return np.asarray(view.resize(mask.astype(np.uint8) * 255, Image.Resampling.BILINEAR)) >= 128


def _every_pixel(mask: Mask, view: View) -> Mask:
    """Unlike `_shape`, keeps a single differing pixel visible when the picture is made smaller."""
    touched = np.asarray(view.resize(mask.astype(np.uint8) * 255, Image.Resampling.BOX)) > 0
    reduced = view.part[2] - view.part[0] > view.size[0] or view.part[3] - view.part[1] > view.size[1]
    # JPEG would average away a mark of less than a pixel.
    return _grown(touched) if reduced else touched


def _edge(mask: Mask, reach: int) -> Mask:
    """The pixels within `reach` of the mask's edge on either side; the picture's own border is none."""
    outer, outside = mask, ~mask
    for _ in range(reach):
        outer, outside = _grown(outer), _grown(outside)
    return outer & outside


def _grown(mask: Mask) -> Mask:
    """The mask and its eight neighbours."""
    rows = mask.copy()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    grown = rows.copy()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return grown


def _stencil(mask: Mask, opacity: int = 255) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8) * np.uint8(opacity))


def _draw_prompt(draw: ImageDraw.ImageDraw, case: Case, view: View) -> None:
    if case.box is not None:
        (x0, y0), (x1, y1) = view.place(*case.box[:2]), view.place(*case.box[2:])
        corners = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        draw.rectangle(corners, outline=INK, width=7)
        inner = (corners[0] + 2, corners[1] + 2, corners[2] - 2, corners[3] - 2)
        # A box of a pixel or two has no inside left to draw.
        draw.rectangle(inner if inner[0] <= inner[2] and inner[1] <= inner[3] else corners, outline=PAPER, width=3)
    for point, label in zip(case.points, case.labels, strict=True):
        _draw_point(draw, view.place(*point), label)


def _draw_point(draw: ImageDraw.ImageDraw, place: tuple[float, float], label: int) -> None:
    """A white disc with a plus for foreground, a minus for background."""
    x, y = place
    draw.ellipse((x - 13, y - 13, x + 13, y + 13), fill=PAPER, outline=INK, width=3)
    draw.line((x - 6, y, x + 6, y), fill=INK, width=4)
    if label == PointLabel.FOREGROUND:
        draw.line((x, y - 6, x, y + 6), fill=INK, width=4)


def _part_with_masks(covered: Mask) -> Box:
    """The smallest part that holds the masks and a margin, in the picture's own proportions."""
    height, width = covered.shape
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    if rows.size == 0:
        return (0, 0, width, height)
    needed_h = (rows[-1] - rows[0] + 1) * (1 + 2 * CROP_MARGIN)
    needed_w = (columns[-1] - columns[0] + 1) * (1 + 2 * CROP_MARGIN)
    share = min(1.0, max(needed_h / height, needed_w / width, SMALLEST_CROP / max(height, width)))
    crop_h, crop_w = max(1, math.ceil(height * share)), max(1, math.ceil(width * share))
    top = min(max(0, round((rows[0] + rows[-1] + 1 - crop_h) / 2)), height - crop_h)
    left = min(max(0, round((columns[0] + columns[-1] + 1 - crop_w) / 2)), width - crop_w)
    return (left, top, left + crop_w, top + crop_h)


def _jpeg_uri(canvas: Image.Image, size: tuple[int, int], quality: int) -> str:
    small = canvas if canvas.size == size else canvas.resize(size, Image.Resampling.BOX)
    stream = io.BytesIO()
    # Full chroma: halved, it smears the thin coloured lines that the picture is made for.
    small.save(stream, "JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
