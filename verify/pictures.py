"""The pictures that a candidate is measured, searched and calibrated on: three fixed sets without a picture in common.

They are cut from pictures that lie in scikit-image's wheel, so that nothing is fetched. A source's crops are all in
one set; both halves of a stereo pair count as one source. Crops differ in size and aspect ratio, so that letterboxing
takes part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ..contract import ImageArray
from ..errors import ImageError, MissingDependencyError, NotVerifiableError
from ..runtimes.images import read_image
from .ground_truth import PictureTruth

SetName = Literal["gate", "search", "calibration"]
Box = tuple[int, int, int, int]
WHOLE: Box = (0, 0, 0, 0)
PURPOSES: Mapping[SetName, str] = {
    "gate": "what bundles are measured on",
    "search": "what a search for a precision may look at; never measured on",
    "calibration": "what activation ranges are taken from; never measured on",
}

# sha256 of the files: another release of scikit-image with other pictures is noticed.
SOURCES: Mapping[str, str] = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "brick.png": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    "camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "clock_motion.png": "f029226b28b642e80113d86622e9b215ee067a0966feaf5e60604a1e05733955",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "coins.png": "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
    "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    "hubble_deep_field.jpg": "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    "ihc.png": "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
    "microaneurysms.png": "a1e1be59aa447f8ce082f7fa809997ab369a2b137cb6c4202abc647c7ccf6456",
    "moon.png": "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
    "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    "motorcycle_right.png": "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797",
    "page.png": "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3",
    "phantom.png": "552ff698167aa402cceb17981130607a228a0a0aa7c519299eaa4d5f301ba36c",
    "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    "text.png": "bd84aa3a6e3c9887850d45d606c96b2e59433fbef50338570b63c319e668e6d1",
}


@dataclass(frozen=True)
class Crop:
    """A part of a source: left, top, right, bottom in its pixels; `WHOLE` is all of it."""

    source: str
    box: Box = WHOLE


CROPS: Mapping[SetName, tuple[Crop, ...]] = {
    "gate": (
        Crop("astronaut.png"),
        Crop("coffee.png"),
        Crop("camera.png"),
        Crop("coins.png"),
        Crop("retina.jpg"),
        Crop("clock_motion.png"),
        Crop("astronaut.png", (140, 0, 360, 200)),
        Crop("astronaut.png", (0, 200, 300, 512)),
        Crop("coffee.png", (130, 0, 500, 370)),
        Crop("coffee.png", (0, 130, 600, 400)),
        Crop("coffee.png", (250, 180, 480, 400)),
        Crop("camera.png", (30, 40, 330, 480)),
        Crop("camera.png", (160, 130, 512, 300)),
        Crop("coins.png", (0, 0, 384, 100)),
        Crop("coins.png", (0, 90, 384, 200)),
        Crop("coins.png", (0, 190, 384, 303)),
        Crop("coins.png", (250, 0, 384, 303)),
        Crop("coins.png", (120, 0, 260, 303)),
        Crop("ihc.png", (200, 280, 420, 512)),
        Crop("retina.jpg", (100, 500, 300, 900)),
        Crop("clock_motion.png", (100, 60, 300, 240)),
    ),
    "search": (
        Crop("chelsea.png"),
        Crop("chelsea.png", (60, 20, 330, 290)),
        Crop("chelsea.png", (180, 0, 340, 300)),
        Crop("moon.png"),
        Crop("moon.png", (0, 0, 400, 200)),
        Crop("page.png"),
        Crop("phantom.png"),
        Crop("hubble_deep_field.jpg"),
        Crop("hubble_deep_field.jpg", (600, 300, 800, 620)),
    ),
    "calibration": (
        Crop("motorcycle_left.png"),
        Crop("motorcycle_left.png", (60, 100, 420, 460)),
        Crop("motorcycle_left.png", (420, 0, 741, 500)),
        Crop("motorcycle_right.png"),
        Crop("motorcycle_right.png", (0, 0, 741, 240)),
        Crop("motorcycle_right.png", (250, 160, 690, 480)),
        Crop("rocket.jpg"),
        Crop("rocket.jpg", (250, 60, 400, 427)),
        Crop("rocket.jpg", (0, 200, 640, 427)),
        Crop("brick.png"),
        Crop("grass.png"),
        Crop("text.png"),
        Crop("microaneurysms.png"),
    ),
}


@dataclass(frozen=True, eq=False)
class Picture:
    """`sha256` is over its size `hw` and its pixels; `source` says where it was cut from.

    `pixels`: gives them; a file is decoded anew each time, so that many of them fit. `truth`: what people outlined on
    it, None where nobody did.
    """

    name: str
    source: str
    hw: tuple[int, int]
    sha256: str
    pixels: Callable[[], ImageArray]
    truth: PictureTruth | None = None

    @property
    def image(self) -> ImageArray:
        """Return the picture, uint8 [H, W, 3] RGB.

        Raises:
            ImageError: its file cannot be read any more, or was changed.
        """
        return self.pixels()


def picture_set(name: SetName) -> tuple[Picture, ...]:
    """Return the pictures of one set, always the same and in the same order.

    Raises:
        MissingDependencyError: scikit-image is not installed.
        NotVerifiableError: its wheel holds other pictures than those that the sets were cut from.
    """
    whole = {source: _read_source(source) for source in dict.fromkeys(crop.source for crop in CROPS[name])}
    return tuple(_cut(crop, whole[crop.source]) for crop in CROPS[name])


def pictures_in(folder: Path, *, without: str | None = None) -> tuple[Picture, ...]:
    """Return every picture of a folder (not of folders below), by name; hidden files are left out.

    Args:
        without: the ending, in lower case, of files that are no pictures and are left out, too.

    Raises:
        ImageError: the folder cannot be read or is empty, or one of its files is not a picture that can be used.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        files = [path for path in files if path.suffix.lower() != without]
    except OSError as exc:
        raise ImageError(f"{folder}: cannot be read ({exc.strerror or exc}); give a folder of pictures") from exc
    if not files:
        raise ImageError(f"{folder}: holds no {'picture' if without else 'file'}; give a folder of pictures")
    return tuple(map(_of_file, files))


