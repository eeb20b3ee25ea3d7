"""Which layers get 8-bit inputs: those that the engine then really computes in integers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import pytest
from torch import nn

from sam_export.contract import Recipe
from sam_export.exporters import TARGETS, export
from sam_export.models import SamModel, components
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.kernels import (
    FLOAT_CONVOLUTION,
    INTEGER_KERNELS,
    ROBUST,
    SMALL_CONVOLUTION,
    layer_plans,
    stored,
)
from sam_export.quantize.layers import Quantizable, quantizable_layers
from sam_export.quantize.plan import ComponentPlan, LayerPlan
from sam_export.quantize.quantizer import Quantizer
from sam_export.verify.pictures import picture_set

LAYERS: dict[str, Quantizable] = {
    "linear": nn.Linear(8, 8),
    "few channels": nn.Conv2d(63, 64, 3),
    "large": nn.Conv2d(64, 64, 3),
    "1x1": nn.Conv2d(64, 64, 1),
    "depthwise": nn.Conv2d(64, 64, 3, groups=64),
}
INPUTS = ("int8", "uint8", "float")
BOTH = ("int8", "uint8", "uint8")
FLOAT = ("float", "float", "float")
EXPECTED = {
    ("start", "onnx"): (INPUTS, FLOAT, BOTH, FLOAT, FLOAT, FLOAT_CONVOLUTION),
    ("start", "openvino"): (INPUTS, INPUTS, INPUTS, INPUTS, INPUTS, ""),
    ("robust", "onnx"): (INPUTS, FLOAT, BOTH, FLOAT, FLOAT, FLOAT_CONVOLUTION),
    ("robust", "openvino"): (INPUTS, FLOAT, INPUTS, FLOAT, FLOAT, SMALL_CONVOLUTION),
    ("robust", "coreml"): (INPUTS, FLOAT, INPUTS, FLOAT, FLOAT, SMALL_CONVOLUTION),
    ("start", "web"): (INPUTS, FLOAT, BOTH, FLOAT, FLOAT, FLOAT_CONVOLUTION),
    ("robust", "web"): (INPUTS, FLOAT, BOTH, FLOAT, FLOAT, FLOAT_CONVOLUTION),
}
RULES = {
    **{("start", target): rule for target, rule in INTEGER_KERNELS.items()},
    **{("robust", target): rule for target, rule in ROBUST.items()},
}


@pytest.mark.parametrize("rule", RULES, ids=" ".join)
def test_every_kind_of_layer(rule: tuple[str, str]) -> None:
    *kinds, reason = EXPECTED[rule]
    for (name, layer), kind in zip(LAYERS.items(), kinds, strict=True):
        plan = RULES[rule](name, layer)
        assert plan == LayerPlan(name, *kind, reason=reason if kind == FLOAT else "")


def test_targets_are_known_and_a_robust_start_is_never_bolder() -> None:
    assert set(INTEGER_KERNELS) <= set(ROBUST) <= set(TARGETS)
    for target, rule in INTEGER_KERNELS.items():
        for name, layer in LAYERS.items():
            assert rule(name, layer).inputs == "uint8" or ROBUST[target](name, layer).inputs == "float"


def test_stored_weights_are_computed_in_float() -> None:
    assert [stored(name, layer) for name, layer in LAYERS.items()] == [LayerPlan(name, "int8") for name in LAYERS]


def test_every_layer_of_both_components_has_a_plan(tiny_sam: SamModel) -> None:
    for part in components(tiny_sam):
        for rule in (stored, *RULES.values()):
            assert [one.layer for one in layer_plans(part, rule)] == list(quantizable_layers(part.module))


@pytest.mark.slow
def test_onnxruntime_computes_them_in_integers(tiny_sam: SamModel, tmp_path: Path) -> None:
    """Every linear layer is left as an integer product, and no product or convolution of the plan is left as float."""
    encoder = components(tiny_sam)[0]
    plan = ComponentPlan(smoothing=0.75, layers=layer_plans(encoder, INTEGER_KERNELS["onnx"]))
    made = Quantizer(encoder, Calibration(tiny_sam, picture_set("calibration")[:1])).quantized(plan)
    graph = export(replace(made, recipe=Recipe("int8", "int8", "fp32")), "onnx", "fp32", tmp_path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(graph.path), options, providers=["CPUExecutionProvider"])
    found = onnx.load(tmp_path / "optimised.onnx").graph
    ops = Counter(node.op_type for node in found.node)
    layers = quantizable_layers(encoder.module)
    linear = sum(isinstance(layer, nn.Linear) for layer in layers.values())
    assert ops["QGemm"] + ops["MatMulIntegerToFloat"] == linear > 0
    assert ops["Conv"] == len(layers) - linear == sum(one.weights == "float" for one in plan.layers)
    # Each attention multiplies twice, and none of that is a layer's.
    attentions = sum(name.endswith("attn.q") for name in layers)
    assert (ops["Gemm"], ops["FusedGemm"], ops["MatMul"] + ops["FusedMatMul"]) == (0, 0, 2 * attentions)
