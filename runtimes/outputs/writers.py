"""One picture's objects as a file, one writer a format. What is written depends on the objects alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from PIL import Image

from ...contract import ImageArray
from ..mask_runs import MaskRuns, binary_mask, box_of_runs, coco_rle
from .colours import coloured, tinted
from .outlines import Polygon, Ring, polygons

LABEL = "object"
LABELME_VERSION = "5.5.0"


@dataclass(frozen=True, eq=False)
class FoundObject:
    """One object of a picture. `point`: where it was asked for, (x, y) in pixels of the picture."""

    runs: MaskRuns
    predicted_iou: float
    stability_score: float
    point: tuple[float, float]

    @property
    def bbox(self) -> list[int]:
        """x, y, width, height in pixels, all of the mask inside."""
        x0, y0, x1, y1 = box_of_runs(self.runs)
        return [x0, y0, x1 - x0 + 1, y1 - y0 + 1]


@dataclass(frozen=True, eq=False)
class PictureResult:
    """A picture, uint8 [H, W, 3], and its objects, the best first; `path`: the picture's file, seen from the output."""

    image: ImageArray
    path: str
    objects: Sequence[FoundObject]

    @property
    def hw(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True)
class OutlineStyle:
    """How masks become outlines. `tolerance`: see `outlines.polygons`; `coco_polygons`: polygons in COCO files, too."""

    tolerance: float = 1.0
    coco_polygons: bool = False


@dataclass(frozen=True)
class Writer:
    """`suffix`: of the file beside which nothing else is written for a picture; `encode` makes its bytes."""

    suffix: str
    encode: Callable[[PictureResult, OutlineStyle], bytes]

    def write(self, result: PictureResult, style: OutlineStyle, path: Path) -> None:
        """Write the file, whole or not at all."""
        partial = path.with_name(f".{path.name}.partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(self.encode(result, style))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def coco_json(result: PictureResult, style: OutlineStyle) -> bytes:
    """Return COCO instances of one picture, ids from 1. An object with holes is run lengths in any case."""
    height, width = result.hw
    annotations = [
        {
            "id": index,
            "image_id": 1,
            "category_id": 1,
            "segmentation": _coco_segmentation(found.runs, style),
            "bbox": found.bbox,
            "area": found.runs.area,
            "iscrowd": 0,
            "score": found.predicted_iou,
            "predicted_iou": found.predicted_iou,
            "stability_score": found.stability_score,
            "point_coords": [list(found.point)],
        }
        for index, found in enumerate(result.objects, start=1)
    ]
    image = {"id": 1, "file_name": result.path, "height": height, "width": width}
    return _json({"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": LABEL}]})


def merged_coco(documents: Sequence[bytes]) -> bytes:
    """Return the documents of several pictures as one, with ids that count through."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for document in map(msgspec.json.decode, documents):
        images.append({**document["images"][0], "id": len(images) + 1})
        for annotation in document["annotations"]:
            annotations.append({**annotation, "id": len(annotations) + 1, "image_id": len(images)})
    return _json({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": LABEL}]})


def labelme_json(result: PictureResult, style: OutlineStyle) -> bytes:
    """Return what labelme opens: a polygon a part, `group_id` an object; with holes, labelme's shape called mask."""
    height, width = result.hw
    shapes = [shape for index, found in enumerate(result.objects) for shape in _labelme_shapes(index, found, style)]
    return _json(
        {
            "version": LABELME_VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": result.path,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
    )


def geojson(result: PictureResult, style: OutlineStyle) -> bytes:
    """Return a FeatureCollection whose coordinates are pixels of the picture, x to the right and y down."""
    features = [
        {
            "type": "Feature",
            "id": index,
            "geometry": _geometry(polygons(found.runs, style.tolerance)),
            "properties": {
                "label": LABEL,
                "area": found.runs.area,
                "bbox": found.bbox,
                "predicted_iou": found.predicted_iou,
                "stability_score": found.stability_score,
                "point": list(found.point),
            },
        }
        for index, found in enumerate(result.objects)
    ]
    height, width = result.hw
    picture = {"path": result.path, "height": height, "width": width, "unit": "pixel, x right, y down"}
    return _json({"type": "FeatureCollection", "picture": picture, "features": features})


def colour_png(result: PictureResult, _style: OutlineStyle) -> bytes:
    """Return the masks alone, each in its own colour, on black."""
    return _png(Image.fromarray(coloured([found.runs for found in result.objects], result.hw)))


def overlay_png(result: PictureResult, _style: OutlineStyle) -> bytes:
    """Return the picture with the masks over it, in the colours of `colour_png`."""
    return _png(Image.fromarray(tinted([found.runs for found in result.objects], result.image)))


WRITERS: Mapping[str, Writer] = {
    "coco": Writer(".coco.json", coco_json),
    "labelme": Writer(".json", labelme_json),
    "geojson": Writer(".geojson", geojson),
    "png": Writer(".masks.png", colour_png),
    "overlay": Writer(".overlay.png", overlay_png),
}


def _coco_segmentation(runs: MaskRuns, style: OutlineStyle) -> object:
    if style.coco_polygons:
        parts = polygons(runs, style.tolerance)
        if not any(part.holes for part in parts):
            return [part.exterior.ravel().tolist() for part in parts]
    return coco_rle(runs)


def _labelme_shapes(index: int, found: FoundObject, style: OutlineStyle) -> list[dict[str, object]]:
    common = {"label": LABEL, "group_id": index, "description": f"predicted IoU {found.predicted_iou:.3f}", "flags": {}}
    parts = polygons(found.runs, style.tolerance)
    if not any(part.holes for part in parts):
        return [{**common, "shape_type": "polygon", "points": part.exterior.tolist(), "mask": None} for part in parts]
    x, y, width, height = found.bbox
    inside = binary_mask(found.runs)[y : y + height, x : x + width]
    mask = base64.b64encode(_png(Image.fromarray(inside))).decode("ascii")
    corners = [[x, y], [x + width - 1, y + height - 1]]  # labelme counts the last pixel in
    return [{**common, "shape_type": "mask", "points": corners, "mask": mask}]


def _geometry(parts: Sequence[Polygon]) -> dict[str, object]:
    rings = [[_closed(part.exterior), *map(_closed, part.holes)] for part in parts]
    return (
        {"type": "Polygon", "coordinates": rings[0]}
        if len(rings) == 1
        else {"type": "MultiPolygon", "coordinates": rings}
    )


def _closed(ring: Ring) -> list[list[float]]:
    points: list[list[float]] = ring.tolist()
    return [*points, points[0]]


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _json(document: object) -> bytes:
    return msgspec.json.encode(document) + b"\n"
