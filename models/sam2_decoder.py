"""SAM 2's mask decoder: SAM's own, with finer features of the picture and a score for whether there is an object.

Attribute names are upstream's (facebookresearch/sam2 `modeling/sam/mask_decoder.py`, `modeling/sam/transformer.py`).
The prompt encoder is that of the first generation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .decoder_config import DecoderConfig
from .layers import Mlp
from .sam import MaskDecoder, before_prompts
from .transformer import TwoWayTransformer


class Sam2Transformer(TwoWayTransformer):
    """SAM's, but for the names inside the perceptrons."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        for block in self.layers:
            block.mlp = Mlp((config.dim, config.mlp_dim, config.dim))


class Sam2MaskDecoder(MaskDecoder):
    """All masks, their predicted IoU, and the object's score, from image, finer features and prompt embeddings.

    `conv_s0` and `conv_s1` narrow the finer features; they are applied once a picture, by the image encoder.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        dim = config.dim
        self.transformer = Sam2Transformer(config)
        self.obj_score_token = nn.Embedding(1, dim)
        self.pred_obj_score_head = Mlp((dim, dim, dim, 1))
        self.conv_s0 = nn.Conv2d(dim, dim // 8, 1)
        self.conv_s1 = nn.Conv2d(dim, dim // 4, 1)

    def decode(
        self, features: tuple[Tensor, Tensor, Tensor], image_pe: Tensor, sparse: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits of all masks, single-mask token first, their predicted IoUs and the object's score.

        Shapes:
            features  image_embeddings [1, dim, E, E], high_res_feats_0 [1, dim / 8, 4E, 4E],
                      high_res_feats_1 [1, dim / 4, 2E, 2E]
            image_pe  [1, E * E, dim]   position of every cell
            sparse    [B, N, dim]       embedded points
            dense     [B, dim, E, E]    embedded masks
            returns   [B, M, 4E, 4E] low_res_masks, [B, M] iou_predictions, [B, 1] object_score_logits
        """
        image, finest, finer = features
        tokens, grid = self._attended(image, image_pe, sparse, dense)
        masks = self._masks(tokens[:, 1:], self._upscaled(grid, finest, finer))
        ious = torch.sigmoid(self.iou_prediction_head(tokens[:, 1]))
        return masks, ious, self.pred_obj_score_head(tokens[:, 0])

    def _tokens(self, sparse: Tensor) -> Tensor:
        """The object's token comes before those of SAM."""
        return before_prompts(sparse, self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight)

    def _upscaled(self, grid: Tensor, finest: Tensor, finer: Tensor) -> Tensor:
        """Add finer features on the way up. grid [B, dim, E, E] -> [B, dim / 8, 4E, 4E]."""
        first, norm, first_activation, second, second_activation = self.output_upscaling
        grid = first_activation(norm(first(grid) + finer))
        upscaled: Tensor = second_activation(second(grid) + finest)
        return upscaled
