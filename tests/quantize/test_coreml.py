"""A quantized component as a Core ML package: the saved codes are the quantizer's, and so is what they compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sam_export.contract import Array, ComponentName, Graph, LayerChoice, Recipe
from sam_export.errors import UnsupportedError
from sam_export.exporters import ExportOptions, export
from sam_export.exporters.coreml import read_spec
from sam_export.models import Component, SamModel, components
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.layers import QuantizedLayer, is_depthwise, quantizable_layers
from sam_export.quantize.palettize import PalettizedLayer
from sam_export.quantize.plan import ComponentPlan, LayerPlan, Values, Weights
from sam_export.quantize.quantizer import Quantizer
from sam_export.verify.metrics import snr_db
from sam_export.verify.mil.evaluate import Evaluator
from sam_export.verify.mil.ops import HANDLERS
from sam_export.verify.mil.program import Operation, Program, Reference, load_program
from sam_export.verify.mil.session import MilSession
from sam_export.verify.pictures import picture_set

pytestmark = pytest.mark.slow

Exported = Callable[..., tuple[Component, Graph]]
STORED = ("constexpr_affine_dequantize", "constexpr_blockwise_shift_scale", "constexpr_lut_to_dense")
WEIGHTS_OF = {"constexpr_affine_dequantize": "quantized_data", "constexpr_blockwise_shift_scale": "data"}


@pytest.fixture(scope="module")
def quantizers(tiny_sam: SamModel) -> dict[ComponentName, Quantizer]:
    calibration = Calibration(tiny_sam, picture_set("calibration")[:2])
    return {part.contract.component: Quantizer(part, calibration) for part in components(tiny_sam)}


@pytest.fixture(scope="module")
def exported(quantizers: dict[ComponentName, Quantizer], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Quantizes and exports each combination once."""
    made: dict[tuple[object, ...], tuple[Component, Graph]] = {}

    def export_once(
        component: ComponentName, weights: Weights, ios: int = 16, precision: str = "fp32", inputs: Values = "float"
    ) -> tuple[Component, Graph]:
        key = (component, weights, ios, precision, inputs)
        if key not in made:
            quantizer = quantizers[component]
            plan = plan_of(quantizer.component, weights, inputs)
            candidate = replace(quantizer.quantized(plan), recipe=Recipe("w8", "int8", "fp32", notes=("as asked",)))
            out = tmp_path_factory.mktemp("coreml")
            made[key] = candidate, export(candidate, "coreml", precision, out, ExportOptions(ios))
        return made[key]

    return export_once


def plan_of(component: Component, weights: Weights, inputs: Values) -> ComponentPlan:
    layers = quantizable_layers(component.module).items()
    plans = (LayerPlan(name, "int8" if is_depthwise(layer) else weights, inputs) for name, layer in layers)
    return ComponentPlan(rounding="gptq", correct_biases=True, layers=tuple(plans))


def program_of(graph: Graph) -> Program:
    return load_program(graph.path, HANDLERS.keys())


def feeds_of(component: Component) -> dict[str, Array]:
    """The component's example inputs; pictures have whole numbers, which is all that Core ML's images hold."""
    names = component.contract.input_names
    return {
        name: (value.round() if name == "image" else value).numpy()
        for name, value in zip(names, component.example_inputs, strict=True)
    }


def losses_db(component: Component, graph: Graph) -> list[float]:
    """SNR of the package's outputs against the quantized torch module's, evaluated op by op."""
    feeds = feeds_of(component)
    with torch.no_grad():
        wanted = component.module(*(torch.from_numpy(feed) for feed in feeds.values()))
    outputs = wanted if isinstance(wanted, tuple) else (wanted,)
    found = MilSession(graph.path, graph.contract).run(feeds)
    return [snr_db(one.numpy(), found[name]) for one, name in zip(outputs, graph.contract.output_names, strict=True)]


def decoded(graph: Graph) -> list[Tensor]:
    """Every weight that is stored compressed, as Core ML decodes it."""
    program = program_of(graph)
    stored = {op.outputs[0].name for op in program.operations if op.type in STORED}
    constants = Evaluator(program, rounding="none")._constants
    return [constants[name] for name in stored if name in constants]


