"""Hugging Face's names of SAM's tensors, turned into upstream's.

Source: transformers `models/sam/modeling_sam.py`, `models/sam_hq/modeling_sam_hq.py`. Only names differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

# Perceptrons of three layers: the first and last have names of their own, what lies between is counted anew.
_PERCEPTRON = r"(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+|hq_mask_mlp))\."
_RULES: tuple[tuple[str, str], ...] = (
    (_PERCEPTRON + r"layers\.0\.", r"\1.layers.1."),
    (_PERCEPTRON + r"proj_in\.", r"\1.layers.0."),
    (_PERCEPTRON + r"proj_out\.", r"\1.layers.2."),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"^(image_encoder\.patch_embed)\.projection\.", r"\1.proj."),
    (r"^(image_encoder\.neck)\.conv1\.", r"\1.0."),
    (r"^(image_encoder\.neck)\.layer_norm1\.", r"\1.1."),
    (r"^(image_encoder\.neck)\.conv2\.", r"\1.2."),
    (r"^(image_encoder\.neck)\.layer_norm2\.", r"\1.3."),
    (
        r"^(?:prompt_encoder\.shared_embedding|shared_image_embedding)\.positional_embedding$",
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
    (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "prompt_encoder.mask_downscaling.1."),
    (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
    (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "prompt_encoder.mask_downscaling.4."),
    (r"^prompt_encoder\.mask_embed\.conv3\.", "prompt_encoder.mask_downscaling.6."),
    (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    (r"^mask_decoder\.hq_token\.", "mask_decoder.hf_token."),
    (r"^mask_decoder\.hq_mask_mlp\.", "mask_decoder.hf_mlp."),
    (r"^mask_decoder\.compress_vit_conv1\.", "mask_decoder.compress_vit_feat.0."),
    (r"^mask_decoder\.compress_vit_norm\.", "mask_decoder.compress_vit_feat.1."),
    (r"^mask_decoder\.compress_vit_conv2\.", "mask_decoder.compress_vit_feat.3."),
    (r"^mask_decoder\.encoder_conv1\.", "mask_decoder.embedding_encoder.0."),
    (r"^mask_decoder\.encoder_norm\.", "mask_decoder.embedding_encoder.1."),
    (r"^mask_decoder\.encoder_conv2\.", "mask_decoder.embedding_encoder.3."),
    (r"^mask_decoder\.mask_conv1\.", "mask_decoder.embedding_maskfeature.0."),
    (r"^mask_decoder\.mask_norm\.", "mask_decoder.embedding_maskfeature.1."),
    (r"^mask_decoder\.mask_conv2\.", "mask_decoder.embedding_maskfeature.3."),
    (r"\.layer_norm(\d|_final_attn)\.", r".norm\1."),
)


def to_upstream(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under upstream's names; those that have them already come back as they are.

    The positions of points and of cells are one tensor, which a file holds once or twice.
    """
    if not any(name.startswith("vision_encoder.") for name in tensors):
        return dict(tensors)
    return {upstream_name(name): tensor for name, tensor in tensors.items()}


def upstream_name(name: str) -> str:
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name
