"""TinyViT, the image encoder of LiteMedSAM and MobileSAM, in a form that every exporter reads well.

Attribute names are upstream's, so a checkpoint loads by name (MobileSAM `mobile_sam/modeling/tiny_vit_sam.py`,
itself from Microsoft's TinyViT). Differences from upstream are exact: batch 1, nothing above rank 4, channels
last between convolutions, and the attention bias is looked up in its small table instead of stored expanded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .conv_norm import ConvBatchNorm
from .layers import neck

HEAD_DIM = 32


@dataclass(frozen=True)
class TinyVitConfig:
    """Sizes of one TinyViT. `patch_kernel`, `patch_stride`: of each of the two patch embedding convolutions."""

    image_size: int
    patch_kernel: int
    patch_stride: int
    embed_dims: tuple[int, int, int, int] = (64, 128, 160, 320)
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    window_sizes: tuple[int, int, int, int] = (7, 7, 14, 7)
    merge_strides: tuple[int, int, int] = (2, 2, 1)
    expand_ratio: int = 4
    out_channels: int = 256

    @property
    def embedding_size(self) -> int:
        """Side of the image embedding, in cells."""
        size = self.image_size // self.patch_stride**2
        for stride in self.merge_strides:
            size //= stride
        return size


class PatchEmbed(nn.Module):
    """Two convolutions. image [1, 3, S, S] -> [1, C, S / stride², S / stride²]."""

    def __init__(self, config: TinyVitConfig) -> None:
        super().__init__()
        width, kernel, stride = config.embed_dims[0], config.patch_kernel, config.patch_stride
        self.seq = nn.Sequential(
            ConvBatchNorm((3, width // 2), kernel, stride=stride),
            nn.GELU(),
            ConvBatchNorm((width // 2, width), kernel, stride=stride),
        )

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.seq(image)
        return features


class MBConv(nn.Module):
    """Inverted residual. x [1, C, H, W] -> same shape."""

    def __init__(self, dim: int, expand_ratio: int) -> None:
        super().__init__()
        hidden = dim * expand_ratio
        self.conv1 = ConvBatchNorm((dim, hidden), 1)
        self.conv2 = ConvBatchNorm((hidden, hidden), 3, groups=hidden)
        self.conv3 = ConvBatchNorm((hidden, dim), 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.conv1(x))
        hidden = F.gelu(self.conv2(hidden))
        return F.gelu(x + self.conv3(hidden))


class PatchMerging(nn.Module):
    """Widens and, with stride 2, halves. x [1, C, H, W] -> [1, C', H / stride, W / stride]."""

    def __init__(self, channels: tuple[int, int], stride: int) -> None:
        super().__init__()
        out = channels[1]
        self.conv1 = ConvBatchNorm(channels, 1)
        self.conv2 = ConvBatchNorm((out, out), 3, stride=stride, groups=out)
        self.conv3 = ConvBatchNorm((out, out), 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.conv1(x))
        merged: Tensor = self.conv3(F.gelu(self.conv2(x)))
        return merged


def attention_offsets(window: int) -> Tensor:
    """Return which column of `attention_biases` each pair of window cells uses. [window², window²] int64.

    Upstream numbers the offsets (|dy|, |dx|) in order of first appearance, which is row by row.
    """
    cell = torch.arange(window * window)
    row, column = cell // window, cell % window
    rows_apart = (row[:, None] - row[None, :]).abs()
    columns_apart = (column[:, None] - column[None, :]).abs()
    return rows_apart * window + columns_apart


class WindowAttention(nn.Module):
    """Self-attention in each window, with a learned bias per head and offset. x [windows, cells, C] -> same."""

    attention_bias_idxs: Tensor

    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.heads = dim // HEAD_DIM
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(self.heads, window * window))
        self.register_buffer("attention_bias_idxs", attention_offsets(window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        windows, cells, dim = x.shape
        qkv = self.qkv(self.norm(x)).reshape(windows, cells, self.heads, 3 * HEAD_DIM).permute(0, 2, 1, 3)
        query, key, value = qkv.split(HEAD_DIM, dim=-1)
        bias = self.attention_biases[:, self.attention_bias_idxs].unsqueeze(0)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        projected: Tensor = self.proj(attended.permute(0, 2, 1, 3).reshape(windows, cells, dim))
        return projected


class Mlp(nn.Module):
    """Pre-normalised two-layer perceptron over the last axis."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


def partition_windows(x: Tensor, window: int) -> Tensor:
    """Return [windows, window², C] from [1, H, W, C], H and W multiples of `window`, without leaving rank 4."""
    _, height, width, channels = x.shape
    rows = x.reshape(height // window, window, width // window, window * channels)
    return rows.permute(0, 2, 1, 3).reshape(-1, window * window, channels)


def merge_windows(windows: Tensor, window: int, size_hw: tuple[int, int]) -> Tensor:
    """Return [1, H, W, C], the inverse of `partition_windows`."""
    height, width = size_hw
    channels = windows.shape[-1]
    rows = windows.reshape(height // window, width // window, window, window * channels)
    return rows.permute(0, 2, 1, 3).reshape(1, height, width, channels)


class TinyVitBlock(nn.Module):
    """Windowed attention, depthwise convolution, perceptron. x [1, H, W, C] -> same."""

    def __init__(self, dim: int, window: int, expand_ratio: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(dim, window)
        self.mlp = Mlp(dim, dim * expand_ratio)
        self.local_conv = ConvBatchNorm((dim, dim), 3, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(x)
        convolved: Tensor = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        mixed: Tensor = convolved + self.mlp(convolved)
        return mixed

    def _attend(self, x: Tensor) -> Tensor:
        """Padded cells take part in attention, as upstream: they are zero before the norm, not masked out."""
        _, height, width, _ = x.shape
        down, right = -height % self.window, -width % self.window
        padded = F.pad(x, (0, 0, 0, right, 0, down)) if down or right else x
        attended: Tensor = self.attn(partition_windows(padded, self.window))
        merged = merge_windows(attended, self.window, (height + down, width + right))
        return merged[:, :height, :width] if down or right else merged


class ConvStage(nn.Module):
    """The first stage, of inverted residuals. x [1, C, H, W] -> [1, C', H', W']."""

    def __init__(self, blocks: Iterable[nn.Module], downsample: PatchMerging) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        merged: Tensor = self.downsample(x)
        return merged


class AttentionStage(nn.Module):
    """A stage of attention blocks. x [1, C, H, W] -> [1, C', H', W']."""

    def __init__(self, blocks: Iterable[nn.Module], downsample: PatchMerging | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        for block in self.blocks:
            x = block(x)
        x = x.permute(0, 3, 1, 2)
        if self.downsample is not None:
            x = self.downsample(x)
        return x


class TinyVit(nn.Module):
    """Image encoder. Takes a normalised picture.

    Shapes:
        image    [1, 3, S, S]      float32, normalised
        returns  [1, 256, S', S']  float32, S' = `config.embedding_size`
    """

    def __init__(self, config: TinyVitConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.layers = nn.ModuleList(_stage(config, index) for index in range(len(config.depths)))
        self.neck = neck(config.embed_dims[-1], config.out_channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image)[1]

    def stages(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the second stage gives, [1, C, E, E], and the image embeddings."""
        early = self.layers[1](self.layers[0](self.patch_embed(image)))
        x = early
        for stage in self.layers[2:]:
            x = stage(x)
        return early, self.neck(x)


def _stage(config: TinyVitConfig, index: int) -> ConvStage | AttentionStage:
    dim, ratio = config.embed_dims[index], config.expand_ratio
    last = index == len(config.depths) - 1
    merging = None if last else PatchMerging((dim, config.embed_dims[index + 1]), config.merge_strides[index])
    if index == 0:
        assert merging is not None
        return ConvStage((MBConv(dim, ratio) for _ in range(config.depths[0])), merging)
    blocks = (TinyVitBlock(dim, config.window_sizes[index], ratio) for _ in range(config.depths[index]))
    return AttentionStage(blocks, merging)
