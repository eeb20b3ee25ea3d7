"""RepViT in the form that engines run fastest, made from a loaded one; exact, but for the rounding of fp32.

Batch norms lie in their convolutions, and the three branches of a block's first half are one depthwise convolution.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional as F

from .conv_norm import ConvBatchNorm, fold_batch_norm, folded
from .repvit import RepVggDw

Encoder = TypeVar("Encoder", bound=nn.Module)


def engine_form(source: Encoder) -> Encoder:
    """Return the encoder with as few convolutions as compute the same; what is not folded is shared."""
    return folded(source, lambda part: one_depthwise(part) if isinstance(part, RepVggDw) else None)


def one_depthwise(source: RepVggDw) -> nn.Conv2d:
    """Return one 3x3 depthwise convolution that does what the three branches and their norms do."""
    wide = fold_batch_norm(source.conv)
    point = fold_batch_norm(source.conv1) if isinstance(source.conv1, ConvBatchNorm) else source.conv1
    assert isinstance(point, nn.Conv2d)
    assert wide.bias is not None
    assert point.bias is not None
    with torch.no_grad():
        wide.weight += F.pad(point.weight + 1, (1, 1, 1, 1))
        wide.bias += point.bias
        if isinstance(source.bn, nn.BatchNorm2d):
            _scale_by_norm(wide, source.bn)
    return wide


def _scale_by_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Fold a batch norm behind a convolution with a bias into it."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert conv.bias is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    conv.weight *= gain.reshape(-1, 1, 1, 1)
    conv.bias.copy_(norm.bias + (conv.bias - norm.running_mean) * gain)
