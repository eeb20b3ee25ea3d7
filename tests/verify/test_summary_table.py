"""The command line's table: every bundle has its row, and no number is cut or flattered."""

from __future__ import annotations

import dataclasses

from sam_export.verification import NotRunnable, Passed
from sam_export.verify.summary_table import AccuracyRow, render_accuracy_markdown, render_accuracy_table

from .report_samples import against_truth, candidate, untrained


def rows() -> tuple[AccuracyRow, ...]:
    passed, failed = candidate(cases=0), candidate(passed=False, cases=0)
    return (
        AccuracyRow("onnx", "fp16", passed.verification, passed.bytes, 12.34),
        AccuracyRow("onnx", "w8", failed.verification, failed.bytes, 3.0),
        AccuracyRow("onnx", "fp32", untrained(passed).verification, passed.bytes),
        AccuracyRow("coreml", "fp16", NotRunnable("coremltools is not installed")),
        AccuracyRow("openvino", "fp16", None),
    )


def test_table_holds_every_number() -> None:
    text = render_accuracy_table(rows())
    for expected in ("0.9983", "0.9894", "19.7", "12.3", "FAILED", "passed", "41.2 dB"):
        assert expected in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_markdown_has_one_line_per_row() -> None:
    lines = render_accuracy_markdown(rows()).splitlines()
    assert len(lines) == 2 + len(rows())
    assert {line.count(" | ") for line in lines} == {10}
    assert lines[1].startswith("| --- | --- | --- | ---: |")
    assert "not run" in lines[5]
    assert "coremltools is not installed" in lines[5]


def test_ground_truth_has_a_table_of_its_own() -> None:
    measured = against_truth(candidate(cases=0)).verification
    extra = (AccuracyRow("openvino", "w8a8-dynamic", measured), AccuracyRow("onnx", "fp32", measured))
    text = render_accuracy_table((*rows(), *extra))
    lines = [line.split() for line in text.splitlines()]
    assert ["openvino", "w8a8-dynamic", "box", "3", "0.9123", "0.9123", "0.01", "1.01"] in lines
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text[text.index("truth") :]
    assert "truth" not in render_accuracy_table(rows())


def test_markdown_of_ground_truth_is_a_second_table() -> None:
    measured = against_truth(candidate(cases=0)).verification
    table, against = render_accuracy_markdown((*rows(), AccuracyRow("onnx", "fp32", measured))).split("\n\n")
    assert len(table.splitlines()) == 2 + len(rows()) + 1
    assert against.splitlines() == [
        "| target | precision | truth | objects | PyTorch mIoU | exported | loss | worst |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| onnx | fp32 | box | 3 | 0.9123 | 0.9123 | 0.01 | 1.01 |",
    ]


def test_markup_of_strangers_stays_text() -> None:
    verdict = candidate(cases=0).verification
    hostile = dataclasses.replace(verdict.measurement, evaluated_by="[red]a|b</td>\x1b[2J")
    row = AccuracyRow("onnx", "[red]\x1b[2J", Passed(hostile, verdict.limits))
    assert "[red]\ufffd[2J" in render_accuracy_table([row], width=200)
    assert "[red]a\\|b&lt;/td>\ufffd[2J" in render_accuracy_markdown([row])
