"""Ground truth from COCO instances JSON: polygons and run lengths, compressed or not.

Files come from strangers, and pycocotools is C that trusts what it is given: run lengths that do not add up and
polygons far outside have crashed it. Everything is checked here before it sees them, and no path in a file is opened:
its names are only compared with those of the pictures.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from ..errors import GroundTruthError
from .ground_truth import PictureTruth, TruthObject, decompressed, measured

# The largest that is in use, LVIS's validation set, has 192 MB; an object's outline is decoded only when it is needed.
MAX_BYTES = 256 * 2**20
# pycocotools draws a polygon in a fifth of a pixel, 20 bytes each.
MAX_OUTLINE_PIXELS = 1_000_000
MAX_POLYGONS = 1_000

Name = Annotated[str, msgspec.Meta(max_length=1000)]
Polygons = list[list[float]]


@dataclass(frozen=True, slots=True)
class CocoPicture:
    id: int | Name
    file_name: Name
    height: int
    width: int

    @property
    def name(self) -> str:
        """The file's name without the folders that a data set had it in, whichever way their slashes lean."""
        return PurePosixPath(self.file_name.replace("\\", "/")).name


@dataclass(frozen=True, slots=True)
class CocoOutline:
    """`iscrowd`: a group that nobody took apart, so not an object."""

    id: int | Name
    image_id: int | Name
    segmentation: msgspec.Raw
    iscrowd: int | bool | None = 0


@dataclass(frozen=True, slots=True)
class CocoInstances:
    images: list[CocoPicture]
    annotations: list[CocoOutline]


@dataclass(frozen=True, slots=True)
class Runs:
    """`size` is [height, width]; `counts` are lengths of runs outside and inside in turn, column by column."""

    size: tuple[int, int]
    counts: str | list[int]


@dataclass(frozen=True)
class AnnotatedPicture:
    picture: CocoPicture
    outlines: tuple[CocoOutline, ...]


@dataclass(frozen=True)
class CocoTruth:
    """What a file says of the pictures beside it, by their names."""

    path: Path
    pictures: Mapping[str, AnnotatedPicture]

    def of(self, picture: str, hw: tuple[int, int]) -> PictureTruth | None:
        """Return the truth of a picture of that size, None for one that the file does not list.

        Raises:
            GroundTruthError: the file says another size, or an outline is broken.
        """
        found = self.pictures.get(picture)
        if found is None:
            return None
        said = (found.picture.height, found.picture.width)
        if said != hw:
            raise GroundTruthError(
                f"{self.path}: {picture!r} is annotated as {_size(said)} pixels, the upright picture has {_size(hw)}; "
                "annotate this very picture"
            )
        return measured([self._object(outline, picture, hw) for outline in found.outlines], hw)

    def _object(self, outline: CocoOutline, picture: str, hw: tuple[int, int]) -> TruthObject:
        name = f"annotation {outline.id}"
        try:
            return TruthObject(name, hw, _counts(outline.segmentation, hw))
        except (ValueError, RecursionError) as exc:
            raise GroundTruthError(
                f"{self.path}: {name!r} of {picture!r}: {exc}; allowed: polygons [[x, y, ...], ...] or an RLE with "
                "size and counts; export the annotations again"
            ) from exc


def read_coco(path: Path, pictures: Sequence[str]) -> CocoTruth:
    """Return what the file says of those pictures, by name; groups (`iscrowd`) and other pictures are left out.

    Raises:
        GroundTruthError: not a COCO instances file, larger than `MAX_BYTES`, at odds with itself, or about none of
            the pictures.
    """
    document, beside = _decode(path), set(pictures)
    _check_ids(path, "images", document.images)
    _check_ids(path, "annotations", document.annotations)
    outlines = _by_picture(path, document)
    wanted = [image for image in document.images if image.name in beside]
    _check_names(path, wanted, document.images)
    return CocoTruth(path, {image.name: AnnotatedPicture(image, tuple(outlines[image.id])) for image in wanted})


def _check_ids(path: Path, what: str, rows: Sequence[CocoPicture] | Sequence[CocoOutline]) -> None:
    double = _first_double(str(row.id) for row in rows)
    if double is not None:
        raise GroundTruthError(
            f"{path}: two {what} have the id {double!r}; ids must differ; export the annotations again"
        )


def _first_double(values: Iterable[str]) -> str | None:
    return next((value for value, count in Counter(values).items() if count > 1), None)


