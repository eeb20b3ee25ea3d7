"""`POST /v1/embeddings`: a picture in, the `.semb` out that this package itself would write."""

from __future__ import annotations

import hashlib

import httpx
import numpy as np
import pytest

from sam_export.runtimes.embedding_format import decode_embedding, decode_header
from sam_export.server import ServedBundle

from .conftest import PICTURE
from .live import Live

SEMB = "application/vnd.sam-export.semb"


def post(live: Live, data: bytes, **headers: str) -> httpx.Response:
    return live.client.post("/v1/embeddings", content=data, headers=headers)


def code(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["code"])


def test_the_embedding_is_that_of_the_bundle(live: Live, bundle: ServedBundle, picture_png: bytes) -> None:
    answer = post(live, picture_png, accept=f"{SEMB}; dtype=fp32")
    assert answer.status_code == 200
    segmenter = bundle.segmenters[0]
    found = segmenter.read_embedding(answer.content)
    expected = segmenter.encode(PICTURE)
    assert found.original_hw == expected.original_hw == (60, 100)
    np.testing.assert_array_equal(found.features["image_embeddings"], expected.features["image_embeddings"])
    assert decode_embedding(answer.content, "answer").picture_sha256 == hashlib.sha256(picture_png).hexdigest()


@pytest.mark.parametrize(
    ("accept", "dtype"),
    [
        (None, "fp16"),
        ("*/*", "fp16"),
        (f"{SEMB}; dtype=int8", "int8"),
        (f"{SEMB};dtype=INT8", "int8"),
        (f"{SEMB}; dtype=fp16; q=0.5, {SEMB}; dtype=int8", "int8"),
        (f"{SEMB}; dtype=int4, {SEMB}; dtype=fp32; q=0.1", "fp32"),
        ("application/octet-stream; dtype=int8", "int8"),
    ],
)
def test_accept_says_how_it_is_stored(live: Live, picture_png: bytes, accept: str | None, dtype: str) -> None:
    answer = post(live, picture_png, **({} if accept is None else {"accept": accept}))
    header, _ = decode_header(answer.content, "answer")
    assert {entry.dtype for entry in header.tensors} == {dtype}
    assert answer.headers["content-type"] == f"{SEMB}; dtype={dtype}"
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize("accept", ["image/png", f"{SEMB}; dtype=int4", f"{SEMB}; q=0", f"{SEMB}; q=much"])
def test_what_cannot_be_given_is_not_acceptable(live: Live, picture_png: bytes, accept: str) -> None:
    answer = post(live, picture_png, accept=accept)
    assert answer.status_code == 406
    assert code(answer) == "not_acceptable"
    assert "dtype=fp16" in answer.json()["detail"]


@pytest.mark.parametrize("content_type", ["image/jpeg", "application/x-www-form-urlencoded", "text/plain", ""])
def test_what_a_picture_is_called_does_not_matter(live: Live, picture_png: bytes, content_type: str) -> None:
    answer = live.client.post("/v1/embeddings", content=picture_png, headers={"content-type": content_type})
    assert answer.status_code == 200


def test_a_form_is_told_how_to_send_a_picture(live: Live, picture_png: bytes) -> None:
    answer = live.client.post("/v1/embeddings", files={"file": picture_png})
    assert answer.status_code == 415
    assert "send the bytes" in answer.json()["detail"]
