"""Models of fewer pixels and blocks than a checkpoint's, here and in transformers."""

from __future__ import annotations

import dataclasses

from sam_export.models.decoder_config import DecoderConfig
from sam_export.models.variants import Variant
from sam_export.models.vit import VitConfig


def shrunk(row: Variant, encoder: object, decoder: DecoderConfig) -> Variant:
    """Return the row with other sizes, for pictures as large as the decoder's frame."""
    pixels, cells = (decoder.frame_size, decoder.frame_size), decoder.embedding_size
    return dataclasses.replace(
        row,
        name=f"{row.name}_shrunk",
        encoder=encoder,
        decoder=decoder,
        preprocessing=dataclasses.replace(row.preprocessing, image_hw=pixels, prompt_frame_hw=pixels),
        mask_rule=dataclasses.replace(row.mask_rule, mask_hw=(4 * cells, 4 * cells)),
    )


def vision_sizes(encoder: VitConfig, decoder: DecoderConfig) -> dict[str, object]:
    """Return what transformers' vision configurations call the sizes of a ViT."""
    return {
        "hidden_size": encoder.width,
        "output_channels": encoder.out_channels,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.heads,
        "image_size": encoder.image_size,
        "window_size": encoder.window_size,
        "global_attn_indexes": list(encoder.global_blocks),
        "mlp_dim": encoder.mlp_width(0),
        "num_pos_feats": decoder.dim // 2,
    }


def decoder_sizes(decoder: DecoderConfig) -> dict[str, object]:
    """Return likewise those of a mask decoder."""
    return {
        "hidden_size": decoder.dim,
        "mlp_dim": decoder.mlp_dim,
        "num_attention_heads": decoder.heads,
        "iou_head_hidden_dim": decoder.dim,
        # Meta's; transformers' own default of 1e-6 is not what the checkpoints were trained with.
        "layer_norm_eps": 1e-5,
    }
