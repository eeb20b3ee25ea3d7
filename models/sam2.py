"""SAM 2 and SAM 2.1 for pictures: a Hiera encoder with finer features, SAM's prompt encoder, SAM 2's mask decoder.

What follows objects through a video (memory attention, memory encoder, object pointers) is no part of it; the
checkpoints hold it, and it is left out. Source: facebookresearch/sam2 `sam2_image_predictor.py`, `sam2_base.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..contract import GraphContract, TensorSpec
from .components import CellPositions, Component, Migrations, image_encoder, mask_decoder, no_migrations
from .contracts import decoder_contract, encoder_contract
from .decoder_config import DecoderConfig
from .engine_attention import with_engine_attention
from .hiera import EngineHiera, Hiera, HieraConfig
from .hiera import migrations as trunk_migrations
from .plain import Features, PlainModel
from .sam import PromptEncoder
from .sam2_decoder import Sam2MaskDecoder
from .sam2_encoder import Sam2EncoderComponent, Sam2ImageEncoder
from .variants import Variant


class Sam2(nn.Module):
    """The parts that a picture needs, under upstream's names; holds weights, computes nothing itself."""

    def __init__(self, trunk: nn.Module, channels: Sequence[int], decoder: DecoderConfig) -> None:
        super().__init__()
        self.image_encoder = Sam2ImageEncoder(trunk, channels, decoder.dim)
        self.sam_prompt_encoder = PromptEncoder(decoder)
        self.sam_mask_decoder = Sam2MaskDecoder(decoder)
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, decoder.dim))


def build(variant: Variant) -> Sam2:
    assert isinstance(variant.encoder, HieraConfig)
    return Sam2(Hiera(variant.encoder), variant.encoder.channels, variant.decoder)


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, Sam2)
    assert isinstance(module.image_encoder.trunk, Hiera)
    trunk = EngineHiera(module.image_encoder.trunk)
    return both_components(module, variant, trunk, trunk_migrations)


def both_components(
    module: Sam2, variant: Variant, trunk: nn.Module, migrations: Migrations = no_migrations
) -> tuple[Component, Component]:
    """Return the components of any model with SAM 2's neck and decoder.

    Args:
        trunk: in the form to be exported: [1, 3, S, S], normalised -> four stages, finest first.
        migrations: finds those of the trunk below a module.
    """
    decoder = module.sam_mask_decoder
    encoder = Sam2EncoderComponent(
        trunk, module.image_encoder.neck, decoder, module.no_mem_embed, variant.preprocessing.normalisation
    )
    takes, answers = contracts(variant)
    return (
        image_encoder(encoder, takes, migrations),
        mask_decoder(Sam2DecoderComponent(module.sam_prompt_encoder, with_engine_attention(decoder)), answers),
    )


class Sam2DecoderComponent(nn.Module):
    """Prompt encoder and mask decoder in one graph; tensors as in the contract. Positions as in SAM's."""

    def __init__(self, prompt_encoder: PromptEncoder, mask_decoder: Sam2MaskDecoder) -> None:
        super().__init__()
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.cell_positions = CellPositions(prompt_encoder.pe_layer)

    def forward(
        self,
        image_embeddings: Tensor,
        high_res_feats_0: Tensor,
        high_res_feats_1: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        sparse = self.prompt_encoder.embed_points(point_coords, point_labels)
        dense = self.prompt_encoder.embed_masks(mask_input, has_mask_input)
        image_pe = self.cell_positions().to(image_embeddings.dtype)
        features = (image_embeddings, high_res_feats_0, high_res_feats_1)
        return self.mask_decoder.decode(features, image_pe, sparse, dense)


def contracts(variant: Variant) -> tuple[GraphContract, GraphContract]:
    """Return those of image encoder and mask decoder."""
    channels, cells = variant.decoder.dim, variant.decoder.embedding_size
    features = (
        TensorSpec(
            "high_res_feats_0", (1, channels // 8, 4 * cells, 4 * cells), "float32", "Finest features of the picture"
        ),
        TensorSpec(
            "high_res_feats_1", (1, channels // 4, 2 * cells, 2 * cells), "float32", "Finer features of the picture"
        ),
    )
    score = TensorSpec("object_score_logits", ("B", 1), "float32", "Whether there is an object: above 0 it is likely")
    return encoder_contract(variant, features), decoder_contract(variant, features, (score,))


def plain(module: nn.Module) -> PlainModel:
    """Return the steps of `SAM2ImagePredictor.set_image` and `_predict`, as upstream takes them."""
    assert isinstance(module, Sam2)
    decoder = module.sam_mask_decoder

    def encode(image: Tensor) -> Features:
        finest, finer, coarse = module.image_encoder(image)
        return {
            "image_embeddings": coarse + module.no_mem_embed.reshape(1, -1, 1, 1),
            "high_res_feats_0": decoder.conv_s0(finest),
            "high_res_feats_1": decoder.conv_s1(finer),
        }

    def decode(features: Features, image_pe: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        given = (features["image_embeddings"], features["high_res_feats_0"], features["high_res_feats_1"])
        low_res_masks, iou_predictions, _ = decoder.decode(given, image_pe, sparse, dense)
        return low_res_masks, iou_predictions

    return PlainModel(module.sam_prompt_encoder, encode, decode)
