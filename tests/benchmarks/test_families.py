"""The matrix that is measured: what is known is not measured again, and what went wrong is a row, too."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from sam_export.benchmarks.families import JSON_NAME, MARKDOWN_NAME, Plan, Row, measure_all, measured, render

ROW = Row("lite_medsam", "onnx", "fp32", True, None, 117.5, 118.2, 1.0, 39_900_000, 4.2, 1_400_000_000, 25.0)
PLAN = Plan(pictures=1, threads=1)


def console() -> Console:
    return Console(file=io.StringIO())


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    """Both precisions of the pair are known, so that no process is begun: numbers and file stay."""
    rows = (ROW, dataclasses.replace(ROW, precision="fp16", logit_snr_db=52.1))
    (tmp_path / JSON_NAME).write_text(json.dumps({"rows": [dataclasses.asdict(row) for row in rows]}))
    screen = console()
    assert measure_all([("lite_medsam", "onnx")], PLAN, tmp_path, screen) == rows
    assert isinstance(screen.file, io.StringIO)
    assert screen.file.getvalue() == ""
    assert "| lite_medsam | onnx | fp16 | passed | 52.1 |" in (tmp_path / MARKDOWN_NAME).read_text()


def test_a_row_without_a_verdict_says_why() -> None:
    failed = dataclasses.replace(ROW, passed=False, error="no room", logit_snr_db=None)
    facts = {"pictures": 1, "threads": 1, "cores": 2, "processor": "x", "tools": {"torch": "1"}}
    assert "| fp32 | **not passed**: no room | – |" in render({"facts": facts, "rows": [dataclasses.asdict(failed)]})


@pytest.mark.slow
def test_a_process_that_ends_without_outcomes_is_a_row_with_its_last_words(tmp_path: Path) -> None:
    (row,) = measured("lite_medsam", "onnx", Plan(1, 1, ("fp8",)), tmp_path)
    assert not row.passed
    assert row.error is not None
    assert "fp8" in row.error
    assert row.peak_bytes > 10**7


@pytest.mark.slow
def test_both_precisions_in_one_process(tmp_path: Path) -> None:
    fp32, fp16 = measure_all([("lite_medsam", "onnx")], PLAN, tmp_path, console())
    assert fp32.passed
    assert fp16.passed
    assert fp32.logit_snr_db is not None
    assert fp32.logit_snr_db >= 80
    assert fp32.bytes > fp16.bytes > 10**7
    assert fp32.peak_bytes > 2 * 10**8
