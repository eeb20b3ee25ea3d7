"""Layers that several families share."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Migration:
    """Modules between which each channel's scale can be moved without a change: dotted names below the component's.

    `producer`, a linear layer or layer norm, gives each channel to the `consumers`, linear layers, and to nothing
    else, by way of ops that let a channel's positive scale through.
    """

    producer: str
    consumers: tuple[str, ...]


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of [B, C, H, W], as one `layer_norm` so that engines keep its sums in fp32."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        channels_last = x.permute(0, 2, 3, 1)
        normed = F.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)


def neck(channels: int, out: int) -> nn.Sequential:
    """Return what brings an encoder's last map to the embedding's channels: [1, channels, E, E] -> [1, out, E, E]."""
    return nn.Sequential(
        nn.Conv2d(channels, out, 1, bias=False),
        LayerNorm2d(out),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        LayerNorm2d(out),
    )


class Mlp(nn.Module):
    """Linear layers with ReLU between them, over the last axis (upstream's `MLP`)."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


class BicubicUpsample(nn.Module):
    """torch's bicubic interpolation with half-pixel centres, as a matrix a side. [1, C, s, s] -> [1, C, t, t]."""

    matrix: Tensor

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        eye = torch.eye(source).reshape(1, 1, source, source)
        matrix = F.interpolate(eye, size=(target, source), mode="bicubic", align_corners=False)[0, 0]
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        wide: Tensor = x @ self.matrix.T
        return self.matrix @ wide
