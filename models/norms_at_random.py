"""Batch norms of a model whose weights are random: their statistics are those of what they get."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def settle_norms(encoder: nn.Module, image: Tensor) -> None:
    """Scale the statistics of batch norms to what they get, as a training does.

    As random as the weights they let activations grow from block to block: to 2e15 in RepViT-SAM, where fp32 has no
    digits left to compare. No channel is made larger than all are on average: one that is nearly nothing all over one
    picture, as linear attention makes them, is large on another.

    Args:
        encoder: in eval mode. Without batch norms it is left as it is.
        image: float32 [1, 3, h, w], normalised.
    """
    norms = [part for part in encoder.modules() if isinstance(part, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(_settle) for norm in norms]
    with torch.no_grad():
        if norms:
            encoder(image)
    for hook in hooks:
        hook.remove()


def _settle(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    square = inputs[0].square().mean((0, 2, 3))
    square = torch.maximum(square, square.mean())
    norm.running_mean *= square.sqrt()
    norm.running_var *= square