def _of_file(path: Path) -> Picture:
    """Return a picture that holds no pixels; the file is decoded once, for its hash."""
    first = _picture(path.name, str(path), read_image(path))
    return replace(first, pixels=partial(_read_again, path, first.sha256))


def _read_again(path: Path, sha256: str) -> ImageArray:
    image = read_image(path)
    if _sha256(image) != sha256:
        raise ImageError(f"{path}: was changed since it was first read; leave it as it is until the command has ended")
    return image


def _read_source(source: str) -> ImageArray:
    path = _data_folder() / source
    content = path.read_bytes() if path.is_file() else b""
    found = hashlib.sha256(content).hexdigest()
    if found != SOURCES[source]:
        state = f"has sha256 {found[:12]}…" if content else "is missing"
        raise NotVerifiableError(
            f"{path}: {state}, the picture sets were cut from {SOURCES[source][:12]}…; "
            "install another scikit-image (0.26 has it), or give pictures of your own"
        )
    return read_image(content)


def _data_folder() -> Path:
    """Return the folder of pictures in scikit-image's wheel, without importing it."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            "the gate's pictures need the package scikit-image, which is not installed; "
            "pip install 'sam-export[export]'"
        )
    return Path(spec.origin).parent / "data"


def _cut(crop: Crop, whole: ImageArray) -> Picture:
    stem = Path(crop.source).stem
    if crop.box == WHOLE:
        return _picture(stem, f"scikit-image {crop.source}", whole)
    left, top, right, bottom = crop.box
    part = whole[top:bottom, left:right].copy()
    where = f"{left},{top},{right},{bottom}"
    return _picture(f"{stem} {where}", f"scikit-image {crop.source}, crop {where}", part)


def _picture(name: str, source: str, image: ImageArray) -> Picture:
    return Picture(name, source, (image.shape[0], image.shape[1]), _sha256(image), lambda: image)


def _sha256(image: ImageArray) -> str:
    digest = hashlib.sha256(f"{image.shape[0]}x{image.shape[1]}:".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
