"""A layer whose input and weight are rounded twice, in one integer product with a longer inner dimension."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sam_export.contract import Recipe
from sam_export.errors import RequestError
from sam_export.exporters import export
from sam_export.models import Component, SamModel, components
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.grids import range_grid, weight_grid
from sam_export.quantize.layers import QuantizedLayer, SplitLayer
from sam_export.quantize.plan import ComponentPlan, LayerPlan
from sam_export.quantize.quantizer import Quantizer
from sam_export.runtimes import open_session
from sam_export.verify.metrics import snr_db
from sam_export.verify.pictures import picture_set

LAYERS = ("encoder.patch_embed.2", "encoder.layers.0.blocks.0.conv1", "encoder.layers.1.blocks.0.mlp.fc1")
SEED = torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def encoder(tiny_sam: SamModel) -> Component:
    return components(tiny_sam)[0]


@pytest.fixture(scope="module")
def quantizer(tiny_sam: SamModel, encoder: Component) -> Quantizer:
    return Quantizer(encoder, Calibration(tiny_sam, picture_set("calibration")[:2]))


@pytest.mark.parametrize("layer", [nn.Linear(64, 32), nn.Conv2d(16, 32, 3, padding=1)])
def test_each_half_gains_about_four_bits(layer: nn.Linear | nn.Conv2d) -> None:
    x = torch.randn((200, 64) if isinstance(layer, nn.Linear) else (1, 16, 20, 20), generator=SEED)
    grid, inputs = weight_grid(layer.weight.detach(), 8), range_grid(x.min() - 0.1, x.max() + 0.1)
    expected = layer(x).detach()
    lost = layer.weight.detach() - grid.round(layer.weight.detach())
    layer.weight = nn.Parameter(grid.round(layer.weight.detach()), requires_grad=False)
    plain = QuantizedLayer(layer, grid, inputs)(x).detach()
    split = SplitLayer(QuantizedLayer(layer, grid), lost, inputs)(x).detach()
    gained = snr_db(expected.numpy(), split.numpy()) - snr_db(expected.numpy(), plain.numpy())
    assert gained > 15  # 24 dB would be four bits in full


def plan(inputs: str, **how: Any) -> ComponentPlan:
    return ComponentPlan(layers=tuple(LayerPlan(name, "int8", inputs) for name in LAYERS), **how)


def test_a_plan_may_name_it(quantizer: Quantizer, encoder: Component) -> None:
    image = encoder.example_inputs[0]
    expected = encoder.module(image).numpy()
    whole, split = (
        snr_db(expected, quantizer.quantized(plan(inputs, smoothing=0.75, rounding="gptq")).module(image).numpy())
        for inputs in ("uint8", "split")
    )
    assert split > whole + 2


@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.slow
def test_engines_lose_what_the_simulation_loses(
    quantizer: Quantizer, encoder: Component, target: str, tmp_path: Path
) -> None:
    made = replace(quantizer.quantized(plan("split", rounding="gptq")), recipe=Recipe("int8", "int8", "fp32"))
    image = encoder.example_inputs[0]
    graph = export(made, target, "fp32", tmp_path)
    session = open_session(graph.path, graph.contract, graph.target, graph.recipe)
    found = session.run({"image": image.numpy()})["image_embeddings"]
    simulated, expected = made.module(image).numpy(), encoder.module(image).numpy()
    assert abs(snr_db(expected, found) - snr_db(expected, simulated)) < 1.5


def test_a_depthwise_convolution_cannot_be_split(quantizer: Quantizer) -> None:
    name = "encoder.layers.0.blocks.0.conv2"
    with pytest.raises(RequestError, match=rf"{name}: .*depthwise"):
        quantizer.quantized(ComponentPlan(layers=(LayerPlan(name, "int8", "split"),)))
