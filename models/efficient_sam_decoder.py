"""EfficientSAM's prompt encoder and mask decoder: SAM's sizes under other names, with other steps.

Source: yformer/EfficientSAM, `efficient_sam/efficient_sam_decoder.py`, `two_way_transformer.py`, `mlp.py`,
`efficient_sam.py`. What differs from SAM's (`sam.py`): padding points have a position, that of (-1, -1); there is no
embedding of background points, nor of masks; every self-attention is added to its queries, which from the second
block on hold their positions, as its values do; perceptrons have GELU; upscaling is normalised over all channels
and cells together.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from .components import CellPositions
from .decoder_config import DecoderConfig
from .engine_attention import with_engine_attention
from .sam import PositionEncoding, PromptEncoder, before_prompts, masks_of
from .transformer import TwoWayBlock, TwoWayTransformer

# What upstream fills prompts up with, in pixels of the prompt frame.
PADDING_COORDINATE = -1.0
NORM_EPS = 1e-5


class EfficientPromptEncoder(nn.Module):
    """Embeds points and boxes (as two labelled points)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.pe_layer = PositionEncoding(config)
        self.invalid_points = nn.Embedding(1, config.dim)
        self.point_embeddings = nn.Embedding(1, config.dim)
        self.bbox_top_left_embeddings = nn.Embedding(1, config.dim)
        self.bbox_bottom_right_embeddings = nn.Embedding(1, config.dim)

    def forward(self, positions: Tensor, point_labels: Tensor) -> Tensor:
        """Return sparse prompt embeddings. A background point has its position and nothing else, as upstream.

        Shapes:
            positions     [B, N, dim]  float32, of `PointPositions`
            point_labels  [B, N]       float32, a `PointLabel` code
            returns       [B, N, dim]  float32
        """
        labels, embedded = point_labels.unsqueeze(-1), positions
        corners = self.bbox_top_left_embeddings, self.bbox_bottom_right_embeddings
        for code, table in zip((-1, 1, 2, 3), (self.invalid_points, self.point_embeddings, *corners), strict=True):
            embedded = embedded + table.weight * (labels == code)
        return embedded


class PointPositions(nn.Module):
    """Positions of labelled points, those of padding at one place. Coordinates need fp32, and so does all of this."""

    def __init__(self, pe_layer: PositionEncoding) -> None:
        super().__init__()
        self.pe_layer = pe_layer

    def forward(self, point_coords: Tensor, point_labels: Tensor) -> Tensor:
        """[B, N, 2] pixels in the prompt frame, [B, N] `PointLabel` codes -> [B, N, dim]."""
        placed = torch.where(point_labels.unsqueeze(-1) == -1, PADDING_COORDINATE, point_coords)
        positions: Tensor = self.pe_layer(placed)
        return positions


def sam_form(source: EfficientPromptEncoder) -> PromptEncoder:
    """Return the same tables as a prompt encoder of SAM: nothing for background points, positions within padding."""
    encoder = PromptEncoder(source.config).eval().requires_grad_(False)
    encoder.pe_layer = source.pe_layer
    place = torch.full((1, 1, 2), PADDING_COORDINATE)
    padding = source.pe_layer(place)[0] + source.invalid_points.weight
    background = torch.zeros_like(padding)
    corners = source.bbox_top_left_embeddings.weight, source.bbox_bottom_right_embeddings.weight
    rows = (background, source.point_embeddings.weight, *corners)
    tables = (encoder.not_a_point_embed, *encoder.point_embeddings, encoder.no_mask_embed)
    for table, row in zip(tables, (padding, *rows, background), strict=True):
        table.get_parameter("weight").data = row.detach().clone()
    return encoder


class Perceptron(nn.Module):
    """Linear layers with GELU between them, over the last axis (upstream's `MLPBlock`: `layers.N.0`, `fc`)."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        hidden = itertools.pairwise(sizes[:-1])
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(a, b), nn.GELU()) for a, b in hidden)
        self.fc = nn.Linear(sizes[-2], sizes[-1])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.fc(x)
        return out


class WideNorm(nn.Module):
    """Norm over channels and cells together, then a gain and shift a channel: upstream's `GroupNorm` of one group.

    Own ops, since what exporters make of `group_norm` has more, and sums of a million squares: these stay fp32.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean((1, 2, 3), keepdim=True)
        variance = (centred * centred).mean((1, 2, 3), keepdim=True)
        normed = centred / torch.sqrt(variance + NORM_EPS)
        return normed * self.weight.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)


