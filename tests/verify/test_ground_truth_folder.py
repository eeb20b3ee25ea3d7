"""A folder of pictures: which ground truth it has, and that the pictures are what they are without it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sam_export.errors import GroundTruthError, ImageError
from sam_export.verify.ground_truth_folder import evaluation_pictures
from sam_export.verify.pictures import pictures_in

from .truth_folders import HW, annotation, coco_file, mask_png, picture, rectangles, square

POLYGON = [square(10, 5, 30, 25)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", seed=4)
    return tmp_path


def objects(folder: Path) -> dict[str, list[str] | None]:
    return {
        found.name: None if found.truth is None else [one.name for one in found.truth.objects]
        for found in evaluation_pictures(folder)
    }


def test_pictures_are_the_same_with_and_without(folder: Path) -> None:
    before = [(found.name, found.source, found.sha256) for found in pictures_in(folder)]
    assert objects(folder) == {"a.png": None, "b.png": None}
    coco_file(folder, annotation(POLYGON))
    assert [(found.name, found.source, found.sha256) for found in evaluation_pictures(folder)] == before


def test_annotations_beside_the_pictures(folder: Path) -> None:
    coco_file(folder, annotation(POLYGON), name="Set.JSON")
    assert objects(folder) == {"a.png": ["annotation 7"], "b.png": None}


def test_masks_below_the_pictures(folder: Path) -> None:
    mask_png(folder / "masks" / "b_1.png", rectangles((10, 5, 30, 25)))
    assert objects(folder) == {"a.png": None, "b.png": ["b_1.png:1"]}


def test_both_forms_give_the_same_objects(folder: Path) -> None:
    coco_file(folder, annotation(POLYGON))
    (outlined,) = (found.truth for found in evaluation_pictures(folder) if found.truth)
    (folder / "annotations.json").unlink()
    mask_png(folder / "masks" / "a.png", rectangles((10, 5, 30, 25)))
    (drawn,) = (found.truth for found in evaluation_pictures(folder) if found.truth)
    assert [one.sha256 for one in outlined.objects] == [one.sha256 for one in drawn.objects]


def test_the_file_that_is_meant_is_read(folder: Path) -> None:
    for name in ("captions.json", "instances_val.json"):
        coco_file(folder, annotation(POLYGON, 1), name=name)
    assert objects(folder)["a.png"] == ["annotation 1"]
    coco_file(folder, annotation(POLYGON, 2), name="instances_train.json")
    with pytest.raises(GroundTruthError, match=r"holds 2 files that may be its annotations, instances_train\.json"):
        evaluation_pictures(folder)
    coco_file(folder, annotation(POLYGON, 3), name="annotations.json")
    (folder / ".hidden.json").write_text("not read")
    assert objects(folder)["a.png"] == ["annotation 3"]


def test_two_files_of_any_name(folder: Path) -> None:
    for name in ("x.json", "y.json"):
        coco_file(folder, annotation(POLYGON), name=name)
    with pytest.raises(GroundTruthError, match=r"call it annotations\.json, or move the others"):
        evaluation_pictures(folder)


def test_two_kinds_of_ground_truth(folder: Path) -> None:
    coco_file(folder, annotation(POLYGON))
    (folder / "masks").mkdir()
    with pytest.raises(GroundTruthError, match=r"holds both annotations\.json and masks/; allowed: one kind"):
        evaluation_pictures(folder)


def test_no_object(folder: Path) -> None:
    (folder / "masks").mkdir()
    with pytest.raises(GroundTruthError, match=r"masks: no object that covers 0\.01% of its picture or more on 2"):
        evaluation_pictures(folder)
    mask_png(folder / "masks" / "a.png", rectangles(hw=HW))
    with pytest.raises(GroundTruthError, match="or remove it to measure without"):
        evaluation_pictures(folder)
    shutil.rmtree(folder / "masks")
    coco_file(folder)
    with pytest.raises(GroundTruthError, match=r"annotations\.json: no object"):
        evaluation_pictures(folder)


def test_what_is_neither_picture_nor_truth_is_refused(tmp_path: Path) -> None:
    coco_file(tmp_path, annotation(POLYGON))
    with pytest.raises(ImageError, match="holds no picture"):
        evaluation_pictures(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ImageError, match=r"notes\.txt"):
        evaluation_pictures(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        evaluation_pictures(tmp_path / "missing")
