"""Hugging Face's names of SAM 2's tensors, turned into upstream's, and what a checkpoint holds for videos alone.

Sources: transformers `models/sam2/modeling_sam2.py`, `models/sam2_video/modeling_sam2_video.py`; facebookresearch/sam2
`modeling/sam2_base.py`; facebookresearch/EdgeTAM `modeling/perceiver.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

# Upstream's names first, then Hugging Face's where they differ.
VIDEO_KEYS = (
    "memory_attention.",
    "memory_encoder.",
    "spatial_perceiver.",
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "mask_downsample.",
    "obj_ptr_proj.",
    "obj_ptr_tpos_proj.",
    "no_obj_ptr",
    "no_obj_embed_spatial",
    "memory_temporal_positional_encoding",
    "no_memory_positional_encoding",
    "object_pointer_proj.",
    "temporal_positional_encoding_projection_layer.",
    "no_object_pointer",
    "occlusion_spatial_embedding_parameter",
)

POINT_TABLE = "prompt_encoder.point_embed.weight"
# Perceptrons of three layers: the first and last have names of their own, what lies between is counted anew.
_HEAD = r"(sam_mask_decoder\.(?:iou_prediction_head|pred_obj_score_head|output_hypernetworks_mlps\.\d+))\."
_RULES: tuple[tuple[str, str], ...] = (
    (r"^vision_encoder\.backbone\.timm_model\.", "image_encoder.trunk.body."),
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"^(image_encoder\.trunk\.patch_embed)\.projection\.", r"\1.proj."),
    (r"^no_memory_embedding$", "no_mem_embed"),
    (
        r"^(?:prompt_encoder\.shared_embedding|shared_image_embedding)\.positional_embedding$",
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    (r"^sam_prompt_encoder\.mask_embed\.conv1\.", "sam_prompt_encoder.mask_downscaling.0."),
    (r"^sam_prompt_encoder\.mask_embed\.layer_norm1\.", "sam_prompt_encoder.mask_downscaling.1."),
    (r"^sam_prompt_encoder\.mask_embed\.conv2\.", "sam_prompt_encoder.mask_downscaling.3."),
    (r"^sam_prompt_encoder\.mask_embed\.layer_norm2\.", "sam_prompt_encoder.mask_downscaling.4."),
    (r"^sam_prompt_encoder\.mask_embed\.conv3\.", "sam_prompt_encoder.mask_downscaling.6."),
    (r"^mask_decoder\.", "sam_mask_decoder."),
    (r"^sam_mask_decoder\.upscale_conv1\.", "sam_mask_decoder.output_upscaling.0."),
    (r"^sam_mask_decoder\.upscale_layer_norm\.", "sam_mask_decoder.output_upscaling.1."),
    (r"^sam_mask_decoder\.upscale_conv2\.", "sam_mask_decoder.output_upscaling.3."),
    (_HEAD + r"layers\.0\.", r"\1.layers.1."),
    (_HEAD + r"proj_in\.", r"\1.layers.0."),
    (_HEAD + r"proj_out\.", r"\1.layers.2."),
    (r"\.mlp\.proj_in\.", ".mlp.layers.0."),
    (r"\.mlp\.proj_out\.", ".mlp.layers.1."),
    (r"\.o_proj\.", ".out_proj."),
    (r"\.layer_norm(\d|_final_attn)\.", r".norm\1."),
)


def to_upstream(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under upstream's names; those that have them already come back as they are.

    The positions of points and of cells are one tensor, which a file holds once or twice. The four tables of points
    are one, too.
    """
    if not any(name.startswith("vision_encoder.") for name in tensors):
        return dict(tensors)
    named = {upstream_name(name): tensor for name, tensor in tensors.items() if name != POINT_TABLE}
    return {**named, **dict(_point_tables(tensors))}


def upstream_name(name: str) -> str:
    if name.startswith(VIDEO_KEYS):
        return name
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name


def _point_tables(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    if POINT_TABLE in tensors:
        for index, row in enumerate(tensors[POINT_TABLE].unsqueeze(1)):
            yield f"sam_prompt_encoder.point_embeddings.{index}.weight", row
