"""The matrix that is measured: what passed is not measured again, what went wrong is a row and tried again."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sam_export.benchmarks import families
from sam_export.benchmarks.families import Plan, measure_all, measured
from sam_export.benchmarks.families_page import NOT_YET, render
from sam_export.errors import RequestError
from sam_export.full_size import (
    SHIPPED,
    FullSizeExport,
    LeftOut,
    Parity,
    Record,
    read_parities,
    read_record,
    write_record,
)
from sam_export.models import VARIANTS, untrained
from sam_export.models.catalog import same_graphs

PAGE = Path(__file__).parents[2] / "docs/families.md"
FP32 = FullSizeExport(
    model="lite_medsam",
    target="onnx",
    precision="fp32",
    passed=True,
    error=None,
    evaluated_by="onnxruntime (1.31.1, CPUExecutionProvider)",
    logit_snr_db=117.5,
    encoder_snr_db=118.2,
    mask_iou=1.0,
    bytes=39_900_000,
    export_seconds=4.2,
    peak_bytes=1_400_000_000,
    run_seconds=25.0,
    pictures=2,
    threads=1,
    date="2026-11-23",
    processor="x86_64",
    cores=2,
    tools={"torch": "2.13"},
)
FP16 = replace(FP32, precision="fp16", logit_snr_db=52.1)
FAILED = replace(FP16, passed=False, error="no | room", logit_snr_db=None, encoder_snr_db=None, pictures=0)
PARITY = Parity("lite_medsam", "upstream's source", 2e-6, 3e-6, 1e-7, "test_full_size.py::test", "2026-11-23")


def console() -> Console:
    return Console(file=io.StringIO())


def said(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["families", *map(str, words)])
    return families.main()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    record = Record((FP32, FAILED), (LeftOut("edgetam", "coreml", "takes hours"),), (PARITY,))
    write_record(record, tmp_path / "record.json")
    assert read_record(tmp_path / "record.json") == record
    assert len((tmp_path / "record.json").read_text().splitlines()) == 12
    assert read_record(tmp_path / "none.json") == Record()
    (tmp_path / "other.json").write_text('{"exports": [{"model": 1}]}')
    with pytest.raises(RequestError, match=r"other.json: is no record of exports"):
        read_record(tmp_path / "other.json")


def test_what_passed_is_not_measured_again(tmp_path: Path) -> None:
    """Both precisions of the pair are known, so that no process is begun."""
    write_record(Record((FP32, FP16)), tmp_path / "record.json")
    screen = console()
    assert measure_all([("lite_medsam", "onnx")], Plan(pictures=1), tmp_path / "record.json", screen).exports == (
        FP32,
        FP16,
    )
    assert said(screen) == ""


@pytest.mark.slow
def test_what_failed_is_tried_again_and_the_rest_is_kept(tmp_path: Path) -> None:
    """A row keeps the conditions that it was measured under."""
    others = replace(FP32, target="openvino", date="2026-11-01")
    write_record(Record((FP32, FAILED, others), (LeftOut("lite_medsam", "onnx", "no time"),)), tmp_path / "record.json")
    screen = console()
    record = measure_all([("lite_medsam", "onnx")], Plan(pictures=1), tmp_path / "record.json", screen)
    assert said(screen) == "1/1 lite_medsam onnx\n"
    fp32, fp16, kept = record.exports
    assert kept == others
    assert record.left_out == ()
    for one in (fp32, fp16):
        assert one.passed
        assert one.pictures == 1
        assert str(one.evaluated_by).startswith("onnxruntime (")
        assert one.tools["torch"] != "2.13"
        assert one.peak_bytes > 2 * 10**8
    assert fp32.logit_snr_db is not None
    assert fp32.logit_snr_db >= 80
    assert fp32.bytes > fp16.bytes > 10**7


@pytest.mark.slow
def test_a_process_that_ends_without_outcomes_is_a_row_with_its_last_words(tmp_path: Path) -> None:
    (row,) = measured("lite_medsam", "onnx", Plan(1, 1, ("fp8",)), tmp_path)
    assert not row.passed
    assert row.error is not None
    assert "fp8" in row.error
    assert row.peak_bytes > 10**7


def test_a_row_without_a_verdict_says_why() -> None:
    assert "| fp16 | **not passed**: no \\| room | – | – |" in render(Record((FAILED,)))


def test_rows_of_other_conditions_are_told_apart() -> None:
    page = render(Record((FP32, replace(FP16, date="2026-11-24"))))
    assert "| 25 | 1 |" in page
    assert "| 25 | 2 |" in page
    assert "1. 2026-11-23, 1 thread(s) of 2 cores (x86_64); torch 2.13" in page
    assert "2. 2026-11-24" in page


def test_every_cell_is_a_row_or_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, page = tmp_path / "record.json", tmp_path / "page.md"
    write_record(Record((FP32, FP16)), path)
    assert run(monkeypatch, "--models", "lite_medsam", "edgetam", "--left-out", "no time", "--record", path) == 0
    assert run(monkeypatch, "--page-only", "--record", path, "--page", page) == 0
    text = page.read_text()
    assert "| lite_medsam | openvino, coreml | no time |" in text
    assert "| edgetam | onnx, openvino, coreml | no time |" in text
    assert f"| sam_vit_b | onnx, openvino, coreml | {NOT_YET} |" in text
    assert "| tinysam | onnx, openvino, coreml | as `mobile_sam`: the same graphs" in text
    assert read_record(path).exports == (FP32, FP16)


def test_errors_of_the_parity_tests_are_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = tmp_path / "parities"
    lines.write_text(json.dumps(PARITY.__dict__) + "\n")
    assert read_parities(lines) == (PARITY,)
    assert run(monkeypatch, "--parities", lines, "--record", tmp_path / "record.json") == 0
    page = render(read_record(tmp_path / "record.json"))
    assert "| lite_medsam | 2e-06 | 3e-06 | 1e-07 | upstream's source |" in page
    assert (
        "| sam_vit_b | – | – | – | facebookresearch/segment-anything's own source and transformers SamModel (at" in page
    )
    with pytest.raises(RequestError, match="give the file of"):
        read_parities(tmp_path / "nothing")


def test_models_of_one_architecture_are_measured_once() -> None:
    """Random weights of one seed are the same in both: so are the graphs."""
    assert same_graphs("tinysam") == "mobile_sam"
    assert untrained("tinysam").checkpoint_sha256 == untrained("mobile_sam").checkpoint_sha256
    assert {name for name in VARIANTS if same_graphs(name) != name} == {
        "tinysam",
        "tinysam_42.3",
        "edge_sam_3x",
        *(name for name in VARIANTS if name.startswith("sam2.1_")),
    }


def test_the_page_is_made_of_the_record_that_ships() -> None:
    record = read_record()
    assert record.exports
    assert SHIPPED.stat().st_size < 200_000
    assert PAGE.read_text() == render(record), (
        "python -m sam_export.benchmarks.families --page-only --page docs/families.md"
    )
