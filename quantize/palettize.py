"""Weights that are taken from a small table, one for each layer: 4 or 6 bits choose the entry.

Every output channel has a factor of its own, so that one table serves them all. It stays outside of the product,
since iOS 16 has no place for it in the weight:

    y = (x @ entries^T) * factors + bias        entries [out, in], each one of `table` [2^bits]

A table for each few channels, which iOS 18 allows, rounded worse at the same size on every layer that was tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import RequestError
from .layers import Quantizable, is_depthwise
from .plan import LayerPlan, Rounding, Weights
from .rounding import round_columns

PALETTES: tuple[Weights, ...] = ("lut6", "lut4")
# A row is at most so much smaller than the largest; below, fp16 would round the factor too.
SMALLEST_FACTOR = 2.0**-10
ITERATIONS = 60
BINS = 512
# What coremltools reads from a module's state: how its parameter `weight` is stored. 2 stands for palettization.
TABLE_BUFFER = "_COREML_/weight/lut"
COMPRESSION_BUFFER = "_COREML_/weight/compression_type"
PALETTIZATION = 2


@dataclass(frozen=True, eq=False)
class Palette:
    """`table` [2^bits], rising. `factors` [out]. `entries` [out, in], values of the table. All are fp16 numbers."""

    table: Tensor
    factors: Tensor
    entries: Tensor

    @property
    def weight(self) -> Tensor:
        """Return what the product is with, [out, in]."""
        return self.entries * self.factors[:, None]


class PalettizedLayer(nn.Module):
    """A linear layer or convolution whose weight is a `Palette`."""

    factors: Tensor

    def __init__(self, source: Quantizable, palette: Palette, bias: Tensor | None) -> None:
        super().__init__()
        self.convolution = source if isinstance(source, nn.Conv2d) else None
        self.weight = nn.Parameter(palette.entries.reshape(source.weight.shape), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(self._per_channel(bias), requires_grad=False)
        self.register_buffer("factors", self._per_channel(palette.factors))
        self.register_buffer(TABLE_BUFFER, palette.table.reshape(*[1] * source.weight.dim(), -1, 1))
        self.register_buffer(COMPRESSION_BUFFER, torch.tensor([PALETTIZATION]))

    def forward(self, x: Tensor) -> Tensor:
        y = self._product(x) * self.factors
        return y if self.bias is None else y + self.bias

    def _product(self, x: Tensor) -> Tensor:
        conv = self.convolution
        if conv is None:
            return F.linear(x, self.weight)
        return F.conv2d(x, self.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)

    def _per_channel(self, numbers: Tensor) -> Tensor:
        """Return one number for each output channel, so that it broadcasts to the layer's output."""
        return numbers.detach().reshape(-1, 1, 1) if self.convolution is not None else numbers.detach()


def palettize(weight: Tensor, bits: int, gram: Tensor, rounding: Rounding) -> Palette:
    """Return the palette of a weight, fitted to what the layer saw.

    Shapes:
        weight   [out, in]
        gram     [in, in], the sum of x x^T over what the layer saw
    """
    factors = row_factors(weight)
    scaled = weight.double() / factors.double()[:, None]
    table = best_table(scaled, gram.diagonal().expand_as(scaled), 2**bits)

    def nearest(values: Tensor, _: int) -> Tensor:
        return nearest_entries(values, table.double())

    if rounding == "nearest":
        return Palette(table, factors, nearest_entries(scaled, table.double()).float())
    return Palette(table, factors, round_columns(scaled[None], gram[None], nearest)[0].float())


def row_factors(weight: Tensor) -> Tensor:
    """Return each row's largest magnitude by that of all, [out] fp16 numbers: products stay as large as they were."""
    largest = weight.abs().amax(1)
    share = (largest / largest.max().clamp(min=torch.finfo(weight.dtype).tiny)).clamp(min=SMALLEST_FACTOR)
    return share.half().float()


def best_table(values: Tensor, importance: Tensor, size: int) -> Tensor:
    """Return the values that all others are nearest to with the least squared error, [size] fp16 numbers, rising.

    Lloyd's algorithm on sorted values, where a cluster is a range: sums over it are differences of running sums.
    """
    ordered, order = values.flatten().double().sort()
    weights = importance.flatten().double()[order].clamp(min=torch.finfo(torch.float64).tiny)
    count, total = _running_sum(weights), _running_sum(weights * ordered)
    table = _even_share(ordered, weights, size)
    for _ in range(ITERATIONS):
        ends = torch.searchsorted(ordered, _midpoints(table))
        ends = torch.cat([ends.new_zeros(1), ends, ends.new_tensor([len(ordered)])])
        inside = count[ends[1:]] - count[ends[:-1]]
        means = (total[ends[1:]] - total[ends[:-1]]) / inside
        table = torch.where(inside > 0, means, table).sort().values
    return table.half().float()


def nearest_entries(values: Tensor, table: Tensor) -> Tensor:
    """Return the entry of the rising table that is nearest to each value."""
    return table[torch.searchsorted(_midpoints(table), values.contiguous())]


def require_palettizable(layer: Quantizable, plan: LayerPlan) -> None:
    """Raise RequestError for a plan that asks for a table where there is none."""
    wrong = "is depthwise, too small for a table" if is_depthwise(layer) else ""
    wrong = "has an input or output in 8 bits" if (plan.inputs, plan.outputs) != ("float", "float") else wrong
    if wrong:
        raise RequestError(f"{plan.layer}: {plan.weights} is asked for, but the layer {wrong}; give it int8 weights")


def _midpoints(table: Tensor) -> Tensor:
    return (table[1:] + table[:-1]) / 2


def _running_sum(values: Tensor) -> Tensor:
    return torch.cat([values.new_zeros(1), values.cumsum(0)])


def _even_share(ordered: Tensor, weights: Tensor, size: int) -> Tensor:
    """Return where to begin: entries as dense as the cube root of the values' density, which is best for many."""
    low, high = ordered[0], ordered[-1]
    width = (high - low).clamp(min=torch.finfo(torch.float64).tiny) / BINS
    places = ((ordered - low) / width).long().clamp(max=BINS - 1)
    density = torch.zeros(BINS, dtype=torch.float64).index_add_(0, places, weights) + weights.sum() * 1e-9
    share = density ** (1 / 3)
    middles = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    return low + (torch.searchsorted(share.cumsum(0) / share.sum(), middles) + 0.5) * width
