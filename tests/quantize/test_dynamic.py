"""Ranges that each call's values have: official ops in ONNX, a mark in the IR, and an engine that heeds it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from sam_export.contract import Graph
from sam_export.errors import UnsupportedError
from sam_export.exporters import export
from sam_export.models import Component, SamModel, components
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.describe import resolved_recipe
from sam_export.quantize.layers import RoundedDynamically, quantizable_layers
from sam_export.quantize.quantizer import Quantizer
from sam_export.quantize.recipes import start_plan
from sam_export.runtimes import open_session
from sam_export.verify.metrics import snr_db
from sam_export.verify.pictures import picture_set

pytestmark = pytest.mark.slow

PRECISION = "w8a8-dynamic"


@pytest.fixture(scope="module")
def quantizer(tiny_sam: SamModel) -> Quantizer:
    return Quantizer(components(tiny_sam)[0], Calibration(tiny_sam, picture_set("calibration")[:1]))


def made(quantizer: Quantizer, target: str) -> Component:
    plan = start_plan(quantizer.component, target, PRECISION)
    return replace(quantizer.quantized(plan), recipe=resolved_recipe(quantizer.component, plan, PRECISION))


@pytest.fixture(scope="module")
def onnx_graph(quantizer: Quantizer, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return export(made(quantizer, "onnx"), "onnx", "fp32", tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module")
def openvino_graph(quantizer: Quantizer, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return export(made(quantizer, "openvino"), "openvino", "fp32", tmp_path_factory.mktemp("openvino"))


def test_values_are_rounded_to_their_own_range() -> None:
    x = torch.tensor([-1.0, 0.0, 0.001, 3.0])
    assert torch.allclose(RoundedDynamically()(x), x, atol=4 / 255 / 2 + 1e-6)
    assert torch.allclose(RoundedDynamically()(100 * x), 100 * RoundedDynamically()(x))


def test_every_linear_layer_is_an_integer_product(quantizer: Quantizer, onnx_graph: Graph) -> None:
    ops = Counter(node.op_type for node in onnx.load(onnx_graph.path).graph.node)
    linear = sum(isinstance(layer, nn.Linear) for layer in quantizable_layers(quantizer.component.module).values())
    assert ops["MatMulInteger"] == linear
    assert 0 < ops["DynamicQuantizeLinear"] <= linear


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_the_engine_loses_little(quantizer: Quantizer, target: str, request: pytest.FixtureRequest) -> None:
    graph: Graph = request.getfixturevalue(f"{target}_graph")
    image = quantizer.component.example_inputs[0]
    session = open_session(graph.path, graph.contract, graph.target, graph.recipe)
    found = session.run({"image": image.numpy()})["image_embeddings"]
    with torch.inference_mode():
        expected = quantizer.component.module(image).numpy()
    assert 15 < snr_db(expected, found) < 60


def test_openvino_rounds_because_the_ir_says_so(openvino_graph: Graph, tmp_path: Path) -> None:
    marked = open_session(openvino_graph.path, openvino_graph.contract, "openvino", openvino_graph.recipe)
    assert marked.report.options["dynamic_quantization_group_size"] == "64"
    text = openvino_graph.path.read_text()
    assert "DYNAMIC_QUANTIZATION_GROUP_SIZE" in text
    unmarked = tmp_path / openvino_graph.path.name
    unmarked.write_text(text.replace("DYNAMIC_QUANTIZATION_GROUP_SIZE", "SOMETHING_ELSE"))
    unmarked.with_suffix(".bin").write_bytes(openvino_graph.path.with_suffix(".bin").read_bytes())
    plain = open_session(unmarked, openvino_graph.contract, "openvino", openvino_graph.recipe)
    assert plain.report.options["dynamic_quantization_group_size"] == "0"


def test_coreml_says_what_it_can_do_instead(quantizer: Quantizer) -> None:
    with pytest.raises(UnsupportedError, match=r"coreml cannot do 'w8a8-dynamic'; .* w8, w6"):
        start_plan(quantizer.component, "coreml", PRECISION)
