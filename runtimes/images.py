"""Pictures from strangers: reading a file safely, and checking what `set_image` is given.

What would change a mask unseen is refused, with the way out in the message: transparency, more than 8 bits, colour
spaces that need a profile, several frames. What has one meaning is done: EXIF rotation of a file, grey and
palette to RGB, an alpha channel that is opaque everywhere.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..contract import Array, ImageArray
from ..errors import ImageError, ImageFormatError, ImageSizeError, RequestError, one_line
from .jpeg_parts import Content, exif_parts, jpeg_content, scans

# At 3 bytes a pixel 300 MB, and as much again for every full-size float mask.
MAX_PIXELS = 100_000_000
# Cameras write one part; what is appended to a picture (a preview, a film) may hold another.
MOST_EXIF_PARTS = 64
# Of all scans of a progressive JPEG together: 20 of the largest picture, and encoders write up to 14.
MOST_SCANNED_PIXELS = 20 * MAX_PIXELS
# Not every format that Pillow knows: some run other programs (EPS), some hold no pixels of their own (WMF).
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
RGB_MODES = ("RGB", "L", "1", "P")
ALPHA_MODES = ("RGBA", "LA", "PA")
DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
ORIENTATION_TAG = 0x0112
ALLOWED = "allowed: a uint8 array [H, W, 3] (RGB) or a PIL image"


def read_image(source: Path | str | bytes, *, max_pixels: int = MAX_PIXELS) -> ImageArray:
    """Return the picture as uint8 [H, W, 3] RGB, upright as its EXIF orientation says; writable.

    Colour profiles are not applied: the models were trained without.

    Args:
        source: a path, or the bytes of an encoded picture.
        max_pixels: how large a picture may be; checked before any pixel is decoded.

    Raises:
        ImageFormatError: not a picture.
        ImageSizeError: more than `max_pixels`.
        ImageError: damaged, more than 8 bits a channel, transparent anywhere, of several frames, or in a colour space
            other than RGB or grey.
    """
    name = f"picture of {len(source)} bytes" if isinstance(source, bytes) else str(source)
    jpeg = jpeg_content(source)
    if jpeg is not None:
        _check_exif(jpeg, name)
    with _open(source, name, max_pixels) as image:
        _check_size(image, name, max_pixels)
        if jpeg is not None:
            _check_scans(jpeg, image, name)
        return _decode(image, name)


def image_array(image: object) -> ImageArray:
    """Return what `set_image` was given as uint8 [H, W, 3] RGB; an array is returned as it is.

    A PIL image whose EXIF orientation still asks for a rotation is refused: prompts and masks are in the pixels
    that the caller sees, and only the caller knows whether those are the rotated ones.

    Raises:
        ImageError: anything else than uint8 [H, W, 3] or a PIL image, or a PIL image that `read_image` would refuse.
    """
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if not isinstance(image, np.ndarray):
        raise ImageError(f"image: given a {type(image).__name__}; {ALLOWED}")
    way_out = _way_out(image)
    if way_out:
        raise ImageError(f"image: given {image.dtype} {list(image.shape)}; {ALLOWED}; {way_out}")
    return image


def image_arrays(images: object) -> tuple[ImageArray, ...]:
    """Return several pictures as `image_array` does each.

    Raises:
        RequestError: not a list, or an empty one.
        ImageError: a picture that cannot be used; the text begins with its number, from 0.
    """
    if not isinstance(images, Sequence) or isinstance(images, str | bytes):
        raise RequestError(f"images: given a {type(images).__name__}; give a list of pictures")
    if not images:
        raise RequestError("images: an empty list; give at least one picture")
    found = []
    for index, image in enumerate(images):
        try:
            found.append(image_array(image))
        except ImageError as exc:
            raise ImageError(f"picture {index}: {exc}") from exc
    return tuple(found)


def _way_out(image: Array) -> str | None:
    """Return what the caller can do about an array that cannot be used, None for one that can."""
    if image.dtype != np.uint8:
        return "scale the values to 0..255 and use .astype(numpy.uint8)"
    if image.ndim == 2:
        return "for a grey picture use numpy.stack([image] * 3, axis=-1)"
    if image.ndim != 3:
        return "give one picture at a time, channels last"
    if image.shape[2] == 4:
        return "drop the alpha channel after blending it with a background of your choice"
    if image.shape[2] != 3:
        return (
            "use image.transpose(1, 2, 0) if channels come first"
            if image.shape[0] == 3
            else "give three channels, last"
        )
    return "a picture needs at least one pixel" if 0 in image.shape else None


def _from_pil(image: Image.Image) -> ImageArray:
    name = f"PIL image {image.mode} {image.width}x{image.height}"
    orientation = _orientation(image, name)
    if orientation != 1:
        raise ImageError(
            f"{name}: its EXIF orientation is {orientation}, allowed: 1; "
            "apply PIL.ImageOps.exif_transpose first, so that prompts and masks mean the upright picture"
        )
    _check_size(image, name, MAX_PIXELS)
    with _decoding(name):
        return _rgb(image, name)


def _decode(image: Image.Image, name: str) -> ImageArray:
    _check_frames(image, name)
    with _decoding(name):
        _check_depth(image, name)
        return _rgb(ImageOps.exif_transpose(image), name)


def _open(source: Path | str | bytes, name: str, max_pixels: int) -> Image.Image:
    """Return the image with its header read and no pixel decoded."""
    try:
        # The limit here is lower than the one at which Pillow warns.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except Image.DecompressionBombError as exc:
        raise _too_large(name, "more than twice Pillow's own limit of pixels", max_pixels) from exc
    except Exception as exc:  # a decoder that meets hostile bytes may raise anything
        if isinstance(exc, OSError) and exc.errno is not None:
            raise ImageError(f"{name}: cannot be read ({exc.strerror}); give a picture file") from exc
        raise ImageFormatError(f"{name}: not a picture that can be read; allowed: {', '.join(FORMATS)}") from exc


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn what a decoder raises on damaged bytes into one line."""
    try:
        yield
    except ImageError:
        raise
    except Exception as exc:  # a decoder that meets hostile bytes may raise anything
        detail = one_line(exc)
        raise ImageError(f"{name}: damaged or cut short ({detail}); save or copy the picture again") from exc


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise _too_large(name, f"{image.width}x{image.height} pixels", max_pixels)
    if image.width * image.height == 0:
        raise ImageError(f"{name}: {image.width}x{image.height} pixels; a picture needs at least one")


