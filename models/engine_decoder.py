"""SAM's prompt encoder and mask decoder in the form that engines run; exact, but for the rounding of fp32.

What differs:
- attention between tokens and cells projects the tokens alone (`engine_attention`);
- cells are [B, E², C] throughout, and the pixels of a cell lie side by side as long as they have channels: so
  transposed convolutions are linear layers, and only masks, one number a pixel, are put in their places. Masks that
  are given take the same way in the other direction;
- nothing is above rank 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .engine_attention import with_engine_attention
from .engine_layers import channels_last_norm, linear
from .layers import LayerNorm2d
from .sam import MaskDecoder, PromptEncoder, before_prompts


class EnginePromptEncoder(PromptEncoder):
    """Embeds points, as its source does, and masks cell by cell. `side`: of the image embeddings."""

    def __init__(self, source: PromptEncoder, side: int) -> None:
        nn.Module.__init__(self)
        self.side = side
        self.pe_layer, self.no_mask_embed = source.pe_layer, source.no_mask_embed
        self.point_embeddings, self.not_a_point_embed = source.point_embeddings, source.not_a_point_embed
        self.mask_downscaling = _cell_by_cell(source.mask_downscaling)

    def embed_cells(self, mask_input: Tensor, has_mask_input: Tensor) -> Tensor:
        """Return what `embed_masks` does, [B, E², dim]."""
        present = (has_mask_input > 0.5).reshape(-1, 1, 1)
        cells = self.side**2
        fine = self.mask_downscaling[:3](out_of_place(mask_input, self.side).reshape(-1, 4 * cells, 4))
        coarse = self.mask_downscaling[3:](fine.reshape(-1, cells, 4 * fine.shape[-1]))
        return torch.where(present, coarse, self.no_mask_embed.weight)


class EngineMaskDecoder(nn.Module):
    """All masks and their predicted IoU from cells; attributes are named as in `MaskDecoder`."""

    def __init__(self, source: MaskDecoder) -> None:
        super().__init__()
        self.masks, self.embedding_size = source.masks, source.embedding_size
        engine = with_engine_attention(source)
        self.transformer = engine.transformer
        self.iou_token, self.mask_tokens = engine.iou_token, engine.mask_tokens
        self.output_upscaling = _cell_by_cell(engine.output_upscaling)
        self.output_hypernetworks_mlps = engine.output_hypernetworks_mlps
        self.iou_prediction_head = engine.iou_prediction_head

    def forward(self, cells: Tensor, image_pe: Tensor, sparse: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of all masks, single-mask token first, and their predicted IoUs.

        Shapes:
            cells     [B, E * E, dim]   image_embeddings and embedded masks
            image_pe  [1, E * E, dim]   position of every cell
            sparse    [B, N, dim]       embedded points
            returns   [B, M, 4E, 4E] low_res_masks, [B, M] iou_predictions
        """
        tokens = before_prompts(sparse, self.iou_token.weight, self.mask_tokens.weight)
        tokens, cells = self.transformer(tokens, cells, image_pe)
        return self._masks(tokens, self._pixels(cells)), self.iou_prediction_head(tokens[:, 0])

    def _pixels(self, cells: Tensor) -> Tensor:
        """[B, E², dim] -> [B, 16 E², dim / 8]."""
        count, dim = self.embedding_size**2, cells.shape[-1]
        finer = self.output_upscaling[0](cells).reshape(-1, 4 * count, dim // 4)
        finest: Tensor = self.output_upscaling[1:](finer)
        return finest.reshape(-1, 16 * count, dim // 8)

    def _masks(self, tokens: Tensor, pixels: Tensor) -> Tensor:
        """tokens [B, 1 + M + N, dim], pixels [B, 16 E², dim / 8] -> [B, M, 4E, 4E]."""
        weights = [mlp(tokens[:, 1 + index]) for index, mlp in enumerate(self.output_hypernetworks_mlps)]
        masks = torch.stack(weights, dim=1) @ pixels.transpose(1, 2)
        side = 4 * self.embedding_size
        return in_place(masks, self.embedding_size).reshape(-1, self.masks, side, side)


def in_place(masks: Tensor, side: int) -> Tensor:
    """Put pixels in rows and columns that come cell by cell, each cell's as [row, column, finer row, finer column].

    [..., 16 side²] -> [..., 2, 2 side, 2]: a picture's pixels row by row.
    """
    rows = masks.reshape(-1, side, 2, 8).transpose(1, 2)
    return rows.reshape(-1, 2 * side, 2, 2).transpose(1, 2)


def out_of_place(masks: Tensor, side: int) -> Tensor:
    """Undo `in_place`: pixels row by row -> cell by cell, [..., side, 2, 8]."""
    rows = masks.reshape(-1, 2, 2 * side, 2).transpose(1, 2)
    return rows.reshape(-1, 2, side, 8).transpose(1, 2)


def _cell_by_cell(source: nn.Sequential) -> nn.Sequential:
    """Return convolutions that halve or double the resolution, or do neither, and norms between them, over one axis."""
    return nn.Sequential(*(_over_channels(layer) for layer in source))


def _over_channels(layer: nn.Module) -> nn.Module:
    match layer:
        case nn.ConvTranspose2d():
            spread = layer.weight.permute(2, 3, 1, 0)
            assert layer.bias is not None
            return linear(spread, layer.bias.repeat(spread.shape[0] * spread.shape[1]))
        case nn.Conv2d():
            return linear(layer.weight.permute(0, 2, 3, 1).flatten(1), layer.bias)
        case LayerNorm2d():
            return channels_last_norm(layer)
    return layer
