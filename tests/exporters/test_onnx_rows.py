"""Chains that move rows become one Gather that gives the same values; others stay."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from sam_export.exporters.onnx_passes import infer_shapes
from sam_export.exporters.onnx_rows import gather_rows

# Two heads of 16 channels in four windows of 3 x 3 cells: to cells of a picture of 6 x 6, of which 5 x 5 are kept.
MERGE = """<ir_version: 8, opset_import: ["":17]>
g (float[4, 2, 9, 16] x) => (float[1, 25, 32] y)
<int64[3] joined = {4, 9, 32}, int64[4] by_rows = {2, 2, 3, 96}, int64[4] grid = {1, 6, 6, 32},
 int64[3] cells = {1, 25, 32},
 int64[2] zeros = {0, 0}, int64[2] ends = {5, 5}, int64[2] axes = {1, 2}, int64[2] ones = {1, 1},
 int64[4] zeros4 = {0, 0, 0, 0}, int64[4] ends4 = {1, 5, 5, 32}>
{
  a = Transpose <perm = [0, 2, 1, 3]> (x)
  b = Reshape(a, joined)
  c = Reshape(b, by_rows)
  d = Transpose <perm = [0, 2, 1, 3]> (c)
  e = Reshape(d, grid)
  f = Slice(e, zeros, ends, axes, ones)
  r = Reshape(f, cells)
  y = Abs(r)
}"""


def gathered(text: str) -> ir.Model:
    model = ir.from_onnx_text(text)
    infer_shapes(model)
    gather_rows(model)
    return model


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_windows_of_heads_become_cells_in_one_pass() -> None:
    picture = np.arange(4 * 2 * 9 * 16, dtype=np.float32).reshape(4, 2, 9, 16)
    expected, found = (
        ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": picture})[0]
        for model in (ir.from_onnx_text(MERGE), gathered(MERGE))
    )
    np.testing.assert_array_equal(found, expected)
    assert ops(gathered(MERGE)) == ["Reshape", "Add", "Gather", "Reshape", "Abs"]


def test_places_of_rows_are_stored_by_cell_and_by_head() -> None:
    sizes = {name: value.shape for name, value in gathered(MERGE).graph.initializers.items()}
    assert sorted(tuple(shape) for shape in sizes.values() if shape is not None) == [(1, 2), (2,), (3,), (25, 1)]


@pytest.mark.parametrize(
    ("reason", "old", "new"),
    [
        ("rows are torn apart", "<perm = [0, 2, 1, 3]> (x)", "<perm = [0, 3, 2, 1]> (x)"),
        ("rows are short", "", ""),
    ],
)
def test_other_chains_stay(reason: str, old: str, new: str) -> None:
    short = MERGE.replace("9, 16]", "9, 8]").replace("32", "16").replace("96", "48")
    text = short if reason == "rows are short" else MERGE.replace(old, new)
    if reason == "rows are torn apart":
        text = text.replace("joined = {4, 9, 32}", "joined = {4, 16, 18}")
    model = ir.from_onnx_text(text)
    assert ops(gathered(text)) == ops(model), reason


def test_a_slice_whose_axes_are_not_given_ends_a_chain() -> None:
    text = MERGE.replace("Slice(e, zeros, ends, axes, ones)", "Slice(e, zeros4, ends4)")
    assert ops(gathered(text)) == ["Reshape", "Add", "Gather", "Reshape", "Slice", "Reshape", "Abs"]


def test_rows_of_an_unknown_number_stay() -> None:
    text = """<ir_version: 8, opset_import: ["":17]>
    g (float[W, 9, 32] x) => (float[W, 9, 32] y) <int64[4] grid = {0, 3, 3, 32}, int64[3] cells = {0, 9, 32}>
    { a = Reshape(x, grid)  b = Transpose <perm = [0, 2, 1, 3]> (a)  c = Reshape(b, cells)  y = Abs(c) }"""
    assert ops(gathered(text)) == ["Reshape", "Transpose", "Reshape", "Abs"]


def test_a_value_between_that_is_used_elsewhere_stays() -> None:
    text = MERGE.replace("(float[1, 25, 32] y)", "(float[1, 25, 32] y, float[1, 6, 6, 32] e)")
    model = gathered(text)
    assert "e" in {str(value.name) for node in model.graph for value in node.outputs}
    picture = np.arange(4 * 2 * 9 * 16, dtype=np.float32).reshape(4, 2, 9, 16)
    expected, found = (
        ReferenceEvaluator(ir.to_proto(one)).run(None, {"x": picture}) for one in (ir.from_onnx_text(text), model)
    )
    for left, right in zip(expected, found, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_transpose_alone_stays() -> None:
    text = """<ir_version: 8, opset_import: ["":17]>
    g (float[4, 9, 2, 16] x) => (float[4, 2, 9, 16] y) { t = Transpose <perm = [0, 2, 1, 3]> (x)  y = Abs(t) }"""
    assert ops(gathered(text)) == ["Transpose", "Abs"]
