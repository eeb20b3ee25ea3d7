"""The table of what is supported, and README's copy of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sam_export.cli import main
from sam_export.errors import RequestError
from sam_export.exporters import TARGETS
from sam_export.models import VARIANTS
from sam_export.support import BEGIN, END, NOT_MEASURED, render_support, rewritten, support_table, write_into

README = Path(__file__).parents[1] / "README.md"


def test_readme_has_the_table_of_today() -> None:
    text = README.read_text()
    assert rewritten(text, support_table(), "README.md") == text, "sam-export models --matrix --into README.md"


def test_every_model_is_in_one_row_with_every_target() -> None:
    rows = support_table()
    assert sorted(name for row in rows for name in row.models) == sorted(VARIANTS)
    for row in rows:
        assert set(row.floats) == set(row.fewer_bits) == set(TARGETS)
        assert row.verified_against


def test_what_is_known_is_said_of_the_model_it_was_measured_on() -> None:
    measured = {name: row.measured for row in support_table() for name in row.models}
    assert "onnx-int8" in measured["lite_medsam"]
    assert not measured["mobile_sam"]


def test_a_model_without_a_reference_or_with_terms_says_so() -> None:
    row = dataclasses.replace(VARIANTS["mobile_sam"], verified_against=None, license_terms="no commercial use")
    text = render_support(support_table([row]))
    assert "not checked against an independent implementation" in text
    assert "Apache-2.0: no commercial use" in text
    assert NOT_MEASURED in text


def test_what_one_target_alone_can_do_is_named_with_it() -> None:
    (row,) = support_table([VARIANTS["mobile_sam"]])
    assert "| fp32, fp16 on each target, bf16 on openvino |" in render_support([row])


def test_full_size_says_which_of_the_models_passed() -> None:
    """A model whose graphs are another's but for the weights counts with it."""
    (row,) = support_table([VARIANTS["sam_vit_b"]])
    assert "onnx" in render_support([row])
    one, two = (
        dataclasses.replace(row, models=("a", "b"), full_size={"onnx": ("a",), "openvino": models})
        for models in ((), ("a", "b"))
    )
    assert "| onnx (1 of 2) |" in render_support([one])
    assert "| onnx (1 of 2), openvino |" in render_support([two])
    assert "| – |" in render_support([dataclasses.replace(row, full_size={"onnx": ()})])
    twins = {name: row.full_size for row in support_table() for name in row.models}
    assert all("sam2.1_hiera_tiny" in models for target, models in twins["sam2_hiera_tiny"].items() if models)


def test_a_document_keeps_what_is_around_the_table(tmp_path: Path) -> None:
    document = tmp_path / "models.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert main(["models", "--matrix", "--into", str(document)]) == 0
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| models |")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text


def test_a_document_without_marks_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "models.md"
    document.write_text("nothing here\n")
    with pytest.raises(RequestError, match="put them where the table shall stand"):
        write_into(document)
    assert document.read_text() == "nothing here\n"
    assert main(["models", "--into", str(document)]) == 2
    assert "--matrix" in capsys.readouterr().err


def test_the_matrix_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--matrix"]) == 0
    printed = capsys.readouterr().out
    for row in support_table():
        assert row.family in printed
        assert row.verified_against in printed
    assert main(["models", "--matrix", "--json"]) == 0
    assert '"fewer_bits"' in capsys.readouterr().out
