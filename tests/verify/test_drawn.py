"""Boxes drawn beforehand: the file that ships, and the command that it comes from."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

from sam_export.errors import OutputError
from sam_export.models import SamModel
from sam_export.models.catalog.tiny_vit_sam import LITE_MEDSAM
from sam_export.models.sam import MaskDecoder
from sam_export.verify import drawn
from sam_export.verify.drawn import EFFORTS, FILE, Drawn, boxes_beforehand, draw_model, drawn_boxes, rendered, write
from sam_export.verify.pictures import SetName, picture_set
from sam_export.verify.prompts import Effort
from sam_export.verify.reference import TorchReference
from sam_export.verify.suite import FULL_PICTURES, FULL_PROMPTS, build_suite

LITE = LITE_MEDSAM.checkpoint_sha256
QUICK: dict[SetName, Effort] = {"search": Effort(rounds=1, enough=1, most=1)}


@pytest.fixture(scope="module")
def sharp_sam(tiny_sam: SamModel) -> SamModel:
    """Random weights whose logits are far from the threshold, so that every mask is stable."""
    module = copy.deepcopy(tiny_sam.module)
    decoder = module.get_submodule("mask_decoder")
    assert isinstance(decoder, MaskDecoder)
    with torch.no_grad():
        for mlp in decoder.output_hypernetworks_mlps:
            for parameter in list(mlp.parameters())[-2:]:
                parameter.mul_(1e4)
    return dataclasses.replace(tiny_sam, module=module, weights_trained=True)


@pytest.mark.parametrize(("name", "boxes", "pictures"), [("gate", FULL_PROMPTS, FULL_PICTURES), ("search", 15, 5)])
def test_the_default_models_boxes_are_enough(name: SetName, boxes: int, pictures: int) -> None:
    rows = [drawn_boxes(LITE or "", picture.sha256) for picture in picture_set(name)]
    assert None not in rows, "a picture was left out"
    counts = [len(row or ()) for row in rows]
    assert sum(counts) >= boxes
    assert sum(map(bool, counts)) >= pictures
    assert max(counts) <= EFFORTS[name].most


def test_every_box_lies_in_its_picture() -> None:
    for picture in (*picture_set("gate"), *picture_set("search")):
        height, width = picture.image.shape[:2]
        for x0, y0, x1, y1 in drawn_boxes(LITE or "", picture.sha256) or ():
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height


def test_the_file_is_as_the_command_writes_it() -> None:
    assert rendered(drawn._read()) == FILE.read_bytes()


def test_only_the_pictures_that_exist_have_rows() -> None:
    known = {picture.sha256 for name in EFFORTS for picture in picture_set(name)}
    assert {sha for rows in drawn._read().values() for sha in rows} == known


def test_what_was_not_drawn_is_none() -> None:
    picture = picture_set("gate")[0]
    assert drawn_boxes("0" * 64, picture.sha256) is None
    assert drawn_boxes(LITE or "", "0" * 64) is None


def test_the_same_boxes_for_any_number_of_workers(
    sharp_sam: SamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drawn, "EFFORTS", QUICK)
    for workers in (1, 3):
        draw_model(sharp_sam, workers, tmp_path / f"{workers}.json")
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "3.json").read_bytes()
    assert capsys.readouterr().out.splitlines()[0] == "search: 9 boxes on 9 of 9 pictures"


def test_the_rows_of_other_models_stay(sharp_sam: SamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "EFFORTS", QUICK)
    draw_model(sharp_sam, 1, tmp_path / "drawn.json")
    content = (tmp_path / "drawn.json").read_bytes()
    assert rendered({LITE or "": drawn._read()[LITE or ""]})[1:-3] in content
    assert sharp_sam.checkpoint_sha256.encode() in content


def test_a_box_that_is_stable_by_a_hair_is_left_out(sharp_sam: SamModel, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, reference = picture_set("search")[0], TorchReference(sharp_sam)
    assert boxes_beforehand(reference, Effort(), picture)
    monkeypatch.setattr(drawn, "MARGIN", 1.0)
    assert boxes_beforehand(reference, Effort(), picture) == ()


TABLE: Drawn = {"a" * 64: {"b" * 64: ((1.0, 2.0, 30.0, 40.0),), "c" * 64: ()}}


def test_a_file_that_cannot_be_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "drawn.json"
    write(TABLE, path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"drawn.json: cannot be written \(No space left on device\)"):
        write({}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    before = FILE.read_bytes()
    assert drawn.main(["sam_vit_z"]) == 2
    assert "'sam_vit_z' is no model; choose one of" in capsys.readouterr().err
    assert FILE.read_bytes() == before


@pytest.mark.slow
def test_the_command_draws_what_ships(lite_medsam: SamModel) -> None:
    """Rounding may move a box by a pixel on another machine."""
    picture = picture_set("gate")[13]
    found = boxes_beforehand(TorchReference(lite_medsam), EFFORTS["gate"], picture)
    shipped = drawn_boxes(lite_medsam.checkpoint_sha256, picture.sha256)
    assert shipped is not None
    assert len(found) == len(shipped)
    for box, other in zip(found, shipped, strict=True):
        assert max(abs(a - b) for a, b in zip(box, other, strict=True)) <= 2


@pytest.mark.slow
def test_a_suite_keeps_every_box_that_ships(lite_medsam: SamModel) -> None:
    pictures = picture_set("gate")[12:15]
    suite = build_suite(lite_medsam, pictures)
    shipped = [drawn_boxes(lite_medsam.checkpoint_sha256, picture.sha256) or () for picture in pictures]
    assert suite.count("stable") == sum(map(len, shipped))