def _too_large(name: str, size: str, max_pixels: int) -> ImageSizeError:
    return ImageSizeError(
        f"{name}: {size}, at most {max_pixels / 10**6:g} million are decoded; scale it down, or cut it into tiles"
    )


def _check_exif(jpeg: Content, name: str) -> None:
    parts = exif_parts(jpeg)
    if parts > MOST_EXIF_PARTS:
        raise ImageError(f"{name}: {parts} parts of EXIF data, at most {MOST_EXIF_PARTS}; save it without metadata")


def _check_scans(jpeg: Content, image: Image.Image, name: str) -> None:
    passes = scans(jpeg)
    if passes > 1 and passes * image.width * image.height > MOST_SCANNED_PIXELS:
        raise ImageError(
            f"{name}: {passes} scans of {image.width}x{image.height} pixels, at most {MOST_SCANNED_PIXELS / 10**6:g} "
            "million pixels in all; save it as a plain JPEG"
        )


def _check_frames(image: Image.Image, name: str) -> None:
    """Refuse animations and multi-page files. The further frames of an MPO are a camera's previews.

    How many there are is not asked: of a TIFF with many thousands Pillow would count them for hours.
    """
    with _decoding(name):
        animated = getattr(image, "is_animated", False)
    if animated and image.format != "MPO":
        raise ImageError(f"{name}: holds several frames, allowed: 1; save the frame that is meant on its own")


def _check_depth(image: Image.Image, name: str) -> None:
    """Refuse 16-bit colour, which Pillow would cut to its upper 8 bits without a word."""
    if image.format in ("PNG", "TIFF", "PPM") and any(
        _is_deep(tile[0], tile[3]) for tile in getattr(image, "tile", [])
    ):
        raise _too_deep(name)


def _is_deep(codec: str, args: object) -> bool:
    parts = args if isinstance(args, tuple) else (args,)
    if codec.startswith("ppm"):  # (raw mode, highest value)
        return any(isinstance(part, int) and part > 255 for part in parts)
    return any(isinstance(part, str) and ";16" in part for part in parts)


def _too_deep(name: str) -> ImageError:
    return ImageError(
        f"{name}: more than 8 bits a channel, allowed: 8; scale the range that matters to 0..255 and save as 8-bit"
    )


def _rgb(image: Image.Image, name: str) -> ImageArray:
    """Return the pixels as RGB, refusing what has more than one way to become RGB."""
    if image.mode in DEEP_MODES:
        raise _too_deep(name)
    _check_depth(image, name)
    if image.mode not in RGB_MODES + ALPHA_MODES:
        raise ImageError(f"{name}: colour mode {image.mode}, allowed: RGB, grey or palette; convert it to RGB first")
    if image.mode in ALPHA_MODES or image.has_transparency_data:
        return np.array(_opaque(image, name))
    return np.array(image.convert("RGB"))


def _opaque(image: Image.Image, name: str) -> Image.Image:
    """Return the picture without its alpha channel, if that hides nothing."""
    rgba = image.convert("RGBA")
    alpha = np.asarray(rgba.getchannel("A"))
    hidden = np.count_nonzero(alpha < 255) / alpha.size
    if hidden:
        raise ImageError(
            f"{name}: {hidden:.1%} of the pixels are transparent, and what shows through them changes the mask; "
            "blend it with a background of your choice and save without alpha"
        )
    return rgba.convert("RGB")


def _orientation(image: Image.Image, name: str) -> int:
    with _decoding(name):
        return int(image.getexif().get(ORIENTATION_TAG, 1))