@pytest.mark.parametrize(
    ("component", "weights", "ios"),
    [
        ("image_encoder", "int8", 16),
        ("image_encoder", "int8", 18),
        ("image_encoder", "lut4", 16),
        ("image_encoder", "lut4", 18),
        ("mask_decoder", "int8", 16),
        ("mask_decoder", "lut6", 18),
    ],
)
def test_the_package_computes_what_the_quantizer_made(
    exported: Exported, component: ComponentName, weights: Weights, ios: int
) -> None:
    """In fp32 there is nothing else to lose: coremltools rounds no weight anew."""
    candidate, graph = exported(component, weights, ios)
    assert min(losses_db(candidate, graph)) > 90


@pytest.mark.parametrize("ios", [16, 18])
def test_codes_are_the_quantizer_s_own(exported: Exported, ios: int) -> None:
    candidate, graph = exported("image_encoder", "int8", ios)
    wanted = Counter(
        code_sum(layer.weight.t() if layer.convolution is None else layer.weight, layer.round_weight.scale)
        for layer in candidate.module.modules()
        if isinstance(layer, QuantizedLayer)
    )
    program = program_of(graph)
    found = Counter(
        int(hashed(program.constants[argument.name].long()))
        for op in program.operations
        if op.type in WEIGHTS_OF and isinstance(argument := op.inputs[WEIGHTS_OF[op.type]], Reference)
    )
    assert found == wanted


def code_sum(weight: Tensor, scale: Tensor) -> int:
    """A number for the codes [out, ...] of a weight, which another order or another rounding changes."""
    return hashed(torch.round(weight / scale.reshape(-1, *[1] * (weight.dim() - 1))).long())


def hashed(codes: Tensor) -> int:
    return int((codes.flatten() * torch.arange(1, codes.numel() + 1) % 10007).sum())


@pytest.mark.parametrize("ios", [16, 18])
def test_every_rounded_layer_is_one_operation_on_its_stored_weight(exported: Exported, ios: int) -> None:
    candidate, graph = exported("image_encoder", "int8", ios)
    program = program_of(graph)
    stored = {op.outputs[0].name for op in program.operations if op.type in STORED}
    users = Counter(op.type for op in program.operations if reads(op, stored))
    layers = [layer for layer in candidate.module.modules() if isinstance(layer, QuantizedLayer)]
    assert users == {
        "linear": sum(layer.convolution is None for layer in layers),
        "conv": sum(layer.convolution is not None for layer in layers),
    }
    # A linear layer without a bias has one of zeros.
    biases = [op.inputs["bias"] for op in program.operations if op.type == "linear" and "bias" in op.inputs]
    given = sum(bool(program.constants[bias.name].any()) for bias in biases if isinstance(bias, Reference))
    assert given == sum(layer.convolution is None and layer.bias is not None for layer in layers)


def reads(operation: Operation, names: set[str]) -> bool:
    return operation.type not in STORED and not names.isdisjoint(operation.references())


