"""What lets a prompt's tokens and a picture's cells look at each other, in every mask decoder.

Attribute names are upstream's (segment-anything `modeling/transformer.py`), so checkpoints load by name.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from .decoder_config import DecoderConfig


class Attention(nn.Module):
    """Multi-head attention with separate projections (upstream's `Attention`). [B, N, dim] -> [B, N, dim]."""

    def __init__(self, dim: int, heads: int, downsample: int = 1) -> None:
        super().__init__()
        inner = dim // downsample
        self.heads, self.head_dim = heads, inner // heads
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(dim, inner)
        self.v_proj = nn.Linear(dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = self._split(self.q_proj(query)), self._split(self.k_proj(key)), self._split(self.v_proj(value))
        attended = F.scaled_dot_product_attention(q, k, v).permute(0, 2, 1, 3)
        out: Tensor = self.out_proj(attended.flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, self.head_dim).permute(0, 2, 1, 3)


class MlpBlock(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(F.relu(self.lin1(x)))
        return out


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves, then to the image, and the image to the tokens."""

    def __init__(self, config: DecoderConfig, *, first: bool) -> None:
        super().__init__()
        dim, heads = config.dim, config.heads
        self.first = first
        self.self_attn = Attention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, heads, downsample=2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp: nn.Module = MlpBlock(dim, config.mlp_dim)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, heads, downsample=2)

    def forward(self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor) -> tuple[Tensor, Tensor]:
        """queries, query_pe [B, T, dim]; keys [B, cells, dim]; key_pe [1, cells, dim] -> new queries and keys."""
        queries = self.norm1(self._attend_self(queries, query_pe))
        keys_with_pe = keys + key_pe
        queries = queries + self.cross_attn_token_to_image(queries + query_pe, keys_with_pe, keys)
        queries = self.norm2(queries)
        queries = self.norm3(queries + self.mlp(queries))
        keys = keys + self.cross_attn_image_to_token(keys_with_pe, queries + query_pe, queries)
        return queries, self.norm4(keys)

    def _attend_self(self, queries: Tensor, query_pe: Tensor) -> Tensor:
        """The first block replaces the queries and leaves out their positions, as upstream does."""
        if self.first:
            replaced: Tensor = self.self_attn(queries, queries, queries)
            return replaced
        with_pe = queries + query_pe
        attended: Tensor = queries + self.self_attn(with_pe, with_pe, queries)
        return attended


class TwoWayTransformer(nn.Module):
    """`block`: makes a layer from the sizes and `first`; its calls are those of `TwoWayBlock`."""

    def __init__(self, config: DecoderConfig, block: Callable[..., nn.Module] = TwoWayBlock) -> None:
        super().__init__()
        self.layers = nn.ModuleList(block(config, first=index == 0) for index in range(config.depth))
        self.final_attn_token_to_image = Attention(config.dim, config.heads, downsample=2)
        self.norm_final_attn = nn.LayerNorm(config.dim)

    def forward(self, tokens: Tensor, image: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """tokens [B, T, dim], image [B, cells, dim], image_pe [1, cells, dim] -> both, attended."""
        queries, keys = tokens, image
        for layer in self.layers:
            queries, keys = layer(queries, keys, tokens, image_pe)
        queries = queries + self.final_attn_token_to_image(queries + tokens, keys + image_pe, keys)
        return self.norm_final_attn(queries), keys
