"""Pictures that are small as files and endless in the work or memory that they ask for."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_export.errors import ImageError
from sam_export.runtimes.images import read_image
from sam_export.runtimes.jpeg_parts import MARKER, scans

from .limits import bounded

MIB = 2**20
# Of a file of some megabytes none of these needs more.
MOST_BYTES = 192 * MIB
END_OF_IMAGE = b"\xff\xd9"


def encoded(kind: str, side: int = 8, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (9, 90, 200)).save(stream, kind, **options)
    return stream.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def jpeg_of_exif() -> bytes:
    """Half a million parts of EXIF data, which are joined one by one."""
    plain = encoded("JPEG")
    return plain[:2] + segment(0xE1, b"Exif\0\0" + bytes(6)) * (8 * MIB // 16) + plain[2:]


def jpeg_of_scans() -> bytes:
    """9 million pixels, gone over 5,000 times."""
    plain = encoded("JPEG", side=3_000, progressive=True)
    at = last_scan(plain)
    return plain[:at] + plain[at : -len(END_OF_IMAGE)] * 5_000 + END_OF_IMAGE


def last_scan(jpeg: bytes) -> int:
    return jpeg.rindex(b"\xff\xda")


def jpeg_of_segments(marker: int) -> bytes:
    plain = encoded("JPEG")
    return plain[:2] + segment(marker, b"") * (MIB // 4) + plain[2:]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_with(*chunks: bytes) -> bytes:
    plain = encoded("PNG")
    after_header = 33
    return plain[:after_header] + b"".join(chunks) + plain[after_header:]


def zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def gif_with(*blocks: bytes) -> bytes:
    plain = encoded("GIF")
    at = 13 + (3 * 2 ** ((plain[10] & 7) + 1) if plain[10] & 0x80 else 0)
    return plain[:at] + b"".join(blocks) + plain[at:]


def gif_of_frames() -> bytes:
    plain = encoded("GIF")
    frame = plain[plain.rindex(b"\x2c") : -1]
    return plain[:-1] + frame * (4 * MIB // len(frame)) + plain[-1:]


def gif_of_a_large_screen() -> bytes:
    plain = bytearray(encoded("GIF"))
    plain[6:10] = struct.pack("<HH", 65535, 65535)
    return bytes(plain)


def directory_of(tiff: bytes) -> bytes:
    at = struct.unpack("<I", tiff[4:8])[0]
    return tiff[at : at + 2 + 12 * struct.unpack("<H", tiff[at : at + 2])[0]]


def tiff_of_pages() -> bytes:
    """Some 60,000 directories, each followed by the next; each was looked for among all that came before."""
    plain = encoded("TIFF")
    own = directory_of(plain)
    begin, size = len(plain) + len(plain) % 2, len(own) + 4
    count = 8 * MIB // size
    pages = (own + struct.pack("<I", begin + size * (n + 1) if n < count - 1 else 0) for n in range(count))
    at = plain.index(own) + len(own)
    return plain[:at] + struct.pack("<I", begin) + plain[at + 4 :] + bytes(len(plain) % 2) + b"".join(pages)


def tiff_that_is_large() -> bytes:
    """A tag that says 60,000 rows, of one row's bytes."""
    tiff = bytearray(encoded("TIFF", compression="tiff_adobe_deflate"))
    at = struct.unpack("<I", tiff[4:8])[0] + 2
    for entry in range(at, at + len(directory_of(bytes(tiff))) - 2, 12):
        if struct.unpack("<H", tiff[entry : entry + 2])[0] in (256, 257):
            tiff[entry + 8 : entry + 12] = struct.pack("<I", 60_000)
    return bytes(tiff)


# Those that are refused, with a word of the reason; the others may also be read.
BOMBS: dict[str, tuple[Callable[[], bytes], str | None]] = {
    "jpeg-exif": (jpeg_of_exif, "524288 parts of EXIF data, at most 64"),
    "jpeg-scans": (jpeg_of_scans, "5009 scans of 3000x3000 pixels, at most 2000 million pixels in all"),
    "jpeg-applications": (lambda: jpeg_of_segments(0xE5), None),
    "jpeg-comments": (lambda: jpeg_of_segments(0xFE), None),
    "png-ztxt": (lambda: png_with(chunk(b"zTXt", b"a\0\0" + zeros(256 * MIB))), "not a picture"),
    "png-itxt": (lambda: png_with(chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(256 * MIB))), "not a picture"),
    "png-iccp": (lambda: png_with(chunk(b"iCCP", b"a\0\0" + zeros(256 * MIB))), "not a picture"),
    "png-many-ztxt": (lambda: png_with(*[chunk(b"zTXt", b"a\0\0" + zeros(MIB - 1))] * 2000), "not a picture"),
    "png-unknown-chunks": (lambda: png_with(chunk(b"prVt", b"") * (MIB // 12)), None),
    "gif-comment": (lambda: gif_with(b"\x21\xfe" + (b"\xff" + b"c" * 255) * (8 * MIB // 256) + b"\0"), None),
    "gif-comments": (lambda: gif_with(b"\x21\xfe\x01c\0" * (MIB // 5)), None),
    "gif-frames": (gif_of_frames, "holds several frames"),
    "gif-large-screen": (gif_of_a_large_screen, "pixels, at most 100 million"),
    "tiff-pages": (tiff_of_pages, "holds several frames"),
    "tiff-large": (tiff_that_is_large, "pixels, at most 100 million"),
}


def refusal(source: bytes | Path) -> str:
    """Return why a picture is not read, empty if it is."""
    try:
        read_image(source)
    except ImageError as exc:
        return str(exc)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(("make", "reason"), BOMBS.values(), ids=BOMBS)
def test_a_picture_that_asks_for_more_than_it_is(make: Callable[[], bytes], reason: str | None, tmp_path: Path) -> None:
    content = make()
    path = tmp_path / "picture"
    path.write_bytes(content)
    for source in (content, path):
        with bounded("bomb", MOST_BYTES):
            refused = refusal(source)
        assert reason in refused if reason else not refused, refused


def test_plain_and_progressive_pictures_have_the_scans_that_they_have() -> None:
    assert scans(encoded("JPEG")) == 1
    assert scans(encoded("JPEG", progressive=True)) == 10
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8))
    stream = io.BytesIO()
    noise.save(stream, "JPEG", quality=95, restart_marker_rows=1)
    assert scans(stream.getvalue()) == 1
    assert MARKER.search(b"\xff\x00\xff\xd3\xff\xff") is None


def test_a_picture_with_a_film_behind_it_is_read(tmp_path: Path) -> None:
    """What comes after the end of the picture is not counted."""
    path = tmp_path / "motion.jpg"
    path.write_bytes(encoded("JPEG", side=4_000) + b"\xff\xda\0\x02" * 10_000)
    assert read_image(path).shape == (4_000, 4_000, 3)


def test_a_block_that_takes_too_much_is_noticed_though_the_process_held_more_before() -> None:
    held = np.ones(64 * MIB, np.uint8)
    del held
    with pytest.raises(AssertionError, match="more memory"), bounded("a block", 16 * MIB):
        np.ones(32 * MIB, np.uint8)
    with bounded("a block", 64 * MIB):
        np.ones(32 * MIB, np.uint8)
