"""Layers that hold rounded weights and round their inputs, in the form that every exporter reads.

Rounding is written with torch's own `fake_quantize` ops, which trace to ONNX's QuantizeLinear and DequantizeLinear:
what is simulated is what is exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from .grids import Grid, range_grid

Quantizable = nn.Linear | nn.Conv2d

# How much what rounding lost is enlarged to be rounded again: half a step becomes eight.
ENLARGED = 16


def quantizable_layers(module: nn.Module) -> Mapping[str, Quantizable]:
    """Return the layers that can be rounded, by dotted path, in the order of the module."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}


def is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1


def is_splittable(layer: nn.Module) -> bool:
    """Whether a product with the layer's weight has one inner dimension, which can be made longer."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)


class RoundedTo(nn.Module):
    """Rounds a tensor to a grid: one for all of it, or one for each channel of the grid's axis."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.low, self.high, self.axis = grid.low, grid.high, grid.axis
        self.register_buffer("scale", grid.scale.float())
        self.register_buffer("zero_point", grid.zero_point.to(torch.int32))
        # One number for all of a tensor has to be a number of Python's: a trace cannot read a tensor's value.
        if grid.axis is None:
            self.one_scale, self.one_zero_point = float(self.scale), int(self.zero_point)

    def forward(self, x: Tensor) -> Tensor:
        if self.axis is None:
            return torch.fake_quantize_per_tensor_affine(x, self.one_scale, self.one_zero_point, self.low, self.high)
        return torch.fake_quantize_per_channel_affine(x, self.scale, self.zero_point, self.axis, self.low, self.high)


class _Dynamic(torch.autograd.Function):
    """Rounds a tensor to the 8-bit grid of its own range, as ONNX's DynamicQuantizeLinear does."""

    @staticmethod
    def forward(_: FunctionCtx, x: Tensor) -> Tensor:
        return range_grid(*torch.aminmax(x)).round(x)

    @staticmethod
    def symbolic(graph: Any, x: Any) -> Any:
        codes, scale, zero_point = graph.op("DynamicQuantizeLinear", x, outputs=3)
        return graph.op("DequantizeLinear", codes, scale, zero_point).setType(x.type())


class RoundedDynamically(nn.Module):
    """Rounds a tensor to a grid of its own range, taken at every call."""

    def forward(self, x: Tensor) -> Tensor:
        rounded: Tensor = _Dynamic.apply(x)  # type: ignore[no-untyped-call]  # torch leaves it without types
        return rounded


class QuantizedLayer(nn.Module):
    """A linear layer or convolution whose weights, and input and output if asked, are rounded.

    `weight` lies on the grid already, so that rounding it once more, as the traced graph does, changes nothing.
    `divisor`: of each input channel, taken out of the input before it is rounded; the weight has it in already.
    A linear layer's weight is [in, out] here, as `MatMul` takes it: a transpose behind the rounding would hide it.
    """

    weight: Tensor

    factors: Tensor | None

    def __init__(
        self,
        source: Quantizable,
        weights: Grid,
        inputs: Grid | Literal["dynamic"] | None = None,
        outputs: Grid | None = None,
        divisor: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.convolution = source if isinstance(source, nn.Conv2d) else None
        transposed = self.convolution is None
        weight = source.weight.detach()
        self.register_buffer("weight", weight.t().contiguous() if transposed else weight)
        self.bias = source.bias
        # ONNX knows 8 bits with all 256 codes only; -128 stays unused.
        grid = Grid(weights.scale, weights.zero_point, -128, 127, axis=1 if transposed else 0)
        self.round_weight = RoundedTo(grid)
        self.round_input = _rounding(inputs)
        self.round_output = None if outputs is None else RoundedTo(outputs)
        shape = (-1,) if transposed else (1, -1, 1, 1)
        self.register_buffer("factors", None if divisor is None else (1 / divisor).reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        if self.factors is not None:
            x = x * self.factors
        if self.round_input is not None:
            x = self.round_input(x)
        y = self.compute(x, self.round_weight(self.weight))
        return y if self.round_output is None else self.round_output(y)

    def compute(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the product with an input and a weight that are rounded already."""
        conv = self.convolution
        if conv is None:
            return x @ weight if self.bias is None else x @ weight + self.bias
        return F.conv2d(x, weight, self.bias, conv.stride, conv.padding, conv.dilation, conv.groups)


class GroupedLayer(nn.Module):
    """A linear layer whose weights are rounded in groups of neighbouring inputs, each group to a grid of its own.

    Traced with a row for each group, [out * in / size, size], as any tensor with a grid for each row, and brought into
    form behind the rounding: `exporters/onnx_grouped` finds it by that.

    Args:
        source: a linear layer whose weight lies on the grid already.
        weights: one scale for each group, those of an output beside each other.
    """

    weight: Tensor

    def __init__(self, source: nn.Linear, weights: Grid) -> None:
        super().__init__()
        self.shape = source.weight.shape
        self.register_buffer("weight", source.weight.detach().reshape(len(weights.scale), -1))
        self.bias = source.bias
        # ONNX knows 8 bits with all 256 codes only; the weight needs 16 of them.
        self.round_weight = RoundedTo(Grid(weights.scale, weights.zero_point, 0, 255, axis=0))

    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor = self.round_weight(self.weight).reshape(self.shape)
        y = x @ weight.t()
        return y if self.bias is None else y + self.bias


class SplitLayer(nn.Module):
    """A layer whose input and weight are rounded twice: as they are, and what that lost, in one integer product.

        x W = (x8 + lost_x) (W8 + lost_W) ~ [x8, K lost_x, x8 / K] [W8, W8 / K, K lost_W]

    All three parts lie on one grid, of the input as of the weight: the inner dimension triples, nothing else does. With
    K = 16 each gains about 4 bits.

    Args:
        layer: the rounded layer, its input not rounded by itself; `weight` [in, out] or [out, in, k, k], not grouped.
        lost: what rounding took from the weight, of the weight's shape.
    """

    weight: Tensor

    def __init__(self, layer: QuantizedLayer, lost: Tensor, inputs: Grid) -> None:
        super().__init__()
        self.layer = layer
        self.round_input = RoundedTo(inputs)
        linear = layer.convolution is None
        self.axis = -1 if linear else 1
        parts = (layer.weight, layer.weight / ENLARGED, (lost.t() if linear else lost) * ENLARGED)
        self.register_buffer("weight", layer.round_weight(torch.cat(parts, dim=0 if linear else 1)))

    def forward(self, x: Tensor) -> Tensor:
        if self.layer.factors is not None:
            x = x * self.layer.factors
        lost = (x - self.round_input(x)) * ENLARGED
        parts = self.round_input(torch.cat((x, lost, x / ENLARGED), dim=self.axis))
        return self.layer.compute(parts, self.layer.round_weight(self.weight))


def _rounding(inputs: Grid | Literal["dynamic"] | None) -> nn.Module | None:
    if inputs is None:
        return None
    return RoundedDynamically() if inputs == "dynamic" else RoundedTo(inputs)
