"""EfficientViT-L and -XL with the neck of EfficientViT-SAM: convolutions, linear attention, three maps added up.

Attribute names are upstream's, so a checkpoint loads by name (mit-han-lab/efficientvit, `efficientvit/models/`:
`nn/ops.py`, `efficientvit/backbone.py`, `efficientvit/sam.py`). Exact differences: the linear attention sums its
keys on their own instead of appending ones to its values, and bicubic upsampling is two matrices, since not every
engine has the op.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import BicubicUpsample, LayerNorm2d

BlockKind = Literal["res", "fmb", "mb", "att3", "att5"]
Then = Literal["norm", "bias", "nothing"]
# Upstream sets that of every norm when it makes a model (`sam_model_zoo.py`), the mask decoder's included.
NORM_EPS = 1e-6
ATTENTION_EPS = 1e-15
DOWNSAMPLE_EXPANSION = 4
NECK_STAGES = 3


@dataclass(frozen=True)
class EfficientVitConfig:
    """Sizes of backbone and neck; the tuples have one entry a stage, each of which halves the picture.

    `fewer_norms`: stages whose blocks have biases in place of all norms but the last. `head_depth`, `head_width`,
    `head_expansion`: of the neck's blocks.
    """

    image_size: int
    depths: tuple[int, ...]
    head_depth: int
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    blocks: tuple[BlockKind, ...] = ("res", "fmb", "fmb", "mb", "att5")
    expansions: tuple[int, ...] = (1, 4, 4, 4, 6)
    fewer_norms: tuple[bool, ...] = (False, False, False, True, True)
    head_dim: int = 32
    head_width: int = 256
    head_expansion: int = 1
    embedding_size: int = 64
    out_channels: int = 256

    def side(self, stage: int) -> int:
        """Return the side of a stage's map, in cells."""
        return self.image_size >> (stage + 1)


class ConvLayer(nn.Module):
    """Convolution, `then` a batch norm, a bias or nothing, GELU (upstream's tanh form) or none."""

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        then: Then = "norm",
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*channels, kernel, stride, padding=kernel // 2, groups=groups, bias=then == "bias")
        self.norm = nn.BatchNorm2d(channels[1], eps=NORM_EPS) if then == "norm" else nn.Identity()
        self.act = nn.GELU(approximate="tanh") if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out


class Residual(nn.Module):
    def __init__(self, main: nn.Module) -> None:
        super().__init__()
        self.main = main

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.main(x)
        return out


