"""Which part of what calibration saw becomes the range of a rounded input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sam_export.errors import RequestError
from sam_export.models import SamModel, components
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.gradients import mask_gradients
from sam_export.quantize.grids import clipped_range
from sam_export.quantize.layers import QuantizedLayer, RoundedTo
from sam_export.quantize.observe import BINS, count_values, input_weights, observe
from sam_export.quantize.plan import ComponentPlan, LayerPlan, Ranges
from sam_export.quantize.quantizer import Quantizer
from sam_export.verify.pictures import picture_set

LAYER = "encoder.layers.1.blocks.0.mlp.fc1"
FC2 = "encoder.layers.1.blocks.0.mlp.fc2"
PICTURES = picture_set("calibration")[:1]


def with_one_outlier() -> torch.Tensor:
    """A million values up to 1, and one at 100."""
    counts = torch.zeros(BINS)
    counts[: BINS // 100] = 1e6 / (BINS // 100)
    counts[-1] = 1
    return counts


def test_min_max_keeps_all() -> None:
    assert clipped_range(with_one_outlier(), 0.0, 100.0, "minmax") == (0.0, 100.0)


def test_a_percentile_leaves_the_outlier_out() -> None:
    low, high = clipped_range(with_one_outlier(), 0.0, 100.0, "percentile")
    assert low == 0
    assert high == pytest.approx(1, abs=0.1)


def test_the_least_squared_error_weighs_the_outlier_against_the_steps() -> None:
    _, high = clipped_range(with_one_outlier(), 0.0, 100.0, "mse")
    assert 40 <= high < 100
    counts = with_one_outlier()
    counts[-1] = 1e6
    assert clipped_range(counts, 0.0, 100.0, "mse")[1] == 100


def test_a_channel_that_the_masks_do_not_mind_is_clipped() -> None:
    """Two channels, one with values ten times as large: it is kept only if the masks mind it."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight = nn.Parameter(torch.ones(1, 2), requires_grad=False)
    values = torch.randn(20000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0])
    ranges = {}
    for name, weight in (("minds both", torch.ones(1, 2)), ("minds the small one", torch.tensor([[1.0, 1e-4]]))):
        layer.weight = nn.Parameter(weight, requires_grad=False)
        module = nn.Sequential(layer)
        seen = observe(module, lambda: [(values,)])
        count_values(module, lambda: [(values,)], seen, {"0": torch.ones(1, dtype=torch.float64)})
        inputs = seen["0"].inputs
        ranges[name] = clipped_range(inputs.weighted, inputs.low, inputs.high, "mask")[1] / inputs.high
    assert ranges["minds the small one"] == pytest.approx(0.4)
    assert ranges["minds both"] > 0.6


def test_what_an_input_channel_does_to_the_masks() -> None:
    gradient = torch.tensor([1.0, 4.0], dtype=torch.float64)
    linear = nn.Linear(2, 2)
    linear.weight = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
    assert input_weights(linear, gradient).tolist() == [37.0, 4.0]
    depthwise = nn.Conv2d(2, 2, 2, groups=2)
    depthwise.weight = nn.Parameter(torch.ones(2, 1, 2, 2))
    assert input_weights(depthwise, gradient).tolist() == [4.0, 16.0]


@pytest.fixture(scope="module")
def quantizer(tiny_sam: SamModel) -> Quantizer:
    parts = components(tiny_sam)
    found = mask_gradients(tiny_sam, parts, PICTURES)
    return Quantizer(parts[0], Calibration(tiny_sam, PICTURES), lambda: found["image_encoder"])


def rounded_range(quantizer: Quantizer, ranges: Ranges, smoothing: float = 0.0, more: tuple[str, ...] = ()) -> float:
    layers = tuple(LayerPlan(name, "int8", "uint8") for name in (LAYER, *more))
    plan = ComponentPlan(ranges=ranges, smoothing=smoothing, layers=layers)
    layer = quantizer.quantized(plan).module.get_submodule(LAYER)
    assert isinstance(layer, QuantizedLayer)
    assert isinstance(layer.round_input, RoundedTo)
    return layer.round_input.one_scale * 255


def test_a_plan_takes_the_ranges_that_it_names(quantizer: Quantizer) -> None:
    whole = rounded_range(quantizer, "minmax")
    percentile, squares, mask = (rounded_range(quantizer, ranges) for ranges in ("percentile", "mse", "mask"))
    assert 0.35 * whole < percentile < whole
    assert 0.35 * whole < squares < whole
    assert 0.35 * whole < mask <= whole
    assert percentile != squares


@pytest.mark.parametrize("more", [(), (FC2,)], ids=["by the norm", "and by a layer itself"])
def test_smoothed_ranges_are_clipped_too(quantizer: Quantizer, more: tuple[str, ...]) -> None:
    whole = rounded_range(quantizer, "minmax", 0.75, more)
    assert whole != rounded_range(quantizer, "minmax")
    percentile, squares, mask = (rounded_range(quantizer, name, 0.75, more) for name in ("percentile", "mse", "mask"))
    assert 0.35 * whole < percentile < whole
    assert 0.35 * whole < squares <= whole
    assert 0.35 * whole < mask <= whole
    assert percentile != squares


def test_histograms_of_smoothed_inputs_are_of_what_the_layer_rounds(quantizer: Quantizer) -> None:
    """Whole and percentile of a layer that divides its input itself, by what it is given."""
    plan = ComponentPlan(ranges="percentile", smoothing=0.75, layers=(LayerPlan(FC2, "int8", "uint8"),))
    layer = quantizer.quantized(plan).module.get_submodule(FC2)
    assert isinstance(layer, QuantizedLayer)
    assert layer.factors is not None
    given: list[torch.Tensor] = []
    handle = quantizer.component.module.get_submodule(FC2).register_forward_hook(
        lambda _, inputs, output: given.append(inputs[0])
    )
    with torch.inference_mode():
        for feeds in quantizer._feeds():
            quantizer.component.module(*feeds)
    handle.remove()
    values = torch.cat([one.flatten(0, -2) for one in given]) * layer.factors
    assert isinstance(layer.round_input, RoundedTo)
    scale, zero = layer.round_input.one_scale, layer.round_input.one_zero_point
    outside = ((values < -zero * scale - scale) | (values > (255 - zero) * scale + scale)).float().mean()
    assert 0 < outside < 3e-4


def test_ranges_by_the_masks_need_gradients(tiny_sam: SamModel) -> None:
    blind = Quantizer(components(tiny_sam)[0], Calibration(tiny_sam, PICTURES))
    with pytest.raises(RequestError, match="image_encoder: the recipe's ranges go by the masks"):
        rounded_range(blind, "mask")