def _by_picture(path: Path, document: CocoInstances) -> dict[int | str, list[CocoOutline]]:
    found: dict[int | str, list[CocoOutline]] = {image.id: [] for image in document.images}
    for outline in document.annotations:
        if outline.image_id not in found:
            raise GroundTruthError(
                f"{path}: 'annotation {outline.id}' is of image_id {outline.image_id!r}, which is not among its "
                f"{len(document.images)} images; export the annotations again"
            )
        if not outline.iscrowd:
            found[outline.image_id].append(outline)
    return found


def _check_names(path: Path, wanted: Sequence[CocoPicture], images: Sequence[CocoPicture]) -> None:
    if not wanted:
        first = f", first {images[0].file_name!r}" if images else ""
        raise GroundTruthError(
            f"{path}: none of its {len(images)} images lies beside it{first}; file_name must end with the name of a "
            "picture in the folder"
        )
    double = _first_double(image.name for image in wanted)
    if double is not None:
        raise GroundTruthError(f"{path}: lists {double!r} more than once; allowed: once; leave one of them")


def _decode(path: Path) -> CocoInstances:
    try:
        return msgspec.json.decode(_read_bytes(path), type=CocoInstances)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise GroundTruthError(
            f"{path}: not COCO instances ({exc}); allowed: a JSON object with images (id, file_name, height, width) "
            "and annotations (id, image_id, segmentation); give such a file, or remove it to measure without"
        ) from exc


def _read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise GroundTruthError(
                f"{path}: {size} bytes, at most {MAX_BYTES} are read; keep only the annotations of pictures beside it"
            )
        return path.read_bytes()
    except OSError as exc:
        raise GroundTruthError(f"{path}: cannot be read ({exc.strerror or exc}); give a readable file") from exc


def _counts(segmentation: msgspec.Raw, hw: tuple[int, int]) -> bytes:
    """Return the outline as pycocotools' compressed runs.

    Raises:
        ValueError: what is wrong with it, to be put into a sentence.
    """
    outline = msgspec.json.decode(segmentation, type=Polygons | Runs)
    if isinstance(outline, Runs):
        checked = {"size": list(hw), "counts": _checked_runs(outline, hw)}
        counts: bytes = coco_mask.frPyObjects(checked, *hw)["counts"]
        return counts
    _check_polygons(outline, hw)
    merged: bytes = coco_mask.merge(coco_mask.frPyObjects(outline, *hw))["counts"]
    return merged


def _checked_runs(runs: Runs, hw: tuple[int, int]) -> list[int]:
    if runs.size != hw:
        raise ValueError(f"its RLE is of {_size(runs.size)} pixels, the picture has {_size(hw)}")
    counts = decompressed(runs.counts) if isinstance(runs.counts, str) else runs.counts
    total, pixels = sum(counts), hw[0] * hw[1]
    if min(counts, default=0) < 0 or total != pixels:
        raise ValueError(f"its RLE is broken: runs of {total} pixels in a picture of {pixels}")
    return counts


def _check_polygons(polygons: Polygons, hw: tuple[int, int]) -> None:
    if not 1 <= len(polygons) <= MAX_POLYGONS:
        raise ValueError(f"it has {len(polygons)} polygons, allowed: 1 to {MAX_POLYGONS}")
    # pycocotools takes four numbers for a box, and six are the least with an inside.
    if any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
        raise ValueError("a polygon has less than three points, or half a point")
    outline = sum(_outline_pixels(np.array(polygon, np.float64).reshape(-1, 2), hw) for polygon in polygons)
    if not outline <= MAX_OUTLINE_PIXELS:
        raise ValueError(f"its outline is {outline:.0f} pixels long, at most {MAX_OUTLINE_PIXELS}")


def _outline_pixels(points: np.ndarray[tuple[int, ...], np.dtype[np.float64]], hw: tuple[int, int]) -> float:
    """Return how many pixels a closed polygon's outline visits at most. `points` [N, 2], x and y."""
    size = np.array(hw[::-1], np.float64)
    if not ((points >= -size) & (points <= 2 * size)).all():
        raise ValueError(f"a polygon leaves the picture of {_size(hw)} by more than its size")
    steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
    return math.fsum((steps + 1).tolist())


def _size(hw: tuple[int, int]) -> str:
    return f"{hw[1]}x{hw[0]}"
