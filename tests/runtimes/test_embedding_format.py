"""The bytes of a `.semb`: bound by goldens, exact where they promise it, and refused where anything is wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sam_export.errors import EmbeddingError, RequestError
from sam_export.runtimes.embedding_format import MAGIC, PREFIX, decode_embedding, decode_header, encode_embedding
from sam_export.runtimes.embedding_tensors import EmbeddingDtype

from .embeddings import DTYPE_NAMES, GOLDENS, golden_embedding

Header = dict[str, Any]


def golden(dtype: str) -> bytes:
    return (GOLDENS / f"{dtype}.semb").read_bytes()


@pytest.mark.parametrize("dtype", DTYPE_NAMES)
def test_goldens_are_read_as_they_say(dtype: EmbeddingDtype) -> None:
    expected = json.loads((GOLDENS / f"{dtype}.json").read_text())
    found = decode_embedding(golden(dtype), dtype)
    assert (found.model, found.checkpoint_sha256) == (expected["model"], expected["checkpoint_sha256"])
    assert (list(found.original_hw), found.picture_sha256) == (expected["original_hw"], expected["picture_sha256"])
    assert list(found.features) == list(expected["tensors"])
    for name, feature in found.features.items():
        tensor = expected["tensors"][name]
        assert feature.dtype == np.float32
        assert np.array_equal(feature, np.array(tensor["values"], np.float32).reshape(tensor["shape"]))


@pytest.mark.parametrize("dtype", DTYPE_NAMES)
def test_goldens_are_what_is_written(dtype: EmbeddingDtype) -> None:
    assert encode_embedding(golden_embedding(), dtype) == golden(dtype)


def test_how_exact_each_dtype_is() -> None:
    original = golden_embedding()
    for dtype, steps in (("fp32", 0.0), ("fp16", 2**-11), ("int8", 0.5 / 255)):
        restored = decode_embedding(golden(dtype), dtype)
        for name, feature in original.features.items():
            span = np.ptp(feature, axis=(0, 2, 3)) if dtype == "int8" else np.abs(feature).max()
            error = np.abs(restored.features[name] - feature).max(axis=(0, 2, 3))
            assert (error <= steps * span * 1.01 + (1e-6 if dtype == "int8" else 0)).all(), (dtype, name)


@pytest.mark.parametrize("dtype", DTYPE_NAMES)
def test_any_changed_byte_is_found(dtype: str) -> None:
    data = golden(dtype)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(EmbeddingError, match=r"^picture: "):
            decode_embedding(bytes(changed), "picture")


def test_any_missing_or_further_byte_is_found() -> None:
    data = golden("int8")
    for length in range(len(data)):
        with pytest.raises(EmbeddingError, match=r"^picture: "):
            decode_embedding(data[:length], "picture")
    with pytest.raises(EmbeddingError, match=r"its payload has 225 bytes, its header says 160"):
        decode_embedding(data + b"\0" * 65, "picture")


def rewritten(edit: Callable[[Header], object], *, version: int = 1) -> bytes:
    """The int8 golden with another header, whose hashes are right."""
    header, start = decode_header(golden("int8"), "golden")
    content = json.loads(json.dumps(dataclasses.asdict(header)))
    edit(content)
    text = json.dumps(content).encode()
    text += b" " * (-(PREFIX.size + len(text)) % 64)
    return PREFIX.pack(MAGIC, version, len(text), hashlib.sha256(text).digest()) + text + golden("int8")[start:]


def in_tensor(**fields: object) -> Callable[[Header], object]:
    return lambda header: header["tensors"][0].update(fields)


def in_header(**fields: object) -> Callable[[Header], object]:
    return lambda header: header.update(fields)


HOSTILE: dict[str, tuple[Callable[[Header], object], str]] = {
    "no tensor": (in_header(tensors=[]), "at least one"),
    "no list of tensors": (in_header(tensors=None), "not that of a .semb"),
    "a name twice": (in_tensor(name="high_res_feats_0"), "each once"),
    "a shape that is larger": (in_tensor(shape=[1, 5, 3, 700000]), "lies at 128, expected at"),
    "a shape beyond memory": (in_tensor(shape=[1, 5, 2**40, 2**40]), "at most 512 MiB"),
    "a shape of a million axes": (in_tensor(shape=[1] * 100_000), "at most 512 MiB"),
    "a size of 0": (in_tensor(shape=[1, 5, 0, 7]), "has shape"),
    "a negative size": (in_tensor(shape=[1, 5, -3, -7]), "has shape"),
    "a batch of two": (in_tensor(shape=[2, 5, 3, 7]), "has shape"),
    "an offset outside": (in_tensor(offset=4096), "lies at 4096, expected at 0"),
    "an unknown dtype": (in_tensor(dtype="int4"), "not that of a .semb"),
    "a dtype that does not fit": (in_tensor(dtype="fp32", scales=[], shifts=[]), "lies at 128, expected at 448"),
    "too few scales": (in_tensor(scales=[1.0]), "1 scales and 5 shifts, needs 5"),
    "a negative scale": (in_tensor(scales=[1.0, 1.0, 1.0, 1.0, -1.0]), "negative scale"),
    "a scale beyond float32": (in_tensor(scales=[1e300] * 5), "infinity"),
    "a scale beyond float64": (in_tensor(scales=[float("inf")] * 5), "not that of a .semb"),
    "a scale that is NaN": (in_tensor(scales=[float("nan")] * 5), "not that of a .semb"),
    "a picture of no pixels": (in_header(original_hw=[0, 5]), "a picture of 0x5"),
    "a picture beyond memory": (in_header(original_hw=[10**6, 10**6]), "allowed: 1 to 100000000"),
    "a hash that is none": (in_header(checkpoint_sha256="../" * 20), "64 hexadecimal digits"),
    "a hash of something else": (in_header(payload_sha256="0" * 64), "payload's sha256"),
    "a missing field": (lambda header: header.pop("original_hw"), "not that of a .semb"),
    "text for a number": (in_header(original_hw=["5", "5"]), "not that of a .semb"),
}


@pytest.mark.parametrize(("edit", "text"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers(edit: Callable[[Header], object], text: str) -> None:
    with pytest.raises(EmbeddingError, match=text) as caught:
        decode_embedding(rewritten(edit), "picture")
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_rewriting_alone_is_not_what_is_refused() -> None:
    found = decode_embedding(rewritten(in_header(added_later=[1, 2])), "picture")
    assert np.array_equal(
        found.features["image_embeddings"], decode_embedding(golden("int8"), "golden").features["image_embeddings"]
    )


def test_what_is_no_semb() -> None:
    for data in (b"", b"\x89PNG\r\n\x1a\n" + bytes(100), golden("fp32")[1:]):
        with pytest.raises(EmbeddingError, match=r"not an encoded picture; give a \.semb"):
            decode_embedding(data, "picture")


def test_a_later_version() -> None:
    with pytest.raises(EmbeddingError, match=r"version 2, this sam-export reads 1; install a newer one"):
        decode_embedding(rewritten(lambda header: None, version=2), "picture")


@pytest.mark.parametrize("length", [0, 15, 17, 2**20 + 16, 2**32 - 48])
def test_impossible_header_lengths(length: int) -> None:
    data = PREFIX.pack(MAGIC, 1, length, b"\0" * 32)
    with pytest.raises(EmbeddingError, match=f"its header has {length} bytes"):
        decode_embedding(data, "picture")


def with_number(number: float, dtype: EmbeddingDtype) -> bytes:
    embedding = golden_embedding()
    embeddings = embedding.features["image_embeddings"].copy()
    embeddings[0, 0, 0, 0] = number
    return encode_embedding(dataclasses.replace(embedding, features={"image_embeddings": embeddings}), dtype)


@pytest.mark.parametrize("dtype", DTYPE_NAMES)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_not_written(number: float, dtype: EmbeddingDtype) -> None:
    with pytest.raises(EmbeddingError, match="image_embeddings: holds NaN or infinity"):
        with_number(number, dtype)


def test_numbers_beyond_fp16_are_not_written() -> None:
    with pytest.raises(EmbeddingError, match=r"reaches 7e\+04, beyond fp16; store it as fp32"):
        with_number(7e4, "fp16")
    assert with_number(7e4, "int8")


def test_an_unknown_dtype_is_not_written() -> None:
    with pytest.raises(RequestError, match="dtype 'int4': no such; allowed: fp32, fp16, int8"):
        with_number(0.0, "int4")  # type: ignore[arg-type]  # what a caller without a type checker may do
