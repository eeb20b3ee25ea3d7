"""Pictures to evaluate on, with the ground truth that lies beside them: COCO instances, or PNGs in `masks`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..errors import GroundTruthError
from .ground_truth import LEAST_COVERAGE
from .ground_truth_coco import CocoTruth, read_coco
from .ground_truth_masks import FOLDER, MaskTruth, find_masks
from .pictures import Picture, pictures_in

JSON = ".json"


def evaluation_pictures(folder: Path) -> tuple[Picture, ...]:
    """Return every picture of a folder, by name, with its ground truth where there is any.

    Ground truth is a COCO instances file in the folder (`annotations.json`, else the one `instances*.json`, else the
    one `*.json`; other JSON is left alone), or the PNGs in its subfolder `masks`. A picture without is kept.

    Raises:
        ImageError: as `pictures_in`.
        GroundTruthError: there is ground truth that cannot be read, that contradicts the pictures, or without an
            object that is large enough; or two kinds of it.
    """
    annotations, masks = _annotations(folder), folder / FOLDER
    if annotations and masks.is_dir():
        raise GroundTruthError(
            f"{folder}: holds both {annotations.name} and {FOLDER}/; allowed: one kind of ground truth; move the other"
        )
    if annotations:
        pictures = pictures_in(folder, without=JSON)
        return _with_truth(pictures, read_coco(annotations, _names(pictures)), annotations)
    pictures = pictures_in(folder)
    if not masks.is_dir():
        return pictures
    return _with_truth(pictures, find_masks(masks, _names(pictures)), masks)


def _annotations(folder: Path) -> Path | None:
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() == JSON and not path.name.startswith("."))
    for fitting in (
        [path for path in found if path.name == "annotations.json"],
        [path for path in found if path.name.startswith("instances")],
        found,
    ):
        if len(fitting) > 1:
            raise GroundTruthError(
                f"{folder}: holds {len(fitting)} files that may be its annotations, {fitting[0].name} first; allowed: "
                "one; call it annotations.json, or move the others"
            )
        if fitting:
            return fitting[0]
    return None


def _names(pictures: tuple[Picture, ...]) -> list[str]:
    return [picture.name for picture in pictures]


def _with_truth(pictures: tuple[Picture, ...], truth: CocoTruth | MaskTruth, source: Path) -> tuple[Picture, ...]:
    found = tuple(dataclasses.replace(picture, truth=truth.of(picture.name, picture.hw)) for picture in pictures)
    if not any(picture.truth and picture.truth.objects for picture in found):
        raise GroundTruthError(
            f"{source}: no object that covers {LEAST_COVERAGE:.2%} of its picture or more on {len(found)} pictures; "
            "give ground truth of these pictures, or remove it to measure without"
        )
    return found
