"""RepViT in the form that engines run fastest, made from a loaded one; exact, but for the rounding of fp32.

Batch norms lie in their convolutions, and the three branches of a block's first half are one depthwise convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .repvit import RepVggDw, RepVit, RepVitBlock, RepVitDownsample, RepVitMlp, RepVitStage, RepVitStem
from .tiny_vit import ConvBatchNorm
from .tiny_vit_engine import fold_batch_norm


class EngineMlp(nn.Module):
    def __init__(self, source: RepVitMlp) -> None:
        super().__init__()
        self.conv1, self.conv2 = fold_batch_norm(source.conv1), fold_batch_norm(source.conv2)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.conv2(F.gelu(self.conv1(x)))
        return mixed


class EngineBlock(nn.Module):
    """As `RepVitBlock`."""

    def __init__(self, source: RepVitBlock) -> None:
        super().__init__()
        self.token_mixer = one_depthwise(source.token_mixer)
        self.se = source.se
        self.channel_mixer = EngineMlp(source.channel_mixer)

    def forward(self, x: Tensor) -> Tensor:
        x = self.se(self.token_mixer(x))
        mixed: Tensor = x + self.channel_mixer(x)
        return mixed


class EngineDownsample(nn.Module):
    """As `RepVitDownsample`."""

    def __init__(self, source: RepVitDownsample) -> None:
        super().__init__()
        self.pre_block = EngineBlock(source.pre_block)
        self.spatial_downsample = fold_batch_norm(source.spatial_downsample)
        self.channel_downsample = fold_batch_norm(source.channel_downsample)
        self.ffn = EngineMlp(source.ffn)

    def forward(self, x: Tensor) -> Tensor:
        x = self.channel_downsample(self.spatial_downsample(self.pre_block(x)))
        mixed: Tensor = x + self.ffn(x)
        return mixed


class EngineStem(nn.Module):
    """As `RepVitStem`."""

    def __init__(self, source: RepVitStem) -> None:
        super().__init__()
        self.conv1, self.conv2 = fold_batch_norm(source.conv1), fold_batch_norm(source.conv2)

    def forward(self, image: Tensor) -> Tensor:
        cells: Tensor = self.conv2(F.gelu(self.conv1(image)))
        return cells


class EngineRepVit(nn.Module):
    """As `RepVit`."""

    def __init__(self, source: RepVit) -> None:
        super().__init__()
        self.stem = EngineStem(source.stem)
        self.stages = nn.ModuleList(_stage(stage) for stage in source.stages)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        cells, outputs = self.stem(image), []
        for stage in self.stages:
            cells = stage(cells)
            outputs.append(cells)
        return tuple(outputs)


def _stage(source: nn.Module) -> nn.Sequential:
    assert isinstance(source, RepVitStage)
    parts: list[nn.Module] = [EngineBlock(block) for block in source.blocks if isinstance(block, RepVitBlock)]
    if isinstance(source.downsample, RepVitDownsample):
        parts.insert(0, EngineDownsample(source.downsample))
    return nn.Sequential(*parts)


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
