"""SAM-HQ's mask decoder: SAM's, and one token more, whose mask is made of finer features and added to the others'.

Attribute names are upstream's (SysCV/sam-hq `segment_anything/modeling/mask_decoder_hq.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .decoder_config import DecoderConfig
from .layers import LayerNorm2d, Mlp
from .sam import MaskDecoder, before_prompts


class HqMaskDecoder(MaskDecoder):
    """All masks with the high-quality one added, that one alone, and their predicted IoU.

    `compress_vit_feat` and `embedding_encoder` make the finer features of a picture; they are applied once a picture,
    by the image encoder: for each prompt anew they would take more time than all the rest of SAM's decoder.
    """

    def __init__(self, config: DecoderConfig, early_channels: int) -> None:
        super().__init__(config)
        dim = config.dim
        self.hf_token = nn.Embedding(1, dim)
        self.hf_mlp = Mlp((dim, dim, dim, dim // 8))
        self.compress_vit_feat = nn.Sequential(
            nn.ConvTranspose2d(early_channels, dim, 2, 2),
            LayerNorm2d(dim),
            nn.GELU(),
            nn.ConvTranspose2d(dim, dim // 8, 2, 2),
        )
        self.embedding_encoder = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, 2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, 2),
        )
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(dim // 8, dim // 4, 3, padding=1),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.Conv2d(dim // 4, dim // 8, 3, padding=1),
        )

    def decode(
        self, features: tuple[Tensor, Tensor], image_pe: Tensor, sparse: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits of SAM's masks, each with the high-quality mask added, then that mask alone, and their IoUs.

        The high-quality mask has no predicted IoU of its own: its is the single-mask token's, as upstream answers.

        Shapes:
            features  image_embeddings [1, dim, E, E], hq_features [1, dim / 8, 4E, 4E]
            image_pe  [1, E * E, dim]   position of every cell
            sparse    [B, N, dim]       embedded points
            dense     [B, dim, E, E]    embedded masks
            returns   [B, M + 1, 4E, 4E] low_res_masks, [B, M + 1] iou_predictions
        """
        image, hq_features = features
        tokens, grid = self._attended(image, image_pe, sparse, dense)
        upscaled = self.output_upscaling(grid)
        finer = self.embedding_maskfeature(upscaled) + hq_features
        masks, fine = self._masks(tokens, upscaled), self._high_quality_mask(tokens, finer)
        ious = self.iou_prediction_head(tokens[:, 0])
        return torch.cat((masks + fine, fine), dim=1), torch.cat((ious, ious[:, :1]), dim=1)

    def _tokens(self, sparse: Tensor) -> Tensor:
        """The high-quality token comes after those of SAM, before the prompt."""
        return before_prompts(sparse, self.iou_token.weight, self.mask_tokens.weight, self.hf_token.weight)

    def _high_quality_mask(self, tokens: Tensor, finer: Tensor) -> Tensor:
        """tokens [B, 2 + M + N, dim], finer [B, dim / 8, 4E, 4E] -> [B, 1, 4E, 4E]."""
        weights = self.hf_mlp(tokens[:, 1 + self.masks]).unsqueeze(1)
        side = 4 * self.embedding_size
        mask: Tensor = (weights @ finer.flatten(2)).reshape(-1, 1, side, side)
        return mask
