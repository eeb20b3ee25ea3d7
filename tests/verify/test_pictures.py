from __future__ import annotations

import hashlib
import weakref
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from sam_export.errors import ImageError, NotVerifiableError
from sam_export.models import SamModel, components
from sam_export.quantize.calibration import Calibration
from sam_export.runtimes.images import read_image
from sam_export.verify import pictures
from sam_export.verify.pictures import CROPS, SOURCES, WHOLE, SetName, picture_set, pictures_in

SETS: tuple[SetName, ...] = ("gate", "search", "calibration")
# sha256 over the pictures' own, in order: a set that changes makes every earlier number incomparable.
PINNED = {
    "gate": "ae538651b05d3b72a996ba085a5967577f77d448cd803fb61fc9d4c8fa1d6398",
    "search": "36dcdac129dacef2dbb5648c1c952b22bbf67f729a6cdcd825785680bbad4d74",
    "calibration": "c57bd1415e95bd5c3052d6f0d6f7b63bc3e6cdc737498acfacef4ef32101ea0a",
}


def source_of(file: str) -> str:
    """Both halves of the stereo pair show the same motorcycle."""
    return file.removesuffix(".png").removesuffix("_left").removesuffix("_right")


def test_sets_share_no_source() -> None:
    sources = [{source_of(crop.source) for crop in CROPS[name]} for name in SETS]
    assert sum(map(len, sources)) == len(set.union(*sources))
    assert {crop.source for name in SETS for crop in CROPS[name]} == set(SOURCES)


def test_sets_share_no_picture() -> None:
    hashes = [picture.sha256 for name in SETS for picture in picture_set(name)]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize(("name", "least"), [("gate", 20), ("search", 8), ("calibration", 12)])
def test_sets_are_large_enough(name: SetName, least: int) -> None:
    assert len(picture_set(name)) >= least


@pytest.mark.parametrize("name", SETS)
def test_sets_are_what_they_were(name: SetName) -> None:
    joined = "".join(picture.sha256 for picture in picture_set(name))
    assert hashlib.sha256(joined.encode()).hexdigest() == PINNED[name]


def test_gate_has_every_shape_and_grey_and_colour() -> None:
    images = [picture.image for picture in picture_set("gate")]
    ratios = [image.shape[1] / image.shape[0] for image in images]
    assert min(ratios) < 0.6
    assert max(ratios) > 2
    assert any(ratio == 1 for ratio in ratios)
    longest = [max(image.shape) for image in images]
    assert min(longest) < 256
    assert max(longest) > 1024
    grey = [bool((image[..., 0] == image[..., 2]).all()) for image in images]
    assert any(grey)
    assert not all(grey)


def test_crops_lie_inside_their_sources() -> None:
    folder = Path(skimage.__file__).parent / "data"
    whole = {}
    for source in SOURCES:
        with Image.open(folder / source) as image:
            whole[source] = image.size[::-1]
    for name in SETS:
        for crop, picture in zip(CROPS[name], picture_set(name), strict=True):
            left, top, right, bottom = crop.box
            if crop.box != WHOLE:
                assert picture.image.shape == (bottom - top, right - left, 3)
                assert right <= whole[crop.source][1]
                assert bottom <= whole[crop.source][0]


def test_a_changed_source_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "chelsea.png")
    monkeypatch.setattr(pictures, "_data_folder", lambda: tmp_path)
    with pytest.raises(NotVerifiableError, match=r"chelsea\.png: has sha256 .* install another scikit-image"):
        picture_set("search")
    (tmp_path / "chelsea.png").unlink()
    with pytest.raises(NotVerifiableError, match=r"chelsea\.png: is missing"):
        picture_set("search")


def test_own_pictures_come_by_name(tmp_path: Path) -> None:
    for name, colour in (("b.png", 9), ("a.png", 7)):
        Image.fromarray(np.full((5, 6, 3), colour, np.uint8)).save(tmp_path / name)
    (tmp_path / ".DS_Store").write_bytes(b"not a picture")
    (tmp_path / "below").mkdir()
    found = pictures_in(tmp_path)
    assert [(picture.name, int(picture.image[0, 0, 0])) for picture in found] == [("a.png", 7), ("b.png", 9)]


def test_a_folder_of_any_size_is_read_one_picture_at_a_time(
    tmp_path: Path, tiny_sam: SamModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking it over, and calibrating on it."""
    decoded: list[weakref.ref[np.ndarray]] = []

    def read(path: Path) -> np.ndarray:
        image = read_image(path)
        decoded.append(weakref.ref(image))
        return image

    def alive() -> int:
        return sum(one() is not None for one in decoded)

    monkeypatch.setattr(pictures, "read_image", read)
    for number in range(6):
        Image.fromarray(np.full((40, 60, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    found = pictures_in(tmp_path)
    assert (len(decoded), alive()) == (6, 0)
    assert [picture.hw for picture in found] == [(40, 60)] * 6
    encoder = components(tiny_sam)[0]
    assert max(alive() for _ in Calibration(tiny_sam, found).feeds(encoder)) <= 1
    assert (len(decoded), alive()) == (12, 0)


def test_a_picture_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    Image.new("RGB", (6, 5)).save(tmp_path / "a.png")
    (picture,) = pictures_in(tmp_path)
    assert picture.image.shape == (5, 6, 3)
    Image.new("RGB", (6, 5), "red").save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: was changed since"):
        _ = picture.image
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"a\.png"):
        _ = picture.image


def test_a_folder_without_usable_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no file"):
        pictures_in(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        pictures_in(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ImageError, match=r"notes\.txt"):
        pictures_in(tmp_path)


def test_the_hash_knows_shape_and_pixels() -> None:
    flat = pictures._picture("x", "x", np.zeros((2, 3, 3), np.uint8)).sha256
    assert flat != pictures._picture("x", "x", np.zeros((3, 2, 3), np.uint8)).sha256
    assert flat == pictures._picture("y", "y", np.zeros((2, 3, 3), np.uint8)).sha256
