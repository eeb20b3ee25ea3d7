"""A quantized component: what the plan asks for is what the module does, and what both exporters store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from sam_export.contract import Recipe
from sam_export.errors import RequestError
from sam_export.exporters import export
from sam_export.models import Component, SamModel, components
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.kernels import INTEGER_KERNELS, layer_plans, stored
from sam_export.quantize.layers import QuantizedLayer, quantizable_layers
from sam_export.quantize.plan import ComponentPlan, LayerPlan
from sam_export.quantize.quantizer import Quantizer
from sam_export.runtimes import open_session
from sam_export.verify.metrics import snr_db
from sam_export.verify.pictures import picture_set


@pytest.fixture(scope="module")
def encoder(tiny_sam: SamModel) -> Component:
    return components(tiny_sam)[0]


@pytest.fixture(scope="module")
def quantizer(tiny_sam: SamModel, encoder: Component) -> Quantizer:
    return Quantizer(encoder, Calibration(tiny_sam, picture_set("calibration")[:3]))


@pytest.fixture(scope="module")
def image(encoder: Component) -> torch.Tensor:
    return encoder.example_inputs[0]


def weights_only(encoder: Component, **how: Any) -> ComponentPlan:
    return ComponentPlan(layers=layer_plans(encoder, stored), **how)


def snr(encoder: Component, candidate: Component, image: torch.Tensor) -> float:
    return snr_db(encoder.module(image).numpy(), candidate.module(image).numpy())


def test_layers_that_the_plan_does_not_name_stay_float(quantizer: Quantizer, encoder: Component) -> None:
    name = "encoder.layers.1.blocks.0.mlp.fc1"
    made = quantizer.quantized(ComponentPlan(layers=(LayerPlan(name, "int8"),))).module
    rounded = [path for path, module in made.named_modules() if isinstance(module, QuantizedLayer)]
    assert rounded == [name]
    assert not any(isinstance(module, QuantizedLayer) for module in encoder.module.modules())


def test_a_layer_that_does_not_exist_is_named(quantizer: Quantizer) -> None:
    with pytest.raises(RequestError, match=r"encoder\.nowhere.*use the recipe with the model"):
        quantizer.quantized(ComponentPlan(layers=(LayerPlan("encoder.nowhere", "int8"),)))


def test_gptq_and_bias_correction_each_lose_less(quantizer: Quantizer, encoder: Component, image: torch.Tensor) -> None:
    nearest = snr(encoder, quantizer.quantized(weights_only(encoder)), image)
    gptq = snr(encoder, quantizer.quantized(weights_only(encoder, rounding="gptq", correct_biases=True)), image)
    assert gptq > nearest + 1


def test_smoothing_changes_nothing_but_what_rounding_loses(
    quantizer: Quantizer, encoder: Component, image: torch.Tensor
) -> None:
    plan = ComponentPlan(rounding="gptq", layers=layer_plans(encoder, INTEGER_KERNELS["openvino"]))
    plain, smoothed = (quantizer.quantized(replace(plan, smoothing=exponent)) for exponent in (0.0, 0.75))
    assert 10 < snr(encoder, plain, image) < 60
    assert 10 < snr(encoder, smoothed, image) < 60


@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.slow
def test_engines_lose_what_the_simulation_loses(
    quantizer: Quantizer, encoder: Component, image: torch.Tensor, target: str, tmp_path: Path
) -> None:
    plan = ComponentPlan(rounding="gptq", smoothing=0.75, layers=layer_plans(encoder, INTEGER_KERNELS[target]))
    made = replace(quantizer.quantized(plan), recipe=Recipe("w8a8", "int8", "fp32"))
    graph = export(made, target, "fp32", tmp_path)
    session = open_session(graph.path, graph.contract, graph.target, graph.recipe)
    found = session.run({"image": image.numpy()})["image_embeddings"]
    # Values near the middle of a step round either way, so the two differ, but not in how much they lose.
    assert abs(snr_db(encoder.module(image).numpy(), found) - snr(encoder, made, image)) < 1.5
    assert session.report.compute_precision == "fp32"


def test_onnx_stores_integers_and_official_ops(quantizer: Quantizer, encoder: Component, tmp_path: Path) -> None:
    plan = ComponentPlan(layers=layer_plans(encoder, INTEGER_KERNELS["onnx"]))
    made = replace(quantizer.quantized(plan), recipe=Recipe("w8a8", "int8", "fp32"))
    graph = onnx.load(export(made, "onnx", "fp32", tmp_path).path).graph
    stored_types = {onnx.helper.tensor_dtype_to_np_dtype(one.data_type) for one in graph.initializer}
    assert np.dtype(np.int8) in stored_types
    assert {node.domain for node in graph.node} == {""}
    names = {one.name for one in graph.initializer}
    quantized_constants = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in names]
    assert not quantized_constants
    int8 = sum(np.prod(one.dims) for one in graph.initializer if one.data_type == onnx.TensorProto.INT8)
    layers = quantizable_layers(encoder.module)
    weights = sum(layer.weight.numel() for name, layer in layers.items() if plan.of(name).weights == "int8")
    assert 0.7 * sum(layer.weight.numel() for layer in layers.values()) < weights <= int8
