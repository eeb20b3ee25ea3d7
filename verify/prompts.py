"""Drawing prompts on a picture: those that fit an object as the reference sees it, and those that need not.

Stable: random boxes, replaced three times by the bounding box of the mask they gave, kept if that mask is stable and
of a sensible size; then points inside those masks, boxes with points, and the masks fed back, as far as the weights
were trained for them. Harsh: random boxes. Parity: kinds without a stable answer, compared by their logits alone.
Those are seeded by the picture's own hash. Truth: the objects that people outlined on it, if they did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..contract import FloatArray, MaskRule, PointLabel
from ..runtimes.mask_choice import fed_back
from .ground_truth import PictureTruth
from .metrics import coverage, mask_iou, stability_score
from .pictures import Picture
from .prompt import Box, Points, Prompt
from .reference import Answer, EncodedReference, TorchReference

# Version of the drawing: raised with every change that draws other prompts.
DRAWING = 2

STABILITY = 0.85
COVERAGE = (0.005, 0.8)
REPLACEMENTS = 3
STARTS = 12
DERIVED = 3
HARSH = 6
UNTRAINED_BOXES = 2
HOPELESS_STABILITY = 0.5
HOPELESS_COVERAGE = (0.001, 0.95)
SAME_OBJECT_IOU = 0.8

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Case:
    """A prompt and the reference's answer."""

    prompt: Prompt
    answer: Answer


@dataclass(frozen=True, eq=False)
class Seen:
    """A case with its mask in the picture, [H, W], and how stable that is."""

    case: Case
    mask: Mask
    stability: float

    def holds(self, stability: float, size: tuple[float, float]) -> bool:
        return self.stability >= stability and size[0] <= coverage(self.mask) <= size[1]

    @property
    def stable(self) -> bool:
        return self.holds(STABILITY, COVERAGE)


@dataclass(frozen=True)
class Effort:
    """How long boxes are looked for on a picture: `rounds` of `STARTS` random boxes, until `enough` are found.

    At most `most` are kept.
    """

    rounds: int = 3
    enough: int = 5
    most: int = 8


@dataclass(frozen=True, eq=False)
class Canvas:
    """A picture that prompts are drawn on, encoded by the reference."""

    reference: TorchReference
    encoded: EncodedReference

    def ask(self, prompts: Sequence[Prompt]) -> tuple[Case, ...]:
        answers = self.reference.answer(self.encoded, prompts)
        return tuple(Case(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True))

    def see(self, prompts: Sequence[Prompt]) -> tuple[Seen, ...]:
        return tuple(self._seen(case) for case in self.ask(prompts))

    def _seen(self, case: Case) -> Seen:
        threshold = self.reference.rule.threshold
        logits: FloatArray = self.reference.logits(self.encoded, case.answer)
        return Seen(case, logits > threshold, stability_score(logits, threshold))


def draw(
    picture: Picture, canvas: Canvas, *, trained: bool, parity: bool, boxes: tuple[Box, ...] | None = None
) -> tuple[Case, ...]:
    """Return the picture's cases: stable ones first, then harsh, parity, truth. Untrained weights lack the first two.

    Args:
        parity: whether to ask for the kinds that are compared by their logits; they mean the same on every picture.
        boxes: that were drawn on this picture beforehand; those without a stable mask are left out.
    """
    rng = np.random.default_rng(int(picture.sha256[16:32], 16))
    places = random_boxes(rng, canvas.encoded.prepared.original_hw, HARSH if trained else UNTRAINED_BOXES)
    asked = canvas.ask(
        [Prompt("harsh", "harsh box", box) if trained else Prompt("parity", "box", box) for box in places]
    )
    stable = stable_cases(canvas, draw_boxes(picture, canvas, boxes)) if trained else ()
    gated = stable_kinds(canvas.reference.rule) if trained else set()
    others = parity_prompts(canvas, asked[0], rng, gated) if parity else []
    outlined = truth_prompts(picture.truth, canvas.reference.rule) if picture.truth else []
    return (*stable, *asked, *canvas.ask(others), *canvas.ask(outlined))


def stable_kinds(rule: MaskRule) -> set[str]:
    """Return the kinds of prompt that the weights were trained to answer, and that are gated by their masks."""
    kinds = {"box"}
    if "point" in rule.prompts:
        kinds |= {"point", "box+point"}
    if "mask" in rule.prompts:
        kinds |= {"box+mask"}
    return kinds


def draw_boxes(
    picture: Picture, canvas: Canvas, boxes: tuple[Box, ...] | None = None, effort: Effort = Effort()
) -> list[Seen]:
    """Return boxes with a stable mask, one for each object: of the given ones, or of new ones."""
    if boxes is not None:
        return [seen for seen in canvas.see([Prompt("stable", "box", box) for box in boxes]) if seen.stable]
    rng = np.random.default_rng(int(picture.sha256[:16], 16))
    kept: list[Seen] = []
    for _ in range(effort.rounds):
        for seen in settled_boxes(canvas, rng, kept):
            if is_new(seen, kept):
                kept.append(seen)
        if len(kept) >= effort.enough:
            break
    return kept[: effort.most]


def is_new(seen: Seen, kept: Sequence[Seen]) -> bool:
    return all(mask_iou(seen.mask, other.mask) < SAME_OBJECT_IOU for other in kept)


