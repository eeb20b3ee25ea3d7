"""`sam-export segment`, end to end over ONNX Runtime: what it writes, and that it writes nothing half."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export.cli import main
from sam_export.cli.object_prompts import object_prompts
from sam_export.errors import RequestError
from sam_export.runtimes import open_bundle, read_image


@pytest.fixture
def image(picture: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "coffee.png"
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def segment(bundle: Path, image: Path, out: Path, *options: str) -> int:
    return main(["segment", str(bundle), str(image), "-o", str(out), *options])


def test_two_boxes_are_two_objects(
    bundle: Path, image: Path, out: Path, picture: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(bundle, image, out, "--box", "10,10,50,40", "--box", "60,5,95,55") == 0
    assert list(contents(out)) == ["coco.json", "mask_0.png", "mask_1.png", "overlay.png"]
    segmenter = open_bundle(bundle)
    segmenter.set_image(picture)
    document = json.loads((out / "coco.json").read_text())
    assert document["images"] == [{"id": 1, "file_name": "coffee.png", "height": 60, "width": 100}]
    for index, box in enumerate([(10, 10, 50, 40), (60, 5, 95, 55)]):
        expected = segmenter.predict(box=box, multimask_output=False).masks[0]
        assert np.array_equal(read_image(out / f"mask_{index}.png")[..., 0], expected * np.uint8(255))
        assert document["annotations"][index]["area"] == expected.sum()
        assert document["annotations"][index]["score"] == pytest.approx(0.9)
    assert read_image(out / "overlay.png").shape == (60, 100, 3)
    printed = capsys.readouterr().out
    assert str(out) in printed
    assert "mask_1.png  predicted IoU 0.900" in printed
    assert "box 60,5,95,55" in printed


def test_a_single_click_takes_the_mask_that_the_model_rates_best(
    bundle: Path, image: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(bundle, image, out, "--point", "50,30", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["iou_prediction"] for row in result["objects"]] == [pytest.approx(0.8)]  # 0.5, 0.8, 0.7
    assert result["files"] == ["overlay.png", "mask_0.png", "coco.json"]
    assert result["objects"][0]["unverified"] == []
    assert result["engines"]["mask_decoder"]["engine"] == "onnxruntime"


def test_points_beside_one_box_refine_it(
    bundle: Path, image: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(bundle, image, out, "--box", "10,10,50,40", "--point", "20,20", "--point", "45,35,0", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["objects"]
    assert [row["prompt"] for row in rows] == ["box 10,10,50,40 point 20,20,1 point 45,35,0"]


def test_exif_rotation_reaches_the_masks(bundle: Path, picture: np.ndarray, tmp_path: Path, out: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "phone.jpg"
    Image.fromarray(picture).save(path, exif=exif)
    assert segment(bundle, path, out, "--box", "5,5,55,90") == 0
    assert read_image(out / "mask_0.png").shape == (100, 60, 3)


def test_a_kind_of_prompt_that_was_not_verified_is_said_so(
    bundle: Path, image: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = bundle / "bundle.json"
    text = manifest.read_text()
    start = text.index('"prompts"')
    manifest.write_text(text[:start] + '"prompts": ["box"]' + text[text.index("]", start) + 1 :])
    assert segment(bundle, image, out, "--point", "50,30") == 0
    assert "not trained to answer to a point" in capsys.readouterr().out


def test_points_outside_alone_are_said_to_mean_nothing(
    bundle: Path, image: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(bundle, image, out, "--point", "5,5,0") == 0
    assert "mask_0.png  note: no point lies inside the object (label 1) and there is no box" in capsys.readouterr().out
    for clear in (("--point", "5,5,0", "--point", "50,30"), ("--point", "5,5,0", "--box", "10,10,50,40")):
        assert segment(bundle, image, out, *clear, "--overwrite", "--json") == 0
        assert json.loads(capsys.readouterr().out)["objects"][0]["notes"] == []


def test_an_empty_mask_is_said_to_be_empty(
    bundle: Path, image: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = bundle / "bundle.json"
    manifest.write_text(manifest.read_text().replace('"threshold": 0.0', '"threshold": 1e9'))
    assert segment(bundle, image, out, "--box", "10,10,50,40", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["objects"]
    assert row["area"] == 0
    assert row["notes"] == ["the mask is empty: the model sees no object there"]


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "no prompt": ((), "no prompt given; give --box x0,y0,x1,y1 or --point x,y[,label]"),
    "points beside two boxes": (("--box", "1,1,9,9", "--box", "2,2,9,9", "--point", "3,3"), "could mean any of them"),
    "a box of three numbers": (("--box", "1,2,3"), "--box '1,2,3': give 4 numbers"),
    "a box of words": (("--box", "a,b,c,d"), "--box 'a,b,c,d': give 4 numbers"),
    "a point of one number": (("--point", "1"), "--point '1': give 2 or 3 numbers"),
    "an unknown label": (("--point", "1,1,7"), "label 7; allowed: 1 inside the object, 0 outside"),
    "an inverted box": (("--box", "50,50,10,10"), "box 50,50,10,10: empty or inverted"),
    "a box outside": (("--box", "500,5,600,50"), "box 500,5,600,50: reaches outside the picture; allowed: x 0..100"),
    "a negative box": (("--box", "-5,10,20,30"), "box -5,10,20,30: reaches outside the picture; allowed: x 0..100"),
    "a negative point": (("--point", "-3,4,1"), "point -3,4: outside the picture; allowed: x 0..100"),
    "a NaN": (("--box", "nan,1,9,9"), "box: holds NaN"),
    "no thread": (("--box", "1,1,9,9", "--threads", "0"), "threads 0"),
    "an unknown provider": (("--box", "1,1,9,9", "--provider", "Abacus"), "'Abacus'"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_request(
    bundle: Path, image: Path, out: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert segment(bundle, image, out, *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("spoil", ["image", "bundle"])
def test_bad_input(bundle: Path, image: Path, out: Path, capsys: pytest.CaptureFixture[str], spoil: str) -> None:
    spoilt = {"image": image, "bundle": bundle / "mask_decoder.onnx"}[spoil]
    spoilt.write_bytes(spoilt.read_bytes()[:-500])
    assert segment(bundle, image, out, "--box", "1,1,9,9") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()
    assert not list(out.parent.glob(".*"))


def picture_file(folder: Path, pixels: np.ndarray) -> Path:
    path = folder / "odd.png"
    Image.fromarray(pixels).save(path)
    return path


ODD: dict[str, Callable[[], np.ndarray]] = {
    "grey": lambda: np.full((60, 100), 9, np.uint8),
    "an opaque alpha channel": lambda: np.full((60, 100, 4), 255, np.uint8),
    "1 pixel wide": lambda: np.full((60, 1, 3), 9, np.uint8),
}
UNUSABLE: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "transparent": (lambda: np.full((60, 100, 4), 9, np.uint8), "100.0% of the pixels are transparent"),
    "16 bits": (lambda: np.full((60, 100), 999, np.uint16), "more than 8 bits a channel, allowed: 8"),
    "enormous": (lambda: np.zeros((10_001, 10_000), np.uint8), "at most 100 million are decoded"),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_odd_pictures(bundle: Path, out: Path, tmp_path: Path, make: Callable[[], np.ndarray]) -> None:
    pixels = make()
    assert segment(bundle, picture_file(tmp_path, pixels), out, "--box", "0,0,1,9") == 0
    assert read_image(out / "mask_0.png").shape == (*pixels.shape[:2], 3)


@pytest.mark.parametrize(("make", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_pictures(
    bundle: Path,
    out: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[], np.ndarray],
    message: str,
) -> None:
    path = picture_file(tmp_path, make())
    assert segment(bundle, path, out, "--box", "0,0,1,9") == 2
    error = capsys.readouterr().err
    assert f"{path}: " in error
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_an_earlier_result_is_replaced_only_when_asked(
    bundle: Path, image: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(bundle, image, out, "--box", "1,1,9,9", "--box", "20,20,50,50") == 0
    before = contents(out)
    assert segment(bundle, image, out, "--box", "30,30,70,50") == 2
    assert "holds an earlier result; give --overwrite" in capsys.readouterr().err
    assert contents(out) == before
    assert segment(bundle, image, out, "--box", "30,30,70,50", "--overwrite") == 0
    assert list(contents(out)) == ["coco.json", "mask_0.png", "overlay.png"]


def test_a_folder_with_other_files_is_never_replaced(
    bundle: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(bundle, image, image.parent, "--box", "1,1,9,9", "--overwrite") == 2
    assert "which segment did not write; give another -o" in capsys.readouterr().err
    assert image.exists()


def test_the_output_is_a_file(bundle: Path, image: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out.write_text("mine")
    assert segment(bundle, image, out, "--box", "1,1,9,9", "--overwrite") == 2
    assert "is a file; give a folder" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_the_output_lies_below_a_file(bundle: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert segment(bundle, image, image / "a" / "b", "--box", "1,1,9,9") == 2
    assert f"{image} is a file, not a folder; give another -o" in capsys.readouterr().err


def test_a_box_may_reach_one_pixel_outside(bundle: Path, image: Path, out: Path) -> None:
    assert segment(bundle, image, out, "--box", "-1,10,50,40") == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES], ids=["disk full", "no permission"])
def test_nothing_half_written(
    bundle: Path,
    image: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    assert segment(bundle, image, out, "--box", "1,1,9,9") == 0
    before = contents(out)
    write = Path.write_bytes

    def failing(path: Path, data: bytes) -> int:
        if path.name == "coco.json":
            raise OSError(number, "said by the disk")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", failing)
    assert segment(bundle, image, out, "--box", "30,30,70,50", "--overwrite") == 2
    assert str(out) in capsys.readouterr().err
    assert contents(out) == before
    assert not list(out.parent.glob(f".{out.name}*"))


TEXTS: dict[str, Callable[[], object]] = {
    "empty box": lambda: object_prompts([""], []),
    "spaces": lambda: object_prompts(["1 2 3 4"], []),
}


@pytest.mark.parametrize("call", TEXTS.values(), ids=TEXTS)
def test_texts_that_are_no_prompt(call: Callable[[], object]) -> None:
    with pytest.raises(RequestError, match="give 4 numbers with commas and no spaces"):
        call()
