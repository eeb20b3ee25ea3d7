"""Mask PNGs: which value is which object, whose mask a file is, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export.errors import GroundTruthError
from sam_export.verify.ground_truth import PictureTruth
from sam_export.verify.ground_truth_masks import find_masks

from .truth_folders import HW, mask_png, rectangles

LEFT, RIGHT = (5, 5, 25, 35), (30, 5, 55, 30)


def truth(folder: Path, *pictures: str) -> PictureTruth:
    found = find_masks(folder, pictures or ("a.png",)).of((pictures or ("a.png",))[0], HW)
    assert found is not None
    return found


def named(folder: Path, *pictures: str) -> dict[str, int]:
    return {one.name: one.area for one in truth(folder, *pictures).objects}


def test_every_value_is_an_object(tmp_path: Path) -> None:
    mask_png(tmp_path / "a.png", rectangles(LEFT, RIGHT))
    found = truth(tmp_path)
    assert [one.name for one in found.objects] == ["a.png:2", "a.png:1"]
    np.testing.assert_array_equal(found.objects[1].mask(), rectangles(LEFT) == 1)
    assert found.found == 2


def test_a_binary_mask_is_one_object(tmp_path: Path) -> None:
    binary = (rectangles(LEFT, RIGHT) > 0).astype(np.uint8)
    mask_png(tmp_path / "a.png", binary * 255)
    assert named(tmp_path) == {"a.png:255": 600 + 625}
    Image.fromarray(binary > 0).save(tmp_path / "a.png")  # one bit
    assert named(tmp_path) == {"a.png:255": 600 + 625}


def test_sixteen_bits(tmp_path: Path) -> None:
    mask_png(tmp_path / "a.png", rectangles(LEFT, RIGHT).astype(np.uint16) * 1000)
    assert named(tmp_path) == {"a.png:2000": 625, "a.png:1000": 600}


def test_a_palettes_border_is_no_object(tmp_path: Path) -> None:
    labels = rectangles(LEFT, RIGHT)
    labels[0] = 255
    image = Image.frombytes("P", HW[::-1], labels.tobytes())
    image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    image.save(tmp_path / "a.png")
    assert named(tmp_path) == {"a.png:2": 625, "a.png:1": 600}


def test_several_files_of_one_picture(tmp_path: Path) -> None:
    mask_png(tmp_path / "a_left.png", rectangles(LEFT))
    mask_png(tmp_path / "a_right.png", rectangles(RIGHT))
    mask_png(tmp_path / "a.png", rectangles((0, 0, 60, 3)))
    (tmp_path / ".DS_Store").write_bytes(b"not a mask")
    assert named(tmp_path, "a.jpg") == {"a_right.png:1": 625, "a_left.png:1": 600, "a.png:1": 180}


def test_the_longest_stem_that_fits_has_the_mask(tmp_path: Path) -> None:
    mask_png(tmp_path / "a_1.png", rectangles(LEFT))
    mask_png(tmp_path / "a_1_2.png", rectangles(RIGHT))
    mask_png(tmp_path / "a_2.png", rectangles(RIGHT))
    assert named(tmp_path, "a.png", "a_1.png") == {"a_2.png:1": 625}
    assert named(tmp_path, "a_1.png", "a.png") == {"a_1_2.png:1": 625, "a_1.png:1": 600}


def test_a_picture_without_a_mask_has_no_truth(tmp_path: Path) -> None:
    mask_png(tmp_path / "a.png", rectangles(LEFT))
    assert find_masks(tmp_path, ["a.png", "b.png"]).of("b.png", HW) is None


def test_an_empty_mask_has_no_object(tmp_path: Path) -> None:
    mask_png(tmp_path / "a.png", rectangles())
    assert (truth(tmp_path).objects, truth(tmp_path).found) == ((), 0)


def huge(path: Path) -> None:
    """A PNG of 40000 x 40000 pixels in a hundred bytes."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    png = stream.getvalue()
    header = b"IHDR" + struct.pack(">II", 40000, 40000) + png[24:29]
    path.write_bytes(png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:])


def cut_short(path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 200, HW, np.uint8)
    mask_png(path, noise)
    path.write_bytes(path.read_bytes()[:-1000])


def soft(path: Path) -> None:
    labels = rectangles(LEFT) * 255
    labels[4, 5:25] = 128
    mask_png(path, labels.astype(np.uint8))


def animated(path: Path) -> None:
    frames = [Image.fromarray(rectangles(box)) for box in (LEFT, RIGHT)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "another size": (
        lambda path: mask_png(path, rectangles(hw=(60, 40))),
        "40x60 pixels, the upright picture has 60x40",
    ),
    "colour": (lambda path: Image.new("RGB", HW[::-1]).save(path), "colour mode RGB, allowed: one frame, grey"),
    "transparent": (lambda path: Image.new("LA", HW[::-1]).save(path), "colour mode LA, allowed: one frame, grey"),
    "animated": (animated, "allowed: one frame"),
    "soft edges": (soft, "holds 255 beside other values"),
    "a JPEG": (lambda path: Image.new("L", HW[::-1]).save(path, "JPEG"), "not a PNG that can be read"),
    "text": (lambda path: path.write_text("mask"), "not a PNG that can be read"),
    "cut short": (cut_short, "damaged or cut short"),
    "huge": (huge, "more pixels than any picture that is read"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_mask(tmp_path: Path, kind: str) -> None:
    make, detail = BAD[kind]
    path = tmp_path / "a.png"
    make(path)
    with pytest.raises(GroundTruthError) as caught:
        truth(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert detail in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["b.png", "ab.png", "a.1.png"])
def test_a_mask_of_no_picture(tmp_path: Path, name: str) -> None:
    mask_png(tmp_path / name, rectangles(LEFT))
    with pytest.raises(GroundTruthError, match=r"of none of the 1 pictures; allowed: masks/<stem of a picture>\.png"):
        find_masks(tmp_path, ["a.png"])


def test_what_is_no_png_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(GroundTruthError, match=r"a\.jpg: not a PNG file; masks must be PNG"):
        find_masks(tmp_path, ["a.png"])
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "a.png").mkdir()
    with pytest.raises(GroundTruthError, match=r"a\.png: not a PNG file"):
        find_masks(tmp_path, ["a.png"])


def test_pictures_that_would_share_a_mask(tmp_path: Path) -> None:
    with pytest.raises(GroundTruthError, match=r"'a\.png' and 'a\.jpg' would share their masks"):
        find_masks(tmp_path, ["a.png", "a.jpg"])


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(GroundTruthError, match="cannot be read"):
        find_masks(tmp_path / "masks", ["a.png"])
