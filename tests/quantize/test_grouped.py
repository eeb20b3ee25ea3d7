"""Weights in 4 bits, a grid for each group of inputs: rounded, refused where they do not fit, stored in half a byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto

from sam_export.contract import Recipe
from sam_export.errors import RequestError
from sam_export.exporters import export
from sam_export.models import Component, SamModel, components
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.grids import group_grid, group_size
from sam_export.quantize.layers import GroupedLayer, quantizable_layers
from sam_export.quantize.plan import ComponentPlan, LayerPlan, Rounding, Weights
from sam_export.quantize.quantizer import Quantizer, takes_groups
from sam_export.quantize.rounding import round_gptq
from sam_export.runtimes import open_session
from sam_export.verify.metrics import snr_db
from sam_export.verify.pictures import picture_set

SEED = torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def encoder(tiny_sam: SamModel) -> Component:
    return components(tiny_sam)[0]


@pytest.fixture(scope="module")
def quantizer(tiny_sam: SamModel, encoder: Component) -> Quantizer:
    return Quantizer(encoder, Calibration(tiny_sam, picture_set("calibration")[:2]))


def grouped(encoder: Component) -> list[str]:
    found = [name for name, layer in quantizable_layers(encoder.module).items() if takes_groups(layer)]
    assert len(found) > 4
    return found


def plan(encoder: Component, weights: Weights = "int4", rounding: Rounding = "gptq") -> ComponentPlan:
    layers = tuple(LayerPlan(name, weights) for name in grouped(encoder))
    return ComponentPlan(rounding=rounding, correct_biases=True, layers=layers)


def test_each_group_has_a_grid_of_its_own() -> None:
    weight = torch.randn(3, 128, generator=SEED)
    weight[:, :64] *= 1000
    grid = group_grid(weight)
    assert grid.scale.shape == grid.zero_point.shape == (6,)
    assert (grid.low, grid.high) == (0, 15)
    rounded = grid.round(weight.reshape(6, 64)).reshape(3, 128)
    assert all(len(row.unique()) <= 16 for row in rounded.reshape(6, 64))
    assert (rounded[:, 64:] - weight[:, 64:]).abs().max() < 0.5


@pytest.mark.parametrize(("inputs", "size"), [(320, 64), (160, 32), (96, 32), (40, 0)])
def test_groups_divide_the_inputs(inputs: int, size: int) -> None:
    assert group_size(inputs) == size


def test_columns_are_rounded_to_the_grid_of_their_group() -> None:
    weight = torch.randn(4, 128, generator=SEED, dtype=torch.float64)
    samples = torch.randn(500, 128, generator=SEED, dtype=torch.float64) * torch.linspace(0.1, 3, 128)
    grid = group_grid(weight)
    rounded = round_gptq(weight, grid, samples.T @ samples)
    rows = rounded.reshape(8, 64).float()
    assert torch.allclose(grid.round(rows), rows, atol=1e-5)
    nearest = grid.round(weight.reshape(8, 64)).reshape(4, 128)
    assert ((weight - rounded) @ samples.T).square().sum() < ((weight - nearest) @ samples.T).square().sum()


def test_a_plan_may_ask_for_them(quantizer: Quantizer, encoder: Component) -> None:
    image = encoder.example_inputs[0]
    expected = encoder.module(image).numpy()
    four, nearest, eight = (
        snr_db(expected, quantizer.quantized(asked).module(image).numpy())
        for asked in (plan(encoder), plan(encoder, rounding="nearest"), plan(encoder, "int8"))
    )
    assert 5 < nearest < four < eight - 10


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (LayerPlan("encoder.neck.neck_2", "int4"), "is not linear with a multiple of 32 inputs"),
        (LayerPlan("encoder.layers.1.blocks.0.mlp.fc2", "int4", "uint8"), "has an input or output in 8 bits"),
    ],
    ids=["convolution", "rounded input"],
)
def test_where_they_do_not_fit_they_are_refused(quantizer: Quantizer, layer: LayerPlan, reason: str) -> None:
    with pytest.raises(RequestError, match=rf"{layer.layer}: int4 is asked for, but the layer {reason}; give it int8"):
        quantizer.quantized(ComponentPlan(layers=(layer,)))


@pytest.fixture
def made(quantizer: Quantizer, encoder: Component) -> Component:
    made = replace(quantizer.quantized(plan(encoder)), recipe=Recipe("w4", "int4", "fp32"))
    layer = made.module.get_submodule(grouped(encoder)[0])
    assert isinstance(layer, GroupedLayer)
    return made


@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.slow
def test_engines_give_what_the_simulation_gives(made: Component, target: str, tmp_path: Path) -> None:
    graph = export(made, target, "fp32", tmp_path)
    session = open_session(graph.path, graph.contract, graph.target, graph.recipe)
    image = made.example_inputs[0]
    found = session.run({"image": image.numpy()})["image_embeddings"]
    assert snr_db(made.module(image).numpy(), found) > 30  # onnxruntime rounds inputs to 8 bits in blocks


@pytest.mark.slow
def test_onnx_stores_half_a_byte_for_each(made: Component, encoder: Component, tmp_path: Path) -> None:
    model = onnx.load(export(made, "onnx", "fp32", tmp_path).path)
    stored = {one.name: one for one in model.graph.initializer if one.data_type == TensorProto.UINT4}
    codes = {name: one for name, one in stored.items() if name.endswith("_codes")}
    assert len(codes) == len(grouped(encoder))
    assert all(len(one.raw_data) == (one.dims[0] * one.dims[1] + 1) // 2 for one in codes.values())
    assert [one.version for one in model.opset_import] == [21]
    users = [node for node in model.graph.node if codes.keys() & set(node.input)]
    assert {node.op_type for node in users} == {"DequantizeLinear"}
    assert {one.name for node in users for one in node.attribute} == {"axis", "block_size"}


@pytest.mark.slow
def test_openvino_stores_half_a_byte_for_each(made: Component, quantizer: Quantizer, tmp_path: Path) -> None:
    eight = replace(quantizer.quantized(plan(quantizer.component, "int8")), recipe=Recipe("w8", "int8", "fp32"))
    sizes = []
    for name, component in (("four", made), ("eight", eight)):
        (tmp_path / name).mkdir()
        sizes.append(export(component, "openvino", "fp32", tmp_path / name).path.with_suffix(".bin").stat().st_size)
    layers = quantizable_layers(quantizer.component.module)
    weights = sum(layers[name].weight.numel() for name in grouped(quantizer.component))
    assert sizes[1] - sizes[0] > 0.3 * weights
