"""`sam-export segment --everything` over files, folders and globs: results, going on, failures, exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export.cli import main
from sam_export.cli.everything_journal import NAME
from sam_export.cli.picture_files import picture_files
from sam_export.errors import ImageError
from sam_export.runtimes import open_bundle, read_image

KEEP = ("--points-per-side", "3", "--pred-iou-thresh", "0.75", "--stability-score-thresh", "0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures and a third below, a hidden file, and a text."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    rng = np.random.default_rng(4)
    for name in ("a.png", "b.png", "below/c.png"):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / name)
    (folder / ".hidden.png").write_text("no picture")
    (folder / "notes.txt").write_text("no picture either")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def everything(bundle: Path, out: Path, *words: str | Path) -> int:
    return main(["segment", str(bundle), *map(str, words), "--everything", *KEEP, "-o", str(out)])


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_folder_in_every_format(bundle: Path, folder: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert everything(bundle, out, folder, "--format", "coco", "labelme", "geojson", "png", "overlay", "--json") == 0
    suffixes = (".coco.json", ".geojson", ".json", ".masks.png", ".overlay.png")
    expected = {f"{name}{suffix}" for name in ("a", "b", "below/c") for suffix in suffixes}
    assert set(files(out)) == expected | {"coco.json", NAME}
    result = json.loads(capsys.readouterr().out)
    assert [row["objects"] for row in result["pictures"]] == [9, 9, 9]
    assert result["failed"] == []
    merged = json.loads((out / "coco.json").read_text())
    assert [image["file_name"] for image in merged["images"]] == [
        f"../pictures/{name}" for name in ("a.png", "b.png", "below/c.png")
    ]
    assert [annotation["id"] for annotation in merged["annotations"]] == list(range(1, 28))
    labelme = json.loads((out / "below/c.json").read_text())
    assert (out / "below" / labelme["imagePath"]).resolve() == (folder / "below/c.png").resolve()


def test_masks_are_those_of_generate(bundle: Path, folder: Path, out: Path) -> None:
    assert everything(bundle, out, folder / "a.png") == 0
    options = {"points_per_side": 3, "pred_iou_thresh": 0.75, "stability_score_thresh": 0, "output_mode": "coco_rle"}
    records = open_bundle(bundle).generate(read_image(folder / "a.png"), **options)
    written = json.loads((out / "coco.json").read_text())["annotations"]
    assert [one["segmentation"] for one in written] == [record["segmentation"] for record in records]


def test_going_on_where_it_was(bundle: Path, folder: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert everything(bundle, out, folder / "a.png", folder / "b.png", "--format", "coco", "geojson") == 0
    before = files(out)
    journal = out / NAME
    journal.write_bytes(journal.read_bytes()[:-9])  # as if interrupted while b was noted
    (out / "a.geojson").unlink()
    capsys.readouterr()
    assert everything(bundle, out, folder / "a.png", folder / "b.png", "--format", "coco", "geojson", "--json") == 0
    assert [row["earlier"] for row in json.loads(capsys.readouterr().out)["pictures"]] == [False, False]
    assert {name: data for name, data in files(out).items() if name != NAME} == {
        name: data for name, data in before.items() if name != NAME
    }
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / "b.png")
    assert everything(bundle, out, folder, "--format", "coco", "geojson", "--json") == 0
    rows = {Path(row["picture"]).name: row["earlier"] for row in json.loads(capsys.readouterr().out)["pictures"]}
    assert rows == {"a.png": True, "b.png": False, "c.png": False}


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(
    bundle: Path, folder: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:200])
    assert everything(bundle, out, folder) == 2
    printed = capsys.readouterr().out
    assert "2 pictures segmented, 0 were already, 1 failed" in printed
    assert f"failed: {folder / 'b.png'}: damaged" in printed
    assert {"a.coco.json", "below/c.coco.json"} <= set(files(out))
    assert len(json.loads((out / "coco.json").read_text())["images"]) == 2


def test_another_request_is_not_mixed_in(
    bundle: Path, folder: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert everything(bundle, out, folder / "a.png", "--format", "geojson") == 0
    before = files(out)
    assert everything(bundle, out, folder / "a.png", "--format", "geojson", "--hierarchical") == 2
    assert "was segmented with another generator; give --overwrite" in capsys.readouterr().err
    assert files(out) == before
    (out / "mine.txt").write_text("mine")
    assert everything(bundle, out, folder / "a.png", "--format", "png", "--overwrite") == 2
    assert "did not write; give another -o" in capsys.readouterr().err
    assert (out / "mine.txt").exists()
    (out / "mine.txt").unlink()
    assert everything(bundle, out, folder / "a.png", "--format", "png", "--overwrite") == 0
    assert set(files(out)) == {"a.masks.png", NAME}


def test_a_model_without_point_training_is_said_so(
    bundle: Path, folder: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = bundle / "bundle.json"
    text = manifest.read_text()
    start = text.index('"prompts"')
    manifest.write_text(text[:start] + '"prompts": ["box"]' + text[text.index("]", start) + 1 :])
    assert everything(bundle, out, folder / "a.png") == 0
    assert "note: this model was not trained to answer to points" in capsys.readouterr().out


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "a box": (("--box", "1,1,9,9"), "asks a grid of points; leave out --box and --point"),
    "an unknown format": (("--format", "yolo"), "yolo"),
    "no points": (("--points-per-side", "0"), "points_per_side 0"),
    "a threshold": (("--pred-iou-thresh", "2"), "pred_iou_thresh 2.0: give a number from 0 to 1"),
    "a tolerance": (("--simplify", "-1"), "--simplify -1: give pixels"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_requests(
    bundle: Path,
    folder: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert main(["segment", str(bundle), str(folder), "--everything", "-o", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_prompts_are_of_one_picture(bundle: Path, folder: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["segment", str(bundle), str(folder / "a.png"), str(folder / "b.png"), "-o", str(out)]
    assert main([*words, "--box", "1,1,9,9"]) == 2
    assert "2 pictures; prompts are of one" in capsys.readouterr().err
    assert main([*words, "--box", "1,1,9,9", "--hierarchical"]) == 2
    assert "--hierarchical: goes with --everything" in capsys.readouterr().err


def names(*words: Path, without: Path | None = None) -> list[str]:
    return [picture.name for picture in picture_files(words, without)]


def test_which_pictures_are_meant(folder: Path) -> None:
    assert names(folder) == ["a", "b", "below/c"]
    assert names(folder / "b.png", folder) == ["b", "a", "below/c"]
    assert names(folder / "*.png") == ["a", "b"]
    assert names(folder / "**" / "c.*") == ["c"]
    assert names(folder / "missing.png") == ["missing"]
    assert names(folder, without=folder / "below") == ["a", "b"]
    Image.new("RGB", (9, 9)).save(folder / "a.jpg")
    assert names(folder) == ["a.jpg", "a.png", "b", "below/c"]


def test_no_pictures_or_one_name_for_two(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no file is called so"):
        names(folder / "*.tif")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"holds no picture; allowed: files ending in \.png"):
        names(tmp_path / "empty")
    (tmp_path / "other").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "other" / "a.png")
    with pytest.raises(ImageError, match="both would be called"):
        names(folder / "a.png", tmp_path / "other" / "a.png")
