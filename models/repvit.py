"""RepViT, a convolutional encoder whose parallel branches are one convolution each once it is trained.

Attribute names are timm's (huggingface/pytorch-image-models `timm/models/repvit.py`, `timm/layers/squeeze_excite.py`),
as `features_only` gives them, so checkpoints load by name. The authors' own (THU-MIG/RepViT `model/repvit.py`) differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from .conv_norm import ConvBatchNorm

SQUEEZE, SQUEEZE_DIVISOR = 4, 8


@dataclass(frozen=True)
class RepVitConfig:
    """Channels and blocks of each stage. Strides of the stages are 4, 8, 16 and 32.

    `point_norm`: whether the pointwise branch of a block has a batch norm of its own, as M1, M2 and M3 have; the later
    ones (M0.9 to M2.3) norm the sum of the branches.
    """

    image_size: int = 1024
    channels: tuple[int, ...] = (48, 96, 192, 384)
    depths: tuple[int, ...] = (2, 2, 14, 2)
    mlp_ratio: int = 2
    point_norm: bool = True


class RepVggDw(nn.Module):
    """Three depthwise branches, added: 3x3, 1x1 and the cells themselves. x [1, C, H, W] -> same."""

    def __init__(self, channels: int, *, point_norm: bool) -> None:
        super().__init__()
        self.conv = ConvBatchNorm((channels, channels), 3, groups=channels)
        self.conv1: nn.Module
        self.bn: nn.Module
        if point_norm:
            self.conv1, self.bn = ConvBatchNorm((channels, channels), 1, groups=channels), nn.Identity()
        else:
            self.conv1, self.bn = nn.Conv2d(channels, channels, 1, groups=channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.bn(self.conv(x) + self.conv1(x) + x)
        return mixed


class SqueezeExcite(nn.Module):
    """Scales each channel by what all channels are on average. x [1, C, H, W] -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = squeezed_channels(channels)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        scaled: Tensor = x * F.sigmoid(self.fc2(F.relu(self.fc1(mean))))
        return scaled


def squeezed_channels(channels: int) -> int:
    """Return a quarter, rounded to a multiple of 8, at least 8 (timm's `make_divisible`)."""
    return max(SQUEEZE_DIVISOR, int(channels / SQUEEZE + SQUEEZE_DIVISOR / 2) // SQUEEZE_DIVISOR * SQUEEZE_DIVISOR)


class RepVitMlp(nn.Module):
    """Two pointwise convolutions with GELU between them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = ConvBatchNorm((channels, hidden), 1)
        self.conv2 = ConvBatchNorm((hidden, channels), 1)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.conv2(F.gelu(self.conv1(x)))
        return mixed


class RepVitBlock(nn.Module):
    """Mixes cells, then channels. `excites`: whether a `SqueezeExcite` stands between."""

    def __init__(self, channels: int, config: RepVitConfig, *, excites: bool) -> None:
        super().__init__()
        self.token_mixer = RepVggDw(channels, point_norm=config.point_norm)
        self.se: nn.Module = SqueezeExcite(channels) if excites else nn.Identity()
        self.channel_mixer = RepVitMlp(channels, channels * config.mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = self.se(self.token_mixer(x))
        mixed: Tensor = x + self.channel_mixer(x)
        return mixed


class RepVitStem(nn.Module):
    """image [1, 3, S, S] -> [1, C, S / 4, S / 4]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBatchNorm((3, channels // 2), 3, stride=2)
        self.conv2 = ConvBatchNorm((channels // 2, channels), 3, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        cells: Tensor = self.conv2(F.gelu(self.conv1(image)))
        return cells


class RepVitDownsample(nn.Module):
    """[1, C, H, W] -> [1, C', H / 2, W / 2]."""

    def __init__(self, channels: int, widened: int, config: RepVitConfig) -> None:
        super().__init__()
        self.pre_block = RepVitBlock(channels, config, excites=False)
        self.spatial_downsample = ConvBatchNorm((channels, channels), 3, stride=2, groups=channels)
        self.channel_downsample = ConvBatchNorm((channels, widened), 1)
        self.ffn = RepVitMlp(widened, widened * config.mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = self.channel_downsample(self.spatial_downsample(self.pre_block(x)))
        mixed: Tensor = x + self.ffn(x)
        return mixed


class RepVitStage(nn.Module):
    """Every other block has a `SqueezeExcite`, beginning with the first."""

    def __init__(self, channels: int, widened: int, depth: int, config: RepVitConfig, *, downsamples: bool) -> None:
        super().__init__()
        self.downsample: nn.Module = RepVitDownsample(channels, widened, config) if downsamples else nn.Identity()
        self.blocks = nn.Sequential(*(RepVitBlock(widened, config, excites=index % 2 == 0) for index in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.blocks(self.downsample(x))
        return mixed


class RepVit(nn.Module):
    """image [1, 3, S, S] float32, normalised -> the output of each stage, finest first."""

    def __init__(self, config: RepVitConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = RepVitStem(config.channels[0])
        first = RepVitStage(config.channels[0], config.channels[0], config.depths[0], config, downsamples=False)
        later = [
            RepVitStage(*widths, depth, config, downsamples=True)
            for widths, depth in zip(pairwise(config.channels), config.depths[1:], strict=True)
        ]
        for index, stage in enumerate((first, *later)):
            self.add_module(f"stages_{index}", stage)

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        return tuple(self.get_submodule(f"stages_{index}") for index in range(len(self.config.channels)))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        cells, outputs = self.stem(image), []
        for stage in self.stages:
            cells = stage(cells)
            outputs.append(cells)
        return tuple(outputs)