def stable_cases(canvas: Canvas, boxes: list[Seen]) -> tuple[Case, ...]:
    """Return the boxes' cases and, as far as the model answers to other kinds, what their masks lead to."""
    rule = canvas.reference.rule
    wanted = stable_kinds(rule)
    derived = [prompt for seen in boxes[:DERIVED] for prompt in derived_prompts(seen, rule) if prompt.kind in wanted]
    return (*(seen.case for seen in boxes), *(seen.case for seen in canvas.see(derived) if seen.stable))


def settled_boxes(canvas: Canvas, rng: np.random.Generator, kept: Sequence[Seen]) -> tuple[Seen, ...]:
    """Return one round's boxes that fit the stable mask that they give; those that lead to a kept one are given up."""
    boxes = random_boxes(rng, canvas.encoded.prepared.original_hw, STARTS)
    answers = see_boxes(canvas, boxes)
    for _ in range(REPLACEMENTS):
        alive = [one for one in map(answers.__getitem__, boxes) if one.holds(HOPELESS_STABILITY, HOPELESS_COVERAGE)]
        boxes = list(dict.fromkeys(bounding_box(one.mask) for one in alive if is_new(one, kept)))
        # A box that no longer moves has its answer already.
        answers |= see_boxes(canvas, [box for box in boxes if box not in answers])
    return tuple(answers[box] for box in boxes if answers[box].stable)


def see_boxes(canvas: Canvas, boxes: Sequence[Box]) -> dict[Box, Seen]:
    return dict(zip(boxes, canvas.see([Prompt("stable", "box", box) for box in boxes]), strict=True))


def derived_prompts(seen: Seen, rule: MaskRule) -> tuple[Prompt, ...]:
    """Return a point well inside the mask, the box with that point, and the box with the mask fed back."""
    inside: Points = (deepest_point(seen.mask),)
    labels = (int(PointLabel.FOREGROUND),)
    box, answer = seen.case.prompt.box, seen.case.answer
    return (
        Prompt("stable", "point", None, inside, labels, multimask=True),
        Prompt("stable", "box+point", box, inside, labels),
        Prompt("stable", "box+mask", box, mask_input=fed_back(answer.low_res_masks[answer.index], rule)),
    )


def parity_prompts(canvas: Canvas, case: Case, rng: np.random.Generator, gated: set[str]) -> list[Prompt]:
    """Return one prompt of every kind that is not gated by its masks; several lengths, all labels."""
    height, width = canvas.encoded.prepared.original_hw
    spots: Points = tuple(
        (round(x * width, 1), round(y * height, 1)) for x, y in rng.uniform(0.05, 0.95, (3, 2)).tolist()
    )
    inside, outside = int(PointLabel.FOREGROUND), int(PointLabel.BACKGROUND)
    logits, box = case.answer.low_res_masks[case.answer.index], case.prompt.box
    earlier = fed_back(logits, canvas.reference.rule)
    every = (
        Prompt("parity", "point", None, spots[:1], (inside,), multimask=True),
        Prompt("parity", "points", None, spots, (inside, outside, inside)),
        Prompt("parity", "box+point", box, spots[:1], (outside,)),
        Prompt("parity", "box+mask", box, mask_input=earlier),
        Prompt("parity", "points+mask", None, spots, (inside, inside, outside), earlier),
    )
    asked = [prompt for prompt in every if prompt.kind not in gated]
    return [prompt for prompt in asked if prompt.mask_input is None or canvas.reference.rule.takes_mask]


def truth_prompts(truth: PictureTruth, rule: MaskRule) -> list[Prompt]:
    """Return each object's bounding box and, where the weights were trained for points, its innermost point."""
    masks = [(one, one.mask()) for one in truth.objects]
    boxes = [Prompt("truth", "truth box", bounding_box(mask), truth=one) for one, mask in masks]
    if "point" not in rule.prompts:
        return boxes
    label = (int(PointLabel.FOREGROUND),)
    return boxes + [
        Prompt("truth", "truth point", None, (deepest_point(mask),), label, multimask=True, truth=one)
        for one, mask in masks
    ]


def random_boxes(rng: np.random.Generator, hw: tuple[int, int], count: int) -> list[Box]:
    """Return boxes of whole pixels, each side 10 to 80 % of the picture's."""
    height, width = hw
    boxes: list[Box] = []
    for w, h, x, y in rng.uniform((0.1, 0.1, 0, 0), (0.8, 0.8, 1, 1), (count, 4)):
        x0, y0 = int(x * (1 - w) * width), int(y * (1 - h) * height)
        x1, y1 = min(x0 + max(1, round(w * width)), width), min(y0 + max(1, round(h * height)), height)
        boxes.append((float(x0), float(y0), float(x1), float(y1)))
    return boxes


def bounding_box(mask: Mask) -> Box:
    """Return x0, y0, x1, y1 around all of the mask; x1 and y1 are the first column and row without it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def deepest_point(mask: Mask) -> tuple[float, float]:
    """Return the centre (x, y) of the pixel that is farthest from the mask's edge and the picture's border."""
    # Around its own box there is only background, and small objects of large pictures cost little.
    left, top, right, bottom = map(int, bounding_box(mask))
    depth = ndimage.distance_transform_edt(np.pad(mask[top:bottom, left:right], 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return float(left + x) + 0.5, float(top + y) + 0.5
