"""Expected harm: it is the noise that rounding really adds, and grows as the range of what is rounded."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from sam_export.models import SamModel, components
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.gradients import Gradients
from sam_export.quantize.grids import range_grid
from sam_export.quantize.kernels import INTEGER_KERNELS, layer_plans
from sam_export.quantize.layers import Quantizable, quantizable_layers
from sam_export.quantize.observe import LayerObservation, observe
from sam_export.quantize.plan import ComponentPlan
from sam_export.quantize.quantizer import Quantizer
from sam_export.quantize.sensitivity import expected_harm, output_noise
from sam_export.verify.pictures import picture_set

FC1 = "encoder.layers.1.blocks.0.mlp.fc1"
DEPTHWISE = "encoder.layers.1.blocks.0.local_conv"


@pytest.fixture(scope="module")
def quantizer(tiny_sam: SamModel) -> Quantizer:
    return Quantizer(components(tiny_sam)[0], Calibration(tiny_sam, picture_set("calibration")[:1]))


@pytest.fixture(scope="module")
def gradients(quantizer: Quantizer) -> Gradients:
    layers = quantizable_layers(quantizer.component.module)
    return {name: torch.ones(len(layer.weight), dtype=torch.float64) for name, layer in layers.items()}


def rounding_all(quantizer: Quantizer, smoothing: float = 0.0) -> ComponentPlan:
    return ComponentPlan(smoothing=smoothing, layers=layer_plans(quantizer.component, INTEGER_KERNELS["openvino"]))


@contextmanager
def widened(seen: LayerObservation, factor: float) -> Iterator[None]:
    """The layer's input is so many times wider in all channels, for a while."""
    inputs = seen.inputs
    before = inputs.channel_low, inputs.channel_high
    inputs.channel_low, inputs.channel_high = (values * factor for values in before)
    yield
    inputs.channel_low, inputs.channel_high = before


@pytest.mark.parametrize("smoothing", [0.0, 0.75], ids=["plain", "smoothed"])
@pytest.mark.parametrize("name", [FC1, DEPTHWISE, "encoder.neck.neck_2"])
def test_ten_times_the_range_is_a_hundred_times_the_harm(
    quantizer: Quantizer, gradients: Gradients, name: str, smoothing: float
) -> None:
    plan = rounding_all(quantizer, smoothing)
    before = expected_harm(quantizer, plan, gradients)
    with widened(quantizer.seen[name], 10.0):
        after = expected_harm(quantizer, plan, gradients)
    assert before[name] > 0
    assert after[name] == pytest.approx(100 * before[name], rel=1e-4)
    others = [other for other in before if other != name]
    assert [after[other] for other in others] == pytest.approx([before[other] for other in others])


def test_harm_is_as_large_as_the_masks_gradients(quantizer: Quantizer, gradients: Gradients) -> None:
    once = expected_harm(quantizer, rounding_all(quantizer), gradients)
    twice = expected_harm(quantizer, rounding_all(quantizer), {**gradients, FC1: 2 * gradients[FC1]})
    assert twice[FC1] == pytest.approx(2 * once[FC1])


def test_layers_without_gradient_do_no_harm(quantizer: Quantizer, gradients: Gradients) -> None:
    without = {name: values for name, values in gradients.items() if name != FC1}
    without[DEPTHWISE] = torch.zeros_like(without[DEPTHWISE])
    harm = expected_harm(quantizer, rounding_all(quantizer), without)
    assert {name for name, value in harm.items() if value == 0.0} == {FC1, DEPTHWISE}


def test_only_layers_whose_input_is_rounded_are_weighed(quantizer: Quantizer, gradients: Gradients) -> None:
    plan = ComponentPlan(layers=layer_plans(quantizer.component, INTEGER_KERNELS["onnx"]))
    harm = expected_harm(quantizer, plan, gradients)
    assert set(harm) == {one.layer for one in plan.layers if one.inputs != "float"}
    assert 0 < len(harm) < len(plan.layers)


def test_smoothing_lessens_the_harm_of_channels_that_stick_out(quantizer: Quantizer, gradients: Gradients) -> None:
    inputs = quantizer.seen[FC1].inputs
    before = inputs.channel_high
    inputs.channel_high = before.clone()
    inputs.channel_high[0] *= 50
    plain, smoothed = (expected_harm(quantizer, rounding_all(quantizer, by), gradients)[FC1] for by in (0.0, 0.75))
    inputs.channel_high = before
    assert smoothed < plain / 10


def test_the_component_is_left_alone(quantizer: Quantizer, gradients: Gradients) -> None:
    before = copy.deepcopy(quantizer.component.module.state_dict())
    expected_harm(quantizer, rounding_all(quantizer, smoothing=0.75), gradients)
    after = quantizer.component.module.state_dict()
    assert all(torch.equal(values, after[name]) for name, values in before.items())


@pytest.mark.parametrize(
    "inputs",
    [[[-51.0, 0.0], [102.0, 204.0]], [[102.0, 50.0], [255.0, 204.0]], [[-102.0, -50.0], [-255.0, -204.0]]],
    ids=["both signs", "positive", "negative"],
)
def test_a_hand_computed_layer(inputs: list[list[float]]) -> None:
    """The range, zero always in it, is 255 wide, so that steps are 1: 1 / 12 * (9 + 16)."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight = nn.Parameter(torch.tensor([[3.0, 4.0]]))
    seen = observe(nn.Sequential(layer), lambda: [(torch.tensor(inputs),)])["0"]
    assert output_noise(layer, seen).tolist() == pytest.approx([25 / 12])


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(24, 6), nn.Conv2d(12, 5, 3, padding=1), nn.Conv2d(8, 8, 3, groups=8)],
    ids=["linear", "convolution", "depthwise"],
)
def test_it_is_the_noise_that_rounding_adds(layer: Quantizable) -> None:
    """Values spread over the range; those of a picture are not as even, but rank alike."""
    random = torch.Generator().manual_seed(0)
    channels = layer.weight.shape[1] * (layer.groups if isinstance(layer, nn.Conv2d) else 1)
    shape = (4000, channels) if isinstance(layer, nn.Linear) else (4, channels, 40, 40)
    x = 3 * torch.rand(shape, generator=random) - 1
    x = x * torch.linspace(0.5, 2, channels).reshape((-1,) if x.dim() == 2 else (-1, 1, 1))
    seen = observe(nn.Sequential(layer), lambda: [(x,)])["0"]
    low, high, axis = seen.inputs.channel_low, seen.inputs.channel_high, 1
    if not (isinstance(layer, nn.Conv2d) and layer.groups > 1):
        low, high, axis = low.min(), high.max(), None
    with torch.no_grad():
        difference = (layer(range_grid(low, high, axis).round(x)) - layer(x)).double()
    others = (0,) if x.dim() == 2 else (0, 2, 3)
    assert difference.var(others).tolist() == pytest.approx(output_noise(layer, seen).tolist(), rel=0.1)
