"""The bytes of a `.semb`, an encoded picture: what a server computes once and a decoder anywhere answers prompts on.

This is the one description of the layout; readers in every language are bound to it by `tests/goldens/semb`.
All integers are little-endian.

    offset   bytes  content
    0        8      magic: 89 53 45 4D 42 0D 0A 1A ("SEMB" between the bytes that PNG uses to show a damaged transfer)
    8        4      uint32, version: 1
    12       4      uint32, H: bytes of the header; 48 + H is a multiple of 64
    16       32     sha256 of the header's H bytes
    48       H      header: a JSON object in UTF-8, filled up with spaces
    48 + H   P      payload: the tensors, and nothing after it

The header's fields; a reader ignores those that it does not know:

    model              text, for messages: the name of the model
    checkpoint_sha256  hex: an embedding fits every decoder of the same checkpoint, whatever its target and precision
    original_hw        [H, W] of the picture, in whose pixels prompts and masks are; at most 100 million pixels
    picture_sha256     hex or null: of the picture's file, to tell whether it has changed since
    payload_sha256     hex: of the P bytes of the payload
    tensors            every output of the image encoder, in the order of the payload:
        name           as the decoder's input is called
        shape          [1, C, ...], no size 0, at most 8 axes
        dtype          "fp32", "fp16" or "int8"
        offset         from the start of the payload: 0, then the end of the tensor before, rounded up to 64
        scales         int8: C numbers >= 0; otherwise []
        shifts         int8: C numbers; otherwise []

A tensor's numbers lie in C order, IEEE 754 or two's complement, little-endian; gaps are zeros, and there is none after
the last tensor. An int8 `q` of channel `c` (the second axis) means `q * scales[c] + shifts[c]` in float32, the product
rounded to float32 before the sum; scales and shifts are float32 numbers, written so that they come back exactly. All
numbers are finite. Files above 512 MiB and headers above 1 MiB are refused.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from ..contract import FloatArray
from ..errors import EmbeddingError
from .embedding_tensors import DTYPES, EmbeddingDtype, StoredValues, restore, store
from .images import MAX_PIXELS

MAGIC = b"\x89SEMB\r\n\x1a"
VERSION = 1
PREFIX = struct.Struct("<8sII32s")
ALIGNMENT = 64
MAX_FILE_BYTES = 2**29
MAX_HEADER_BYTES = 2**20
MAX_RANK = 8
SHA256_DIGITS = 64


@dataclass(frozen=True)
class Embedding:
    """An encoded picture on its way to or from disk. `features`: the encoder's outputs by name, [1, C, ...] float32.

    `picture_sha256` is of the picture's file, where there was one.
    """

    model: str
    checkpoint_sha256: str
    original_hw: tuple[int, int]
    features: Mapping[str, FloatArray]
    picture_sha256: str | None = None


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of the payload, as the module's docstring says."""

    name: str
    shape: tuple[int, ...]
    dtype: EmbeddingDtype
    offset: int
    scales: tuple[float, ...]
    shifts: tuple[float, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize

    @property
    def end(self) -> int:
        return self.offset + self.bytes


@dataclass(frozen=True)
class EmbeddingHeader:
    """The JSON part, as the module's docstring says."""

    model: str
    checkpoint_sha256: str
    original_hw: tuple[int, int]
    picture_sha256: str | None
    payload_sha256: str
    tensors: tuple[TensorEntry, ...]

    @property
    def payload_bytes(self) -> int:
        return self.tensors[-1].end


def encode_embedding(embedding: Embedding, dtype: EmbeddingDtype) -> bytes:
    """Return the file's bytes, every tensor stored as `dtype`.

    Raises:
        EmbeddingError: a feature holds NaN or infinity, or does not fit into `dtype`.
        RequestError: an unknown dtype.
    """
    payload = bytearray()
    entries = []
    for name, feature in embedding.features.items():
        stored = store(name, np.asarray(feature, np.float32), dtype)
        payload += bytes(-len(payload) % ALIGNMENT)
        entries.append(TensorEntry(name, feature.shape, dtype, len(payload), stored.scales, stored.shifts))
        payload += stored.values.tobytes()
    header = EmbeddingHeader(
        model=embedding.model,
        checkpoint_sha256=embedding.checkpoint_sha256,
        original_hw=embedding.original_hw,
        picture_sha256=embedding.picture_sha256,
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        tensors=tuple(entries),
    )
    return _prefixed(msgspec.json.encode(header)) + bytes(payload)


def decode_embedding(data: bytes, name: str) -> Embedding:
    """Return the embedding that the bytes are of; `name` is what messages call it.

    Raises:
        EmbeddingError: not a `.semb`, of another version, damaged, cut short, or made to harm.
    """
    header, start = decode_header(data, name)
    payload = memoryview(data)[start:]
    if len(payload) != header.payload_bytes:
        raise _damaged(name, f"its payload has {len(payload)} bytes, its header says {header.payload_bytes}")
    if hashlib.sha256(payload).hexdigest() != header.payload_sha256:
        raise _damaged(name, "the payload's sha256 is not the header's")
    features = {entry.name: _restored(entry, payload, name) for entry in header.tensors}
    return Embedding(
        header.model, header.checkpoint_sha256, header.original_hw, features, picture_sha256=header.picture_sha256
    )


def decode_header(data: bytes, name: str) -> tuple[EmbeddingHeader, int]:
    """Return the checked header and where the payload starts; `data` may end there.

    Raises:
        EmbeddingError: as `decode_embedding`, for what comes before the payload.
    """
    length, digest = decode_prefix(data, name)
    text = data[PREFIX.size : PREFIX.size + length]
    if len(text) < length:
        raise _damaged(name, f"cut short in its header, which has {length} bytes")
    if hashlib.sha256(text).digest() != digest:
        raise _damaged(name, "the header's sha256 is not the one before it")
    try:
        header = msgspec.json.decode(text, type=EmbeddingHeader)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise EmbeddingError(f"{name}: its header is not that of a .semb ({exc}); encode the picture again") from exc
    _check_header(header, name)
    return header, PREFIX.size + length


def decode_prefix(data: bytes, name: str) -> tuple[int, bytes]:
    """Return the header's length and sha256 from the first bytes of a file.

    Raises:
        EmbeddingError: not a `.semb`, of another version, or with a header of an impossible length.
    """
    if not data.startswith(MAGIC):
        raise EmbeddingError(f"{name}: not an encoded picture; give a .semb that sam-export wrote")
    if len(data) < PREFIX.size:
        raise _damaged(name, f"cut short after {len(data)} bytes")
    _, version, length, digest = PREFIX.unpack_from(data)
    if version != VERSION:
        raise EmbeddingError(
            f"{name}: .semb version {version}, this sam-export reads {VERSION}; "
            "install a newer one, or encode the picture again"
        )
    if not 0 < length <= MAX_HEADER_BYTES or (PREFIX.size + length) % ALIGNMENT:
        raise _damaged(
            name, f"its header has {length} bytes, allowed: at most {MAX_HEADER_BYTES}, ending at 64 or a multiple"
        )
    return length, digest


def _prefixed(text: bytes) -> bytes:
    text += b" " * (-(PREFIX.size + len(text)) % ALIGNMENT)
    return PREFIX.pack(MAGIC, VERSION, len(text), hashlib.sha256(text).digest()) + text


def _check_header(header: EmbeddingHeader, name: str) -> None:
    """Check all that sizes are computed from, before anything is computed from it."""
    hashes = [header.checkpoint_sha256, header.payload_sha256, header.picture_sha256 or "0" * SHA256_DIGITS]
    if any(len(text) != SHA256_DIGITS or set(text) - set("0123456789abcdef") for text in hashes):
        raise _damaged(name, "one of its sha256 is not 64 hexadecimal digits")
    height, width = header.original_hw
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise _damaged(name, f"a picture of {height}x{width} pixels, allowed: 1 to {MAX_PIXELS}")
    names = [entry.name for entry in header.tensors]
    if not names or len(set(names)) < len(names):
        raise _damaged(name, f"tensors {names}, allowed: at least one, and each once")
    end = 0
    for entry in header.tensors:
        _check_entry(entry, end, name)
        end = entry.end


def _check_entry(entry: TensorEntry, end: int, name: str) -> None:
    shape = entry.shape
    if not 2 <= len(shape) <= MAX_RANK or shape[0] != 1 or min(shape) < 1 or entry.bytes > MAX_FILE_BYTES:
        raise _damaged(name, f"{entry.name} has shape {list(shape)[:MAX_RANK]}, allowed: [1, C, ...], at most 512 MiB")
    expected = end + -end % ALIGNMENT
    if entry.offset != expected:
        raise _damaged(name, f"{entry.name} lies at {entry.offset}, expected at {expected}")
    channels = entry.shape[1] if entry.dtype == "int8" else 0
    if len(entry.scales) != channels or len(entry.shifts) != channels:
        raise _damaged(
            name,
            f"{entry.name} ({entry.dtype}) has {len(entry.scales)} scales and {len(entry.shifts)} shifts, "
            f"needs {channels} of each",
        )


def _restored(entry: TensorEntry, payload: memoryview, name: str) -> FloatArray:
    values = np.frombuffer(payload, DTYPES[entry.dtype], math.prod(entry.shape), entry.offset).reshape(entry.shape)
    restored = restore(StoredValues(values, entry.scales, entry.shifts))
    if restored is None:
        raise _damaged(name, f"{entry.name} holds NaN, infinity or a negative scale")
    return restored


def _damaged(name: str, detail: str) -> EmbeddingError:
    return EmbeddingError(f"{name}: damaged ({detail}); copy it again, or encode the picture again")