class LinearAttention(nn.Module):
    """ReLU linear attention. Sums over all cells, and divides by what may be as little as 1e-15: stays fp32."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim

    def forward(self, qkv: Tensor) -> Tensor:
        """[1, heads * 3 * head_dim, H, W], head by head -> [1, heads * head_dim, H, W]."""
        _, channels, height, width = qkv.shape
        heads = channels // (3 * self.head_dim)
        triple = qkv.reshape(1, heads, 3 * self.head_dim, height * width)
        query, key, value = torch.split(triple, self.head_dim, dim=2)
        query, key = F.relu(query), F.relu(key).transpose(2, 3)
        weighted = (value @ key) @ query
        total = key.sum(2, keepdim=True) @ query
        attended = weighted / (total + ATTENTION_EPS)
        return attended.reshape(1, heads * self.head_dim, height, width)


class LiteMla(nn.Module):
    """Linear attention on the map itself and on its neighbourhoods of `scale` cells. x [1, C, H, W] -> same."""

    def __init__(self, channels: int, head_dim: int, scale: int) -> None:
        super().__init__()
        triple = 3 * channels
        self.qkv = ConvLayer((channels, triple), 1, then="nothing", act=False)
        around = nn.Conv2d(triple, triple, scale, padding=scale // 2, groups=triple, bias=False)
        mixed = nn.Conv2d(triple, triple, 1, groups=triple // head_dim, bias=False)
        self.aggreg = nn.ModuleList((nn.Sequential(around, mixed),))
        self.attend = LinearAttention(head_dim)
        self.proj = ConvLayer((2 * channels, channels), 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x)
        scales = torch.cat([qkv, *(aggregate(qkv) for aggregate in self.aggreg)], dim=1)
        out: Tensor = self.proj(self.attend(scales))
        return out


class EfficientVit(nn.Module):
    """The backbone. image [1, 3, S, S] float32, normalised -> the map of every stage, the first S / 2 a side."""

    def __init__(self, config: EfficientVitConfig) -> None:
        super().__init__()
        self.stages = nn.ModuleList(_stage(config, index) for index in range(len(config.widths)))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(maps[-1] if maps else image))
        return maps


class SamNeck(nn.Module):
    """The last three maps, deepest first, brought to one width and size and added up; then blocks. -> [1, C, E, E]."""

    def __init__(self, config: EfficientVitConfig) -> None:
        super().__init__()
        width, last = config.head_width, len(config.widths) - 1
        self.input_ops = nn.ModuleList(_neck_input(config, last - index) for index in range(NECK_STAGES))
        blocks = (_block("fmb", (width, width), 1, config.head_expansion, False) for _ in range(config.head_depth))
        self.middle = _chain(Residual(block) for block in blocks)
        out = ConvLayer((width, config.out_channels), 1, then="bias", act=False)
        self.output_ops = nn.ModuleList((_chain((out,)),))

    def forward(self, maps: list[Tensor]) -> Tensor:
        last_maps = reversed(maps[-NECK_STAGES:])
        deepest, middle, shallow = (op(one) for op, one in zip(self.input_ops, last_maps, strict=True))
        out: Tensor = self.output_ops[0](self.middle(deepest + (middle + shallow)))
        return out


class EfficientVitEncoder(nn.Module):
    """Image encoder. image [1, 3, S, S] float32, normalised -> image_embeddings [1, out_channels, E, E]."""

    def __init__(self, config: EfficientVitConfig) -> None:
        super().__init__()
        self.backbone = EfficientVit(config)
        self.neck = SamNeck(config)
        self.norm = LayerNorm2d(config.out_channels, NORM_EPS)

    def forward(self, image: Tensor) -> Tensor:
        embeddings: Tensor = self.norm(self.neck(self.backbone(image)))
        return embeddings


def _stage(config: EfficientVitConfig, index: int) -> nn.Module:
    kind, width, fewer = config.blocks[index], config.widths[index], config.fewer_norms[index]
    expansion, rest = config.expansions[index], range(config.depths[index])
    if index == 0:
        first: nn.Module = ConvLayer((3, width), 3, stride=2)
    else:
        downsampling: BlockKind = kind if kind in ("mb", "fmb") else "mb"
        channels = (config.widths[index - 1], width)
        first = _named(main=_block(downsampling, channels, 2, expansion * DOWNSAMPLE_EXPANSION, fewer))
    if kind in ("att3", "att5"):
        scale = 3 if kind == "att3" else 5
        return _chain((first, *(_attention_block(config, width, expansion, scale) for _ in rest)))
    return _chain((first, *(Residual(_block(kind, (width, width), 1, expansion, fewer)) for _ in rest)))


def _attention_block(config: EfficientVitConfig, width: int, expansion: int, scale: int) -> nn.Module:
    context, local = LiteMla(width, config.head_dim, scale), _block("mb", (width, width), 1, expansion, True)
    return _named(context_module=Residual(context), local_module=Residual(local))


def _block(kind: BlockKind, channels: tuple[int, int], stride: int, expansion: int, fewer: bool) -> nn.Module:
    """Return upstream's `ResBlock`, `FusedMBConv` or `MBConv`. `fewer`: biases in place of all norms but the last."""
    before, after = channels
    mid = before * expansion
    then: Then = "bias" if fewer else "norm"
    if kind == "mb":
        return _named(
            inverted_conv=ConvLayer((before, mid), 1, then=then),
            depth_conv=ConvLayer((mid, mid), 3, stride=stride, groups=mid, then=then),
            point_conv=ConvLayer((mid, after), 1, act=False),
        )
    wide = ConvLayer((before, mid), 3, stride=stride, then=then)
    if kind == "res":
        return _named(conv1=wide, conv2=ConvLayer((mid, after), 3, act=False))
    return _named(spatial_conv=wide, point_conv=ConvLayer((mid, after), 1, act=False))


def _neck_input(config: EfficientVitConfig, stage: int) -> nn.Module:
    narrowing = ConvLayer((config.widths[stage], config.head_width), 1, act=False)
    side = config.side(stage)
    same = side == config.embedding_size
    return _chain((narrowing, nn.Identity() if same else BicubicUpsample(side, config.embedding_size)))


def _chain(parts: Iterable[nn.Module]) -> nn.Sequential:
    """Modules one after the other under upstream's `op_list`."""
    return _named(op_list=nn.Sequential(*parts))


def _named(**parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(parts))
