"""Bits go where they save most, and never beyond the size that was asked for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from sam_export.contract import ComponentName
from sam_export.models import SamModel, components
from sam_export.quantize.allocate import SMALL, allocate
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.gradients import Gradients, mask_gradients
from sam_export.quantize.layers import is_depthwise, quantizable_layers
from sam_export.quantize.palettize import PalettizedLayer
from sam_export.quantize.plan import WEIGHT_BITS, ComponentPlan, Weights
from sam_export.quantize.quantizer import Quantizer
from sam_export.verify.pictures import picture_set

KINDS: tuple[Weights, ...] = ("int8", "lut6", "lut4")
PICTURES = picture_set("calibration")[:2]

Plans = Mapping[ComponentName, ComponentPlan]


@pytest.fixture(scope="module")
def quantizers(tiny_sam: SamModel) -> dict[ComponentName, Quantizer]:
    calibration = Calibration(tiny_sam, PICTURES)
    return {part.contract.component: Quantizer(part, calibration) for part in components(tiny_sam)}


@pytest.fixture(scope="module")
def gradients(tiny_sam: SamModel) -> Mapping[ComponentName, Gradients]:
    return mask_gradients(tiny_sam, components(tiny_sam), PICTURES)


def average_bits(quantizers: dict[ComponentName, Quantizer], plans: Plans) -> float:
    bits = weights = 0
    for name, quantizer in quantizers.items():
        for path, layer in quantizable_layers(quantizer.component.module).items():
            weights += layer.weight.numel()
            bits += layer.weight.numel() * WEIGHT_BITS[plans[name].of(path).weights]
    return bits / weights


@pytest.mark.parametrize("wanted", [5.0, 6.0, 7.5])
def test_the_size_is_what_was_asked_for(
    quantizers: dict[ComponentName, Quantizer], gradients: Mapping[ComponentName, Gradients], wanted: float
) -> None:
    found = average_bits(quantizers, allocate(quantizers, gradients, KINDS, wanted))
    # The tiny model has layers that are a large part of it, and small ones that are in 8 bits whatever is asked for.
    assert found <= wanted + 1e-9 or found == average_bits(quantizers, allocate(quantizers, gradients, KINDS, 0.0))
    assert found > wanted - 0.7


def test_small_and_depthwise_layers_are_left_in_8_bits(
    quantizers: dict[ComponentName, Quantizer], gradients: Mapping[ComponentName, Gradients]
) -> None:
    plans = allocate(quantizers, gradients, ("lut4",), 0.0)
    for name, quantizer in quantizers.items():
        for path, layer in quantizable_layers(quantizer.component.module).items():
            small = layer.weight.numel() < SMALL or is_depthwise(layer)
            assert plans[name].of(path).weights == ("int8" if small else "lut4")


def test_the_layer_that_matters_most_gets_the_most_bits(
    quantizers: dict[ComponentName, Quantizer], gradients: Mapping[ComponentName, Gradients]
) -> None:
    large = "encoder.layers.3.blocks.0.mlp.fc1"
    least = average_bits(quantizers, allocate(quantizers, gradients, KINDS, 0.0))
    for factor, kinds in ((1e9, {"int8", "lut6"}), (0.0, {"lut4"})):
        weighed = {name: dict(own) for name, own in gradients.items()}
        weighed["image_encoder"][large] = factor * torch.ones_like(weighed["image_encoder"][large])
        plans = allocate(quantizers, weighed, KINDS, least + 1.0)
        assert plans["image_encoder"].of(large).weights in kinds


def test_the_plans_can_be_followed(
    quantizers: dict[ComponentName, Quantizer], gradients: Mapping[ComponentName, Gradients]
) -> None:
    plans = allocate(quantizers, gradients, KINDS, 6.0)
    made = quantizers["image_encoder"].quantized(plans["image_encoder"]).module
    assert any(isinstance(module, PalettizedLayer) for module in made.modules())
