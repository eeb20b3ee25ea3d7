"""Attention between a prompt's tokens and a picture's cells in the form that engines run; exact, but for rounding.

Cells are thousands and tokens a handful, so here the tokens are projected and the cells never are: a logit
q . (W_k x) is (W_k' q) . x, and values are averaged before they are projected. With T tokens and 8 heads that takes
8 T / 128 of the products, 0.44 for a box. Two biases are gone: that of k adds the same to every logit of a query, which
softmax ignores, and that of v, which attention passes through, lies in the bias that follows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from .engine_layers import linear
from .layers import Migration
from .transformer import Attention, MlpBlock, TwoWayTransformer

Decoder = TypeVar("Decoder", bound=nn.Module)


def with_engine_attention(decoder: Decoder) -> Decoder:
    """Return a copy of a mask decoder whose `transformer` attends as above; names stay."""
    engine = copy.deepcopy(decoder)
    transformer = engine.get_submodule("transformer")
    assert isinstance(transformer, TwoWayTransformer)
    for block in transformer.layers:
        block.cross_attn_token_to_image = TokensToCells(_attention(block, "cross_attn_token_to_image"))
        block.cross_attn_image_to_token = CellsToTokens(_attention(block, "cross_attn_image_to_token"))
    final = _attention(transformer, "final_attn_token_to_image")
    transformer.set_submodule("final_attn_token_to_image", TokensToCells(final))
    return engine


def _attention(module: nn.Module, name: str) -> Attention:
    found = module.get_submodule(name)
    assert isinstance(found, Attention)
    return found


class Heads(nn.Module):
    """Tokens apart by head, so that one product with a common weight serves all heads, and together again."""

    of_head: Tensor

    def __init__(self, heads: int, channels: int) -> None:
        super().__init__()
        self.heads = heads
        of_head = torch.eye(heads).repeat_interleave(channels // heads, dim=1)
        self.register_buffer("of_head", of_head.reshape(1, heads, 1, channels), persistent=False)

    def apart(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, heads * T, C], head by head; the channels of other heads are zero."""
        return (x.unsqueeze(1) * self.of_head).flatten(1, 2)

    def together(self, x: Tensor) -> Tensor:
        """[B, heads * T, C] -> [B, T, C], of each head its own channels."""
        by_head = x.reshape(x.shape[0], self.heads, -1, x.shape[-1])
        return (by_head * self.of_head).sum(1)


class TokensToCells(nn.Module):
    """Tokens ask, cells answer. queries [B, T, C]; keys, values [B, cells, C] -> [B, T, C]."""

    def __init__(self, source: Attention) -> None:
        super().__init__()
        scale, out = source.head_dim**-0.5, source.out_proj
        self.split = Heads(source.heads, source.heads * source.head_dim)
        self.q_proj = linear(source.q_proj.weight * scale, source.q_proj.bias * scale)
        self.k_proj = linear(source.k_proj.weight.T)
        self.v_proj = linear(source.v_proj.weight)
        self.out_proj = linear(out.weight, out.bias + out.weight @ source.v_proj.bias)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        sought = self.k_proj(self.split.apart(self.q_proj(queries)))
        found = torch.softmax(sought @ keys.transpose(1, 2), dim=-1) @ values
        answered: Tensor = self.out_proj(self.split.together(self.v_proj(found)))
        return answered


class CellsToTokens(nn.Module):
    """Cells ask, tokens answer. queries [B, cells, C]; keys, values [B, T, C] -> [B, cells, C]."""

    q_bias: Tensor

    def __init__(self, source: Attention) -> None:
        super().__init__()
        scale, out = source.head_dim**-0.5, source.out_proj
        self.split = Heads(source.heads, source.heads * source.head_dim)
        self.k_proj = linear(source.k_proj.weight * scale, source.k_proj.bias * scale)
        self.q_proj = linear(source.q_proj.weight.T)
        self.register_buffer("q_bias", source.q_proj.bias.detach().reshape(-1, 1), persistent=False)
        self.v_proj = linear(source.v_proj.weight, source.v_proj.bias)
        # The weights of each head sum to one, so each gives its share of the bias.
        self.out_proj = linear(out.weight, out.bias / source.heads)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        offered = self.split.apart(self.k_proj(keys))
        logits = queries @ self.q_proj(offered).transpose(1, 2) + (offered @ self.q_bias).transpose(1, 2)
        by_head = logits.reshape(*logits.shape[:2], self.split.heads, -1)
        answers = self.out_proj(self.split.apart(self.v_proj(values)))
        answered: Tensor = torch.softmax(by_head, dim=-1).flatten(2) @ answers
        return answered


def migrations(module: nn.Module) -> Iterator[Migration]:
    """Yield where a channel's scale can be moved in every attention and perceptron of a mask decoder below the module.

    Attention averages the channels of its values, and ReLU lets a positive scale through.
    """
    for name, part in module.named_modules():
        if isinstance(part, Attention | TokensToCells | CellsToTokens):
            yield Migration(f"{name}.v_proj", (f"{name}.out_proj",))
        elif isinstance(part, MlpBlock):
            yield Migration(f"{name}.lin1", (f"{name}.lin2",))
