"""A record of a search is kept as it is, and one from a stranger cannot be what it must not."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from sam_export.errors import RequestError
from sam_export.search_record import MAX_RECORD_BYTES, decode_records, encode_records

from .verify.search_samples import point, record


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    raw = json.loads(encode_records((record(),)))
    change(raw)
    return json.dumps(raw).encode()


def test_records_come_back_equal() -> None:
    untimed = dataclasses.replace(record(), component="mask_decoder", threads=None, points=(point(0, 0.9, None),))
    records = (record(), untimed)
    assert decode_records(encode_records(records), "search.json") == records
    assert encode_records(records) == encode_records(records)


def test_chosen_point_is_found() -> None:
    chosen = record().chosen
    assert chosen is not None
    assert chosen.label == "without 3 groups"
    assert dataclasses.replace(record(), points=()).chosen is None


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda raw: raw["searches"][0]["points"][0].update(stable_worst=1.5), "<= 1.0"),
        (lambda raw: raw["searches"][0]["points"][0].update(stable_worst=None), "got `null`"),
        (lambda raw: raw["searches"][0]["points"][0].update(latency_ratio=0), "> 0.0"),
        (lambda raw: raw["searches"][0]["points"][0].update(bytes=-1), ">= 0"),
        (lambda raw: raw["searches"][0]["points"][0].update(label="x" * 401), "length <= 400"),
        (lambda raw: raw["searches"][0]["harm"][0].update(harm=-1.0), ">= 0.0"),
        (lambda raw: raw["searches"][0]["points"].extend(raw["searches"][0]["points"] * 100), "length <= 400"),
        (lambda raw: raw["searches"][0].update(component="../up"), "'../up'"),
        (lambda raw: raw["searches"][0].update(threads=0), ">= 1"),
        (lambda raw: raw["searches"][0].pop("limits"), "limits"),
        (lambda raw: raw["searches"][0]["points"][0].update(chosen=True, passed=True), "all marked as chosen"),
        (lambda raw: raw["searches"][0]["points"][4].update(passed=False), "chosen but did not pass"),
        (lambda raw: raw.update(schema=2), "schema 2, this version reads 1"),
        (lambda raw: raw.pop("schema"), "schema"),
    ],
    ids=[
        "more than an IoU",
        "no number",
        "no time",
        "negative size",
        "endless name",
        "negative harm",
        "endless points",
        "no component",
        "no threads",
        "field missing",
        "two chosen",
        "chosen one failed",
        "other version",
        "no version",
    ],
)
def test_record_of_a_stranger_is_refused(change: Callable[[dict[str, Any]], object], wrong: str) -> None:
    with pytest.raises(RequestError, match=re.escape(wrong)) as refused:
        decode_records(edited(change), "search.json")
    assert str(refused.value).startswith("search.json: ")


@pytest.mark.parametrize(
    "text",
    [b"", b"[", b"null", b"[]", b"\xff\xfe", b'{"schema": 1e999}', b"[" * 100_000, b'{"schema": 1, "searches": 3}'],
    ids=["empty", "cut off", "null", "list", "no text", "no number", "nested", "no list"],
)
def test_text_that_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(RequestError, match="not a record of a search"):
        decode_records(text, "search.json")


def test_text_of_any_size_is_refused_unread() -> None:
    with pytest.raises(RequestError, match=f"at most {MAX_RECORD_BYTES}"):
        decode_records(b" " * (MAX_RECORD_BYTES + 1), "search.json")


def test_two_chosen_points_are_a_wrong_record() -> None:
    with pytest.raises(RequestError, match="image_encoder: 'all 8-bit inputs', 'without 3 groups' are all marked"):
        dataclasses.replace(record(), points=(point(0, 0.97, 0.4, chosen=True), *record().points))
