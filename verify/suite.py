"""What every candidate of a model is measured on: pictures, prompts, and the reference's answers, drawn once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..contract import FloatArray, MaskRule, Preprocessing
from ..errors import NotVerifiableError
from ..models import SamModel
from ..runtimes.preprocess import PreparedImage
from .affordable import affordable, affordable_note, processor_seconds
from .drawn import drawn_boxes
from .ground_truth import LEAST_COVERAGE, MOST_OBJECTS
from .lanes import in_lanes, lanes_here
from .pictures import Picture
from .prompt import Prompt
from .prompts import COVERAGE, DRAWING, STABILITY, Canvas, Case, draw
from .reference import TorchReference

Progress = Callable[[str, int, int], None]

# Logits are compared on the first pictures: a graph that gets a kind of prompt wrong does so on every one.
PARITY_PICTURES = 4
FULL_PROMPTS, FULL_PICTURES = 100, 20


@dataclass(frozen=True, eq=False)
class SuitePicture:
    """A picture, what the reference's encoder gives for it, by the contract's names, and its cases."""

    picture: Picture
    prepared: PreparedImage
    features: Mapping[str, FloatArray]
    cases: tuple[Case, ...]


@dataclass(frozen=True, eq=False)
class Suite:
    """`sha256` is over checkpoint, pictures, prompts and the ground truth's masks. `notes` are for reports."""

    model: str
    checkpoint_sha256: str
    weights_trained: bool
    preprocessing: Preprocessing
    mask_rule: MaskRule
    pictures: tuple[SuitePicture, ...]
    sha256: str
    notes: tuple[str, ...] = ()

    def cases(self) -> Iterator[Case]:
        for picture in self.pictures:
            yield from picture.cases

    def count(self, role: str) -> int:
        return sum(case.prompt.role == role for case in self.cases())


def build_suite(
    model: SamModel,
    pictures: Sequence[Picture],
    *,
    fewer_if_slow: bool = False,
    progress: Progress | None = None,
    clock: Callable[[], float] = processor_seconds,
) -> Suite:
    """Return the suite of a model on these pictures; the same for the same weights and pictures.

    Args:
        fewer_if_slow: whether the last pictures may be left out, and a note say so, where the first takes long.
        clock: what seconds are read from.

    Raises:
        NotVerifiableError: there is no picture, or the reference answers none of the boxes drawn with a stable mask.
    """
    if not pictures:
        raise NotVerifiableError(f"{model.variant.name}: no picture to measure on; give at least one")
    found, notes = _measured_pictures(model, pictures, fewer_if_slow, progress, clock)
    suite = Suite(
        model=model.variant.name,
        checkpoint_sha256=model.checkpoint_sha256,
        weights_trained=model.weights_trained,
        preprocessing=model.variant.preprocessing,
        mask_rule=model.variant.mask_rule,
        pictures=tuple(found),
        sha256=_sha256(model.checkpoint_sha256, found),
    )
    suite = replace(suite, notes=(*notes, *_size_notes(suite), *_truth_notes(pictures)))
    _require_stable(suite)
    return suite


def _measured_pictures(
    model: SamModel,
    pictures: Sequence[Picture],
    fewer_if_slow: bool,
    progress: Progress | None,
    clock: Callable[[], float],
) -> tuple[list[SuitePicture], tuple[str, ...]]:
    """Return the pictures with the reference's answers, and a note where not all were taken."""
    reference = TorchReference(model)
    count = len(pictures)

    def measured(place: int) -> SuitePicture:
        return _suite_picture(pictures[place], model, reference, parity=place < PARITY_PICTURES)

    def show(done: int) -> None:
        if progress is not None:
            progress("reference", done, count)

    if not fewer_if_slow:
        return in_lanes(measured, range(count), lanes_here(), show), ()
    show(0)
    started = clock()
    first = measured(0)
    seconds = clock() - started
    taken = affordable(count, seconds)
    notes = affordable_note(taken, count, seconds)
    count = taken
    rest = in_lanes(measured, range(1, taken), lanes_here(), lambda done: show(done + 1))
    return [first, *rest], notes


def _suite_picture(picture: Picture, model: SamModel, reference: TorchReference, *, parity: bool) -> SuitePicture:
    encoded = reference.encode(picture)
    boxes = drawn_boxes(model.checkpoint_sha256, picture.sha256)
    canvas = Canvas(reference, encoded)
    cases = draw(picture, canvas, trained=model.weights_trained, parity=parity, boxes=boxes)
    return SuitePicture(picture, encoded.prepared, encoded.features, cases)


def _size_notes(suite: Suite) -> tuple[str, ...]:
    """Say it where a suite is smaller than one that carries a general claim."""
    if not suite.weights_trained:
        return ("the weights are not trained: masks mean nothing, logits were compared",)
    prompts, pictures = suite.count("stable"), sum(_has_stable(entry) for entry in suite.pictures)
    if prompts >= FULL_PROMPTS and pictures >= FULL_PICTURES:
        return ()
    return (
        f"measured on {prompts} stable prompts over {pictures} pictures; "
        f"a full suite has at least {FULL_PROMPTS} over {FULL_PICTURES}",
    )


def _truth_notes(pictures: Sequence[Picture]) -> tuple[str, ...]:
    """Say how much of the ground truth was measured, if there is any."""
    truths = [picture.truth for picture in pictures if picture.truth and picture.truth.found]
    if not truths:
        return ()
    found, asked = sum(truth.found for truth in truths), sum(len(truth.objects) for truth in truths)
    return (
        f"ground truth: {asked} of {found} objects asked for, on {len(truths)} of {len(pictures)} pictures "
        f"(at most {MOST_OBJECTS} a picture, none below {LEAST_COVERAGE:.2%} of it)",
    )


def _has_stable(entry: SuitePicture) -> bool:
    return any(case.prompt.role == "stable" for case in entry.cases)


def _require_stable(suite: Suite) -> None:
    if suite.weights_trained and not suite.count("stable"):
        raise NotVerifiableError(
            f"{suite.model}: none of the boxes drawn on {len(suite.pictures)} pictures has a stable mask (stability "
            f">= {STABILITY:g}, {COVERAGE[0]:.1%} to {COVERAGE[1]:.0%} of the picture); check that the checkpoint is a "
            "trained one, or give pictures of the kind that it was trained on"
        )


def _sha256(checkpoint_sha256: str, pictures: Sequence[SuitePicture]) -> str:
    """A mask fed back is named, not hashed: it follows from the rest, up to the rounding of the machine."""
    content = {
        "drawing": DRAWING,
        "checkpoint": checkpoint_sha256,
        "pictures": [[entry.picture.sha256, [_prompt_text(case.prompt) for case in entry.cases]] for entry in pictures],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _prompt_text(prompt: Prompt) -> str:
    outline = "" if prompt.truth is None else f" {prompt.truth.sha256}"
    return f"{prompt.role} {prompt.name}{outline}"
