"""How much work a JPEG file makes for its decoder, beyond its pixels: the parts that one may repeat without end.

Looked at before Pillow opens the file. It joins parts of EXIF data one by one, each time copying all that came before
(8 MB of them: 30 s), and libjpeg goes over the whole picture once more for every scan of a progressive file.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

MAGIC = b"\xff\xd8\xff"
EXIF = re.compile(rb"Exif\0\0")
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
# Markers without a length: TEM and SOI. Restarts and stuffed zeros lie within a scan's data.
BARE = (0x01, 0xD8)
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


Content = bytes | mmap.mmap


def jpeg_content(source: Path | str | bytes) -> Content | None:
    """Return a JPEG file's bytes, mapped if it lies on disk; None for another file, or one that cannot be read."""
    if isinstance(source, bytes):
        return source if source.startswith(MAGIC) else None
    try:
        with Path(source).open("rb") as stream:
            is_jpeg = stream.read(len(MAGIC)) == MAGIC
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if is_jpeg else None
    except (OSError, ValueError):  # whoever opens it next says why
        return None


def exif_parts(content: Content) -> int:
    """Return how many parts of EXIF data a file can have; what only looks like the start of one counts, too."""
    return sum(1 for _ in EXIF.finditer(content))


def scans(content: Content) -> int:
    """Return how often a decoder goes over the picture: 1 for most files, some 10 for progressive ones."""
    count, at = 0, 2
    while found := MARKER.search(content, at):
        marker, at = found[0][1], found.end()
        if marker == END_OF_IMAGE:
            break
        count += marker == START_OF_SCAN
        if marker not in BARE:
            at += max(2, int.from_bytes(content[at : at + 2], "big"))
    return count
