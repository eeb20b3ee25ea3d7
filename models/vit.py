"""ViT, the image encoder of SAM, SlimSAM and SAM-HQ, step by step as upstream computes it.

Attribute names are upstream's (segment-anything `modeling/image_encoder.py`), so a checkpoint loads by name. This is
the form that holds the weights and that the gate measures against; `vit_engine` makes the exported one from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import neck


@dataclass(frozen=True)
class VitConfig:
    """Sizes of one ViT. `global_blocks`: those that attend to the whole picture, the others within windows of cells.

    `attention_widths`, `mlp_widths`: of every block; a pruned model has its own, in the others attention is as wide
    as the embedding and the perceptron four times that.
    """

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    image_size: int = 1024
    patch_size: int = 16
    window_size: int = 14
    out_channels: int = 256
    attention_widths: tuple[int, ...] = ()
    mlp_widths: tuple[int, ...] = ()

    @property
    def embedding_size(self) -> int:
        """Side of the image embedding, in cells."""
        return self.image_size // self.patch_size

    def attention_width(self, block: int) -> int:
        return self.attention_widths[block] if self.attention_widths else self.width

    def mlp_width(self, block: int) -> int:
        return self.mlp_widths[block] if self.mlp_widths else 4 * self.width

    def span(self, block: int) -> int:
        """Side of the square of cells that the block attends within."""
        return self.embedding_size if block in self.global_blocks else self.window_size


class PatchEmbed(nn.Module):
    """image [1, 3, S, S] -> [1, S / patch, S / patch, C]."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch_size, config.patch_size)

    def forward(self, image: Tensor) -> Tensor:
        cells: Tensor = self.proj(image).permute(0, 2, 3, 1)
        return cells


def relative_offsets(span: int) -> Tensor:
    """Return which row of a table of positions each pair of places on one axis uses, [span, span] int64."""
    place = torch.arange(span)
    return place[:, None] - place[None, :] + span - 1


class Attention(nn.Module):
    """Self-attention in squares of cells, with learned positions per axis. x [squares, span, span, C] -> same.

    Every head alone: the bias of all heads together would take 0.8 GB on a picture of 64 x 64 cells.
    """

    def __init__(self, dim: int, width: int, heads: int, span: int) -> None:
        super().__init__()
        self.heads, self.head_dim, self.span = heads, width // heads, span
        self.qkv = nn.Linear(dim, 3 * width)
        self.proj = nn.Linear(width, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * span - 1, self.head_dim))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * span - 1, self.head_dim))

    def forward(self, x: Tensor) -> Tensor:
        squares, cells = x.shape[0], self.span**2
        qkv = self.qkv(x).reshape(squares, cells, 3 * self.heads, self.head_dim).permute(2, 0, 1, 3)
        query, key, value = qkv.split(self.heads)
        heads = [
            F.scaled_dot_product_attention(q, k, v, attn_mask=self._bias(q))
            for q, k, v in zip(query, key, value, strict=True)
        ]
        projected: Tensor = self.proj(torch.cat(heads, dim=-1).reshape(*x.shape[:3], -1))
        return projected

    def _bias(self, query: Tensor) -> Tensor:
        """query [squares, cells, head_dim] -> what each pair of cells adds to the logits, [squares, cells, cells]."""
        offsets, span = relative_offsets(self.span), self.span
        grid = query.reshape(-1, span, span, self.head_dim)
        rows = torch.einsum("byxc,ykc->byxk", grid, self.rel_pos_h[offsets])
        columns = torch.einsum("byxc,xkc->byxk", grid, self.rel_pos_w[offsets])
        return (rows[..., :, None] + columns[..., None, :]).reshape(-1, span**2, span**2)


class MlpBlock(nn.Module):
    """Two-layer perceptron over the last axis."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(F.gelu(self.lin1(x)))
        return out


class Block(nn.Module):
    """Attention and perceptron, each behind its norm. x [1, H, W, C] -> same."""

    def __init__(self, config: VitConfig, index: int) -> None:
        super().__init__()
        dim = config.width
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, config.attention_width(index), config.heads, config.span(index))
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MlpBlock(dim, config.mlp_width(index))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed

    def _attend(self, x: Tensor) -> Tensor:
        """Cells that fill up a window are zero after the norm and take part in attention, as upstream."""
        _, height, width, channels = x.shape
        span = self.attn.span
        padded = F.pad(x, (0, 0, 0, -width % span, 0, -height % span))
        down, right = padded.shape[1] // span, padded.shape[2] // span
        squares = padded.reshape(down, span, right, span, channels).permute(0, 2, 1, 3, 4)
        attended = self.attn(squares.reshape(-1, span, span, channels))
        grid = attended.reshape(down, right, span, span, channels).permute(0, 2, 1, 3, 4)
        whole: Tensor = grid.reshape(1, down * span, right * span, channels)[:, :height, :width]
        return whole


class Vit(nn.Module):
    """Image encoder. Takes a normalised picture.

    Shapes:
        image    [1, 3, S, S]      float32, normalised
        returns  [1, 256, E, E]    float32, E = `config.embedding_size`
    """

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.config = config
        side = config.embedding_size
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, config.width))
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.depth))
        self.neck = neck(config.width, config.out_channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image)[1]

    def stages(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the first block over the whole picture gives, [1, C, E, E], and the image embeddings."""
        x = self.patch_embed(image) + self.pos_embed
        early = x
        for index, block in enumerate(self.blocks):
            x = block(x)
            early = x if index == min(self.config.global_blocks) else early
        return early.permute(0, 3, 1, 2), self.neck(x.permute(0, 3, 1, 2))
