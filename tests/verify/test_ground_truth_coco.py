"""COCO instances: every form of outline means the same mask, and nothing that is broken reaches pycocotools."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from sam_export.errors import GroundTruthError
from sam_export.runtimes.coco import ScoredMask, coco_document
from sam_export.verify import ground_truth_coco
from sam_export.verify.ground_truth import TruthObject
from sam_export.verify.ground_truth_coco import MAX_BYTES, MAX_POLYGONS, read_coco

from .truth_folders import HW, Json, annotation, coco_file, square

BOX = (10, 5, 30, 25)
POLYGON = [square(*BOX)]


def box_mask() -> NDArray[np.bool_]:
    mask = np.zeros(HW, np.bool_)
    mask[5:25, 10:30] = True
    return mask


def runs() -> list[int]:
    """The box column by column: 10 whole columns and 5 pixels outside, 20 inside, 20 outside, ..."""
    return [10 * 40 + 5, *[20, 20] * 19, 20, 15 + 30 * 40]


def objects(path: Path, picture: str = "a.png") -> tuple[TruthObject, ...]:
    truth = read_coco(path, ["a.png", "b.png"]).of(picture, HW)
    assert truth is not None
    return truth.objects


def packed() -> str:
    text: str = coco_mask.encode(np.asfortranarray(box_mask(), np.uint8))["counts"].decode()
    return text


OUTLINES = {
    "polygon": POLYGON,
    "two halves": [square(10, 5, 20, 25), square(20, 5, 30, 25)],
    "runs": {"size": list(HW), "counts": runs()},
    "compressed runs": {"size": list(HW), "counts": packed()},
}


@pytest.mark.parametrize("form", OUTLINES)
def test_every_form_of_outline(tmp_path: Path, form: str) -> None:
    (found,) = objects(coco_file(tmp_path, annotation(OUTLINES[form])))
    np.testing.assert_array_equal(found.mask(), box_mask())
    assert found.name == "annotation 7"


def test_our_own_export_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(coco_document("folder/a.png", HW, [ScoredMask(box_mask(), 0.9)])))
    (found,) = objects(path)
    np.testing.assert_array_equal(found.mask(), box_mask())


def test_groups_are_no_objects(tmp_path: Path) -> None:
    path = coco_file(
        tmp_path, annotation(POLYGON), annotation(POLYGON, 8, iscrowd=1), annotation(POLYGON, 9, iscrowd=0)
    )
    assert [found.name for found in objects(path)] == ["annotation 7", "annotation 9"]


@pytest.mark.parametrize("name", ["val2017/a.png", "C:\\set\\a.png", "/etc/../a.png"])
def test_folders_of_a_name_do_not_count(tmp_path: Path, name: str) -> None:
    assert len(objects(coco_file(tmp_path, annotation(POLYGON), first={"file_name": name}))) == 1


def test_pictures_that_lie_elsewhere_are_left_out(tmp_path: Path) -> None:
    """People keep the whole set's file beside a few of its pictures; what is broken there does not matter here."""
    elsewhere = {"id": 2, "file_name": "c.png", "height": 9, "width": 9}
    path = coco_file(tmp_path, annotation(POLYGON), annotation([[1, 2]], 8, image=2), second=elsewhere)
    assert [found.name for found in objects(path)] == ["annotation 7"]


def test_a_picture_that_is_not_listed_has_no_truth(tmp_path: Path) -> None:
    assert read_coco(coco_file(tmp_path, annotation(POLYGON)), ["a.png", "b.png"]).of("b.png", HW) is None


def test_a_listed_picture_without_annotation_has_no_object(tmp_path: Path) -> None:
    truth = read_coco(coco_file(tmp_path), ["a.png"]).of("a.png", HW)
    assert truth is not None
    assert (truth.objects, truth.found) == ((), 0)


