"""Graphs for onnxruntime-web: those of the ONNX target, refused where a backend could not run them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from sam_export.contract import Recipe
from sam_export.errors import ConversionError, UnsupportedError
from sam_export.exporters import TARGETS, export, web
from sam_export.exporters.onnx import build
from sam_export.models import SamModel, components
from sam_export.runtimes import open_session


@pytest.mark.parametrize(
    ("precision", "devices"),
    [
        ("fp32", ("wasm", "webgpu")),
        ("fp16", ("webgpu",)),
        ("int8", ("wasm",)),
        ("int8+fp32", ("wasm",)),
        ("fp16+fp32", ("webgpu",)),
        ("w8+fp16", ("wasm",)),
    ],
)
def test_devices(precision: str, devices: tuple[str, ...]) -> None:
    assert TARGETS["web"].devices(precision) == devices


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_graphs_compute_what_those_of_onnx_do(tiny_sam: SamModel, tmp_path: Path, precision: str) -> None:
    for part in components(tiny_sam):
        names = part.contract.input_names
        feeds = {name: value.numpy() for name, value in zip(names, part.example_inputs, strict=True)}
        own, other = (
            open_session(graph.path, graph.contract, graph.target, graph.recipe).run(feeds)
            for graph in (export(part, target, precision, tmp_path / target) for target in ("web", "onnx"))
        )
        for name, value in other.items():
            # Sums in another order round fp16 in other places.
            tolerance = {"fp32": 1e-4, "fp16": 2e-2}[precision] * float(np.abs(value).max())
            np.testing.assert_allclose(own[name], value, atol=tolerance)


def with_foreign_op(model: ir.Model) -> ir.Model:
    output = model.graph.outputs[0]
    node = ir.node("Mish", [output])
    node.outputs[0].name, output.name = output.name, "before"
    model.graph.append(node)
    model.graph.outputs[0] = node.outputs[0]
    return model


def test_an_op_without_a_webgpu_kernel_is_refused(
    tiny_sam: SamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, _ = components(tiny_sam)
    model, recipe = build(encoder, "fp32")
    monkeypatch.setattr(web, "build", lambda *_: (with_foreign_op(model), recipe))
    monkeypatch.setattr(web, "save", lambda *_: ("image_encoder.onnx",))
    with pytest.raises(ConversionError, match=r"no WebGPU kernel for Mish; .* --precision int8"):
        export(encoder, "web", "fp32", tmp_path)
    model, _ = build(encoder, "fp32")
    monkeypatch.setattr(web, "build", lambda *_: (with_foreign_op(model), Recipe("int8", "int8", "fp32")))
    assert export(dataclasses.replace(encoder), "web", "fp32", tmp_path).recipe.precision == "int8"


def test_what_no_page_can_hold_is_refused(tiny_sam: SamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MAX_BYTES", 1000)
    with pytest.raises(UnsupportedError, match=r"a page takes at most .* or --target onnx"):
        export(components(tiny_sam)[0], "web", "fp32", tmp_path)
    assert not list(tmp_path.iterdir())
