"""What a file is that could not be read as a checkpoint, told by its first bytes, for the message about it."""

from __future__ import annotations

import zipfile
from pathlib import Path

HEAD_BYTES = 64
ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = b"\x80"
# The pickled number at the start of every file that torch wrote before version 1.6.
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
CUT_SHORT = "is a checkpoint that was cut short or damaged"

FOREIGN = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself (run `git lfs pull`)"),
    (b"<", "is a web page, not a checkpoint"),
    (b"\x89PNG", "is a PNG picture, not a checkpoint"),
    (b"\xff\xd8\xff", "is a JPEG picture, not a checkpoint"),
    (b"GIF8", "is a GIF picture, not a checkpoint"),
    (b"\x1f\x8b", "is compressed by gzip (unpack it first)"),
    (b"\x93NUMPY", "is a NumPy array, not a checkpoint"),
    (b"\x89HDF", "is an HDF5 file, not a checkpoint of PyTorch"),
)


def describe(path: Path, head: bytes) -> str:
    """Return what the file is, to stand after its path. `head`: its first `HEAD_BYTES` bytes."""
    if not head:
        return "is empty"
    for start, meaning in FOREIGN:
        if head.lstrip().startswith(start):
            return meaning
    if head.startswith(ZIP_MAGIC):
        return _describe_zip(path)
    if head.startswith(PICKLE_MAGIC):
        return CUT_SHORT if head.startswith(LEGACY_MAGIC) else "is a pickle that torch.save did not write"
    # An ONNX file opens with its version and its producer's name.
    if head[:1] == b"\x08" and head[2:3] == b"\x12":
        return "looks like an ONNX graph, not like the checkpoint that it was exported from"
    return "is a text file, not a checkpoint" if _is_text(head) else "is not a checkpoint, or its start is damaged"


def _describe_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return CUT_SHORT  # all that zipfile raises for a directory that is damaged, or not there
    if names and all(name.endswith(".npy") for name in names):
        return "holds NumPy arrays, not a checkpoint of PyTorch"
    if not any(name.endswith("data.pkl") for name in names):
        return "is a zip archive that torch.save did not write (unpack it first)"
    return CUT_SHORT


def _is_text(head: bytes) -> bool:
    # A character may be cut at the end.
    text = head.decode("utf-8", "ignore")
    return len(text.encode()) > len(head) - 4 and all(sign.isprintable() or sign.isspace() for sign in text)
