"""Hiera, the image encoder's trunk of SAM 2: windowed attention whose queries are pooled where a stage begins.

Attribute names are upstream's (facebookresearch/sam2 `modeling/backbones/hieradet.py`), so checkpoints load by name.
Written to be traced: nothing above rank 4, windows and pooled sides are numbers of the model, not of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Migration

NORM_EPS = 1e-6
MLP_RATIO = 4
PATCH_STRIDE = 4
POOL = 2


@dataclass(frozen=True)
class HieraConfig:
    """Sizes of the trunk. `image_size` in pixels; `stages`: blocks of each; `windows`: the sides of their windows.

    `global_blocks`: which blocks, counted through all stages, attend over the whole picture. `background`: the side of
    the coarse position table that is enlarged to the picture's cells.
    """

    image_size: int = 1024
    embed_dim: int = 96
    heads: int = 1
    stages: tuple[int, ...] = (1, 2, 7, 2)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    windows: tuple[int, ...] = (8, 4, 14, 7)
    background: int = 7

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each stage's output, finest first."""
        return tuple(self.embed_dim * 2**stage for stage in range(len(self.stages)))


@dataclass(frozen=True)
class BlockConfig:
    """One block. `window`: side of its windows before pooling, 0 for the whole picture; `side`: of its input."""

    dim: int
    dim_out: int
    heads: int
    side: int
    window: int
    pools: bool


def block_configs(config: HieraConfig) -> Iterator[BlockConfig]:
    """Yield every block. The first of a stage still has the windows of the stage before, and pools its queries."""
    side, index = config.image_size // PATCH_STRIDE, 0
    for stage, blocks in enumerate(config.stages):
        for place in range(blocks):
            first = stage > 0 and place == 0
            window = config.windows[stage - 1 if first else stage]
            yield BlockConfig(
                dim=config.channels[stage - 1 if first else stage],
                dim_out=config.channels[stage],
                heads=config.heads * 2**stage,
                side=side,
                window=0 if index in config.global_blocks else window,
                pools=first,
            )
            side, index = side // POOL if first else side, index + 1


