"""Every kind of bad picture is one line that says what was given; every good one comes back pixel for pixel."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sam_export.errors import ImageError
from sam_export.runtimes import read_image
from sam_export.runtimes.images import MAX_PIXELS, image_array

PIXELS = np.random.default_rng(3).integers(0, 256, (6, 9, 3), np.uint8)
ORIENTATIONS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.transpose(1, 0, 2),
    6: lambda shown: np.rot90(shown, 1),
    7: lambda shown: np.rot90(shown, 2).transpose(1, 0, 2),
    8: lambda shown: np.rot90(shown, -1),
}
"""What a camera stores, for each orientation, so that the viewer shows the argument."""


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_of(width: int, height: int, bit_depth: int, colour_type: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def with_alpha(value: int) -> Image.Image:
    image = Image.fromarray(PIXELS).convert("RGBA")
    image.putpixel((2, 1), (1, 2, 3, value))
    return image


def palette(**info: object) -> Image.Image:
    image = Image.fromarray(PIXELS).quantize(8)
    image.info.update(info)
    return image


def frames(kind: str) -> bytes:
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    return encoded(first, kind, save_all=True, append_images=[second])


GREY = Image.fromarray(PIXELS[..., 0])
DEEP_GREY = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_formats_come_back_pixel_for_pixel(kind: str, tmp_path: Path) -> None:
    source = Image.fromarray(PIXELS[..., 0]) if kind == "GIF" else Image.fromarray(PIXELS)
    path = tmp_path / "picture"
    path.write_bytes(encoded(source, kind))
    expected = np.asarray(source.convert("RGB"))
    for read in (read_image(path), read_image(str(path)), read_image(path.read_bytes())):
        assert np.array_equal(read, expected)
        assert read.dtype == np.uint8


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_photo_formats_are_read(kind: str) -> None:
    assert read_image(encoded(Image.fromarray(PIXELS), kind)).shape == PIXELS.shape


SAME_MEANING = {
    "grey": (GREY, GREY),
    "black and white": (GREY.convert("1"), GREY.convert("1")),
    "palette": (palette(), palette()),
    "opaque alpha": (with_alpha(255), with_alpha(255)),
    "opaque grey alpha": (GREY.convert("LA"), GREY),
    "one pixel wide": (Image.fromarray(PIXELS[:, :1]), Image.fromarray(PIXELS[:, :1])),
    "one pixel": (Image.fromarray(PIXELS[:1, :1]), Image.fromarray(PIXELS[:1, :1])),
}


@pytest.mark.parametrize(("source", "meant"), SAME_MEANING.values(), ids=SAME_MEANING)
def test_what_has_one_meaning_becomes_rgb(source: Image.Image, meant: Image.Image) -> None:
    expected = np.asarray(meant.convert("RGB"))
    assert np.array_equal(read_image(encoded(source)), expected)
    assert np.array_equal(image_array(source), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_rotation_is_applied_to_files(orientation: int, kind: str) -> None:
    shown = np.zeros((32, 48, 3), np.uint8)
    shown[:16, :24] = (255, 0, 0)  # top left
    shown[16:, :24] = (0, 0, 255)  # bottom left
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(ORIENTATIONS[orientation](shown)))
    read = read_image(encoded(stored, kind, exif=exif)).astype(int)
    assert read.shape == shown.shape
    assert np.abs(read - shown).mean() < 8


def test_a_pil_image_that_is_not_upright_is_the_callers_decision() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = Image.open(io.BytesIO(encoded(Image.fromarray(PIXELS), "JPEG", exif=exif)))
    with pytest.raises(ImageError, match=r"EXIF orientation is 6, allowed: 1; apply PIL.ImageOps.exif_transpose"):
        image_array(opened)


REFUSED = {
    "not a picture": (b"hello", "not a picture that can be read; allowed: PNG, JPEG"),
    "nothing": (b"", "not a picture that can be read"),
    "a page of HTML": (b"<html></html>" * 100, "not a picture that can be read"),
    "PostScript, which would run a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "cut short": (encoded(Image.fromarray(np.tile(PIXELS, (40, 40, 1))))[:900], "damaged or cut short"),
    "cut short JPEG": (encoded(Image.fromarray(np.tile(PIXELS, (40, 40, 1))), "JPEG")[:900], "damaged or cut short"),
    "one transparent pixel": (encoded(with_alpha(0)), r"1\.9% of the pixels are transparent"),
    "one translucent pixel": (encoded(with_alpha(254)), "transparent"),
    "transparent palette": (encoded(palette(), transparency=3), "transparent"),
    "transparent colour": (
        encoded(Image.new("RGB", (3, 3), (1, 2, 3)), transparency=(1, 2, 3)),
        "100.0% of the pixels",
    ),
    "16-bit grey PNG": (encoded(DEEP_GREY), "more than 8 bits a channel, allowed: 8"),
    "16-bit grey TIFF": (encoded(DEEP_GREY, "TIFF"), "more than 8 bits"),
    "16-bit RGB PNG": (png_of(1, 1, 16, 2, b"\0" + b"\1\2" * 3), "more than 8 bits"),
    "16-bit RGBA PNG": (png_of(1, 1, 16, 6, b"\0" + b"\xff\xff" * 4), "more than 8 bits"),
    "16-bit grey alpha PNG": (png_of(1, 1, 16, 4, b"\0" + b"\xff\xff" * 2), "more than 8 bits"),
    "16-bit RGB PPM": (b"P6 1 1 65535\n" + b"\1\2" * 3, "more than 8 bits"),
    "16-bit grey PPM": (b"P5 1 1 65535\n" + b"\1\2", "more than 8 bits"),
    "float TIFF": (encoded(Image.fromarray(np.ones((3, 3), np.float32)), "TIFF"), "more than 8 bits"),
    "CMYK": (encoded(Image.new("CMYK", (4, 4)), "JPEG"), "colour mode CMYK, allowed: RGB, grey or palette"),
    "animated GIF": (frames("GIF"), "holds several frames, allowed: 1"),
    "animated PNG": (frames("PNG"), "holds several frames"),
    "pages": (frames("TIFF"), "holds several frames"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "holiday.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match=message):
        read_image(data)


def tiff_16_bit_rgb() -> bytes:
    """A 1x1 baseline TIFF, RGB, 16 bits a sample, which Pillow cannot write itself."""
    bits_at, pixel_at = 8 + 2 + 9 * 12 + 4, 8 + 2 + 9 * 12 + 4 + 6
    tags = [
        (256, 3, 1, 1),
        (257, 3, 1, 1),
        (258, 3, 3, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, pixel_at),
        (277, 3, 1, 3),
        (278, 3, 1, 1),
        (279, 4, 1, 6),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", len(tags))
        + entries
        + b"\0" * 4
        + struct.pack("<HHH", 16, 16, 16)
        + b"\1\2" * 3
    )


def test_16_bit_rgb_tiff_is_refused() -> None:
    with Image.open(io.BytesIO(tiff_16_bit_rgb())) as image:
        assert image.mode == "RGB"  # Pillow itself would drop the lower bits
    with pytest.raises(ImageError, match="more than 8 bits"):
        read_image(tiff_16_bit_rgb())


@pytest.mark.parametrize(
    "side", [10_001, 13_000, 60_000], ids=["over the limit", "where Pillow warns", "where it raises"]
)
def test_an_enormous_picture_is_refused_before_it_is_decoded(side: int) -> None:
    """There are no pixels at all in the file: decoding would fail in another way."""
    assert side * side > MAX_PIXELS
    with pytest.raises(ImageError, match="at most 100 million are decoded; scale it down"):
        read_image(png_of(side, side, 8, 2, b""))


@pytest.mark.parametrize("name", ["missing.png", "", "a\0b"], ids=["missing", "folder", "impossible name"])
def test_a_path_that_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=r"cannot be read|not a picture"):
        read_image(f"{tmp_path}/{name}")


BAD_ARRAYS: dict[str, tuple[object, str]] = {
    "float": (PIXELS / 255, r"given float64 \[6, 9, 3\]; allowed: .*; scale the values"),
    "16-bit": (PIXELS.astype(np.uint16), "given uint16"),
    "grey": (PIXELS[..., 0], r"given uint8 \[6, 9\]; .*numpy.stack"),
    "alpha": (np.zeros((6, 9, 4), np.uint8), "alpha channel"),
    "channels first": (PIXELS.transpose(2, 0, 1), r"image.transpose\(1, 2, 0\)"),
    "two channels": (np.zeros((6, 9, 2), np.uint8), "three channels"),
    "a batch": (PIXELS[np.newaxis], "one picture at a time"),
    "no pixel": (np.zeros((0, 9, 3), np.uint8), "at least one pixel"),
    "a list": ([[[1, 2, 3]]], "given a list; allowed: a uint8 array"),
    "a path": ("picture.png", "given a str; allowed"),
    "None": (None, "given a NoneType"),
    "16-bit PIL": (DEEP_GREY, "PIL image I;16 9x6: more than 8 bits"),
    "transparent PIL": (with_alpha(0), "transparent"),
    "CMYK PIL": (Image.new("CMYK", (4, 4)), "colour mode CMYK"),
    "empty PIL": (Image.new("RGB", (0, 4)), "needs at least one"),
}


@pytest.mark.parametrize(("image", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_set_image_refuses(image: object, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        image_array(image)
    assert "\n" not in str(caught.value)


def test_an_array_is_not_copied() -> None:
    assert image_array(PIXELS) is PIXELS


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"]), st.integers(0), st.integers(0, 255))
def test_damage_gives_a_picture_or_one_line(kind: str, position: int, value: int) -> None:
    data = bytearray(encoded(Image.fromarray(PIXELS), kind))
    data[position % len(data)] = value
    outcome = picture_or_error(bytes(data))
    if isinstance(outcome, ImageError):
        assert "\n" not in str(outcome)
    else:
        assert outcome.dtype == np.uint8
        assert outcome.shape[2] == 3


def picture_or_error(data: bytes) -> np.ndarray | ImageError:
    try:
        return read_image(data)
    except ImageError as exc:
        return exc


def test_what_was_read_may_be_drawn_upon() -> None:
    assert read_image(encoded(GREY)).flags.writeable
