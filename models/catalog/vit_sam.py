"""Checkpoints of SAM with a ViT encoder: Meta's own, and SlimSAM, which is Meta's smallest one pruned."""

from __future__ import annotations

from dataclasses import replace

from ..sources import HubSource, UrlSource
from ..variants import SAM_DECODER, SAM_MASK_RULE, SAM_PREPROCESSING, Variant
from ..vit import VitConfig

VIT_B = VitConfig(width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11))
VIT_L = VitConfig(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23))
VIT_H = VitConfig(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31))
# Pruned evenly: `build_sam.py` (czg1225/SlimSAM), `vit_p50` and `vit_p77`.
SLIM_50 = VitConfig(width=384, depth=12, heads=12, global_blocks=(2, 5, 8, 11))
SLIM_77 = VitConfig(width=168, depth=12, heads=12, global_blocks=(2, 5, 8, 11), mlp_widths=(696,) * 12)
TRANSFORMERS = "transformers SamModel"
REFERENCE = f"facebookresearch/segment-anything's own source and {TRANSFORMERS}"
META = "https://dl.fbaipublicfiles.com/segment_anything"

SAM_VIT_B = Variant(
    name="sam_vit_b",
    family="vit_sam",
    license="Apache-2.0",
    description="Everyday photographs; Meta's smallest: points, boxes and masks",
    source=UrlSource(f"{META}/sam_vit_b_01ec64.pth"),
    parameters=93_735_472,
    checkpoint_bytes=375_042_383,
    checkpoint_sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    encoder=VIT_B,
    decoder=SAM_DECODER,
    preprocessing=SAM_PREPROCESSING,
    mask_rule=SAM_MASK_RULE,
    verified_against=REFERENCE,
)

SAM_VIT_L = replace(
    SAM_VIT_B,
    name="sam_vit_l",
    description="Everyday photographs; Meta's middle size: points, boxes and masks",
    source=UrlSource(f"{META}/sam_vit_l_0b3195.pth"),
    parameters=312_342_832,
    checkpoint_bytes=1_249_524_607,
    checkpoint_sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    encoder=VIT_L,
)

SAM_VIT_H = replace(
    SAM_VIT_B,
    name="sam_vit_h",
    description="Everyday photographs; Meta's largest and most exact: points, boxes and masks",
    source=UrlSource(f"{META}/sam_vit_h_4b8939.pth"),
    parameters=641_090_608,
    checkpoint_bytes=2_564_550_879,
    checkpoint_sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    encoder=VIT_H,
)

SLIMSAM_50 = Variant(
    name="slimsam_50",
    family="vit_sam",
    license="Apache-2.0",
    description="Everyday photographs; SAM ViT-B with half of its channels: points, boxes and masks",
    source=HubSource("Zigeng/SlimSAM-uniform-50", "model.safetensors", "47bf233aaffd60acb087e835a594ddb99b673c1b"),
    parameters=27_961_776,
    checkpoint_sha256="c6146291d993f315ae1951e1209555d6c9dea1404546dc54edbc3f15fb1d8e69",
    encoder=SLIM_50,
    decoder=SAM_DECODER,
    preprocessing=SAM_PREPROCESSING,
    mask_rule=SAM_MASK_RULE,
    verified_against=TRANSFORMERS,
)

SLIMSAM_77 = replace(
    SLIMSAM_50,
    name="slimsam_77",
    description="Everyday photographs; SAM ViT-B with 23 % of its channels: points, boxes and masks",
    source=HubSource("Zigeng/SlimSAM-uniform-77", "model.safetensors", "9e72a1bc79fa17f1f4e239003f0d84170c96464d"),
    parameters=9_723_528,
    checkpoint_sha256="b0ee221e3d33935807a820c157fec81a537b3b9979edc88b148a8dae8bbdd5d2",
    encoder=SLIM_77,
)

ROWS = (SAM_VIT_B, SAM_VIT_L, SAM_VIT_H, SLIMSAM_50, SLIMSAM_77)
