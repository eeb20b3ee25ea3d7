"""A layer whose weights or activations are in 8 bits is named like any other that brings an error in."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as cto
import onnx
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from torch import Tensor, nn

from sam_export.contract import Array, Graph
from sam_export.exporters import export
from sam_export.models import SamModel
from sam_export.verify.layers import layer_scores

from .faults import feeds, part

pytestmark = pytest.mark.slow

LAYER, BLOCK = "encoder.layers.1.blocks.0.mlp.fc2", "encoder.layers.1.blocks.0.mlp"
NODE = "/encoder/layers.1/blocks.0/mlp/fc2/MatMul"


class Once(CalibrationDataReader):
    """One picture."""

    def __init__(self, found: Mapping[str, Array]) -> None:
        self._found = iter([dict(found)])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._found, None)


def in_8_bits(graph: Graph, form: str, found: Mapping[str, Array]) -> Graph:
    """Return the graph with the one layer quantized, as onnxruntime's own tools write it."""
    path = graph.path.with_name("quantized.onnx")
    assert NODE in [node.name for node in onnx.load(graph.path).graph.node]
    if form == "dynamic":
        quantize_dynamic(graph.path, path, nodes_to_quantize=[NODE])
    else:
        quantize_static(graph.path, path, Once(found), nodes_to_quantize=[NODE])
    return dataclasses.replace(graph, path=path)


@pytest.mark.parametrize("form", ["dynamic", "static"])
def test_onnx(tiny_sam: SamModel, tmp_path: Path, form: str) -> None:
    component = part(tiny_sam, "image_encoder")
    graph = in_8_bits(export(component, "onnx", "fp32", tmp_path), form, feeds(component))
    scores = layer_scores(graph, component, feeds(component))
    wrong = {score.module for score in scores if score.snr_db < 60}
    # Activations in 8 bits are the work of the operation that makes them, which is the block's own.
    assert wrong == ({LAYER} if form == "dynamic" else {LAYER, BLOCK})
    assert scores[len(wrong)].snr_db > 100


@pytest.mark.parametrize("storage", ["int8", "fp32"])
def test_a_scale_that_was_moved_is_no_error_in_8_bits(tiny_sam: SamModel, tmp_path: Path, storage: str) -> None:
    """A norm's scale goes into the weights after it: the same function, by other values in between."""
    component = part(tiny_sam, "image_encoder")
    moved = dataclasses.replace(component, module=copy.deepcopy(component.module))
    factors = torch.linspace(0.2, 3, 32)
    for name in ("weight", "bias"):
        moved.module.get_parameter(f"{BLOCK}.norm.{name}").data.div_(factors)
    moved.module.get_parameter(f"{BLOCK}.fc1.weight").data.mul_(factors)
    graph = export(moved, "onnx", "fp32", tmp_path)
    stored = dataclasses.replace(graph, recipe=dataclasses.replace(graph.recipe, storage=storage))
    scores = layer_scores(stored, component, feeds(component))
    wrong = {score.module for score in scores if score.snr_db < 100}
    assert wrong == (set() if storage == "int8" else {f"{BLOCK}.norm", f"{BLOCK}.fc1"})


class Product(nn.Module):
    """A linear layer as quantizers write it: a product, and then the bias."""

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(source.weight.t().contiguous()), source.bias

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_a_layer_is_the_same_in_two_operations(tiny_sam: SamModel, tmp_path: Path, target: str) -> None:
    component = part(tiny_sam, "image_encoder")
    module = copy.deepcopy(component.module)
    module.get_submodule(BLOCK).fc2 = Product(module.get_submodule(LAYER))
    graph = export(dataclasses.replace(component, module=module.eval()), target, "fp32", tmp_path)
    scores = layer_scores(graph, component, feeds(component))
    assert scores[0].snr_db > 100
    assert LAYER in {score.module for score in scores}


class RoundedInput(nn.Module):
    """A convolution of what it is given in 8 bits."""

    def __init__(self, source: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = source

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(torch.fake_quantize_per_tensor_affine(x, 0.05, 128, 0, 255))


def test_a_transposition_that_openvino_moves_is_no_error(tiny_sam: SamModel, tmp_path: Path) -> None:
    """It goes behind the rounding, and what is before that has its channels last: [1, 32, 32, 32] in both orders."""
    component = part(tiny_sam, "image_encoder")
    block = "encoder.layers.1.blocks.0"
    module = copy.deepcopy(component.module)
    module.get_submodule(block).local_conv = RoundedInput(module.get_submodule(f"{block}.local_conv"))
    graph = export(dataclasses.replace(component, module=module.eval()), "openvino", "fp32", tmp_path)
    scores = layer_scores(graph, component, feeds(component))
    wrong = {score.module: score.snr_db for score in scores if score.snr_db < 100}
    assert wrong.keys() == {f"{block}.local_conv"}
    assert 20 < wrong[f"{block}.local_conv"] < 60


def name_of_operation(spec: Any, weight: str) -> str:
    """The name of the one that reads the weight; what it gives may have another one."""
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    (found,) = (op for op in block.operations if [one.name for one in op.inputs["weight"].arguments] == [weight])
    return str(found.attributes["name"].immediateValue.tensor.strings.values[0])


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_coreml(tiny_sam: SamModel, tmp_path: Path) -> None:
    component = part(tiny_sam, "image_encoder")
    graph = export(component, "coreml", "fp32", tmp_path)
    model = ct.models.MLModel(str(graph.path), skip_model_load=True)
    name = name_of_operation(model.get_spec(), f"p_{LAYER.replace('.', '_')}_weight")
    config = cto.OptimizationConfig(op_name_configs={name: cto.OpLinearQuantizerConfig(weight_threshold=0)})
    model = cto.linear_quantize_weights(model, config)
    quantized = dataclasses.replace(graph, path=tmp_path / "quantized.mlpackage")
    model.save(str(quantized.path))
    first, second, *_ = layer_scores(quantized, component, feeds(component))
    assert first.module == LAYER
    assert first.snr_db < 60
    assert second.snr_db > 100
