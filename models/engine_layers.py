"""Layers of image encoders in the form that engines run fastest, made from loaded ones.

A picture's cells are [1, side², C] between convolutions, row by row. Where a weight is taken as it is, its memory is
shared with the layer that it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from .layers import LayerNorm2d

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


class EngineNeck(nn.Module):
    """cells [1, side², C] -> image_embeddings [1, 256, side, side]. Attributes are numbered as upstream's `neck`."""

    def __init__(self, source: nn.Sequential, side: int) -> None:
        super().__init__()
        first, first_norm, second, second_norm = source
        assert isinstance(first, nn.Conv2d)
        assert isinstance(first_norm, LayerNorm2d)
        self.side = side
        self.neck_0 = pointwise_linear(first)
        self.neck_1 = channels_last_norm(first_norm)
        self.neck_2, self.neck_3 = second, second_norm

    def forward(self, x: Tensor) -> Tensor:
        normed = self.neck_1(self.neck_0(x))
        embeddings: Tensor = self.neck_3(self.neck_2(to_grid(normed, self.side)))
        return embeddings


@dataclass(frozen=True)
class Windows:
    """The division of a picture of side² cells into squares of span² cells, filled up with zeros right and below."""

    side: int
    span: int

    @property
    def padding(self) -> int:
        return -self.side % self.span

    @property
    def count(self) -> int:
        """How many there are next to each other, and below each other."""
        return (self.side + self.padding) // self.span

    def partition(self, cells: Tensor) -> Tensor:
        """[1, side², C] -> [count², span², C]."""
        side, span, count, channels = self.side, self.span, self.count, cells.shape[-1]
        if self.padding:
            cells = F.pad(cells.reshape(1, side, side, channels), (0, 0, 0, self.padding, 0, self.padding))
        rows = cells.reshape(count, span, count, span * channels).permute(0, 2, 1, 3)
        return rows.reshape(count**2, span**2, channels)

    def merge(self, windows: Tensor) -> Tensor:
        """[count², span², C] -> [1, side², C], without what they were filled up with."""
        side, span, count, channels = self.side, self.span, self.count, windows.shape[-1]
        grid = windows.reshape(count, count, span, span * channels).permute(0, 2, 1, 3)
        if self.padding:
            grid = grid.reshape(1, count * span, count * span, channels)[:, :side, :side]
        return grid.reshape(1, side**2, channels)


def to_grid(cells: Tensor, side: int) -> Tensor:
    """[1, side², C] -> [1, C, side, side]."""
    return cells.reshape(1, side, side, cells.shape[-1]).permute(0, 3, 1, 2)


def to_cells(grid: Tensor) -> Tensor:
    """[1, C, side, side] -> [1, side², C]."""
    _, channels, height, width = grid.shape
    return grid.permute(0, 2, 3, 1).reshape(1, height * width, channels)


def pointwise_linear(source: nn.Conv2d) -> nn.Linear:
    """Return the linear layer over the last axis that a 1x1 convolution is over the first."""
    return linear(source.weight.flatten(1), source.bias)


def channels_last_norm(source: LayerNorm2d) -> nn.LayerNorm:
    norm = nn.LayerNorm(source.weight.shape[0], eps=source.eps)
    norm.weight, norm.bias = source.weight, source.bias
    return norm


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """`weight` [..., in], `bias` [...]: leading axes are flattened."""
    rows = weight.reshape(-1, weight.shape[-1])
    layer = nn.Linear(rows.shape[1], rows.shape[0], bias=bias is not None, device="meta")
    return filled(layer, rows, None if bias is None else bias.reshape(-1))


def filled(layer: Layer, weight: Tensor, bias: Tensor | None) -> Layer:
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer
