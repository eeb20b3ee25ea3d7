"""`.semb` files: written whole or not at all, and read without trusting them. Their bytes are `embedding_format`'s."""

from __future__ import annotations

from pathlib import Path

from ..errors import EmbeddingError
from ..staging import staged_file
from .embedding_format import (
    MAX_FILE_BYTES,
    PREFIX,
    Embedding,
    EmbeddingHeader,
    decode_embedding,
    decode_header,
    decode_prefix,
    encode_embedding,
)
from .embedding_tensors import EmbeddingDtype

SUFFIX = ".semb"


def write_embedding(path: Path, embedding: Embedding, dtype: EmbeddingDtype = "fp32") -> int:
    """Write the file, in place of an older one, and return its size in bytes.

    Raises:
        EmbeddingError: the features cannot be stored so; nothing is written.
        OutputError: the file cannot be written, or the disk is full; an older one is as it was.
    """
    data = encode_embedding(embedding, dtype)
    with staged_file(path) as staging:
        staging.write_bytes(data)
    return len(data)


def read_embedding(path: Path) -> Embedding:
    """Return what the file holds, restored to float32.

    Raises:
        EmbeddingError: it cannot be read, is no `.semb`, or is damaged.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise EmbeddingError(f"{path}: {size} bytes, at most {MAX_FILE_BYTES}; encode the picture again")
        data = path.read_bytes()
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    return decode_embedding(data, str(path))


def read_header(path: Path) -> EmbeddingHeader:
    """Return what the file says of itself, for a file whose size fits; its tensors are not read.

    Raises:
        EmbeddingError: as `read_embedding`, for what comes before the tensors, or the file is cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            prefix = stream.read(PREFIX.size)
            length, _ = decode_prefix(prefix, str(path))
            header, start = decode_header(prefix + stream.read(length), str(path))
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    if size != start + header.payload_bytes:
        raise EmbeddingError(
            f"{path}: damaged (it has {size} bytes, its header says {start + header.payload_bytes}); "
            "copy it again, or encode the picture again"
        )
    return header


def _unreadable(path: Path, exc: OSError) -> EmbeddingError:
    return EmbeddingError(f"{path}: cannot be read ({exc.strerror or exc}); give a .semb file")
