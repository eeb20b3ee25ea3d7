"""Convolutions with a batch norm, as checkpoints hold them, and folded into one, as engines run them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from .engine_layers import filled

Module = TypeVar("Module", bound=nn.Module)


class ConvBatchNorm(nn.Sequential):
    """Convolution without bias, then batch norm: upstream's `Conv2d_BN` (`c`, `bn`)."""

    def __init__(self, channels: tuple[int, int], kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(*channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(channels[1])


def fold_batch_norm(source: ConvBatchNorm) -> nn.Conv2d:
    """Return one convolution that does both; weights [out, in / groups, k, k], bias [out]."""
    conv, norm = source.c, source.bn
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    folded = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        kernel_size=(conv.kernel_size[0], conv.kernel_size[1]),
        stride=(conv.stride[0], conv.stride[1]),
        padding=conv.kernel_size[0] // 2,
        groups=conv.groups,
    )
    return filled(folded, conv.weight * gain.reshape(-1, 1, 1, 1), norm.bias - norm.running_mean * gain)


def folded(source: Module, other: Callable[[nn.Module], nn.Module | None] = lambda _: None) -> Module:
    """Return a copy with every batch norm below it in its convolution; what is not folded is shared.

    `other`: gives what stands for a module of another kind, None for one that stays.
    """
    shared = {id(tensor): tensor for tensor in (*source.parameters(), *source.buffers())}
    engine = copy.deepcopy(source, shared)
    _fold_below(engine, other)
    return engine


def _fold_below(module: nn.Module, other: Callable[[nn.Module], nn.Module | None]) -> None:
    for name, child in module.named_children():
        stand_in = fold_batch_norm(child) if isinstance(child, ConvBatchNorm) else other(child)
        if stand_in is None:
            _fold_below(child, other)
        else:
            module.add_module(name, stand_in)
