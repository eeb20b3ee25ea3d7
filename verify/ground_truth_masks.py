"""Ground truth from mask PNGs: `masks/<stem of the picture>.png`, or several as `masks/<stem of the picture>_*.png`.

Grey or palette, of the picture's size. 0 is background and every other value is one object, so that a binary mask
is one object. In a palette PNG 255 is no object: Pascal VOC's border.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import GroundTruthError, one_line
from .ground_truth import PictureTruth, as_object, choose

FOLDER = "masks"
MODES = ("1", "L", "P", "I;16", "I;16B", "I")
VOID = 255
RULE = f"allowed: {FOLDER}/<stem of a picture>.png or {FOLDER}/<stem of a picture>_*.png"

LabelMap = NDArray[np.integer]


@dataclass(frozen=True)
class MaskTruth:
    """The mask files of each picture that has any, by its name."""

    files: Mapping[str, tuple[Path, ...]]

    def of(self, picture: str, hw: tuple[int, int]) -> PictureTruth | None:
        """Return the truth of a picture of that size, None for one without a mask.

        Raises:
            GroundTruthError: a mask is not a PNG that can be used, or of another size.
        """
        if picture not in self.files:
            return None
        maps = {path: label_map(path, hw) for path in self.files[picture]}
        areas = {(path, label): area for path, labels in maps.items() for label, area in _areas(labels).items()}
        names = {f"{path.name}:{label}": (path, label) for path, label in areas}
        chosen = choose({name: areas[place] for name, place in names.items()}, hw)
        places = [(name, *names[name]) for name in chosen]
        return PictureTruth(tuple(as_object(name, maps[path] == label) for name, path, label in places), len(areas))


def find_masks(folder: Path, pictures: Sequence[str]) -> MaskTruth:
    """Return which files of a folder are masks of which pictures; hidden files are left out.

    Raises:
        GroundTruthError: the folder cannot be read, or a file in it is no PNG or of none of the pictures.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as exc:
        raise GroundTruthError(f"{folder}: cannot be read ({exc.strerror or exc}); give a folder of masks") from exc
    stems = _stems(folder, pictures)
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(stems[_stem_of(path, stems)], []).append(path)
    return MaskTruth({picture: tuple(paths) for picture, paths in found.items()})


def label_map(path: Path, hw: tuple[int, int]) -> LabelMap:
    """Return the values of a mask, [H, W]: 0 background, every other one an object.

    Raises:
        GroundTruthError: not a PNG, damaged, of another size (seen before decoding), in colour, or with soft edges.
    """
    with _open(path) as image:
        if (image.height, image.width) != hw:
            raise GroundTruthError(
                f"{path}: {image.width}x{image.height} pixels, the upright picture has {hw[1]}x{hw[0]}; "
                "draw the mask at the picture's size"
            )
        if image.mode not in MODES or getattr(image, "n_frames", 1) > 1:
            raise GroundTruthError(
                f"{path}: colour mode {image.mode}, allowed: one frame, grey or palette, a value for each object; "
                "save it so"
            )
        return _labels(image, path)


def _labels(image: Image.Image, path: Path) -> LabelMap:
    try:
        labels: LabelMap = np.array(image.convert("L") if image.mode == "1" else image)
    except Exception as exc:  # a decoder that meets hostile bytes may raise anything
        detail = one_line(exc)
        raise GroundTruthError(f"{path}: damaged or cut short ({detail}); save or copy the mask again") from exc
    if image.mode == "P":
        labels[labels == VOID] = 0
    elif image.mode == "L" and (labels == VOID).any() and ((labels > 0) & (labels < VOID)).any():
        raise GroundTruthError(
            f"{path}: holds 255 beside other values, which is a mask with soft edges, or a border that is no object; "
            "allowed: 0 and 255 alone, or a value of 1 to 254 for each object; save it so"
        )
    return labels


def _open(path: Path) -> Image.Image:
    """Return the PNG with its header read and no pixel decoded."""
    try:
        # A mask must have its picture's size, and that is below the size at which Pillow warns.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path, formats=("PNG",))
    except Image.DecompressionBombError as exc:
        raise GroundTruthError(
            f"{path}: more pixels than any picture that is read; draw the mask at the picture's size"
        ) from exc
    except Exception as exc:  # a decoder that meets hostile bytes may raise anything
        raise GroundTruthError(f"{path}: not a PNG that can be read; masks must be PNG; save it so") from exc


def _areas(labels: LabelMap) -> dict[int, int]:
    """Return the pixels of each value but 0; a PNG's are below 65536."""
    counts = np.bincount(labels.ravel())
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts) if label}


def _stems(folder: Path, pictures: Sequence[str]) -> dict[str, str]:
    stems: dict[str, str] = {}
    for picture in pictures:
        other = stems.setdefault(Path(picture).stem, picture)
        if other != picture:
            raise GroundTruthError(
                f"{folder}: {other!r} and {picture!r} would share their masks; names must differ before the dot; "
                "rename one of them"
            )
    return stems


def _stem_of(mask: Path, stems: Mapping[str, str]) -> str:
    """Return the longest stem of a picture that fits, so that `a_1.png` has its own masks beside `a.png`."""
    if mask.suffix.lower() != ".png" or not mask.is_file():
        raise GroundTruthError(f"{mask}: not a PNG file; masks must be PNG, which loses nothing; {RULE}; save it so")
    fitting = [stem for stem in stems if mask.stem == stem or mask.stem.startswith(f"{stem}_")]
    if not fitting:
        raise GroundTruthError(f"{mask}: of none of the {len(stems)} pictures; {RULE}; rename or remove it")
    return max(fitting, key=len)
