"""ViT in the form that engines run, made from a loaded `Vit`; exact, but for the rounding of fp32.

What differs:
- the learned positions are further channels of queries and keys, so that one fused attention does it all and no engine
  holds the bias of every pair of cells (0.8 GB in SAM's smallest model): a query's logit for the key in row i gets
  q . rel_pos_h[i], which is the product of the channels [q . rel_pos_h[0], q . rel_pos_h[1], ...] of the query with the
  channels that are 1 at i and else 0 of the key; columns likewise;
- q, k and v are projections of their own, k and v in the memory of the loaded one; the scale of q lies in its weights,
  and two biases are gone: that of k adds the same to every logit of a query, which softmax ignores, and that of v adds
  itself to every output, so it lies in the bias that follows;
- a picture's cells are [1, side², C], and nothing is above rank 4.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .engine_layers import EngineNeck, Windows, linear, to_cells, to_grid
from .layers import Migration
from .vit import Attention, Block, Vit, relative_offsets


class EngineVit(nn.Module):
    """Image encoder. image [1, 3, S, S] float32, normalised -> [1, 256, E, E], as `Vit`."""

    def __init__(self, source: Vit) -> None:
        super().__init__()
        side = source.config.embedding_size
        self.first_global = min(source.config.global_blocks)
        self.proj = source.patch_embed.proj
        self.pos_embed = nn.Parameter(source.pos_embed.flatten(1, 2), requires_grad=False)
        blocks = (block for block in source.blocks if isinstance(block, Block))
        self.blocks = nn.ModuleList(EngineBlock(block, side) for block in blocks)
        self.neck = EngineNeck(source.neck, side)

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image)[1]

    def stages(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the first block over the whole picture gives, [1, C, E, E], and the image embeddings."""
        x = to_cells(self.proj(image)) + self.pos_embed
        early = x
        for index, block in enumerate(self.blocks):
            x = block(x)
            early = x if index == self.first_global else early
        return to_grid(early, self.neck.side), self.neck(x)


class EngineAttention(nn.Module):
    """Self-attention in squares of span² cells. x [1, side², C] -> same.

    What fills up a square is zero after the norm and takes part, as upstream, but is left out before the last
    projection.
    """

    offsets: Tensor
    places: Tensor

    def __init__(self, source: Attention, side: int) -> None:
        super().__init__()
        self.windows = None if source.span == side else Windows(side, source.span)
        self.heads, self.span, self.head_dim = source.heads, source.span, source.head_dim
        weights, biases = source.qkv.weight.chunk(3), source.qkv.bias.chunk(3)
        scale = self.head_dim**-0.5
        self.q = linear(weights[0] * scale, biases[0] * scale)
        self.k = linear(weights[1])
        self.v = linear(weights[2])
        self.proj = linear(source.proj.weight, source.proj.bias + source.proj.weight @ biases[2])
        # Queries come scaled; their products with these tables must not be.
        self.rel_pos_h = nn.Parameter(source.rel_pos_h.detach() / scale, requires_grad=False)
        self.rel_pos_w = nn.Parameter(source.rel_pos_w.detach() / scale, requires_grad=False)
        self.register_buffer("offsets", relative_offsets(self.span), persistent=False)
        self.register_buffer("places", place_channels(self.span), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.windows is not None:
            x = self.windows.partition(x)
        query, key, value = (self._split(projection(x)) for projection in (self.q, self.k, self.v))
        # Repeated, not expanded: Core ML's converter loses the static sizes of an expanded tensor.
        places = self.places.repeat(x.shape[0], self.heads, 1, 1)
        query = torch.cat((query, self._positions(query)), dim=-1)
        key = torch.cat((key, places), dim=-1)
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        joined = attended.permute(0, 2, 1, 3).flatten(2)
        projected: Tensor = self.proj(joined if self.windows is None else self.windows.merge(joined))
        return projected

    def _positions(self, query: Tensor) -> Tensor:
        """query [squares, heads, span², head_dim] -> its logit for every row, then for every column, [..., 2 span]."""
        span = self.span
        grid = query.reshape(-1, span, span, self.head_dim)
        rows = grid @ self.rel_pos_h[self.offsets].transpose(1, 2)
        columns = (grid.transpose(1, 2) @ self.rel_pos_w[self.offsets].transpose(1, 2)).transpose(1, 2)
        return torch.cat((rows, columns), dim=-1).reshape(-1, self.heads, span**2, 2 * span)

    def _split(self, x: Tensor) -> Tensor:
        """[squares, span², C] -> [squares, heads, span², head_dim]."""
        return x.reshape(-1, self.span**2, self.heads, self.head_dim).permute(0, 2, 1, 3)


class EngineBlock(nn.Module):
    """Attention and perceptron, each behind its norm. x [1, side², C] -> same."""

    def __init__(self, source: Block, side: int) -> None:
        super().__init__()
        self.norm1 = source.norm1
        self.attn = EngineAttention(source.attn, side)
        self.norm2 = source.norm2
        self.mlp = source.mlp

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


def place_channels(span: int) -> Tensor:
    """Return for every cell of a square, row by row, 1 at its row and 1 at its column, [1, 1, span², 2 span]."""
    unit = torch.eye(span)
    rows, columns = unit.repeat_interleave(span, dim=0), unit.repeat(span, 1)
    return torch.cat((rows, columns), dim=-1)[None, None]


def migrations(module: nn.Module) -> Iterator[Migration]:
    """Yield, for every block below the module, where a channel's scale can be moved."""
    for name, block in module.named_modules():
        if isinstance(block, EngineBlock):
            yield Migration(f"{name}.norm1", tuple(f"{name}.attn.{part}" for part in ("q", "k", "v")))
            yield Migration(f"{name}.attn.v", (f"{name}.attn.proj",))
            yield Migration(f"{name}.norm2", (f"{name}.mlp.lin1",))
