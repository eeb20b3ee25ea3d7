"""Each format read back: by pycocotools where it can, else as the format's own description has it."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from sam_export.runtimes.drawing import object_colour
from sam_export.runtimes.mask_runs import runs_of_window
from sam_export.runtimes.outputs import WRITERS, FoundObject, OutlineStyle, PictureResult, merged_coco

EXACT = OutlineStyle(tolerance=0.0)
IMAGE = np.full((40, 60, 3), 90, np.uint8)


def found(mask: np.ndarray) -> FoundObject:
    return FoundObject(runs_of_window(mask, 0, 0, mask.shape), 0.91, 0.97, (3.5, 4.5))


def masks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A small square, a frame with a hole around it, and two parts."""
    square, frame, parts = (np.zeros((40, 60), np.bool_) for _ in range(3))
    square[12:18, 12:20] = True
    frame[5:30, 5:30] = True
    frame[10:20, 10:22] = False
    parts[2:8, 40:50] = parts[30:38, 42:58] = True
    return square, frame, parts


@pytest.fixture
def result() -> PictureResult:
    return PictureResult(IMAGE, "pictures/coffee.png", [found(mask) for mask in masks()])


def encoded(name: str, result: PictureResult, style: OutlineStyle = EXACT) -> bytes:
    return WRITERS[name].encode(result, style)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("polygons", [False, True])
def test_coco(result: PictureResult, tmp_path: Path, polygons: bool) -> None:
    path = tmp_path / "coco.json"
    document = encoded("coco", result, OutlineStyle(0.0, coco_polygons=polygons))
    path.write_bytes(merged_coco([document, document]))
    read = COCO(str(path))
    assert sorted(read.imgs) == [1, 2]
    assert read.imgs[2]["file_name"] == "pictures/coffee.png"
    annotations = read.loadAnns(read.getAnnIds(imgIds=[2]))
    assert [one["id"] for one in annotations] == [4, 5, 6]
    assert [isinstance(one["segmentation"], list) for one in annotations] == [polygons, False, polygons]
    for annotation, mask in zip(annotations, masks(), strict=True):
        assert np.array_equal(read.annToMask(annotation).astype(bool), mask)
        assert annotation["area"] == mask.sum()
        y, x = np.nonzero(mask)
        assert annotation["bbox"] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


def test_labelme(result: PictureResult) -> None:
    document = json.loads(encoded("labelme", result))
    assert (document["imageHeight"], document["imageWidth"]) == (40, 60)
    assert document["imagePath"] == "pictures/coffee.png"
    assert document["imageData"] is None
    kinds = [(shape["group_id"], shape["shape_type"]) for shape in document["shapes"]]
    assert kinds == [(0, "polygon"), (1, "mask"), (2, "polygon"), (2, "polygon")]
    frame = document["shapes"][1]
    (x0, y0), (x1, y1) = frame["points"]
    inside = np.asarray(Image.open(io.BytesIO(base64.b64decode(frame["mask"]))))
    assert np.array_equal(inside, masks()[1][y0 : y1 + 1, x0 : x1 + 1])
    assert {tuple(point) for point in document["shapes"][0]["points"]} == {(12, 12), (20, 12), (20, 18), (12, 18)}


def test_geojson(result: PictureResult) -> None:
    document = json.loads(encoded("geojson", result))
    kinds = [feature["geometry"]["type"] for feature in document["features"]]
    assert kinds == ["Polygon", "Polygon", "MultiPolygon"]
    for feature, mask in zip(document["features"], masks(), strict=True):
        coordinates = feature["geometry"]["coordinates"]
        parts = coordinates if feature["geometry"]["type"] == "MultiPolygon" else [coordinates]
        area = 0.0
        for exterior, *holes in parts:
            for ring in (exterior, *holes):
                assert ring[0] == ring[-1]
            assert shoelace(exterior) > 0
            assert all(shoelace(hole) < 0 for hole in holes)
            area += sum(map(shoelace, (exterior, *holes)))
        assert area == mask.sum() == feature["properties"]["area"]


def shoelace(ring: list[list[float]]) -> float:
    x, y = np.array(ring).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2


def test_png_has_a_colour_for_each_object_and_the_smaller_on_top(result: PictureResult) -> None:
    full = np.zeros((40, 60), np.bool_)
    full[:, :35] = True
    over = PictureResult(IMAGE, "x.png", [*result.objects, found(full)])
    pixels = np.asarray(Image.open(io.BytesIO(encoded("png", over))))
    for index, mask in enumerate((*masks(), full & ~masks()[0] & ~masks()[1])):
        assert (pixels[mask] == object_colour(index)).all()
    assert (pixels[0, 59] == 0).all()


def test_overlay_changes_the_masks_alone(result: PictureResult) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(encoded("overlay", result))))
    assert np.array_equal((pixels != IMAGE).any(axis=-1), np.logical_or.reduce(masks()))
    assert tuple(pixels[12, 12]) == object_colour(0)


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_found_is_written_too(name: str, tmp_path: Path) -> None:
    empty = PictureResult(IMAGE, "x.png", [])
    path = tmp_path / "below" / f"x{WRITERS[name].suffix}"
    WRITERS[name].write(empty, EXACT, path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_objects_give_the_same_bytes(name: str, result: PictureResult) -> None:
    assert encoded(name, result) == encoded(name, PictureResult(IMAGE.copy(), result.path, list(result.objects)))


def test_colours_differ() -> None:
    assert len({object_colour(index) for index in range(500)}) == 500


def test_a_failed_write_leaves_nothing(result: PictureResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    path.write_text("earlier")

    def failing(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="No space"):
        WRITERS["labelme"].write(result, EXACT, path)
    assert path.read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 1
