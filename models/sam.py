"""SAM's prompt encoder and mask decoder, shared by every family of the first generation.

Attribute names are upstream's (segment-anything `modeling/prompt_encoder.py`, `mask_decoder.py`), so checkpoints load
by name. Written to be traced: labels by comparison instead of indexing, no data-dependent shapes, one image embedding
broadcast over B prompts, all four masks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .decoder_config import DecoderConfig
from .layers import LayerNorm2d, Mlp
from .transformer import TwoWayTransformer


class PositionEncoding(nn.Module):
    """Random Fourier features of a position (upstream's `PositionEmbeddingRandom`).

    The phases reach tens of radians: everything here stays fp32, also in an fp16 graph.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.frame_size = config.frame_size
        self.embedding_size = config.embedding_size
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, config.dim // 2))

    def forward(self, point_coords: Tensor) -> Tensor:
        """Return the encoding of points. [B, N, 2] pixels in the prompt frame -> [B, N, dim]."""
        unit = (point_coords + 0.5) / self.frame_size
        phases = self._phases(unit)
        return torch.cat((torch.sin(phases), torch.cos(phases)), dim=-1)

    def dense(self) -> Tensor:
        """Return the encoding of every embedding cell's centre. [1, cells, dim], row by row.

        Computed from one row and one column by the angle sum (sin(x+y) = sin x cos y + cos x sin y), so
        that a graph can hold two small tables instead of the expanded one.
        """
        centres = (torch.arange(self.embedding_size) + 0.5) / self.embedding_size
        x, y = self._axis_phases(centres)
        sin = torch.sin(x) * torch.cos(y) + torch.cos(x) * torch.sin(y)
        cos = torch.cos(x) * torch.cos(y) - torch.sin(x) * torch.sin(y)
        return torch.cat((sin, cos), dim=-1).reshape(1, self.embedding_size**2, -1)

    def _phases(self, unit: Tensor) -> Tensor:
        return 2 * math.pi * ((2 * unit - 1) @ self.positional_encoding_gaussian_matrix)

    def _axis_phases(self, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Return the phase that x adds, [1, size, dim / 2], and the one that y adds, [size, 1, dim / 2]."""
        phases = 2 * math.pi * (2 * centres - 1)[:, None, None] * self.positional_encoding_gaussian_matrix
        return phases[:, 0].unsqueeze(0), phases[:, 1].unsqueeze(1)


class PromptEncoder(nn.Module):
    """Embeds points, boxes (as two labelled points) and masks."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        dim, channels = config.dim, config.mask_channels
        self.pe_layer = PositionEncoding(config)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, channels // 4, 2, 2),
            LayerNorm2d(channels // 4),
            nn.GELU(),
            nn.Conv2d(channels // 4, channels, 2, 2),
            LayerNorm2d(channels),
            nn.GELU(),
            nn.Conv2d(channels, dim, 1),
        )
        self.no_mask_embed = nn.Embedding(1, dim)

    def embed_points(self, point_coords: Tensor, point_labels: Tensor) -> Tensor:
        """Return sparse prompt embeddings; a padding point has no position, only `not_a_point_embed`.

        Shapes:
            point_coords  [B, N, 2]    float32, (x, y) pixels in the prompt frame
            point_labels  [B, N]       float32, a `PointLabel` code
            returns       [B, N, dim]  float32
        """
        labels = point_labels.unsqueeze(-1)
        encoding = self.pe_layer(point_coords).to(self.no_mask_embed.weight.dtype)
        embedded: Tensor = encoding * (labels != -1)
        for code, table in enumerate((self.not_a_point_embed, *self.point_embeddings), start=-1):
            embedded = embedded + table.weight * (labels == code)
        return embedded

    def embed_masks(self, mask_input: Tensor, has_mask_input: Tensor) -> Tensor:
        """Return dense prompt embeddings.

        Shapes:
            mask_input      [B, 1, M, M]    float32, low-res logits of an earlier mask
            has_mask_input  [B]             float32, 0 or 1
            returns         [B, dim, E, E]  float32, E = M / 4
        """
        present = (has_mask_input > 0.5).reshape(-1, 1, 1, 1)
        no_mask = self.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return torch.where(present, self.mask_downscaling(mask_input), no_mask)


def before_prompts(sparse: Tensor, *tables: Tensor) -> Tensor:
    """Return the learned tokens, [T, dim] a table, before those of every prompt. sparse [B, N, dim]."""
    learned = torch.cat(tables).unsqueeze(0)
    # Repeated, not expanded: Core ML's converter loses the static sizes of an expanded tensor.
    return torch.cat((learned.repeat(sparse.shape[0], 1, 1), sparse), dim=1)


def masks_of(mlps: nn.ModuleList, tokens: Tensor, upscaled: Tensor, side: int) -> Tensor:
    """tokens [B, 1 + M + N, dim], upscaled [B, C, side, side] -> masks [B, M, side, side], one a perceptron."""
    weights = [mlp(tokens[:, 1 + index]) for index, mlp in enumerate(mlps)]
    return (torch.stack(weights, dim=1) @ upscaled.flatten(2)).reshape(-1, len(weights), side, side)


class MaskDecoder(nn.Module):
    """All masks and their predicted IoU from image and prompt embeddings (upstream's `predict_masks`)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        dim, masks = config.dim, config.multimask_outputs + 1
        self.masks, self.embedding_size = masks, config.embedding_size
        self.transformer = TwoWayTransformer(config)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(masks, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, 2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(Mlp((dim, dim, dim, dim // 8)) for _ in range(masks))
        self.iou_prediction_head = Mlp((dim, dim, dim, masks))

    def forward(self, image: Tensor, image_pe: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of all masks, single-mask token first, and their predicted IoUs.

        Shapes:
            image     [1, dim, E, E]    image_embeddings
            image_pe  [1, E * E, dim]   position of every cell
            sparse    [B, N, dim]       embedded points
            dense     [B, dim, E, E]    embedded masks
            returns   [B, M, 4E, 4E] low_res_masks, [B, M] iou_predictions
        """
        tokens, grid = self._attended(image, image_pe, sparse, dense)
        return self._masks(tokens, self.output_upscaling(grid)), self.iou_prediction_head(tokens[:, 0])

    def _attended(self, image: Tensor, image_pe: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens [B, T, dim] and cells [B, dim, E, E] that have looked at each other."""
        cells = (image + dense).flatten(2).permute(0, 2, 1)
        tokens, cells = self.transformer(self._tokens(sparse), cells, image_pe)
        side = self.embedding_size
        return tokens, cells.permute(0, 2, 1).reshape(-1, cells.shape[-1], side, side)

    def _tokens(self, sparse: Tensor) -> Tensor:
        return before_prompts(sparse, self.iou_token.weight, self.mask_tokens.weight)

    def _masks(self, tokens: Tensor, upscaled: Tensor) -> Tensor:
        """tokens [B, 1 + M + N, dim], upscaled [B, dim / 8, 4E, 4E] -> [B, M, 4E, 4E]."""
        return masks_of(self.output_hypernetworks_mlps, tokens, upscaled, 4 * self.embedding_size)
