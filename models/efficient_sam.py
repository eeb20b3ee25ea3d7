"""EfficientSAM: a plain ViT with global attention, and a decoder of its own that always sees six points.

Source: yformer/EfficientSAM, `efficient_sam/efficient_sam.py`, `efficient_sam_encoder.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .components import Component, ImageEncoderComponent, image_encoder, mask_decoder
from .contracts import decoder_contract, encoder_contract
from .efficient_sam_decoder import (
    EfficientMaskDecoder,
    EfficientMaskDecoderComponent,
    EfficientPromptEncoder,
    sam_form,
)
from .layers import Migration, neck
from .plain import Features, PlainModel
from .variants import Variant

NORM_EPS = 1e-6


@dataclass(frozen=True)
class EfficientSamConfig:
    """Sizes of the ViT. `table_size`: side of the position table, in cells, without its class token."""

    image_size: int
    dim: int
    heads: int
    depth: int = 12
    patch_size: int = 16
    mlp_ratio: int = 4
    table_size: int = 14
    out_channels: int = 256

    @property
    def embedding_size(self) -> int:
        """Side of the image embedding, in cells."""
        return self.image_size // self.patch_size


class PatchEmbed(nn.Module):
    """image [1, 3, S, S] -> [1, dim, E, E]."""

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.dim, config.patch_size, config.patch_size)

    def forward(self, image: Tensor) -> Tensor:
        patches: Tensor = self.proj(image)
        return patches


class Attention(nn.Module):
    """Global self-attention. x [1, cells, dim] -> same."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        # Split before the heads are: upstream's [1, cells, 3, heads, head_dim] would be of rank 5.
        query, key, value = (self._split(part) for part in self.qkv(x).chunk(3, dim=-1))
        attended = F.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(attended.permute(0, 2, 1, 3).reshape(x.shape))
        return projected

    def _split(self, x: Tensor) -> Tensor:
        _, cells, dim = x.shape
        return x.reshape(1, cells, self.heads, dim // self.heads).permute(0, 2, 1, 3)


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Attention, then perceptron, each normalised before and added. x [1, cells, dim] -> same."""

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, eps=NORM_EPS)
        self.attn = Attention(config.dim, config.heads)
        self.norm2 = nn.LayerNorm(config.dim, eps=NORM_EPS)
        self.mlp = Mlp(config.dim, config.dim * config.mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class EfficientVit(nn.Module):
    """Image encoder. image [1, 3, S, S] float32, normalised -> image_embeddings [1, out_channels, E, E]."""

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.table_size**2 + 1, config.dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.neck = neck(config.dim, config.out_channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.encode(image, self.positions())

    def positions(self) -> Tensor:
        """Return the position table stretched to the embedding's cells, [1, cells, dim]; the class token has no cell.

        Source: `get_abs_pos`: bicubic, half-pixel centres.
        """
        side, size = self.config.table_size, self.config.embedding_size
        table = self.pos_embed[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        stretched = F.interpolate(table, size=(size, size), mode="bicubic", align_corners=False)
        return stretched.flatten(2).permute(0, 2, 1)

    def encode(self, image: Tensor, positions: Tensor) -> Tensor:
        """Return the embeddings; `positions` as `positions()` gives them."""
        size = self.config.embedding_size
        x = self.patch_embed(image).flatten(2).permute(0, 2, 1) + positions
        for block in self.blocks:
            x = block(x)
        grid = x.permute(0, 2, 1).reshape(1, self.config.dim, size, size)
        embeddings: Tensor = self.neck(grid)
        return embeddings


class FixedPositions(nn.Module):
    """The image encoder with its stretched position table stored, so that no graph stretches it anew."""

    table: Tensor

    def __init__(self, encoder: EfficientVit) -> None:
        super().__init__()
        self.vit = encoder
        self.register_buffer("table", encoder.positions().detach())

    def forward(self, image: Tensor) -> Tensor:
        return self.vit.encode(image, self.table)


class EfficientSam(nn.Module):
    """The three parts under upstream's names; holds weights, computes nothing itself."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        assert isinstance(variant.encoder, EfficientSamConfig)
        self.image_encoder = EfficientVit(variant.encoder)
        self.prompt_encoder = EfficientPromptEncoder(variant.decoder)
        self.mask_decoder = EfficientMaskDecoder(variant.decoder)


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, EfficientSam)
    encoder = ImageEncoderComponent(FixedPositions(module.image_encoder), variant.preprocessing.normalisation)
    decoder = EfficientMaskDecoderComponent(module.prompt_encoder, module.mask_decoder)
    positions = ("point_positions", "cell_positions")
    return (
        image_encoder(encoder, encoder_contract(variant), _migrations),
        mask_decoder(decoder, decoder_contract(variant), (*positions, *decoder.wide_norms())),
    )


def plain(module: nn.Module) -> PlainModel:
    """Return upstream's steps. EfficientSAM embeds no masks: the dense embeddings have no part in them."""
    assert isinstance(module, EfficientSam)

    def encode(image: Tensor) -> Features:
        return {"image_embeddings": module.image_encoder(image)}

    def decode(features: Features, image_pe: Tensor, sparse: Tensor, _dense: Tensor) -> tuple[Tensor, Tensor]:
        low_res_masks, iou_predictions = module.mask_decoder(features["image_embeddings"], image_pe, sparse)
        return low_res_masks, iou_predictions

    return PlainModel(sam_form(module.prompt_encoder), encode, decode)


def _migrations(module: nn.Module) -> Iterator[Migration]:
    for name, block in module.named_modules():
        if isinstance(block, Block):
            yield Migration(f"{name}.norm1", (f"{name}.attn.qkv",))
            yield Migration(f"{name}.norm2", (f"{name}.mlp.fc1",))
