"""What graphs take on disk, and over the wire."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import MissingDependencyError
from ..optional import import_optional
from .run_record import Size

# As far as a server goes for a file that it compresses once; 11 gains little on weights and takes minutes.
QUALITY = 9


def measured_size(files: Iterable[Path]) -> Size:
    """Return the size of the files together, each compressed on its own."""
    contents = [file.read_bytes() for file in files]
    try:
        brotli = import_optional("brotli", purpose="the size over the wire", extra="web")
    except MissingDependencyError:
        return Size(sum(map(len, contents)), None)
    wire = sum(min(len(content), len(brotli.compress(content, quality=QUALITY))) for content in contents)
    return Size(sum(map(len, contents)), wire)