BROKEN: dict[str, tuple[object, str]] = {
    "null": (None, "Expected"),
    "text": ("abc", "Expected"),
    "one polygon, not in a list": (square(*BOX), "Expected `array`"),
    "no polygon": ([], "0 polygons, allowed: 1 to"),
    "too many polygons": (POLYGON * (MAX_POLYGONS + 1), "polygons, allowed: 1 to"),
    "a box for a polygon": ([[10, 5, 20, 20]], "less than three points"),
    "half a point": ([[10, 5, 20, 20, 30, 5, 1]], "half a point"),
    "far outside": ([square(0, 0, 1e9, 1e9)], "leaves the picture of 60x40"),
    "other size": ({"size": [60, 40], "counts": runs()}, "its RLE is of 40x60 pixels, the picture has 60x40"),
    "runs too short": ({"size": list(HW), "counts": runs()[:-1]}, "runs of 1185 pixels in a picture of 2400"),
    "runs too long": ({"size": list(HW), "counts": [*runs(), 10**12]}, "in a picture of 2400"),
    "negative run": ({"size": list(HW), "counts": [-5, 2405]}, "in a picture of 2400"),
    "no run": ({"size": list(HW), "counts": []}, "runs of 0 pixels"),
    "compressed, cut short": ({"size": list(HW), "counts": packed()[:-1]}, "its RLE is"),
    "compressed, never ending": ({"size": list(HW), "counts": "o" * 1000}, "its RLE is broken after 0 runs"),
    "compressed, other letters": ({"size": list(HW), "counts": "\x00\x01"}, "its RLE is broken after 0 runs"),
    "compressed, too long": ({"size": list(HW), "counts": "oo" + packed()}, "its RLE is"),
    "no counts": ({"size": list(HW)}, "counts"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_outline(tmp_path: Path, kind: str) -> None:
    outline, detail = BROKEN[kind]
    with pytest.raises(GroundTruthError) as caught:
        objects(coco_file(tmp_path, annotation(outline)))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'annotations.json'}: 'annotation 7' of 'a.png': ")
    assert detail in text
    assert "export the annotations again" in text
    assert "\n" not in text


def test_an_outline_that_never_ends_is_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground_truth_coco, "MAX_OUTLINE_PIXELS", 1000)
    zigzag = [float(value) for turn in range(20) for value in (60 * (turn % 2), turn)]
    with pytest.raises(GroundTruthError, match=r"its outline is 1[0-9]{3} pixels long, at most 1000"):
        objects(coco_file(tmp_path, annotation([zigzag])))


NOT_COCO = {
    "nothing": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "captions": json.dumps({"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}]}).encode(),
    "no images": b'{"annotations": []}',
    "not UTF-8": b'{"images": "\xff"}',
    "too deep": b'{"images": ' + b"[" * 100_000,
    "a picture without size": b'{"images": [{"id": 1, "file_name": "a.png"}], "annotations": []}',
    "an endless name": json.dumps(
        {"images": [{"id": 1, "file_name": "a" * 2000, "height": 1, "width": 1}], "annotations": []}
    ).encode(),
}


@pytest.mark.parametrize("kind", NOT_COCO)
def test_not_coco(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_bytes(NOT_COCO[kind])
    with pytest.raises(GroundTruthError, match=r"annotations\.json: not COCO instances .* or remove it") as caught:
        read_coco(path, ["a.png"])
    assert "\n" not in str(caught.value)


SECOND: Json = {"id": 2, "file_name": "b.png", "height": HW[0], "width": HW[1]}
AT_ODDS: dict[str, tuple[list[Json], dict[str, Json], str]] = {
    "unknown picture": ([annotation(POLYGON, image=5)], {}, "is of image_id 5, which is not among its 1 images"),
    "one id twice": ([annotation(POLYGON), annotation(POLYGON)], {}, "two annotations have the id '7'"),
    "two pictures of one id": ([], {"second": {**SECOND, "id": 1}}, "two images have the id '1'"),
    "one picture twice": ([], {"second": {**SECOND, "file_name": "x/a.png"}}, "lists 'a.png' more than once"),
    "other pictures": ([annotation(POLYGON)], {"first": {"file_name": "c.png"}}, "first 'c.png'; file_name must end"),
}


@pytest.mark.parametrize("kind", AT_ODDS)
def test_a_file_at_odds_with_itself_or_the_folder(tmp_path: Path, kind: str) -> None:
    annotations, images, detail = AT_ODDS[kind]
    with pytest.raises(GroundTruthError) as caught:
        read_coco(coco_file(tmp_path, *annotations, **images), ["a.png", "b.png"])
    assert detail in str(caught.value)


def test_a_picture_of_another_size(tmp_path: Path) -> None:
    path = coco_file(tmp_path, annotation(POLYGON), first={"height": 60, "width": 40})
    with pytest.raises(GroundTruthError, match=r"'a\.png' is annotated as 40x60 pixels, the upright picture has 60x40"):
        objects(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.touch()
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(GroundTruthError, match=f"{MAX_BYTES + 1} bytes, at most {MAX_BYTES} are read; keep only"):
        read_coco(path, ["a.png"])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(GroundTruthError, match="cannot be read"):
        read_coco(tmp_path / "annotations.json", ["a.png"])