class EfficientTwoWayBlock(TwoWayBlock):
    """SAM's, but that the first layer keeps what tokens were before they attended, and the perceptron's names."""

    def __init__(self, config: DecoderConfig, *, first: bool) -> None:
        super().__init__(config, first=first)
        self.mlp = Perceptron((config.dim, config.mlp_dim, config.dim))

    def _attend_self(self, queries: Tensor, query_pe: Tensor) -> Tensor:
        asked = queries if self.first else queries + query_pe
        attended: Tensor = asked + self.self_attn(asked, asked, asked)
        return attended


class EfficientMaskDecoder(nn.Module):
    """All masks and their predicted IoU from image and prompt embeddings."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        dim, masks = config.dim, config.multimask_outputs + 1
        self.embedding_size = config.embedding_size
        self.transformer = TwoWayTransformer(config, EfficientTwoWayBlock)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(masks, dim)
        self.final_output_upscaling_layers = nn.ModuleList(
            (
                nn.Sequential(nn.ConvTranspose2d(dim, dim // 4, 2, 2), WideNorm(dim // 4), nn.GELU()),
                nn.Sequential(nn.ConvTranspose2d(dim // 4, dim // 8, 2, 2), nn.Identity(), nn.GELU()),
            )
        )
        self.output_hypernetworks_mlps = nn.ModuleList(Perceptron((dim, dim, dim, dim // 8)) for _ in range(masks))
        self.iou_prediction_head = Perceptron((dim, dim, dim, masks))

    def forward(self, image: Tensor, image_pe: Tensor, sparse: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of all masks, single-mask token first, and their predicted IoUs.

        Shapes:
            image     [1, dim, E, E]    image_embeddings
            image_pe  [1, E * E, dim]   position of every cell
            sparse    [B, N, dim]       embedded points
            returns   [B, M, 4E, 4E] low_res_masks, [B, M] iou_predictions
        """
        batch, side = sparse.shape[0], self.embedding_size
        tokens = before_prompts(sparse, self.iou_token.weight, self.mask_tokens.weight)
        cells = image.flatten(2).permute(0, 2, 1).repeat(batch, 1, 1)
        tokens, cells = self.transformer(tokens, cells, image_pe)
        upscaled = cells.permute(0, 2, 1).reshape(-1, cells.shape[-1], side, side)
        for layer in self.final_output_upscaling_layers:
            upscaled = layer(upscaled)
        masks = masks_of(self.output_hypernetworks_mlps, tokens, upscaled, 4 * side)
        return masks, self.iou_prediction_head(tokens[:, 0])


class EfficientMaskDecoderComponent(nn.Module):
    """Prompt encoder and mask decoder in one graph; tensors as in `decoder_contract`, without masks."""

    def __init__(self, prompt_encoder: EfficientPromptEncoder, mask_decoder: EfficientMaskDecoder) -> None:
        super().__init__()
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = with_engine_attention(mask_decoder)
        self.point_positions = PointPositions(prompt_encoder.pe_layer)
        self.cell_positions = CellPositions(prompt_encoder.pe_layer)

    def forward(self, image_embeddings: Tensor, point_coords: Tensor, point_labels: Tensor) -> tuple[Tensor, Tensor]:
        positions = self.point_positions(point_coords, point_labels).to(image_embeddings.dtype)
        sparse = self.prompt_encoder(positions, point_labels)
        image_pe = self.cell_positions().to(image_embeddings.dtype)
        low_res_masks, iou_predictions = self.mask_decoder(image_embeddings, image_pe, sparse)
        return low_res_masks, iou_predictions

    def wide_norms(self) -> tuple[str, ...]:
        """Return the dotted names of what sums over a whole feature map."""
        return tuple(name for name, part in self.named_modules() if isinstance(part, WideNorm))