class PatchEmbed(nn.Module):
    """image [1, 3, S, S] -> cells [1, S / 4, S / 4, C]."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, 7, PATCH_STRIDE, 3)

    def forward(self, image: Tensor) -> Tensor:
        cells: Tensor = self.proj(image).permute(0, 2, 3, 1)
        return cells


class HieraMlp(nn.Module):
    """Two linear layers with GELU between them (upstream's `MLP`)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList((nn.Linear(dim, MLP_RATIO * dim), nn.Linear(MLP_RATIO * dim, dim)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers[1](F.gelu(self.layers[0](x)))
        return out


def pooled(x: Tensor) -> Tensor:
    """Return the largest of every 2 x 2 cells. [B, H, W, C] -> [B, H / 2, W / 2, C]."""
    # The stride is said: Core ML's converter does not know its default.
    return F.max_pool2d(x.permute(0, 3, 1, 2), POOL, POOL).permute(0, 2, 3, 1)


class HieraAttention(nn.Module):
    """Attention among the cells of each window, with as many queries as are left after pooling."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.heads, self.pools = config.heads, config.pools
        self.qkv = nn.Linear(config.dim, 3 * config.dim_out)
        self.proj = nn.Linear(config.dim_out, config.dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """x [windows, side, side, dim] -> [windows, side', side', dim_out], side' = side / 2 if it pools."""
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        if self.pools:
            query = pooled(query)
        attended = F.scaled_dot_product_attention(self._split(query), self._split(key), self._split(value))
        projected: Tensor = self.proj(attended.permute(0, 2, 1, 3).reshape(query.shape))
        return projected

    def _split(self, x: Tensor) -> Tensor:
        """[windows, side, side, dim] -> [windows, heads, cells, dim / heads]."""
        windows, height, width, dim = x.shape
        return x.reshape(windows, height * width, self.heads, dim // self.heads).permute(0, 2, 1, 3)


class HieraBlock(nn.Module):
    """Attention and perceptron, each added to what it was made from. x [1, side, side, dim]."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.window, self.pools = config.window, config.pools
        self.norm1 = nn.LayerNorm(config.dim, NORM_EPS)
        self.attn = HieraAttention(config)
        self.norm2 = nn.LayerNorm(config.dim_out, NORM_EPS)
        self.mlp = HieraMlp(config.dim_out)
        if config.dim != config.dim_out:
            self.proj = nn.Linear(config.dim, config.dim_out)
        self.widens = config.dim != config.dim_out
        self.side = config.side
        self.side_out = config.side // POOL if config.pools else config.side

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = self._shortcut(x, normed) + self._attend(normed)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _shortcut(self, x: Tensor, normed: Tensor) -> Tensor:
        if not self.widens:
            return x
        return pooled(self.proj(normed)) if self.pools else self.proj(normed)

    def _attend(self, x: Tensor) -> Tensor:
        if not self.window:
            whole: Tensor = self.attn(x)
            return whole
        padding = -self.side % self.window
        windows = to_windows(F.pad(x, (0, 0, 0, padding, 0, padding)) if padding else x, self.window)
        # Padded cells take part in attention, as upstream: they are zero after the norm, not masked out.
        grid = from_windows(self.attn(windows), (self.side + padding) // self.window)
        return grid[:, : self.side_out, : self.side_out] if padding else grid


def to_windows(x: Tensor, window: int) -> Tensor:
    """[1, side, side, C] -> [windows, window, window, C]."""
    side, channels = x.shape[1], x.shape[-1]
    count = side // window
    rows = x.reshape(count, window, count, window * channels).permute(0, 2, 1, 3)
    return rows.reshape(count * count, window, window, channels)


def from_windows(windows: Tensor, count: int) -> Tensor:
    """[count², window, window, C] -> [1, count * window, count * window, C]."""
    window, channels = windows.shape[1], windows.shape[-1]
    rows = windows.reshape(count, count, window, window * channels).permute(0, 2, 1, 3)
    return rows.reshape(1, count * window, count * window, channels)


class Hiera(nn.Module):
    """image [1, 3, S, S] float32, normalised -> the output of each stage, [1, C, S / stride, S / stride].

    Strides are 4, 8, 16 and 32. `positions()` depends on nothing that a picture changes: an export stores it.
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.config = config
        self.side = config.image_size // PATCH_STRIDE
        self.patch_embed = PatchEmbed(config.embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.embed_dim, config.background, config.background))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, config.embed_dim, config.windows[0], config.windows[0]))
        self.blocks = nn.ModuleList(HieraBlock(block) for block in block_configs(config))
        self.stage_ends = tuple(end - 1 for end in accumulate(config.stages))

    def positions(self) -> Tensor:
        """Return what is added to every cell, [1, S / 4, S / 4, C]: a coarse table, enlarged, and one a window."""
        tiles = self.side // self.config.windows[0]
        background = F.interpolate(self.pos_embed, size=(self.side, self.side), mode="bicubic")
        return (background + self.pos_embed_window.tile(1, 1, tiles, tiles)).permute(0, 2, 3, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.stages(self.patch_embed(image) + self.positions())

    def stages(self, cells: Tensor) -> tuple[Tensor, ...]:
        """cells [1, S / 4, S / 4, C], with their positions."""
        outputs = []
        for index, block in enumerate(self.blocks):
            cells = block(cells)
            if index in self.stage_ends:
                outputs.append(cells.permute(0, 3, 1, 2))
        return tuple(outputs)


class EngineHiera(nn.Module):
    """A `Hiera` whose positions are one constant table. Shares the weights of its source."""

    table: Tensor

    def __init__(self, source: Hiera) -> None:
        super().__init__()
        self.trunk = source
        self.register_buffer("table", source.positions().detach(), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.trunk.stages(self.trunk.patch_embed(image) + self.table)


def migrations(module: nn.Module) -> Iterator[Migration]:
    """Yield, for every block below the module, where a channel's scale can be moved.

    The first norm of a block that widens also gives to its shortcut.
    """
    for name, part in module.named_modules():
        if isinstance(part, HieraBlock):
            shortcut = (f"{name}.proj",) if part.widens else ()
            yield Migration(f"{name}.norm1", (f"{name}.attn.qkv", *shortcut))
            yield Migration(f"{name}.norm2", (f"{name}.mlp.layers.0",))
