"""The page of a session is a function of its record, which a program can read back."""

from __future__ import annotations

from dataclasses import asdict

import msgspec

from sam_export.benchmarks.everything import UPSTREAM, Row
from sam_export.benchmarks.interactive import Record, markdown
from sam_export.benchmarks.predict import Comparison, Report


def row(name: str, seconds: float, reference: str | None) -> Row:
    return Row(name, "engine", seconds, seconds, seconds, 10 / seconds, 10**9, 1024, 99, reference, 1.0, 1.0, 0.99)


def test_the_page() -> None:
    boxes = Comparison("64 boxes", "predict_batch of 64", "64 plain calls", (1.0, 1.0), (4.0, 5.0))
    record = Record(
        facts={"machine": "two cores"},
        calls=(Report("bundle", "engine", 2, (boxes,)),),
        everything=(row(UPSTREAM, 10, None), row("bundle", 2, UPSTREAM)),
        seconds={UPSTREAM: [[10.0]], "bundle": [[2.0]]},
    )
    page = markdown(record)
    assert "- machine: two cores" in page
    assert "| 64 boxes | predict_batch of 64 | 64 plain calls | 1000.0 (1000.0 - 1000.0) |" in page
    assert "| bundle | engine | 2.0 (2.0 - 2.0) | 5.00x | 1.00 GB | 1024 | 99 |" in page
    again = msgspec.json.decode(msgspec.json.encode(asdict(record)), type=Record)
    assert markdown(again) == page