@pytest.mark.parametrize("ios", [16, 18])
@pytest.mark.parametrize(("weights", "bits"), [("int8", 8), ("lut4", 4)])
def test_weights_take_the_room_of_their_bits(exported: Exported, weights: Weights, bits: int, ios: int) -> None:
    """A copy in floating point would be more than what is allowed for scales, tables and the rest of the model."""
    candidate, graph = exported("image_encoder", weights, ios)
    spec = read_spec(graph.path)
    (function,) = spec.mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    assert sum(operation.type in STORED for operation in block.operations) >= len(quantizable_layers_of(candidate))
    blob = (graph.path / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size
    rounded = sum(numel * (8 if depthwise else bits) / 8 for numel, depthwise in quantizable_layers_of(candidate))
    rest = 4 * (sum(parameter.numel() for parameter in candidate.module.parameters()) - palettized(candidate))
    # Each tensor begins at a multiple of 64 bytes, after 64 that describe it; a table of 64 entries is 128 more.
    tensors = sum(1 for op in block.operations if op.type == "const") + 3 * len(quantizable_layers_of(candidate))
    assert rounded < blob < rounded + rest + 256 * tensors


def quantizable_layers_of(candidate: Component) -> list[tuple[int, bool]]:
    """The number of weights of each rounded layer, and whether it is depthwise."""
    layers = (one for one in candidate.module.modules() if isinstance(one, QuantizedLayer | PalettizedLayer))
    return [
        (layer.weight.numel(), layer.convolution is not None and is_depthwise(layer.convolution)) for layer in layers
    ]


def palettized(candidate: Component) -> int:
    layers = (one for one in candidate.module.modules() if isinstance(one, PalettizedLayer))
    return sum(layer.weight.numel() for layer in layers)


def test_tables_are_the_quantizer_s_own(exported: Exported) -> None:
    candidate, graph = exported("image_encoder", "lut4", 16)
    wanted = sorted(
        float(layer.weight.double().sum()) for layer in candidate.module.modules() if isinstance(layer, PalettizedLayer)
    )
    shapes = {tuple(layer.weight.shape) for layer in candidate.module.modules() if isinstance(layer, PalettizedLayer)}
    found = sorted(float(weight.double().sum()) for weight in decoded(graph) if len(weight.unique()) <= 16)
    assert len(shapes) > 1
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_four_bits_are_stored_as_four(exported: Exported) -> None:
    sizes = {
        (weights, ios): (exported("image_encoder", weights, ios)[1].path)
        .joinpath("Data/com.apple.CoreML/weights/weight.bin")
        .stat()
        .st_size
        for weights, ios in (("int8", 18), ("lut4", 18))
    }
    rounded = sum(numel for numel, _ in quantizable_layers_of(exported("image_encoder", "int8", 18)[0]))
    assert 0.35 * rounded < sizes["int8", 18] - sizes["lut4", 18] <= 0.5 * rounded


@pytest.mark.parametrize("component", ["image_encoder", "mask_decoder"])
def test_rounded_inputs_are_quantized_in_the_package(exported: Exported, component: ComponentName) -> None:
    candidate, graph = exported(component, "int8", 17, "fp32", "uint8")
    kinds = Counter(op.type for op in program_of(graph).operations)
    layers = [layer for layer in candidate.module.modules() if isinstance(layer, QuantizedLayer)]
    # Layers that share an input share its rounding.
    assert 0.5 * len(layers) < kinds["quantize"] <= len(layers)
    assert kinds["quantize"] == kinds["dequantize"]
    # A value between two codes may be rounded either way, and one that is changes all that follows: the two differ by
    # as much as they lose, but lose as much.
    assert min(losses_db(candidate, graph)) > 25


@pytest.mark.parametrize("name", ["neck.neck_2", "layers.3.blocks.0.mlp.fc1", "layers.0.blocks.0.conv2"])
def test_one_rounded_input_is_what_the_simulation_rounds(
    quantizers: dict[ComponentName, Quantizer], tmp_path: Path, name: str
) -> None:
    """A convolution, a linear layer, and a depthwise convolution with a grid for each of its channels."""
    plan = ComponentPlan(layers=(LayerPlan(f"encoder.{name}", "int8", "uint8"),))
    candidate = quantizers["image_encoder"].quantized(plan)
    graph = export(candidate, "coreml", "fp32", tmp_path, ExportOptions(17))
    assert [op.type for op in program_of(graph).operations].count("quantize") == 1
    assert min(losses_db(candidate, graph)) > 70


def test_rounded_inputs_need_ios_17(exported: Exported) -> None:
    with pytest.raises(UnsupportedError, match=r"image_encoder coreml fp32: rounds \d+ inputs .*needs iOS 17.*iOS 16"):
        exported("image_encoder", "int8", 16, "fp32", "uint8")


def test_half_precision_loses_no_more_than_without_rounding(exported: Exported) -> None:
    candidate, graph = exported("image_encoder", "lut6", 16, "fp16")
    assert min(losses_db(candidate, graph)) > 40


def test_recipe_and_metadata_say_what_it_is(exported: Exported) -> None:
    _, graph = exported("mask_decoder", "int8", 16, "fp16")
    assert (graph.recipe.precision, graph.recipe.storage, graph.recipe.compute) == ("w8", "int8", "fp16")
    assert graph.recipe.notes[:2] == ("as asked", "iOS 16 or later")
    assert {choice.precision for choice in graph.recipe.layers if isinstance(choice, LayerChoice)} == {"fp32"}
    facts = read_spec(graph.path).description.metadata.userDefined
    assert (facts["sam_export.precision"], facts["sam_export.storage"]) == ("w8", "int8")
    assert "cell_positions" in facts["sam_export.float32_modules"]


def test_float_layers_stay_as_they_are(quantizers: dict[ComponentName, Quantizer], tmp_path: Path) -> None:
    name = "encoder.layers.1.blocks.0.mlp.fc2"
    candidate = quantizers["image_encoder"].quantized(ComponentPlan(layers=(LayerPlan(name, "lut6"),)))
    graph = export(candidate, "coreml", "fp32", tmp_path)
    assert sum(op.type in STORED for op in program_of(graph).operations) == 1
    assert min(losses_db(candidate, graph)) > 90
    assert isinstance(candidate.module.get_submodule(name), PalettizedLayer)
    assert isinstance(candidate.module.get_submodule(name.replace("fc2", "fc1")), nn.Linear)
